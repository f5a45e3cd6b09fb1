"""What a coordinator can be asked, whoever answers.

`ffq.actors.CoordinatorActors` answers in this process; `ffq.rpc.coordinator.RemoteCoordinator`
asks over gRPC. Worker loop and client are written against this protocol.
"""

from __future__ import annotations

from typing import Protocol

from ffq.ids import QueryId
from ffq.messages import (
    Assignment,
    AttemptStatus,
    CancelQuery,
    CancelReply,
    DrainWorker,
    FetchQueryResults,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    ListAttempts,
    ListQueries,
    ListWorkers,
    LocateMapOutput,
    OutputLocation,
    QueryStatus,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    ResultParts,
    SubmitReply,
    WorkerStatus,
)


class Coordinator(Protocol):
    """One method per RPC; each may raise any FfqError that docs/protocol.md names for it."""

    async def submit_plan(self, query_id: QueryId, plan_bytes: bytes) -> SubmitReply:
        """R1: checks the plan. Raises InvalidPlan, PlanningError, PlanConflict, QuotaExceeded."""

    async def get_query_status(self, msg: GetQueryStatus) -> QueryStatus: ...

    async def cancel_query(self, msg: CancelQuery) -> CancelReply: ...

    async def fetch_query_results(self, msg: FetchQueryResults) -> ResultParts: ...

    async def get_task(self, msg: GetTask) -> tuple[Assignment, ...]: ...

    async def report_task_status(self, msg: ReportTaskStatus) -> ReportReply: ...

    async def register_map_output(self, msg: RegisterMapOutput) -> RegisterReply: ...

    async def register_query_results(self, msg: RegisterQueryResults) -> RegisterReply: ...

    async def heartbeat(self, msg: Heartbeat) -> HeartbeatReply: ...

    async def list_queries(self, msg: ListQueries) -> tuple[QueryStatus, ...]: ...

    async def list_attempts(self, msg: ListAttempts) -> tuple[AttemptStatus, ...]: ...

    async def list_workers(self, msg: ListWorkers) -> tuple[WorkerStatus, ...]: ...

    async def drain_worker(self, msg: DrainWorker) -> None: ...


class ServedCoordinator(Coordinator, Protocol):
    """A coordinator in this process, as a gateway serves it."""

    async def locate_map_output(self, msg: LocateMapOutput) -> OutputLocation:
        """Where a partition can be read (R23). Raises UnknownId, NotReady."""
