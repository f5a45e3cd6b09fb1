"""The scheduling machine: authority on queries, attempts, placement and exclusion.

One method per message. A method validates first and changes afterwards: one that raises has
changed nothing. What it does is in the modules beside this one, by concern:

    lifecycle    queries are submitted, ended, evicted
    assignment   a worker is given attempts
    reporting    what workers report and register
    progress     the one place where tasks, counts, slots and the ready index change together
    recovery     what is run again when a worker or an output is lost
    upkeep       time and heartbeats
    answers      statuses, lists, where to read
    consistency  validate_state
"""

from __future__ import annotations

from typing import TypeVar

from ffq.core import (
    answers,
    assignment,
    consistency,
    lifecycle,
    recovery,
    reporting,
    upkeep,
)
from ffq.core.outcome import Outcome
from ffq.core.settings import CoordinatorSettings
from ffq.core.state import SchedulingState
from ffq.ids import AttemptKey, WorkerId
from ffq.messages import (
    AdmitMapOutput,
    AdmitResult,
    Assignment,
    AttemptStatus,
    CancelQuery,
    CancelReply,
    ConfirmHeartbeat,
    DrainWorker,
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

R = TypeVar("R")


class SchedulingCore:
    """Takes one message and the time in ms, gives the reply and notices for the stores.

    Raises from any method that names an id: UnknownId (R27, R29).
    """

    def __init__(self, settings: CoordinatorSettings) -> None:
        self._state = SchedulingState(settings)

    def _outcome(self, reply: R) -> Outcome[R]:
        notices = tuple(self._state.notices)
        self._state.notices.clear()
        return Outcome(reply, notices)

    # --- for clients -------------------------------------------------------------------------

    def find_submission(self, msg: FindSubmission, now_ms: int) -> Outcome[SubmitReply | None]:
        """R1, before the plan is read. Raises PlanConflict, QuotaExceeded."""
        del now_ms
        return self._outcome(lifecycle.find_submission(self._state, msg))

    def submit_query(self, msg: SubmitQuery, now_ms: int) -> Outcome[SubmitReply]:
        """R1. Raises PlanConflict, PlanningError, QuotaExceeded."""
        return self._outcome(lifecycle.submit_query(self._state, msg, now_ms))

    def cancel_query(self, msg: CancelQuery, now_ms: int) -> Outcome[CancelReply]:
        """R5; a terminal query answers the state that stands (R4)."""
        return self._outcome(lifecycle.cancel_query(self._state, msg, now_ms))

    def get_query_status(self, msg: GetQueryStatus, now_ms: int) -> Outcome[QueryStatus]:
        """Where a query stands, and what it waits for (R10)."""
        del now_ms
        return self._outcome(answers.query_status(self._state, msg))

    def list_queries(self, msg: ListQueries, now_ms: int) -> Outcome[tuple[QueryStatus, ...]]:
        """The newest queries, newest first."""
        del now_ms
        return self._outcome(answers.list_queries(self._state, msg))

    def list_attempts(self, msg: ListAttempts, now_ms: int) -> Outcome[tuple[AttemptStatus, ...]]:
        """Every attempt of a query, in key order (R12)."""
        del now_ms
        return self._outcome(answers.list_attempts(self._state, msg))

    def list_workers(self, msg: ListWorkers, now_ms: int) -> Outcome[tuple[WorkerStatus, ...]]:
        """Every live worker, by id."""
        del msg
        return self._outcome(self._state.workers.statuses(now_ms))

    def drain_worker(self, msg: DrainWorker, now_ms: int) -> Outcome[None]:
        """R6. Raises UnknownId with reason UNKNOWN_WORKER."""
        upkeep.drain_worker(self._state, msg, now_ms)
        return self._outcome(None)

    # --- for workers -------------------------------------------------------------------------

    def get_task(self, msg: GetTask, now_ms: int) -> Outcome[tuple[Assignment, ...]]:
        """R6 to R11."""
        return self._outcome(assignment.get_task(self._state, msg, now_ms))

    def report_task_status(self, msg: ReportTaskStatus, now_ms: int) -> Outcome[ReportReply]:
        """R13 to R17. Raises InvalidRequest."""
        return self._outcome(reporting.report_task_status(self._state, msg, now_ms))

    def confirm_heartbeat(self, msg: ConfirmHeartbeat, now_ms: int) -> Outcome[HeartbeatReply]:
        """R18: whether the worker is accepted, what it should stop, what it may remove."""
        return self._outcome(upkeep.confirm_heartbeat(self._state, msg, now_ms))

    # --- for the other machines --------------------------------------------------------------

    def worker_changed(self, msg: WorkerChanged, now_ms: int) -> Outcome[None]:
        """R21: a live worker appeared, or what it can do changed."""
        upkeep.worker_changed(self._state, msg, now_ms)
        return self._outcome(None)

    def worker_lost(self, msg: WorkerLost, now_ms: int) -> Outcome[None]:
        """R19: its attempts fail and are queued again, outputs that only it had are lost."""
        recovery.lose_worker(self._state, msg.worker_id, msg.reason, now_ms)
        return self._outcome(None)

    def admit_map_output(self, msg: AdmitMapOutput, now_ms: int) -> Outcome[RegisterReply]:
        """R13, R22. Raises InvalidRequest."""
        return self._outcome(reporting.admit_map_output(self._state, msg, now_ms))

    def admit_result(self, msg: AdmitResult, now_ms: int) -> Outcome[ResultAdmission]:
        """R13, R26. Raises InvalidRequest, QuotaExceeded."""
        return self._outcome(reporting.admit_result(self._state, msg, now_ms))

    def resolve_map_output(self, msg: ResolveMapOutput, now_ms: int) -> Outcome[ResolvedOutput]:
        """R23. Raises NotReady."""
        del now_ms
        return self._outcome(answers.resolve_map_output(self._state, msg))

    def resolve_result(self, msg: ResolveResult, now_ms: int) -> Outcome[tuple[AttemptKey, ...]]:
        """R26. Raises NotReady."""
        del now_ms
        return self._outcome(answers.resolve_result(self._state, msg))

    # --- time and health ---------------------------------------------------------------------

    def tick(self, msg: Tick, now_ms: int) -> Outcome[None]:
        """Time has passed (R10, R14, R27)."""
        del msg
        upkeep.tick(self._state, now_ms)
        return self._outcome(None)

    @property
    def readiness(self) -> int:
        """Grows whenever something may have become assignable."""
        return self._state.readiness

    @property
    def next_ready_ms(self) -> int | None:
        """No backoff ends before this time; None when nothing waits for one."""
        return self._state.backoff.next_ready_ms

    @property
    def held_result_bytes(self) -> int:
        """Result bytes that are accounted for, of all queries."""
        return lifecycle.held_result_bytes(self._state)

    @property
    def live_workers(self) -> frozenset[WorkerId]:
        """Workers whose loss was not told yet."""
        return frozenset(self._state.workers.live)

    @property
    def held_partitions(self) -> int:
        """Partition records that are accounted for, of all map outputs."""
        return self._state.output_partitions

    def validate_state(self) -> None:
        """Raises InvariantViolated, naming what is inconsistent."""
        consistency.validate(self._state)
