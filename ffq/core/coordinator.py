"""The four machines wired together: what the actors and their facade do, without mailboxes.

For property tests, and as the reference that the actors must agree with. Notices are delivered
before the reply is given.
"""

from __future__ import annotations

from typing import TypeVar

from ffq.core.liveness import LivenessCore
from ffq.core.outcome import Notice, Outcome
from ffq.core.registry import RegistryCore
from ffq.core.results import ResultsCore
from ffq.core.scheduling import SchedulingCore
from ffq.core.settings import CoordinatorSettings
from ffq.errors import InvariantViolated
from ffq.ids import WorkerId
from ffq.messages import (
    Assignment,
    AttemptStatus,
    CancelQuery,
    CancelReply,
    ConfirmHeartbeat,
    DrainWorker,
    DropMapOutputs,
    DropQueryOutputs,
    DropQueryResults,
    DropResults,
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
    SweepStaleWorkers,
    Tick,
    WorkerChanged,
    WorkerLost,
    WorkerStatus,
)

R = TypeVar("R")


class CoreCoordinator:
    """One method per RPC: takes the message and the time in ms, gives the reply or raises."""

    def __init__(self, settings: CoordinatorSettings | None = None) -> None:
        self.settings = settings if settings is not None else CoordinatorSettings()
        self.scheduling = SchedulingCore(self.settings)
        self.liveness = LivenessCore(self.settings)
        self.registry = RegistryCore()
        self.results = ResultsCore()

    def _deliver(self, outcome: Outcome[R], now_ms: int) -> R:
        for notice in outcome.notices:
            self._tell(notice, now_ms)
        return outcome.reply

    def _tell(self, notice: Notice, now_ms: int) -> None:
        match notice:
            case WorkerLost():
                self._deliver(self.scheduling.worker_lost(notice, now_ms), now_ms)
            case WorkerChanged():
                self._deliver(self.scheduling.worker_changed(notice, now_ms), now_ms)
            case DropMapOutputs():
                self.registry.drop_map_outputs(notice, now_ms)
            case DropQueryOutputs():
                self.registry.drop_query_outputs(notice, now_ms)
            case DropResults():
                self.results.drop_results(notice, now_ms)
            case DropQueryResults():
                self.results.drop_query_results(notice, now_ms)

    def _evidence(
        self, worker_id: WorkerId, incarnation: int, now_ms: int, *, register: bool = False
    ) -> bool:
        seen = RecordEvidence(worker_id, incarnation, register)
        return self._deliver(self.liveness.record_evidence(seen, now_ms), now_ms).current

    # --- clients -----------------------------------------------------------------------------

    def submit_query(self, msg: SubmitQuery, now_ms: int) -> SubmitReply:
        return self._deliver(self.scheduling.submit_query(msg, now_ms), now_ms)

    def cancel_query(self, msg: CancelQuery, now_ms: int) -> CancelReply:
        return self._deliver(self.scheduling.cancel_query(msg, now_ms), now_ms)

    def get_query_status(self, msg: GetQueryStatus, now_ms: int) -> QueryStatus:
        return self._deliver(self.scheduling.get_query_status(msg, now_ms), now_ms)

    def list_queries(self, msg: ListQueries, now_ms: int) -> tuple[QueryStatus, ...]:
        return self._deliver(self.scheduling.list_queries(msg, now_ms), now_ms)

    def list_attempts(self, msg: ListAttempts, now_ms: int) -> tuple[AttemptStatus, ...]:
        return self._deliver(self.scheduling.list_attempts(msg, now_ms), now_ms)

    def list_workers(self, msg: ListWorkers, now_ms: int) -> tuple[WorkerStatus, ...]:
        return self._deliver(self.scheduling.list_workers(msg, now_ms), now_ms)

    def drain_worker(self, msg: DrainWorker, now_ms: int) -> None:
        self._deliver(self.scheduling.drain_worker(msg, now_ms), now_ms)

    def fetch_query_results(self, msg: FetchQueryResults, now_ms: int) -> ResultParts:
        resolve = ResolveResult(msg.query_id)
        keys = self._deliver(self.scheduling.resolve_result(resolve, now_ms), now_ms)
        return self.results.read_result(ReadResult(keys), now_ms).reply

    # --- workers -----------------------------------------------------------------------------

    def heartbeat(self, msg: Heartbeat, now_ms: int) -> HeartbeatReply:
        beat = self._deliver(self.liveness.record_heartbeat(RecordHeartbeat(msg), now_ms), now_ms)
        if not beat.current:
            return HeartbeatReply(accepted=False)
        confirm = ConfirmHeartbeat(msg.worker_id, msg.running_attempts, msg.held_queries)
        return self._deliver(self.scheduling.confirm_heartbeat(confirm, now_ms), now_ms)

    def get_task(self, msg: GetTask, now_ms: int) -> tuple[Assignment, ...]:
        if not self._evidence(msg.worker_id, msg.incarnation, now_ms, register=True):
            return ()
        return self._deliver(self.scheduling.get_task(msg, now_ms), now_ms)

    def report_task_status(self, msg: ReportTaskStatus, now_ms: int) -> ReportReply:
        if msg.worker_id is not None:
            self._evidence(msg.worker_id, msg.incarnation, now_ms)
        reply = self._deliver(self.scheduling.report_task_status(msg, now_ms), now_ms)
        if msg.worker_id is None:
            self._evidence(reply.worker_id, 0, now_ms)
        return reply

    def register_map_output(self, msg: RegisterMapOutput, now_ms: int) -> RegisterReply:
        if msg.worker_id is not None:
            self._evidence(msg.worker_id, msg.incarnation, now_ms)
        proposal = self.registry.propose(msg, now_ms)
        admission = self._deliver(self.scheduling.admit_map_output(proposal, now_ms), now_ms)
        if msg.worker_id is None and admission.worker_id is not None:
            self._evidence(admission.worker_id, 0, now_ms)
        return self._deliver(self.registry.store(msg, admission, now_ms), now_ms)

    def locate_map_output(self, msg: LocateMapOutput, now_ms: int) -> OutputLocation:
        resolve = ResolveMapOutput(msg.key, msg.reduce_partition)
        resolved = self._deliver(self.scheduling.resolve_map_output(resolve, now_ms), now_ms)
        if not resolved.registered:
            return OutputLocation(resolved.key, endpoint="", size=None)
        read = ReadMapOutput(resolved.key, msg.reduce_partition)
        return self.registry.read_map_output(read, now_ms).reply

    def register_query_results(self, msg: RegisterQueryResults, now_ms: int) -> RegisterReply:
        proposal = self.results.propose(msg, now_ms)
        admission = self._deliver(self.scheduling.admit_result(proposal, now_ms), now_ms)
        return self._deliver(self.results.store(msg, admission, now_ms), now_ms)

    # --- time and health ---------------------------------------------------------------------

    def sweep(self, now_ms: int) -> None:
        """What the liveness timer does (R19)."""
        self._deliver(self.liveness.sweep_stale_workers(SweepStaleWorkers(now_ms), now_ms), now_ms)

    def tick(self, now_ms: int) -> None:
        """What the scheduling timer does (R10, R27)."""
        self._deliver(self.scheduling.tick(Tick(), now_ms), now_ms)

    def validate_state(self) -> None:
        """All machines are consistent, and agree where they hold the same things.

        Raises:
            InvariantViolated: naming what is inconsistent.
        """
        for machine in (self.scheduling, self.liveness, self.registry, self.results):
            machine.validate_state()
        if self.liveness.live_workers() != self.scheduling.live_workers:
            raise InvariantViolated(
                f"liveness knows {len(self.liveness.live_workers())} workers, "
                f"scheduling {len(self.scheduling.live_workers)}, and they must be the same"
            )
        if self.registry.held_partitions() != self.scheduling.held_partitions:
            raise InvariantViolated(
                f"the registry holds {self.registry.held_partitions()} partitions, "
                f"scheduling counts {self.scheduling.held_partitions}"
            )
        if self.results.held_bytes() != self.scheduling.held_result_bytes:
            raise InvariantViolated(
                f"results hold {self.results.held_bytes()} bytes, "
                f"scheduling counts {self.scheduling.held_result_bytes}"
            )
