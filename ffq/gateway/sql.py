"""SQL to plans, in processes of their own: a hostile text holds up nobody and breaks nothing."""

from __future__ import annotations

from functools import partial

import trio

from ffq.catalog import Catalog
from ffq.errors import QuotaExceeded
from ffq.messages import NO_CLUSTER, ClusterSize, PlanSql, SqlPlan
from ffq.sql.limits import PlanningLimits
from ffq.sql.service import Job, PlanningService


class SqlPlanner:
    """A context manager: at its end no process is left.

    Args:
        catalog: tables that every query may read.
        client_tables: whether queries may bring tables, or name files.
        one_task_bytes: a query that reads less, stored, is one task; 0: none is.
        processes: queries planned at a time; further ones wait.
        max_waiting: how many may wait, each with its text in memory; more are refused (R30).
    """

    def __init__(
        self,
        catalog: Catalog | None,
        *,
        client_tables: bool = True,
        one_task_bytes: int = 0,
        limits: PlanningLimits | None = None,
        processes: int = 2,
        max_waiting: int = 64,
    ) -> None:
        self._service = PlanningService(
            () if catalog is None else catalog.definitions(),
            client_tables=client_tables,
            one_task_bytes=one_task_bytes,
            limits=limits,
        )
        self._threads = trio.CapacityLimiter(processes)
        self._max_waiting = max_waiting

    def __enter__(self) -> SqlPlanner:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.close()

    async def plan(self, message: PlanSql, cluster: ClusterSize = NO_CLUSTER) -> SqlPlan:
        """Cancelled, it ends the process that plans.

        Raises QuotaExceeded, and as `PlanningService.plan`.
        """
        if self._threads.statistics().tasks_waiting >= self._max_waiting:
            raise QuotaExceeded(f"{self._max_waiting} queries wait to be planned: try again later")
        job = Job()
        plan = partial(self._service.plan, message, job, cluster)
        try:
            return await trio.to_thread.run_sync(
                plan, limiter=self._threads, abandon_on_cancel=True
            )
        except trio.Cancelled:
            job.give_up()
            raise
