"""The scheduling actor: queries, attempts, placement, exclusion."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import attrs

from ffq.actors._machine import Clock, MachineActor, ValidateState
from ffq.actors._outbox import Drop, Outbox
from ffq.actors.registry import RegistryRequest
from ffq.actors.results import ResultsRequest
from ffq.core import Outcome, SchedulingCore
from ffq.ids import AttemptKey
from ffq.messages import (
    AdmitMapOutput,
    AdmitResult,
    Assignment,
    AttemptStatus,
    CancelQuery,
    CancelReply,
    ConfirmHeartbeat,
    DrainWorker,
    DropMapOutputs,
    DropQueryOutputs,
    FindSubmission,
    GetQueryStatus,
    GetTask,
    HeartbeatReply,
    ListAttempts,
    ListQueries,
    ListWorkers,
    QueryStatus,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    ResolvedOutput,
    ResolveMapOutput,
    ResolveResult,
    ResultAdmission,
    SubmitQuery,
    SubmitReply,
    Tick,
    WorkerChanged,
    WorkerLost,
    WorkerStatus,
)
from ffq.runtime import ActorRef, Request, handles

logger = logging.getLogger("ffq.actors")

Q = TypeVar("Q")
R = TypeVar("R")

SchedulingRequest = (
    FindSubmission
    | SubmitQuery
    | CancelQuery
    | GetQueryStatus
    | ListQueries
    | ListAttempts
    | ListWorkers
    | DrainWorker
    | GetTask
    | ReportTaskStatus
    | ConfirmHeartbeat
    | WorkerChanged
    | WorkerLost
    | AdmitMapOutput
    | AdmitResult
    | ResolveMapOutput
    | ResolveResult
    | Tick
    | ValidateState
)


@attrs.frozen
class ConnectStores(Request[None]):
    """To scheduling, once: who is to be told what to forget. (They need its ref to start.)"""

    registry: ActorRef[RegistryRequest]
    results: ActorRef[ResultsRequest]


class SchedulingActor(MachineActor[SchedulingRequest | ConnectStores]):
    """Owns the scheduling machine. It never waits for another actor: a courier does."""

    def __init__(self, core: SchedulingCore, clock: Clock, tick_ms: int) -> None:
        super().__init__(core, clock)
        self._core = core
        self._tick_ms = tick_ms
        self._outbox = Outbox()

    async def on_start(self) -> None:
        await super().on_start()
        self.ctx.start_task(self.repeat, self._tick_ms, Tick)

    @handles(ConnectStores)
    def connect_stores(self, msg: ConnectStores) -> None:
        self.ctx.start_task(self._courier, msg)

    async def _courier(self, stores: ConnectStores) -> None:
        """Deliver notices one by one, as long as the actor lives."""
        while True:
            await _deliver(await self._outbox.get(), stores)

    def _serve(self, step: Callable[[Q, int], Outcome[R]], msg: Q) -> R:
        outcome = self.decide(step, msg)
        for notice in outcome.notices:
            # Scheduling tells liveness nothing.
            assert not isinstance(notice, WorkerLost | WorkerChanged)
            self._outbox.put(notice)
        return outcome.reply

    @handles(FindSubmission)
    def find_submission(self, msg: FindSubmission) -> SubmitReply | None:
        return self._serve(self._core.find_submission, msg)

    @handles(SubmitQuery)
    def submit_query(self, msg: SubmitQuery) -> SubmitReply:
        return self._serve(self._core.submit_query, msg)

    @handles(CancelQuery)
    def cancel_query(self, msg: CancelQuery) -> CancelReply:
        return self._serve(self._core.cancel_query, msg)

    @handles(GetQueryStatus)
    def get_query_status(self, msg: GetQueryStatus) -> QueryStatus:
        return self._serve(self._core.get_query_status, msg)

    @handles(ListQueries)
    def list_queries(self, msg: ListQueries) -> tuple[QueryStatus, ...]:
        return self._serve(self._core.list_queries, msg)

    @handles(ListAttempts)
    def list_attempts(self, msg: ListAttempts) -> tuple[AttemptStatus, ...]:
        return self._serve(self._core.list_attempts, msg)

    @handles(ListWorkers)
    def list_workers(self, msg: ListWorkers) -> tuple[WorkerStatus, ...]:
        return self._serve(self._core.list_workers, msg)

    @handles(DrainWorker)
    def drain_worker(self, msg: DrainWorker) -> None:
        return self._serve(self._core.drain_worker, msg)

    @handles(GetTask)
    def get_task(self, msg: GetTask) -> tuple[Assignment, ...]:
        return self._serve(self._core.get_task, msg)

    @handles(ReportTaskStatus)
    def report_task_status(self, msg: ReportTaskStatus) -> ReportReply:
        return self._serve(self._core.report_task_status, msg)

    @handles(ConfirmHeartbeat)
    def confirm_heartbeat(self, msg: ConfirmHeartbeat) -> HeartbeatReply:
        return self._serve(self._core.confirm_heartbeat, msg)

    @handles(WorkerChanged)
    def worker_changed(self, msg: WorkerChanged) -> None:
        return self._serve(self._core.worker_changed, msg)

    @handles(WorkerLost)
    def worker_lost(self, msg: WorkerLost) -> None:
        return self._serve(self._core.worker_lost, msg)

    @handles(AdmitMapOutput)
    def admit_map_output(self, msg: AdmitMapOutput) -> RegisterReply:
        return self._serve(self._core.admit_map_output, msg)

    @handles(AdmitResult)
    def admit_result(self, msg: AdmitResult) -> ResultAdmission:
        return self._serve(self._core.admit_result, msg)

    @handles(ResolveMapOutput)
    def resolve_map_output(self, msg: ResolveMapOutput) -> ResolvedOutput:
        return self._serve(self._core.resolve_map_output, msg)

    @handles(ResolveResult)
    def resolve_result(self, msg: ResolveResult) -> tuple[AttemptKey, ...]:
        return self._serve(self._core.resolve_result, msg)

    @handles(Tick)
    def tick(self, msg: Tick) -> None:
        return self._serve(self._core.tick, msg)


async def _deliver(notice: Drop, stores: ConnectStores) -> None:
    try:
        if isinstance(notice, DropMapOutputs | DropQueryOutputs):
            await stores.registry.ask(notice)
        else:
            await stores.results.ask(notice)
    except Exception as error:  # noqa: BLE001  # the others must be delivered all the same
        logger.warning("%s was not delivered: %r", type(notice).__name__, error)
