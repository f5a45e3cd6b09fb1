"""From plan bytes to a query that can be scheduled: read, cut, bound to the catalog (R1)."""

from __future__ import annotations

import attrs
import trio

from ffq.catalog import Catalog, ScanSettings, plan_scans
from ffq.errors import QuotaExceeded
from ffq.ids import QueryId
from ffq.messages import SubmitQuery
from ffq.plan import parse_plan
from ffq.plan.limits import PlanLimits
from ffq.plan.stages import cut

_RETRY_MS = 1_000


class QueryPlanner:
    """Plans queries on worker threads: a large plan holds up nobody's heartbeat.

    Args:
        catalog: the coordinator's tables; None leaves all tables to the workers.
        threads: plans read at a time; further submissions wait.
        max_waiting: how many may wait, each with its plan in memory; more are refused (R30).
    """

    def __init__(
        self,
        catalog: Catalog | None,
        scans: ScanSettings,
        limits: PlanLimits,
        threads: int = 2,
        max_waiting: int = 64,
    ) -> None:
        self._catalog = catalog
        self._scans = scans
        self._limits = limits
        self._threads = trio.CapacityLimiter(threads)
        self._max_waiting = max_waiting

    async def plan(self, query_id: QueryId, plan_bytes: bytes) -> SubmitQuery:
        """Raises InvalidPlan, PlanningError, UnsupportedPlan, StorageError, QuotaExceeded."""
        if self._threads.statistics().tasks_waiting >= self._max_waiting:
            raise QuotaExceeded(
                f"{self._max_waiting} plans wait to be read: submit {query_id} again later",
                retry_after_ms=_RETRY_MS,
            )
        return await trio.to_thread.run_sync(
            self._plan, query_id, plan_bytes, limiter=self._threads, abandon_on_cancel=True
        )

    def _plan(self, query_id: QueryId, plan_bytes: bytes) -> SubmitQuery:
        graph = cut(parse_plan(plan_bytes, limits=self._limits), limits=self._limits)
        bound = SubmitQuery(query_id, plan_bytes, graph)
        if self._catalog is None:
            return bound
        return attrs.evolve(bound, scans=plan_scans(graph, self._catalog, self._scans))
