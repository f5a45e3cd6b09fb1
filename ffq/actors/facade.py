"""The coordinator as one object in this process: each RPC as a walk over the four actors.

The walks are those of `ffq.core.CoreCoordinator`, which a property test checks. Asks go from
liveness, registry and results to scheduling and never back, so bounded mailboxes cannot lock up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from ffq.actors._machine import Clock, ValidateState
from ffq.actors.liveness import LivenessRequest
from ffq.actors.registry import RegistryRequest
from ffq.actors.results import ResultsRequest
from ffq.actors.scheduling import SchedulingRequest
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    Assignment,
    AttemptStatus,
    CancelQuery,
    CancelReply,
    ConfirmHeartbeat,
    DrainWorker,
    FetchQueryResults,
    FindSubmission,
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
    ReadMapOutput,
    ReadResult,
    RecordEvidence,
    RecordHeartbeat,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    ResolveMapOutput,
    ResolveResult,
    ResultParts,
    SubmitQuery,
    SubmitReply,
    WorkerStatus,
)
from ffq.runtime import ActorRef

Planner = Callable[[QueryId, bytes], Awaitable[SubmitQuery]]
"""Reads plan bytes, cuts them into stages and binds their scans. Raises InvalidPlan, ..."""


@attrs.frozen
class CoordinatorActors:
    """`ffq.service.ServedCoordinator` over actors in this Trio run.

    Times in its replies are those of `clock`. Raises, besides the core's errors, ActorEnded and
    SystemClosed while the coordinator shuts down.
    """

    scheduling: ActorRef[SchedulingRequest]
    liveness: ActorRef[LivenessRequest]
    registry: ActorRef[RegistryRequest]
    results: ActorRef[ResultsRequest]
    clock: Clock
    planner: Planner

    # --- clients -----------------------------------------------------------------------------

    async def submit_plan(self, query_id: QueryId, plan_bytes: bytes) -> SubmitReply:
        """A plan as its client sent it; one that is known already is not read again (R1)."""
        known = await self.scheduling.ask(FindSubmission(query_id, plan_bytes))
        if known is not None:
            return known
        return await self.submit_query(await self.planner(query_id, plan_bytes))

    async def submit_query(self, msg: SubmitQuery) -> SubmitReply:
        """A plan that has been read and cut already (R1)."""
        return await self.scheduling.ask(msg)

    async def cancel_query(self, msg: CancelQuery) -> CancelReply:
        return await self.scheduling.ask(msg)

    async def get_query_status(self, msg: GetQueryStatus) -> QueryStatus:
        return await self.scheduling.ask(msg)

    async def fetch_query_results(self, msg: FetchQueryResults) -> ResultParts:
        keys = await self.scheduling.ask(ResolveResult(msg.query_id))
        return await self.results.ask(ReadResult(keys))

    async def list_queries(self, msg: ListQueries) -> tuple[QueryStatus, ...]:
        return await self.scheduling.ask(msg)

    async def list_attempts(self, msg: ListAttempts) -> tuple[AttemptStatus, ...]:
        return await self.scheduling.ask(msg)

    async def list_workers(self, msg: ListWorkers) -> tuple[WorkerStatus, ...]:
        return await self.scheduling.ask(msg)

    async def drain_worker(self, msg: DrainWorker) -> None:
        await self.scheduling.ask(msg)

    # --- workers -----------------------------------------------------------------------------

    async def heartbeat(self, msg: Heartbeat) -> HeartbeatReply:
        beat = await self.liveness.ask(RecordHeartbeat(msg))
        if not beat.current:
            return HeartbeatReply(accepted=False)
        return await self.scheduling.ask(
            ConfirmHeartbeat(msg.worker_id, msg.running_attempts, msg.held_queries)
        )

    async def get_task(self, msg: GetTask) -> tuple[Assignment, ...]:
        seen = await self.liveness.ask(RecordEvidence(msg.worker_id, msg.incarnation))
        return await self.scheduling.ask(msg) if seen.current else ()

    async def report_task_status(self, msg: ReportTaskStatus) -> ReportReply:
        await self._evidence(msg.worker_id, msg.incarnation)
        reply = await self.scheduling.ask(msg)
        if msg.worker_id is None:
            await self._evidence(reply.worker_id)
        return reply

    async def register_map_output(self, msg: RegisterMapOutput) -> RegisterReply:
        await self._evidence(msg.worker_id, msg.incarnation)
        reply = await self.registry.ask(msg)
        if msg.worker_id is None:
            await self._evidence(reply.worker_id)
        return reply

    async def register_query_results(self, msg: RegisterQueryResults) -> RegisterReply:
        return await self.results.ask(msg)

    async def locate_map_output(self, msg: LocateMapOutput) -> OutputLocation:
        resolved = await self.scheduling.ask(ResolveMapOutput(msg.key, msg.reduce_partition))
        if not resolved.registered:
            return OutputLocation(resolved.key, endpoint="", size=None)
        return await self.registry.ask(ReadMapOutput(resolved.key, msg.reduce_partition))

    async def _evidence(self, worker_id: WorkerId | None, incarnation: int = 0) -> None:
        """R18: a call proves its worker alive, but brings no dead one back."""
        if worker_id is not None:
            await self.liveness.ask(RecordEvidence(worker_id, incarnation, register=False))

    # --- health ------------------------------------------------------------------------------

    async def validate_state(self) -> None:
        """Every machine checks itself. Raises InvariantViolated."""
        for actor in (self.scheduling, self.liveness, self.registry, self.results):
            await actor.ask(ValidateState())
