"""SQL to plans, in processes of their own: a hostile text holds up nobody and breaks nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

from ffq.catalog import Catalog
from ffq.errors import QuotaExceeded
from ffq.messages import NO_CLUSTER, ClusterSize, PlanSql, SqlPlan
from ffq.sql.limits import PlanningLimits
from ffq.sql.service import Job, PlanningService

R = TypeVar("R")
T = TypeVar("T")
_LOOKS: Final = 4
"""Threads that look whether a known plan still holds."""


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
        self._looks = trio.CapacityLimiter(_LOOKS)
        self._max_waiting = max_waiting

    def __enter__(self) -> SqlPlanner:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.close()

    async def plan(self, message: PlanSql, cluster: ClusterSize = NO_CLUSTER) -> SqlPlan:
        """As `plan_then`, the plan itself."""
        return await self.plan_then(lambda plan: plan, message, cluster)

    async def plan_then(
        self,
        then: Callable[[SqlPlan], R],
        message: PlanSql,
        cluster: ClusterSize = NO_CLUSTER,
    ) -> R:
        """What `then` makes of its plan, in the thread that waited for that.

        Cancelled, it ends the process that plans, if that is not done in a moment. One that is
        known waits for no process.

        Raises QuotaExceeded, and as `PlanningService.plan` and `then`.
        """
        if self._service.may_know(message, cluster):

            def look() -> tuple[R] | None:
                known = self._service.known(message, cluster)
                return None if known is None else (then(known),)

            found = await self._on_thread(look, self._looks)
            if found is not None:
                return found[0]
        job = Job()
        try:
            return await self._on_thread(
                lambda: then(self._service.plan(message, job, cluster)), self._threads
            )
        except trio.Cancelled:
            job.give_up()
            raise

    async def _on_thread(self, work: Callable[[], T], threads: trio.CapacityLimiter) -> T:
        if threads.statistics().tasks_waiting >= self._max_waiting:
            raise QuotaExceeded(f"{self._max_waiting} queries wait to be planned: try again later")
        return await trio.to_thread.run_sync(work, limiter=threads, abandon_on_cancel=True)
