"""From plan bytes to a query that can be scheduled: read, cut, bound to the catalog (R1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs
import trio

from ffq.catalog import Catalog, ScanSettings, plan_scans
from ffq.core.planning import PLANNER, read_plan
from ffq.errors import QuotaExceeded
from ffq.messages import AcceptQuery, ReadPlan
from ffq.plan.casts import write_literal_casts
from ffq.plan.codec import parse_plan
from ffq.plan.limits import PlanLimits
from ffq.plan.stages import cut
from ffq.runtime.message import Request

R = TypeVar("R")
_INTEGER: Final = b'"Int64"'


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
        self._work: dict[type, Callable[[Any], Any]] = {**PLANNER, ReadPlan: self._read}
        self._threads = trio.CapacityLimiter(threads)
        self._max_waiting = max_waiting

    async def ask(self, message: Request[R]) -> R:
        """As `Planner.ask`.

        Raises InvalidPlan, PlanningError, UnsupportedPlan, StorageError, QuotaExceeded.
        """
        asked: Any = message
        if self._threads.statistics().tasks_waiting >= self._max_waiting:
            raise QuotaExceeded(
                f"{self._max_waiting} plans wait to be read: submit {asked.query_id} again later"
            )
        work = self._work[type(message)]
        reply: R = await trio.to_thread.run_sync(
            work, asked, limiter=self._threads, abandon_on_cancel=True
        )
        return reply

    def _read(self, message: ReadPlan) -> AcceptQuery:
        query = read_plan(message, self._limits)
        if self._catalog is None:
            return query
        scans = plan_scans(query.graph, self._catalog, self._scans)
        return attrs.evolve(self._with_casts(query, self._catalog), scans=scans)

    def _with_casts(self, query: AcceptQuery, catalog: Catalog) -> AcceptQuery:
        """What planners leave to analyzers: strict engines compute on operands of one type only.

        The digest stays that of the plan as it was submitted (R1).
        """
        if _INTEGER not in query.plan_bytes:
            return query
        plan = query.graph.stages[0].fragment
        written = write_literal_casts(
            query.plan_bytes, plan, catalog.schema_of, limits=self._limits
        )
        if written is query.plan_bytes:
            return query
        graph = cut(parse_plan(written, limits=self._limits), limits=self._limits)
        return attrs.evolve(query, plan_bytes=written, graph=graph)
