"""Coordinators that assign wrongly."""

from __future__ import annotations

from typing import Any

import attrs

from ffq.core import CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter
from ffq.testing.steps import (
    At,
    Beat,
    Cancel,
    Claim,
    Complete,
    Pull,
    Report,
    RunToEnd,
    Submit,
    UseAllSlots,
    Wait,
)
from ffq.testing.wire import QueryState, Refusal, TaskState, TaskView
from tests.testing.broken.case import BAD, MAP, SINK, breaks


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
