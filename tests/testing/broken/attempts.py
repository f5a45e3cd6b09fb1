"""Coordinators that take reports wrongly."""

from __future__ import annotations

import attrs

from ffq.core import CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter
from ffq.testing.steps import (
    At,
    Beat,
    Cancel,
    Complete,
    FailOften,
    Pull,
    Report,
    Status,
    Submit,
    Wait,
)
from ffq.testing.wire import Refusal, StatusView, TaskState, TaskView
from tests.testing.broken.case import BAD, DECLARED, MAP, OK, SINK, breaks


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
        return self.failures < DECLARED.blacklist_failure_threshold


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
