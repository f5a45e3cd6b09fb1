"""Coordinators that break one check each, and the shortest steps that show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter
from ffq.testing.results import result_payload
from ffq.testing.steps import (
    Ask,
    At,
    Beat,
    Cancel,
    Claim,
    Complete,
    FailOften,
    Fetch,
    Keep,
    Malformed,
    Pull,
    Register,
    Report,
    Results,
    RunToEnd,
    Status,
    Step,
    Submit,
    SubmitBytes,
    Upload,
    UseAllSlots,
    Wait,
)
from ffq.testing.wire import PartitionView, QueryState, Refusal, StatusView, TaskState, TaskView

OK, BAD = TaskState.SUCCEEDED, TaskState.FAILED
SINK, MAP = At(0, 0, 1), At(0, 1, 1)

TOLD = CoordinatorSettings(
    max_concurrent_tasks_per_worker=3,
    max_concurrent_tasks_per_query=4,
    blacklist_failure_threshold=3,
    retry_backoff_base_ms=100,
    worker_liveness_timeout_ms=1_000,
    blacklist_ttl_ms=3_000,
)


@attrs.frozen
class Case:
    """`told`: what the harness is told of the settings, where the break is that they differ."""

    make: Callable[[], CoreAdapter]
    steps: tuple[Step, ...]
    told: CoordinatorSettings = TOLD


CASES: dict[str, Case] = {}


def breaks(check: str, *steps: Step) -> Callable[[type[CoreAdapter]], type[CoreAdapter]]:
    """The adapter breaks this check, which these steps show."""

    def register(adapter: type[CoreAdapter]) -> type[CoreAdapter]:
        CASES[check] = Case(lambda: adapter(CoreCoordinator(TOLD)), steps)
        return adapter

    return register


def differs(check: str, *steps: Step, **actual: Any) -> None:
    """A coordinator that has other settings than the harness is told."""
    settings = attrs.evolve(TOLD, **actual)
    CASES[check] = Case(lambda: CoreAdapter(CoreCoordinator(settings)), steps)


def _changed(reply: StatusView | Refusal, **changes: Any) -> StatusView | Refusal:
    return attrs.evolve(reply, **changes) if isinstance(reply, StatusView) else reply


# --- settings that are not heeded --------------------------------------------------------------

differs("worker-limit", Submit(0, "wide"), Pull(0, 8), max_concurrent_tasks_per_worker=4)
differs("query-limit", Submit(0, "wide"), Pull(0, 3), Pull(1, 3), max_concurrent_tasks_per_query=6)
differs(
    "excluded-gets-nothing",
    Beat(1),
    *(Submit(query, "scan") for query in range(4)),
    *(step for query in range(3) for step in (Pull(0), Report(At(query, 0, 1), BAD))),
    Pull(1),
    Report(At(3, 0, 1), BAD),
    Wait(400),
    Pull(0),
    blacklist_failure_threshold=50,
)
differs(
    "excluded-at-threshold",
    *(Submit(query, "scan") for query in range(2)),
    *(step for query in range(2) for step in (Pull(0), Report(At(query, 0, 1), BAD))),
    Beat(0),
    blacklist_failure_threshold=2,
)
differs(
    "attempts-within-budget",
    Submit(0, "scan"),
    *(
        step
        for attempt in range(1, 5)
        for step in (Wait(500), Pull(attempt), Report(At(0, 0, attempt), BAD))
    ),
    max_task_attempts=9,
)
differs(
    "budget-ends-query",
    Submit(0, "scan"),
    *(
        step
        for attempt in range(1, 4)
        for step in (Wait(500), Pull(attempt), Report(At(0, 0, attempt), BAD))
    ),
    Status(0),
    max_task_attempts=9,
)
differs(
    "failed-within-budget",
    Submit(0, "scan"),
    Pull(0),
    Report(SINK, BAD),
    Status(0),
    max_task_attempts=1,
)
differs(
    "not-before-backoff",
    Submit(0, "scan"),
    Pull(0),
    Report(SINK, BAD),
    Wait(99),
    Pull(0),
    retry_backoff_base_ms=50,
)
differs(
    "retry-comes",
    Submit(0, "scan"),
    Pull(0),
    Report(SINK, BAD),
    Wait(101),
    Pull(0),
    retry_backoff_base_ms=5_000,
)
differs(
    "exclusion-ends",
    *(Submit(query, "scan") for query in range(3)),
    Beat(1),
    FailOften(0, 3, 0),
    Keep((0, 1), 3_250),
    blacklist_ttl_ms=60_000,
)
differs(
    "not-lost-early",
    Submit(0, "scan"),
    Pull(0),
    Wait(600),
    Wait(150),
    Pull(1),
    worker_liveness_timeout_ms=500,
)
CASES["unrunnable-ends"] = Case(
    lambda: CoreAdapter(CoreCoordinator(TOLD)),
    (Submit(0, "custom"), Keep((0,), 400), Status(0), Keep((0,), 200), Status(0)),
    told=attrs.evolve(TOLD, unrunnable_timeout_ms=500),
)


# --- clients -----------------------------------------------------------------------------------


@breaks("submit-answers-queued", Submit(0, "scan"))
class _RunsAtOnce(CoreAdapter):
    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        super().submit(query_id, plan)
        return QueryState.RUNNING


@breaks("submit-is-idempotent", Submit(0, "scan"), Pull(0), Submit(0, "scan"))
class _AlwaysQueued(CoreAdapter):
    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        super().submit(query_id, plan)
        return QueryState.QUEUED


@breaks("submit-conflict-refused", Submit(0, "scan"), Submit(0, "join"))
@breaks("bad-plan-refused", SubmitBytes(b"{"))
@breaks("over-bound-refused", SubmitBytes(b"[" * 20_000))
@breaks("malformed-refused", Malformed("a/b"))
class _RefusesNothing(CoreAdapter):
    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        reply = super().submit(query_id, plan)
        return QueryState.QUEUED if isinstance(reply, Refusal) else reply


@breaks("unknown-query-refused", Cancel(0))
@breaks("cancel-answers-standing-state", Submit(0, "scan"), Pull(0), Complete(SINK), Cancel(0))
class _CancelsAll(CoreAdapter):
    def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
        super().cancel(query_id, reason)
        return QueryState.CANCELED


@breaks("cancel-takes-effect", Submit(0, "scan"), Cancel(0))
class _CancelsLater(CoreAdapter):
    def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
        super().cancel(query_id, reason)
        return QueryState.RUNNING


@breaks("first-assignment-starts", Submit(0, "scan"), Status(0))
class _StartsAtSubmit(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return _changed(super().status(query_id), state=QueryState.RUNNING)


@breaks("start-time-stands", Submit(0, "scan"), Pull(0), Status(0), Wait(5), Status(0))
class _StartsAnew(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return _changed(super().status(query_id), started_at_ms=self.now_ms)


@breaks("success-needs-everything", Submit(0, "aggregate"), Pull(0), Complete(MAP), Status(0))
class _SucceedsEarly(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return _changed(
            super().status(query_id), state=QueryState.SUCCEEDED, finished_at_ms=self.now_ms
        )


@breaks("success-comes", Submit(0, "scan"), Pull(0), Complete(SINK), Status(0))
class _NeverSucceeds(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return _changed(super().status(query_id), state=QueryState.RUNNING, finished_at_ms=0)


@breaks("ends-only-for-cause", Submit(0, "scan"), Status(0))
class _CancelsByItself(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        self.cancel(query_id, "bored")
        return super().status(query_id)


@breaks("terminal-is-final", Submit(0, "scan"), Cancel(0), Status(0), Wait(5), Status(0))
class _FinishesAnew(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return _changed(super().status(query_id), finished_at_ms=self.now_ms)


@breaks("waiting-says-so", Submit(0, "custom"), Beat(0), Wait(10), Status(0))
@breaks(
    "failure-is-told",
    Submit(0, "scan"),
    *(
        step
        for attempt in range(1, 4)
        for step in (Wait(500), Pull(attempt), Report(At(0, 0, attempt), BAD))
    ),
    Status(0),
)
class _SaysNothing(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return _changed(super().status(query_id), message="")


@breaks("results-after-success-only", Submit(0, "scan"), Results(0))
class _ServesAnything(CoreAdapter):
    def fetch_results(self, query_id: str) -> bytes | Refusal:
        return result_payload(0)


@breaks(
    "result-is-the-last-upload",
    Submit(0, "scan"),
    Pull(0),
    Upload(0, 1),
    Upload(0, 2),
    Report(SINK, OK),
    Results(0),
)
class _FirstUploadWins(CoreAdapter):
    uploaded = False

    def register_results(self, query_id: str, payload: bytes) -> Refusal | None:
        if self.uploaded:
            return None
        self.uploaded = True
        return super().register_results(query_id, payload)


# --- assignment --------------------------------------------------------------------------------


@breaks("capacity-zero-gets-nothing", Submit(0, "scan"), Pull(0, 0))
class _AtLeastOne(CoreAdapter):
    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        return super().get_task(worker_id, max(capacity, 1))


@breaks("capacity", Submit(0, "join"), Pull(0, 1))
class _OneMore(CoreAdapter):
    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        return super().get_task(worker_id, capacity + 1)


class _Rewriting(CoreAdapter):
    """Changes or drops what is assigned."""

    def rewrite(self, task: TaskView) -> TaskView | None:
        return task

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        reply = super().get_task(worker_id, capacity)
        if isinstance(reply, Refusal):
            return reply
        return tuple(task for each in reply if (task := self.rewrite(each)) is not None)


@breaks("ready-is-assigned", Submit(0, "scan"), Wait(1), Pull(0))
@breaks("capable-is-served", Submit(0, "custom"), Beat(0, capable=True), Wait(1), Pull(0))
class _KeepsAll(_Rewriting):
    def rewrite(self, task: TaskView) -> TaskView | None:
        return None


@breaks("barrier-opens", Submit(0, "aggregate"), Pull(0), Complete(MAP), Wait(1), Pull(0))
class _KeepsSinks(_Rewriting):
    def rewrite(self, task: TaskView) -> TaskView | None:
        return task if task.stage_id else None


@breaks("assigned-known-task", Submit(0, "scan"), Pull(0))
class _MakesUpStages(_Rewriting):
    def rewrite(self, task: TaskView) -> TaskView | None:
        return attrs.evolve(task, stage_id=9)


@breaks("one-task-per-stage", Submit(0, "scan"), Pull(0))
class _Splits(_Rewriting):
    def rewrite(self, task: TaskView) -> TaskView | None:
        return attrs.evolve(task, split_count=2)


@breaks("whole-plan-is-sent", Submit(0, "scan"), Pull(0))
class _SendsFragments(_Rewriting):
    def rewrite(self, task: TaskView) -> TaskView | None:
        return attrs.evolve(task, plan=b"{}")


@breaks("attempts-gapless", Submit(0, "scan"), Pull(0), Report(SINK, BAD), Wait(100), Pull(0))
class _SkipsNumbers(_Rewriting):
    def rewrite(self, task: TaskView) -> TaskView | None:
        return attrs.evolve(task, attempt=2 * task.attempt - 1)


@breaks("assigned-once", Submit(0, "scan"), Pull(0), Pull(1))
@breaks("no-work-after-end", Submit(0, "join"), Cancel(0), Pull(0))
class _Repeats(CoreAdapter):
    """Assigns what it assigned before, and what it took out in advance."""

    def __init__(self, core: CoreCoordinator) -> None:
        super().__init__(core)
        self._taken: tuple[TaskView, ...] = ()

    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        reply = super().submit(query_id, plan)
        taken = super().get_task("somebody", 1)
        assert not isinstance(taken, Refusal)
        self._taken = taken
        return reply

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        return self._taken


@breaks("asking-grants-nothing", Submit(0, "custom"), Pull(0))
@breaks("operator-placement", Submit(0, "custom"), Beat(0), Pull(0))
@breaks(
    "capabilities-are-replaced",
    Submit(0, "custom"),
    Beat(0, capable=True),
    Beat(0),
    Pull(0),
)
class _GivesToAnybody(CoreAdapter):
    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        super().heartbeat(worker_id, frozenset({"op"}))
        return super().get_task(worker_id, capacity)


@breaks(
    "barrier",
    Submit(0, "join"),
    Pull(0),
    Pull(0),
    Complete(At(0, 1, 1)),
    Pull(0),
)
@breaks("incomplete-output-fails", Submit(0, "aggregate"), Claim(0), Pull(0))
class _CommitsTooMuch(CoreAdapter):
    """A SUCCEEDED makes all that is running succeed, its output complete or not."""

    def __init__(self, core: CoreCoordinator) -> None:
        super().__init__(core)
        self._running: tuple[TaskView, ...] = ()

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        reply = super().get_task(worker_id, capacity)
        assert not isinstance(reply, Refusal)
        self._running += reply
        return reply

    def register_map_output(self, task: TaskView, partitions: Any) -> Refusal | None:
        whole = tuple(attrs.evolve(each, finalized=True) for each in partitions)
        return super().register_map_output(task, whole)

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        for each in self._running:
            super().report(each, state, message)
        return None


@breaks(
    "queries-take-turns",
    Submit(0, "wide"),
    Submit(1, "scan"),
    Wait(1),
    *(step for stage in range(1, 4) for step in (Pull(0), Complete(At(0, stage, 1)))),
)
class _FirstComeFirstServed(CoreAdapter):
    """Hides the second query until the first has nothing left to hand out."""

    def __init__(self, core: CoreCoordinator) -> None:
        super().__init__(core)
        self._queued: list[TaskView] = []

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        while not any(task.query_id == "001" for task in self._queued):
            more = super().get_task(worker_id, 1)
            assert not isinstance(more, Refusal)
            self._queued += more
        self._queued.sort(key=lambda task: task.query_id)
        return (self._queued.pop(0),)


@breaks("slots-come-back", UseAllSlots(0))
class _LeaksASlot(CoreAdapter):
    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        return super().get_task(worker_id, capacity - 1)


@breaks("every-query-ends", Submit(0, "scan"), RunToEnd())
class _AlwaysBusy(CoreAdapter):
    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        return Refusal("RESOURCE_EXHAUSTED", "QUOTA")


# --- attempts ----------------------------------------------------------------------------------


@breaks("single-commit", Submit(0, "aggregate"), Pull(0), Complete(MAP), Wait(100), Pull(0))
@breaks(
    "unregistered-is-empty", Submit(0, "aggregate"), Pull(0), Report(MAP, OK), Wait(100), Pull(0)
)
class _DistrustsSuccess(CoreAdapter):
    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        return super().report(task, TaskState.FAILED, message)


@breaks("foreign-report-ignored", Submit(0, "scan"), Pull(0), Report(SINK, BAD, echo=False))
class _IgnoresLayouts(CoreAdapter):
    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        fingerprint = task.layout_fingerprint
        super().report(attrs.evolve(task, layout_fingerprint=fingerprint ^ 1), state, message)
        return super().report(task, state, message)


@breaks("never-assigned-refused", Submit(0, "scan"), Report(SINK, OK))
class _AcknowledgesAll(CoreAdapter):
    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        super().report(task, state, message)
        return None


@breaks("late-call-acknowledged", Submit(0, "scan"), Pull(0), Cancel(0), Report(SINK, OK))
class _RefusesLateReports(CoreAdapter):
    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        status = self.status(task.query_id)
        if isinstance(status, StatusView) and status.state.terminal:
            return Refusal("FAILED_PRECONDITION", "NOT_READY")
        return super().report(task, state, message)


@breaks(
    "duplicate-changes-nothing", Submit(0, "scan"), Pull(0), Report(SINK, BAD), Report(SINK, BAD)
)
class _CountsTwice(CoreAdapter):
    def __init__(self, core: CoreCoordinator) -> None:
        super().__init__(core)
        self._seen: set[TaskView] = set()

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        if task in self._seen:
            self.cancel(task.query_id, message)
        self._seen.add(task)
        return super().report(task, state, message)


@breaks("sink-needs-result", Submit(0, "scan"), Pull(0), Report(SINK, OK), Status(0))
class _MakesUpResults(CoreAdapter):
    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        self.register_results(task.query_id, b"")
        return super().report(task, state, message)


@breaks(
    "success-clears-count",
    *(Submit(query, "scan") for query in range(4)),
    Pull(0),
    Report(At(0, 0, 1), BAD),
    Pull(0),
    Complete(At(1, 0, 1)),
    *(step for query in (2, 3) for step in (Pull(0), Report(At(query, 0, 1), BAD))),
    Beat(0),
)
class _CountsForever(CoreAdapter):
    failures = 0

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        self.failures += state is TaskState.FAILED
        return super().report(task, state, message)

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        super().heartbeat(worker_id, capabilities)
        return self.failures < TOLD.blacklist_failure_threshold


@breaks(
    "exclusion-starves-nobody",
    *(Submit(query, "scan") for query in range(3)),
    FailOften(0, 3, 0),
    Beat(0),
    Wait(101),
    Pull(0),
)
class _NeverReadmits(CoreAdapter):
    def __init__(self, core: CoreCoordinator) -> None:
        super().__init__(core)
        self._excluded: set[str] = set()

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        accepted = super().heartbeat(worker_id, capabilities)
        if accepted is False:
            self._excluded.add(worker_id)
        return accepted

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        return () if worker_id in self._excluded else super().get_task(worker_id, capacity)


# --- liveness ----------------------------------------------------------------------------------


@breaks("accepted-is-told", Beat(0))
class _AcceptsNobody(CoreAdapter):
    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        super().heartbeat(worker_id, capabilities)
        return False


@breaks("refusals-have-codes", Beat(0))
class _Crashes(CoreAdapter):
    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        return Refusal("UNKNOWN", "", "Traceback (most recent call last): ...")


@breaks("evidence-keeps-alive", Submit(0, "scan"), Pull(0), Ask(0, 1_500), Wait(101), Pull(1))
class _IgnoresEmptyHands(CoreAdapter):
    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        return super().get_task(worker_id, capacity) if capacity else ()


@breaks("lost-work-is-requeued", Submit(0, "scan"), Pull(0), Wait(1_001), Wait(101), Pull(1))
class _NeverSweeps(CoreAdapter):
    def advance(self, ms: int) -> None:
        self.now_ms += ms


@breaks("beating-worker-kept", Submit(0, "scan"), Beat(0), Pull(0), Keep((0,), 1_500), Pull(1))
class _MissesBeats(CoreAdapter):
    """A beat is evidence of life only if it changes what the worker can do."""

    def __init__(self, core: CoreCoordinator) -> None:
        super().__init__(core)
        self._known: dict[str, frozenset[str]] = {}

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        if self._known.get(worker_id) == capabilities:
            return True
        self._known[worker_id] = capabilities
        return super().heartbeat(worker_id, capabilities)


# --- outputs -----------------------------------------------------------------------------------


@breaks(
    "output-merges",
    Submit(0, "aggregate"),
    Pull(0),
    Register(MAP, 0, 10),
    Register(MAP, 0, 50),
    Report(MAP, OK),
    Status(0),
)
class _FirstRegistrationWins(CoreAdapter):
    registered = False

    def register_map_output(self, task: TaskView, partitions: Any) -> Refusal | None:
        if self.registered:
            return None
        self.registered = True
        return super().register_map_output(task, partitions)


@breaks("stale-output-refused", Submit(0, "aggregate"), Pull(0), Fetch(At(0, 1, 7), 0))
@breaks(
    "canceled-outputs-removed",
    Submit(0, "aggregate"),
    Pull(0),
    Register(MAP, 0, 10),
    Cancel(0),
    Fetch(MAP, 0),
)
class _ServesAllOutputs(CoreAdapter):
    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        return PartitionView(10, finalized=True)


@breaks(
    "committed-output-served",
    Submit(0, "aggregate"),
    Pull(0),
    Complete(MAP),
    Fetch(MAP, 0, exact=False),
)
class _ServesNoOutputs(CoreAdapter):
    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        return Refusal("NOT_FOUND", "UNKNOWN_TASK")


@breaks("books-are-consistent", Submit(0, "scan"))
class _Miscounts(CoreAdapter):
    def validate_state(self) -> None:
        raise ValueError("1 slot is used, 0 attempts are running")
