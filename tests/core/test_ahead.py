"""Attempts that wait at their worker for a slot: who gets how many, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ffq.core import CoordinatorSettings
from ffq.core.offers import has_work_for
from ffq.ids import AttemptKey, QueryId, WorkerId
from ffq.messages import (
    Assignment,
    ErrorKind,
    GetTask,
    QueryState,
    ReadRecalls,
    TaskState,
    Timeouts,
)
from ffq.plan import dump_plan
from tests.core.driver import Driver, accept, key, shares
from tests.strategies.graphs import aggregate, scan

MAPS = 12


class Cluster(Driver):
    """Workers of two slots; a query of twelve map tasks and a sink."""

    def __init__(self, *workers: str, maps: int = MAPS, **settings: int) -> None:
        super().__init__(CoordinatorSettings(**settings))
        for worker in workers:
            self.beat(worker, slots=2)
        self.submit("q", aggregate(scan(), 2), tables={"t": maps})

    def more(self, worker: str, capacity: int, ahead: int) -> tuple[Assignment, ...]:
        message = GetTask(WorkerId(worker), capacity, self.incarnations[worker], ahead)
        return self.ask(message)

    def recalls(self, worker: str) -> list[AttemptKey]:
        return list(self.ask(ReadRecalls(WorkerId(worker), self.incarnations[worker])))

    def waiting(self, worker: str) -> list[AttemptKey]:
        return list(self.core.scheduling.state.workers.live[WorkerId(worker)].ahead)

    def known(self, worker: str, capacity: int = 2) -> tuple[Assignment, ...]:
        """A task of the stage has finished, and its worker's slots are full."""
        first = self.pull(worker, capacity)
        self.finish(first[0])
        return (*first[1:], *self.pull(worker, 1))

    def return_(self, of: Assignment) -> None:
        self.fail(of, "given back", ErrorKind.STOPPED)


def keys(assignments: Iterable[Assignment]) -> list[AttemptKey]:
    return [each.key for each in assignments]


def test_R7_what_waits_has_a_limit_of_its_own_beside_that_of_what_runs() -> None:
    d = Cluster("w", max_concurrent_tasks_per_worker=2, max_tasks_ahead=3)
    running = d.known("w")
    waiting = d.more("w", 5, 5)
    assert len(running) == 2
    assert keys(waiting) == d.waiting("w")
    assert len(waiting) == 3
    assert d.more("w", 5, 5) == ()
    assert [each.state for each in d.attempts("q")].count(TaskState.RUNNING) == 5


def test_none_waits_where_it_was_not_asked_for_or_is_off() -> None:
    d = Cluster("w", max_tasks_ahead=0)
    d.known("w")
    assert d.more("w", 0, 5) == ()
    other = Cluster("w")
    other.known("w")
    other.pull("w", 9)
    assert other.waiting("w") == []


def test_slots_are_filled_before_anything_waits() -> None:
    d = Cluster("w")
    d.finish(d.pull_one("w"))
    given = d.more("w", 2, 3)
    assert d.waiting("w") == keys(given)[2:]
    assert len(given) == 5


def test_R7_the_limit_of_a_query_counts_what_waits() -> None:
    d = Cluster("w", max_concurrent_tasks_per_query=4)
    d.known("w")
    assert len(d.more("w", 0, 9)) == 2
    assert d.more("w", 0, 9) == ()


def test_as_many_tasks_are_left_as_could_begin_elsewhere_at_once() -> None:
    """Else one worker takes both tasks of a small stage."""
    d = Cluster("a", "b", maps=5)
    d.known("a")
    # Two are left, and two slots of b are free.
    assert not has_work_for(d.core.scheduling.state, WorkerId("a"), slots=False, ahead=True)
    assert d.more("a", 0, 9) == ()
    assert len(d.pull("b", 2)) == 2


def test_a_worker_gets_its_part_of_what_is_left() -> None:
    d = Cluster("a", "b")
    d.known("a")
    d.pull("b", 2)
    # Seven are left, and there are two workers.
    assert len(d.more("a", 0, 9)) == 4
    assert len(d.more("b", 0, 9)) == 2
    assert has_work_for(d.core.scheduling.state, WorkerId("b"), slots=False, ahead=True)
    assert len(d.more("b", 0, 9)) == 1
    assert not has_work_for(d.core.scheduling.state, WorkerId("b"), slots=False, ahead=True)


def test_a_worker_with_more_slots_than_it_may_use_would_begin_what_is_to_wait() -> None:
    d = Cluster("w", max_concurrent_tasks_per_worker=1)
    d.finish(d.pull_one("w"))
    d.pull_one("w")
    assert d.more("w", 0, 5) == ()


def test_of_a_stage_of_which_none_has_finished_wait_as_many_as_there_are_slots() -> None:
    d = Cluster("w")
    first = d.pull("w", 2)
    assert len(d.more("w", 0, 9)) == 2
    assert d.more("w", 0, 9) == ()
    d.finish(first[0])
    assert len(d.more("w", 0, 9)) == 8


def test_R11_queries_share_what_may_wait_and_one_that_cannot_keeps_it_from_the_others() -> None:
    d = Cluster("w")
    d.submit("r", aggregate(scan(), 2), tables={"t": MAPS})
    for each in d.pull("w", 2):
        d.finish(each)
    d.pull("w", 2)
    given = d.more("w", 0, 6)
    assert sorted(each.query_id for each in d.waiting("w")) == ["q"] * 3 + ["r"] * 3
    assert len(given) == 6
    for query in "stu":
        d.submit(query, aggregate(scan(), 2), tables={"t": MAPS})
    # Two of these wait, as nobody knows how long they take; then it is another one's turn.
    assert {each.key.query_id for each in d.more("w", 0, 20)} <= {"q", "r", "s", "t"}
    assert d.more("w", 0, 20) == ()


def test_what_has_waited_longest_has_the_slot_of_one_that_ended() -> None:
    d = Cluster("w")
    running = d.known("w")
    first, second, third = d.more("w", 0, 3)
    d.finish(running[0])
    assert d.waiting("w") == keys([second, third])
    # One that was not known to have begun has ended: no slot became free by that.
    d.finish(third)
    assert d.waiting("w") == keys([second])
    d.finish(first)
    assert d.waiting("w") == []


def test_R19_what_waits_is_lost_with_its_worker_as_what_runs() -> None:
    d = Cluster("w")
    d.known("w")
    waiting = d.more("w", 0, 3)
    d.beat("w", slots=2, incarnation=2)
    states = d.attempt_states("q")
    for each in waiting:
        assert states[f"1/{each.key.task_id}/1"] == "FAILED"
        assert states[f"1/{each.key.task_id}/2"] == "QUEUED"


def test_the_lease_of_what_waits_is_renewed_and_lapses_as_of_what_runs() -> None:
    d = Cluster("w", assignment_lease_ms=1_000)
    running = d.known("w")
    waiting = d.more("w", 0, 2)
    d.now_ms += 900
    listed = [*keys(running), waiting[0].key]
    assert d.beat("w", slots=2, running=listed).stop_attempts == ()
    d.now_ms += 900
    d.beat("w", slots=2, running=listed)
    assert d.waiting("w") == [waiting[0].key]


def test_R5_the_end_of_a_query_leaves_nothing_waiting() -> None:
    d = Cluster("w")
    running = d.known("w")
    waiting = d.more("w", 0, 2)
    d.cancel("q")
    assert d.waiting("w") == []
    told = d.beat("w", slots=2, running=keys([*running, *waiting])).stop_attempts
    assert set(told) == set(keys([*running, *waiting]))


def test_time_that_a_task_waited_is_none_that_it_took() -> None:
    d = Cluster("w")
    plan = aggregate(scan(), 2)
    d.cancel("q")
    timed = accept(QueryId("timed"), dump_plan(plan), plan, shares(plan, {"t": MAPS}))
    d.ask(attrs.evolve(timed, timeouts=Timeouts(0, 100)))
    running = d.known("w")
    waiting = d.more("w", 0, 2)
    d.advance(90)
    d.finish(running[0])
    d.advance(90)
    states = d.attempt_states("timed")
    assert states[f"1/{running[1].key.task_id}/1"] == "FAILED"
    # The first took its place in time, the second at once when that slot's was ended.
    assert [states[f"1/{each.key.task_id}/1"] for each in waiting] == ["RUNNING"] * 2


# --- what is given back ----------------------------------------------------------------------


def stuck_with_all(*, maps: int = 8) -> tuple[Cluster, tuple[Assignment, ...]]:
    """Worker a has all that is left; then b comes, whose slots are free."""
    d = Cluster("a", maps=maps)
    d.known("a")
    waiting = d.more("a", 0, 20)
    assert len(waiting) == maps - 3
    d.beat("b", slots=2)
    return d, waiting


def test_free_slots_call_back_what_waits_elsewhere_the_last_first() -> None:
    d, waiting = stuck_with_all()
    assert d.recalls("a") == []
    assert has_work_for(d.core.scheduling.state, WorkerId("b"))
    assert d.pull("b", 2) == ()
    assert list(d.core.scheduling.state.workers.recalling) == ["a"]
    assert d.recalls("a") == keys(waiting[:-3:-1])
    assert d.recalls("a") == []
    # As many as there are slots, however often they ask.
    assert not has_work_for(d.core.scheduling.state, WorkerId("b"))
    assert d.pull("b", 2) == ()
    assert d.recalls("a") == []


def test_R14_what_is_given_back_is_no_retry_and_does_not_wait_again() -> None:
    d, waiting = stuck_with_all()
    d.pull("b", 2)
    state = d.core.scheduling.state
    for each in waiting[-2:]:
        d.return_(each)
    assert d.more("a", 0, 9) == ()
    again = d.more("b", 2, 9)
    assert [str(each.key) for each in again] == [
        f"q/1/{each.key.task_id}/2" for each in waiting[-2:]
    ]
    assert d.waiting("b") == []
    tasks = [state.queries[QueryId("q")].stages[1].tasks[each.key.task_id] for each in again]
    assert [(each.failures, each.uncharged) for each in tasks] == [(0, 0)] * 2
    worker = d.worker("a")
    assert worker is not None
    assert worker.consecutive_failures == 0
    assert d.status("q").state is QueryState.RUNNING


def test_what_is_given_back_unasked_is_a_stopped_attempt() -> None:
    d, waiting = stuck_with_all()
    d.return_(waiting[0])
    task = d.core.scheduling.state.queries[QueryId("q")].stages[1].tasks[waiting[0].key.task_id]
    assert task.uncharged == 1


def test_one_that_has_begun_after_all_is_not_called_back() -> None:
    d, waiting = stuck_with_all(maps=5)
    running = [key("q", 1, 1, 1), key("q", 1, 2, 1)]
    assert d.pull("b", 1) == ()
    assert d.core.scheduling.state.workers.recalled == 1
    for each in running:
        at = d.core.scheduling.state.locate(each)
        d.register(Assignment(each, b"", (), at.attempt.layout), {0: 1})
        d.succeed(Assignment(each, b"", (), at.attempt.layout))
    assert d.waiting("a") == []
    assert d.recalls("a") == []
    assert d.core.scheduling.state.workers.recalled == 0
    d.finish(waiting[1])


def test_while_something_is_left_for_free_slots_nothing_is_called_back() -> None:
    d, _ = stuck_with_all()
    d.submit("r", scan(), tables={"t": 2})
    assert len(d.pull("b", 1)) == 1
    assert len(d.pull("b", 2)) == 1
    assert d.recalls("a") == []
    assert d.pull("b", 1) == ()
    assert d.recalls("a") == []


def test_a_worker_that_cannot_run_it_calls_nothing_back() -> None:
    d, _ = stuck_with_all()
    d.beat("c", family="other", slots=2)
    assert d.pull("c", 2) == ()
    assert d.recalls("a") == []


def test_recalls_are_told_to_the_worker_that_holds_them_alone() -> None:
    d, _ = stuck_with_all()
    d.pull("b", 2)
    assert d.ask(ReadRecalls(WorkerId("nobody"), 1)) == ()
    assert d.ask(ReadRecalls(WorkerId("a"), 3)) == ()
    assert len(d.ask(ReadRecalls(WorkerId("a"), 1))) == 2


def test_R30_what_waits_comes_in_the_same_answer_as_far_as_that_holds_it() -> None:
    plan = len(dump_plan(aggregate(scan(), 2)))
    d = Cluster("w", max_assignment_bytes=2 * plan)
    for each in d.pull("w", 2):
        d.finish(each)
    given = d.more("w", 2, 9)
    assert sum(len(each.plan_bytes) for each in given) <= 2 * plan
    assert d.waiting("w") == []
    d.pull("w", 1)
    # Slots are full, and an answer is all for what waits.
    assert 1 <= len(d.more("w", 0, 9)) <= 2
