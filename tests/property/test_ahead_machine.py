"""Attempts that wait at their worker for a slot are attempts: what holds of one holds of them.

Workers of ours take some to wait, end them in any order, and give them back when they are asked, or
do not; they fail, are lost and replaced as any others. R7 to R9, R12, R13 and R25 are judged of
all of them together (`ClusterMachine`). Judged here is how many wait, that free slots are left what
they could take, and that giving one back is no retry.
"""

from __future__ import annotations

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from ffq.core.records import TaskRecord
from ffq.ids import AttemptKey, WorkerId
from ffq.messages import AttemptStatus, ErrorKind, ReadRecalls, TaskState
from tests.property.cluster import (
    LONGER,
    OURS,
    SETTINGS,
    ClusterMachine,
    picks,
    rows_written,
    task_of,
    workers,
)

MOST = 2


class AheadMachine(ClusterMachine):
    """`asked`: what workers were asked to give back, and have not been seen to end."""

    settings = attrs.evolve(SETTINGS, max_tasks_ahead=MOST)
    slots = 1

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[AttemptKey] = set()

    def all_of(self, state: TaskState) -> list[AttemptStatus]:
        found = (each for query in self.submitted for each in self.d.attempts(query))
        return [each for each in found if each.state is state]

    def left(self) -> int:
        """Tasks that nobody has, at least one of a stage whose tasks are not known yet."""
        unknown = 0
        for query, submitted in self.submitted.items():
            if not self.d.status(query).state.terminal:
                known = {each.key.stage_id for each in self.d.attempts(query)}
                unknown += len(submitted.graph.stages) - len(known)
        return unknown + len(self.all_of(TaskState.QUEUED))

    def free_beside(self, worker: str) -> int:
        """Slots of the others in which nothing is known to run."""
        begun = [
            each.worker_id
            for each in self.all_of(TaskState.RUNNING)
            if each.key not in self.waiting(each.worker_id)
        ]
        others = [each for each in self.d.workers() if each.worker_id != worker]
        return sum(not each.draining and begun.count(each.worker_id) == 0 for each in others)

    def record(self, key: AttemptKey) -> TaskRecord:
        return self.d.core.scheduling.state.locate(key).task

    @rule(worker=workers, capacity=st.integers(0, 2), ahead=st.integers(1, 5))
    def takes_ahead(self, worker: str, capacity: int, ahead: int) -> None:
        before = set(self.waiting(worker))
        self.pulls(worker, capacity, ahead)
        new = set(self.waiting(worker)) - before
        if new:
            assert worker in OURS, "off on the fixed wire"
            assert self.left() >= self.free_beside(worker), "what could begin at once elsewhere"
        for key in new:
            assert not any(
                each in self.asked
                for each in {held.key for held in self.held}
                if task_of(each) == task_of(key) and self.ended_as_returned(each)
            ), "what was given back does not wait again"

    def ended_as_returned(self, key: AttemptKey) -> bool:
        at = self.d.core.scheduling.state.locate(key).attempt
        return at.state is TaskState.FAILED and at.message == "given back"

    @rule(hoarder=st.sampled_from(OURS), rows=rows_written, back=st.booleans())
    def another_runs_dry(self, hoarder: str, rows: list[int], back: bool) -> None:
        """One takes what it can; another one does all that is left, and has nothing to do then."""
        other = OURS[OURS[0] == hoarder]
        self.takes_ahead(hoarder, 1, 5)
        self.works(other, 8, rows)
        self.pulls(other, 1)
        self.is_called_back(hoarder, [back] * 4)

    @precondition(lambda self: self.held)
    @rule(worker=workers, back=st.lists(st.booleans(), min_size=4, max_size=4))
    def is_called_back(self, worker: str, back: list[bool]) -> None:
        told = self.d.ask(ReadRecalls(WorkerId(worker), self.incarnation[worker]))
        held = {each.key: each for each in self.held if each.worker == worker}
        for key, gives in zip(told, [*back, *[True] * len(told)], strict=False):
            assert key in self.waiting(worker), "one that has begun is not asked back"
            assert key not in self.asked, "it is asked once"
            self.asked.add(key)
            if not gives:
                continue
            task = self.record(key)
            before = (task.failures, task.uncharged, set(task.avoids), task.suspect)
            answer = self.report(held[key], TaskState.FAILED, "given back", ErrorKind.STOPPED)
            assert answer.counted, "R13"
            after = (task.failures, task.uncharged, set(task.avoids), task.suspect)
            assert before == after, "R14: it is no retry"
            assert task.state is TaskState.QUEUED, "R9"
            assert not task.waiting, "R14: without a pause"

    @rule(ms=st.sampled_from([1, 100, 400, 1001]))
    def time_passes(self, ms: int) -> None:
        self.d.advance(ms)

    @rule(worker=st.sampled_from(OURS))
    def restarts(self, worker: str) -> None:
        self.incarnation[worker] += 1
        self.beat(worker)
        assert not self.waiting(worker), "R19"

    @precondition(lambda self: self.held)
    @rule(pick=picks, kind=st.sampled_from([None, *ErrorKind]))
    def fails(self, pick: int, kind: ErrorKind | None) -> None:
        self.report(self.picked(pick), TaskState.FAILED, "boom", kind)

    @invariant()
    def few_wait(self) -> None:
        for worker in OURS:
            waiting = self.waiting(worker)
            assert len(waiting) <= MOST, "R7"
            running = {each.key for query in self.submitted for each in self.running(query)}
            assert running.issuperset(waiting), "R5, R13"


TestAhead = AheadMachine.TestCase
TestAhead.settings = LONGER
