"""What time alone does, and when: queries and attempts that take longer than clients allow."""

from __future__ import annotations

from math import inf

import pytest

from ffq.core.timeouts import next_due_ms
from ffq.errors import InvalidRequest
from ffq.ids import QueryId
from ffq.messages import QueryState, SubmitQuery, TaskState, Tick, Timeouts
from ffq.plan import dump_plan
from tests.core.driver import Driver
from tests.strategies.graphs import gather, scan


def submitted(timeouts: Timeouts, *, workers: int = 1) -> Driver:
    d = Driver()
    d.ask(SubmitQuery(QueryId("q"), dump_plan(gather(scan())), timeouts))
    for number in range(workers):
        d.beat(f"w{number}")
    return d


def tick(d: Driver, ms: int) -> None:
    """That much later, workers having beaten in time."""
    while ms > 0:
        step = min(ms, 5_000)
        d.advance(step)
        for worker in ("w0", "w1"):
            d.beat(worker)
        ms -= step


@pytest.mark.parametrize("running", [False, True])
def test_a_query_past_its_time_fails_whether_it_runs_or_not(running: bool) -> None:
    d = submitted(Timeouts(query_ms=1_000))
    if running:
        d.pull_one("w0")
    d.advance(1_000)
    assert not d.status("q").state.terminal
    d.advance(1)
    status = d.status("q")
    assert status.state is QueryState.FAILED
    assert status.message.startswith("it took longer than its timeout of 1000 ms")
    assert d.core.scheduling.state.timed == {}
    assert all(each.state is not TaskState.RUNNING for each in d.attempts("q"))


def test_one_that_waits_for_a_worker_says_so() -> None:
    d = Driver()
    d.ask(SubmitQuery(QueryId("q"), dump_plan(scan()), Timeouts(query_ms=10)))
    d.advance(11)
    assert "; waiting: no live worker" in d.status("q").message


def test_R14_an_attempt_past_its_time_is_tried_again_elsewhere_and_then_fails_its_query() -> None:
    d = submitted(Timeouts(task_ms=2_000), workers=2)
    for number in range(1, 4):
        tick(d, 4_000)  # past the backoff
        (task,) = d.pull("w0", 1) or d.pull("w1", 1)
        assert task.key.attempt == number
        d.advance(2_000)
        assert not d.status("q").state.terminal
        assert [each.state for each in d.attempts("q")].count(TaskState.RUNNING) == 1
        d.advance(1)
    status = d.status("q")
    assert status.state is QueryState.FAILED
    assert "it took longer than the timeout of a task, 2000 ms" in status.message
    assert "failed 3 times" in status.message


def test_R16_the_worker_of_a_slow_attempt_is_not_blamed() -> None:
    d = submitted(Timeouts(task_ms=100))
    d.pull_one("w0")
    d.advance(101)
    (worker,) = d.workers()
    assert (worker.running_attempts, worker.consecutive_failures) == (0, 0)


def test_a_query_within_its_times_succeeds_and_is_timed_no_more() -> None:
    d = submitted(Timeouts(query_ms=10_000, task_ms=5_000))
    d.finish(d.pull_one("w0"))
    d.finish(d.pull_one("w0"))
    tick(d, 20_000)
    assert d.status("q").state is QueryState.SUCCEEDED
    assert d.core.scheduling.state.timed == {}


def test_R1_the_same_bytes_again_change_no_timeout() -> None:
    d = submitted(Timeouts(query_ms=1_000))
    again = SubmitQuery(QueryId("q"), dump_plan(gather(scan())), Timeouts(query_ms=10**9))
    assert d.ask(again).state is QueryState.QUEUED
    d.advance(1_001)
    assert d.status("q").state is QueryState.FAILED


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", 2**53])
def test_what_is_no_time_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest, match="timeout task_ms .*: want a whole number of ms"):
        Timeouts(task_ms=value)  # type: ignore[arg-type]


def test_time_has_nothing_to_do_where_there_is_no_query_and_next_when_one_is_forgotten() -> None:
    d = Driver()
    d.beat("w0")
    state = d.core.scheduling.state
    assert next_due_ms(state) == inf
    d.ask(SubmitQuery(QueryId("q"), dump_plan(scan())))
    assert next_due_ms(state) == 0
    d.cancel("q")
    due_ms = next_due_ms(state)
    assert due_ms == d.now_ms + state.settings.result_ttl_ms + 1
    d.core.tick(int(due_ms) - 1)
    assert list(state.queries) == ["q"]
    d.core.tick(int(due_ms))
    assert not state.queries
    assert next_due_ms(state) == inf


def test_what_waited_of_a_query_that_ended_is_nothing_that_time_would_bring_out() -> None:
    d = Driver()
    d.submit("q", scan())
    d.fail(d.pull_one("w0"))
    scheduling = d.core.scheduling
    d.cancel("q")
    before = scheduling.version
    scheduling.step(Tick(), int(next_due_ms(scheduling.state)) - 1)
    assert scheduling.version == before


def test_while_a_query_runs_it_is_known_when_time_has_something_to_do() -> None:
    d = submitted(Timeouts())
    state = d.core.scheduling.state
    assert next_due_ms(state) == 0, "it waits for a worker, and is told which anew"
    task = d.pull_one("w0")
    assert next_due_ms(state) == inf
    d.fail(task)
    due_ms = next_due_ms(state)
    assert due_ms == d.now_ms + d.settings.retry_delay_ms(1)
    d.core.tick(int(due_ms) - 1)
    assert d.pull("w0") == ()
    d.advance(d.settings.retry_delay_ms(1))
    assert next_due_ms(state) == 0, "its task is ready, and nothing of it runs"


@pytest.mark.parametrize(
    ("timeouts", "after_ms"),
    [
        (Timeouts(query_ms=5_000), 5_001),
        (Timeouts(task_ms=2_000), 2_101),
        (Timeouts(query_ms=5_000, task_ms=2_000), 2_101),
        (Timeouts(query_ms=2_000, task_ms=2_000), 2_001),
    ],
)
def test_the_first_timeout_that_will_be_over_is_due_next(timeouts: Timeouts, after_ms: int) -> None:
    d = submitted(timeouts)
    began_ms = d.now_ms
    d.advance(100)
    d.pull_one("w0")
    state = d.core.scheduling.state
    assert next_due_ms(state) == began_ms + after_ms
    before = d.core.scheduling.version
    d.core.tick(began_ms + after_ms - 1)
    assert d.core.scheduling.version == before
    d.core.tick(began_ms + after_ms)
    assert d.core.scheduling.version > before
