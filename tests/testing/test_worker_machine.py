"""The worker machine: a sound worker holds, and each break of one is found and named."""

from __future__ import annotations

import attrs
import hypothesis
import pytest
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test

from ffq.testing import (
    WORKER_CHECKS,
    CoordinatorCalls,
    OutputPartition,
    Refusal,
    TaskState,
    TaskView,
    Violation,
    worker_machine,
)
from ffq.testing.queries import plan_shapes
from ffq.testing.workers.checker import WorkerChecker, key_of
from tests.profiles import variants

SLOTS = 2


class SoundWorker:
    """Two slots; a call that was lost is made again in the next turn."""

    def __init__(self) -> None:
        self.held: list[TaskView] = []

    def turn(self, coordinator: CoordinatorCalls) -> None:
        coordinator.heartbeat("w", frozenset())
        self.pull(coordinator)
        for task in list(self.held):
            if self.finish(coordinator, task):
                self.held.remove(task)

    def pull(self, coordinator: CoordinatorCalls) -> None:
        tasks = coordinator.get_task("w", SLOTS - len(self.held))
        if not isinstance(tasks, Refusal):
            self.held += tasks

    def finish(self, coordinator: CoordinatorCalls, task: TaskView) -> bool:
        """Whether it is done with."""
        stored = self.store(coordinator, task)
        if stored is not None:
            return stored.code != "UNAVAILABLE"
        return not lost(coordinator.report(task, TaskState.SUCCEEDED, ""))

    def store(self, coordinator: CoordinatorCalls, task: TaskView) -> Refusal | None:
        if task.stage_id == 0:
            return coordinator.register_results(task.query_id, b"result")
        return coordinator.register_map_output(task, (partition(0),))


def partition(number: int, *, finalized: bool = True) -> OutputPartition:
    return OutputPartition(number, 8, 1, 1, 0, 8, finalized)


def lost(reply: object) -> bool:
    return isinstance(reply, Refusal) and reply.code == "UNAVAILABLE"


TestSound = worker_machine(SoundWorker, slots=SLOTS).TestCase


# --- broken in one way each ------------------------------------------------------------------


class Greedy(SoundWorker):
    def pull(self, coordinator: CoordinatorCalls) -> None:
        tasks = coordinator.get_task("w", SLOTS)
        if not isinstance(tasks, Refusal):
            self.held += tasks


class Forgetful(SoundWorker):
    """Takes a lost report for a report."""

    def finish(self, coordinator: CoordinatorCalls, task: TaskView) -> bool:
        super().finish(coordinator, task)
        return True


class CarelessMapper(SoundWorker):
    """Does not look whether its output was taken."""

    def store(self, coordinator: CoordinatorCalls, task: TaskView) -> Refusal | None:
        stored = super().store(coordinator, task)
        return stored if task.stage_id == 0 else None


class CarelessSink(SoundWorker):
    """Does not look whether its result was taken."""

    def store(self, coordinator: CoordinatorCalls, task: TaskView) -> Refusal | None:
        stored = super().store(coordinator, task)
        return None if task.stage_id == 0 else stored


class Premature(SoundWorker):
    def store(self, coordinator: CoordinatorCalls, task: TaskView) -> Refusal | None:
        if task.stage_id == 0:
            return super().store(coordinator, task)
        return coordinator.register_map_output(task, (partition(0, finalized=False),))


class Boastful(SoundWorker):
    """Registers a partition that the exchange does not have."""

    def store(self, coordinator: CoordinatorCalls, task: TaskView) -> Refusal | None:
        if task.stage_id == 0:
            return super().store(coordinator, task)
        return coordinator.register_map_output(task, (partition(99),))


class Layoutless(SoundWorker):
    def finish(self, coordinator: CoordinatorCalls, task: TaskView) -> bool:
        return super().finish(coordinator, attrs.evolve(task, layout_fingerprint=7))


class OffByOne(SoundWorker):
    def finish(self, coordinator: CoordinatorCalls, task: TaskView) -> bool:
        return super().finish(coordinator, attrs.evolve(task, attempt=task.attempt + 1))


class Fickle(SoundWorker):
    """Calls an attempt FAILED when the answer to its SUCCEEDED was lost."""

    def finish(self, coordinator: CoordinatorCalls, task: TaskView) -> bool:
        stored = self.store(coordinator, task)
        if stored is not None:
            return not lost(stored)
        if lost(coordinator.report(task, TaskState.SUCCEEDED, "")):
            coordinator.report(task, TaskState.FAILED, "the coordinator did not answer")
        return True


class Nosy(SoundWorker):
    def store(self, coordinator: CoordinatorCalls, task: TaskView) -> Refusal | None:
        coordinator.fetch_partition(attrs.evolve(task, attempt=0), 0)
        return super().store(coordinator, task)


BROKEN = {
    "asks-for-what-it-can-run": Greedy,
    "every-task-is-reported": Forgetful,
    "registers-before-success": CarelessMapper,
    "uploads-before-success": CarelessSink,
    "finalizes-before-success": Premature,
    "names-known-partitions": Boastful,
    "echoes-the-layout": Layoutless,
    "names-its-own-attempts": OffByOne,
    "final-report-stands": Fickle,
    "reads-what-was-made": Nosy,
}


@pytest.mark.parametrize("check", variants(list(BROKEN)))
def test_machine_finds_what_is_broken(check: str) -> None:
    slots = SLOTS if check == "asks-for-what-it-can-run" else None
    machine = worker_machine(BROKEN[check], slots=slots, plans=("aggregate", "join"))
    search = hypothesis.settings(
        max_examples=200,
        stateful_step_count=30,
        database=None,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[Phase.generate],
    )
    with pytest.raises(Violation) as failure:
        run_state_machine_as_test(machine, settings=search)
    assert failure.value.check is WORKER_CHECKS[check]
    assert "1. (a client) SubmitQuery(1, <" in str(failure.value)


def test_a_worker_that_never_asks_is_found() -> None:
    class Idle(SoundWorker):
        def turn(self, coordinator: CoordinatorCalls) -> None:
            coordinator.heartbeat("w", frozenset())

    found = hypothesis.settings(phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(Violation) as failure:
        run_state_machine_as_test(worker_machine(Idle), settings=found)
    assert failure.value.check.name == "every-query-ends"


def test_what_a_worker_raises_comes_through_with_the_script() -> None:
    class Raising(SoundWorker):
        def pull(self, coordinator: CoordinatorCalls) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as failure:
        run_state_machine_as_test(worker_machine(Raising))
    assert any(note.startswith("raised by the worker after") for note in failure.value.__notes__)


def test_what_a_coordinator_gives_out_again_after_a_restart_need_not_have_been_heard() -> None:
    """The answer may have been lost, and the attempt has the name of one that it had before."""
    task = TaskView("q", 1, 0, 1)
    checker = WorkerChecker(SLOTS, {"q": plan_shapes("op")["aggregate"]})
    checker.assigned((task,))
    checker.restarted()
    checker.settled({key_of(task)})
    checker.assigned((task,))
    with pytest.raises(Violation, match="every-task-is-reported"):
        checker.settled({key_of(task)})
