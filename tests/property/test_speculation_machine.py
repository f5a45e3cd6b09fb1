"""Second attempts beside slow ones: who gets one, and which of the two counts (R13).

Workers are slow, fail, are restarted and lose outputs. From the attempts alone follows what a
second one may be: that of a task of which one attempt runs elsewhere, the only one of its task
ever, begun when its stage's other tasks have been finished much faster, and by a worker that was
given nothing else. What its failure may do is nothing, and what the first to succeed makes of the
other is the end of it.
"""

from __future__ import annotations

from statistics import median_low

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from ffq.ids import QueryId, WorkerId
from ffq.messages import AttemptStatus, ErrorKind, GetTask, LostInput, TaskState
from ffq.plan import dump_plan
from tests.core.driver import accept, shares
from tests.property.cluster import (
    ALL,
    LONGER,
    MOST_ACTIVE,
    OURS,
    PEER,
    SETTINGS,
    WORKERS,
    ClusterMachine,
    Held,
    Task,
    input_of,
    picks,
    task_of,
)
from tests.strategies.graphs import aggregate, operator, scan

SLOW = attrs.evolve(
    SETTINGS, speculation=200, speculation_quantile=50, speculation_min_ms=20, max_task_attempts=4
)
PLANS = (scan(), aggregate(scan(), 3), aggregate(operator("op.a", scan()), 3))


class SpeculationMachine(ClusterMachine):
    settings = SLOW

    # --- what happens ------------------------------------------------------------------------

    @rule(plan=st.sampled_from(PLANS), tasks=st.integers(3, 5))
    def submits_a_wide_one(self, plan: object, tasks: int) -> None:
        active = [each for each in self.submitted if not self.d.status(each).state.terminal]
        if len(active) < MOST_ACTIVE:
            query_id = QueryId(f"q{len(self.submitted)}")
            node = next(each for each in PLANS if each is plan)
            message = accept(query_id, dump_plan(node), node, shares(node, {"t": tasks}))
            self.submitted[query_id] = message
            self.d.ask(message)

    @rule(ms=st.sampled_from([1, 19, 20, 50, 200, 999]))
    def time_passes(self, ms: int) -> None:
        self.everybody_beats()
        self.d.advance(ms)

    @rule(slow=st.sampled_from(OURS), ms=st.sampled_from([10, 50]), pick=picks)
    def one_is_slow(self, slow: str, ms: int, pick: int) -> None:
        """All others finish what they have; much later everybody asks for more."""
        for worker in WORKERS:
            self.changes(worker, ALL)
        for worker in (slow, *WORKERS):
            self.pulls(worker, 1 if worker == slow else 5)
        self.d.advance(ms)
        for held in [each for each in self.held if self.is_running(each)]:
            if held.worker != slow or pick % 4 == 0:
                self.finish(held, [1, 1, 1, 1])
        self.d.advance(3 * ms)
        for worker in WORKERS:
            self.pulls(worker, 5)

    @rule(worker=st.sampled_from(OURS))
    def restarts(self, worker: str) -> None:
        self.incarnation[worker] += 1
        self.beat(worker)

    @precondition(lambda self: self.held)
    @rule(pick=picks, kind=st.sampled_from([None, *ErrorKind]))
    def fails(self, pick: int, kind: ErrorKind | None) -> None:
        held = self.picked(pick)
        rivals = [each for each in self.rivals(held) if each.key != held.key]
        before, running = self.status(held), self.is_running(held)
        lost = [LostInput(e.stage_id, e.map_task, e.attempt) for e in held.of.inputs[:1]]
        self.report(held, TaskState.FAILED, "broke", kind if held.incarnation else None, lost)
        if running and before.speculative and rivals:
            assert not self.d.status(held.key.query_id).state.terminal, "R13: it fails nothing"
            assert self.status(rivals[0]).state is TaskState.RUNNING, "R13: the other goes on"

    @precondition(lambda self: self.held)
    @rule(pick=picks, late=st.booleans())
    def both_finish(self, pick: int, late: bool) -> None:
        """The two attempts of a task, one after the other: the first counts, and it alone."""
        twice = [each for each in self.held if len(self.rivals(each)) == 2]
        if not twice:
            return
        first, second = self.rivals(twice[pick % len(twice)])
        if late:
            first, second = second, first
        assert self.finish(first, [1, 2, 1, 2]).counted
        assert not self.finish(second, [3, 3, 3, 3]).counted, "R13: one commit"
        if not self.d.status(first.key.query_id).state.terminal:
            committed = {each.key for each in self.d.attempts(first.key.query_id) if each.committed}
            assert first.key in committed
            assert second.key not in committed, "R13"

    # --- what must be so ---------------------------------------------------------------------

    def pulls(self, worker: str, capacity: int) -> None:
        had = len(self.held)
        before = {query: self.d.attempts(query) for query in self.submitted}
        super().pulls(worker, capacity)
        given = self.held[had:]
        for held in given:
            if self.status(held).speculative:
                assert len(given) == 1, "R13: only where there is nothing else to do"
                self.judge_second(held, before[held.key.query_id])
                # Of all that waits this worker can be given nothing, now as before.
                again = self.d.ask(GetTask(WorkerId(worker), 1, self.incarnation[worker]))
                for each in again:
                    other = Held(each, worker, self.incarnation[worker])
                    self.assigned[task_of(each.key)] = each.key.attempt
                    self.held.append(other)
                    runs = len(self.running(each.key.query_id))
                    full = runs >= SLOW.max_concurrent_tasks_per_query
                    assert self.status(other).speculative or full, "R13: what waits goes first"

    def judge_second(self, held: Held, before: tuple[AttemptStatus, ...]) -> None:
        mine = [each for each in before if task_of(each.key) == task_of(held.key)]
        assert not any(each.speculative for each in mine), "R13: one second attempt, ever"
        (beside,) = (each for each in mine if each.state is TaskState.RUNNING)
        assert beside is mine[-1]
        assert beside.worker_id != held.worker, "R13: on another worker"
        assert PEER not in {beside.worker_id, held.worker}, "peers have no part in it"
        stage = [each for each in before if each.key.stage_id == held.key.stage_id]
        tasks = {each.key.task_id for each in stage}
        done = [each for each in stage if each.committed]
        assert 2 * len(done) >= len(tasks), "R13: most have finished"
        waiting = [each for each in stage if each.state is TaskState.QUEUED]
        assert not waiting, "R13: none of its stage waits"
        assert beside.assigned_at_ms is not None
        ran_ms = self.d.now_ms - beside.assigned_at_ms
        assert ran_ms >= SLOW.speculation_min_ms
        times = [took(each) for each in stage if each.state is TaskState.SUCCEEDED]
        if len(times) == len(done):  # else some were made again, and count as well
            assert ran_ms >= 2 * median_low(times), "R13: it takes far longer than the others"

    def status(self, held: Held) -> AttemptStatus:
        found = self.d.attempts(held.key.query_id)
        return next(each for each in found if each.key == held.key)

    def rivals(self, held: Held) -> list[Held]:
        """What runs of its task, the older first."""
        task = task_of(held.key)
        return [each for each in self.held if task_of(each.key) == task and self.is_running(each)]

    @invariant()
    def a_task_has_at_most_two_attempts_at_a_time_and_one_commit(self) -> None:
        for query in self.submitted:
            running: dict[Task, list[AttemptStatus]] = {}
            speculative: dict[Task, int] = {}
            committed: set[Task] = set()
            for each in self.d.attempts(query):
                task = task_of(each.key)
                speculative[task] = speculative.get(task, 0) + each.speculative
                if each.state is TaskState.RUNNING:
                    running.setdefault(task, []).append(each)
                if each.committed:
                    assert task not in committed, "R13: one commit"
                    committed.add(task)
            assert max(speculative.values(), default=0) <= 1, "R13: one second attempt, ever"
            for task, both in running.items():
                assert task not in committed, "R13: what has come second is over"
                assert len(both) <= 1 + speculative[task], "R13"
                assert len({each.worker_id for each in both}) == len(both), "R13: elsewhere"

    @invariant()
    def readers_are_told_of_committed_attempts_alone(self) -> None:
        for held in self.held[-1:]:
            states = {each.key: each for each in self.d.attempts(held.key.query_id)}
            for each in held.of.inputs:
                read = states[input_of(held, each)]
                assert read.state is TaskState.SUCCEEDED, "R25: never the other one's output"


def took(attempt: AttemptStatus) -> int:
    assert attempt.assigned_at_ms is not None
    assert attempt.finished_at_ms is not None
    return attempt.finished_at_ms - attempt.assigned_at_ms


TestSpeculation = SpeculationMachine.TestCase
TestSpeculation.settings = LONGER
