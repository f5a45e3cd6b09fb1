"""Second attempts for tasks that take far longer than the others of their stage (R13)."""

from __future__ import annotations

import attrs
import pytest

from ffq.core import CoordinatorSettings
from ffq.core.offers import has_work_for
from ffq.errors import NotReady, QuotaExceeded
from ffq.ids import Attempt, TaskId, WorkerId
from ffq.messages import (
    Assignment,
    ErrorKind,
    LostInput,
    QueryState,
    ReportReply,
    ResolveMapOutput,
    TaskState,
)
from ffq.plan.model import Node
from tests.core.driver import Driver, key
from tests.strategies.graphs import aggregate, operator, scan

SETTINGS = CoordinatorSettings(
    speculation=150,
    speculation_quantile=50,
    speculation_min_ms=10,
    retry_backoff_base_ms=0,
    worker_liveness_timeout_ms=10_000,
)
# Of a sink of four tasks three take this long.
USUAL_MS = 100


class Slow(Driver):
    """A query of which three tasks have finished, on worker b, and one runs, on worker a."""

    def __init__(self, settings: CoordinatorSettings = SETTINGS, plan: Node | None = None) -> None:
        super().__init__(settings)
        for worker in ("a", "b", "c"):
            self.beat(worker, {"ffq.splits", "op.a"}, slots=4)
        self.plan = scan() if plan is None else plan
        self.submit("q", self.plan, tables={"t": 4})
        (self.slow,) = self.pull("a")
        others = self.pull("b", 3)
        assert len(others) == 3
        self.now_ms += USUAL_MS
        for each in others:
            self.finish(each, endpoint="b:1")

    def late(self) -> None:
        """From now on the one that runs is a straggler."""
        self.advance(USUAL_MS // 2)

    @property
    def stage(self) -> int:
        return self.slow.key.stage_id

    def second(self, worker: str = "b") -> Assignment:
        self.late()
        return self.pull_one(worker)

    def states(self) -> dict[str, str]:
        name = f"{self.stage}/{self.slow.key.task_id}/"
        return {
            attempt.removeprefix(name): state
            for attempt, state in self.attempt_states("q").items()
            if attempt.startswith(name)
        }


def test_R13_by_default_no_task_has_two_attempts() -> None:
    d = Slow(attrs.evolve(SETTINGS, speculation=0))
    d.advance(9_000)
    assert d.pull("b", 4) == ()
    assert d.states() == {"1": "RUNNING"}


def test_R13_an_attempt_past_its_time_gets_a_second_one_beside_it_and_no_third() -> None:
    d = Slow()
    d.advance(USUAL_MS // 2 - 1)
    assert d.pull("b", 4) == (), "it has not run for longer than 150 % of the others' median"
    d.advance(1)
    assert d.pull("a", 4) == (), "it runs there"
    (second,) = d.pull("b", 4)
    assert second == attrs.evolve(d.slow, key=attrs.evolve(d.slow.key, attempt=Attempt(2)))
    assert d.states() == {"1": "RUNNING", "2": "RUNNING"}
    assert [each.speculative for each in d.attempts("q")].count(True) == 1
    d.advance(9_000)
    assert d.pull("c", 4) == ()


@pytest.mark.parametrize("first", [1, 2])
def test_R13_the_first_to_succeed_is_committed_and_the_other_is_not(first: int) -> None:
    d = Slow()
    attempts = {1: d.slow, 2: d.second()}
    second = 3 - first
    for number, of in attempts.items():
        d.upload(of, f"rows of {number}".encode())
    assert d.succeed(attempts[first]).counted
    assert d.succeed(attempts[second]) == ReportReply(
        counted=False, worker_id=WorkerId("a" if second == 1 else "b")
    )
    assert d.states() == {str(first): "SUCCEEDED*", str(second): "FAILED"}
    assert d.status("q").state is QueryState.SUCCEEDED
    assert sorted(d.fetch("q")) == [*[b"rows"] * 3, f"rows of {first}".encode()]
    told = next(each for each in d.attempts("q") if each.key == attempts[second].key)
    assert told.message == f"attempt {first} of its task was committed first"
    assert d.workers()[0].running_attempts == d.workers()[1].running_attempts == 0


@pytest.mark.parametrize("first", [1, 2])
def test_R13_outputs_of_two_attempts_are_never_mixed(first: int) -> None:
    d = Slow(plan=aggregate(scan(), 2))
    attempts = {1: d.slow, 2: d.second()}
    d.register(attempts[1], {0: 3, 1: 4}, endpoint="a:1")
    d.register(attempts[2], {0: 3}, endpoint="b:1")
    d.succeed(attempts[first])
    loser = attempts[3 - first]
    assert not d.register(loser, {0: 9, 1: 9}, endpoint="late:1").counted
    (reader, *_) = d.pull("c", 4)
    mine = [each for each in reader.inputs if each.map_task == d.slow.key.task_id]
    assert [(each.attempt, each.endpoint) for each in mine] == [(first, f"{'ab'[first - 1]}:1")]
    with pytest.raises(NotReady, match="is stale"):
        d.ask(ResolveMapOutput(loser.key, 0))
    right = d.ask(ResolveMapOutput(attrs.evolve(loser.key, attempt=Attempt(0)), 0))
    assert right.key == attempts[first].key


def test_R13_the_loser_is_told_to_stop() -> None:
    d = Slow(plan=aggregate(scan(), 2))
    second = d.second()
    d.finish(second)
    assert d.beat("a", running=[d.slow.key]).stop_attempts == (d.slow.key,)
    assert d.beat("b", running=[second.key]).stop_attempts == (second.key,)


@pytest.mark.parametrize("kind", [*ErrorKind, None])
def test_R14_R17_a_second_attempt_that_fails_fails_nothing(kind: ErrorKind | None) -> None:
    d = Slow(attrs.evolve(SETTINGS, max_task_attempts=1, max_uncharged_retries_per_stage=1))
    second = d.second()
    assert d.fail(second, kind=kind).counted
    assert d.states() == {"1": "RUNNING", "2": "FAILED"}
    d.advance(9_000)
    assert d.pull("c", 4) == (), "one second attempt, and no more"
    d.finish(d.slow)
    assert d.status("q").state is QueryState.SUCCEEDED


def test_R14_the_first_attempt_that_fails_is_charged_and_the_second_goes_on() -> None:
    d = Slow()
    second = d.second()
    d.fail(d.slow)
    assert d.states() == {"1": "FAILED", "2": "RUNNING"}
    assert d.pull("c", 4) == ()
    d.fail(second, "once more")
    assert d.states() == {"1": "FAILED", "2": "FAILED", "3": "QUEUED"}
    d.fail(d.pull_one("c"), "the third time")
    assert d.status("q").state is QueryState.FAILED
    assert "failed 3 times" in d.status("q").message


def test_R14_the_budget_ends_a_query_though_a_second_attempt_runs() -> None:
    d = Slow(attrs.evolve(SETTINGS, max_task_attempts=1))
    second = d.second()
    d.fail(d.slow)
    assert d.status("q").state is QueryState.FAILED
    assert d.states() == {"1": "FAILED", "2": "FAILED"}
    assert not d.finish(second).counted


def test_R5_a_cancel_ends_both() -> None:
    d = Slow()
    second = d.second()
    d.cancel("q")
    assert d.states() == {"1": "FAILED", "2": "FAILED"}
    assert not d.finish(second).counted
    assert not d.finish(d.slow).counted


@pytest.mark.parametrize("lost", ["a", "b"])
def test_R19_the_loss_of_one_worker_charges_nobody_and_the_other_attempt_goes_on(lost: str) -> None:
    d = Slow(attrs.evolve(SETTINGS, max_task_attempts=1), aggregate(scan(), 2))
    second = d.second("c")
    d.beat("a" if lost == "a" else "c", {"ffq.splits"}, incarnation=2)
    states = {"1": "FAILED", "2": "RUNNING"} if lost == "a" else {"1": "RUNNING", "2": "FAILED"}
    assert d.states() == states
    d.finish(second if lost == "a" else d.slow)
    assert d.states()["2" if lost == "a" else "1"] == "SUCCEEDED*"


def test_R9_nothing_is_given_twice_while_a_task_waits() -> None:
    d = Slow()
    d.late()
    d.submit("r", scan())
    assert [each.key for each in d.pull("b", 4)] == [key("r", 0, 0, 1)]
    assert d.pull_one("b").key == key("q", 0, d.slow.key.task_id, 2)


def test_R7_a_second_attempt_takes_a_place_of_its_query() -> None:
    d = Slow(attrs.evolve(SETTINGS, max_concurrent_tasks_per_query=4))
    d.late()
    d.core.scheduling.state.settings = attrs.evolve(d.settings, max_concurrent_tasks_per_query=1)
    assert d.pull("b", 4) == ()


def test_R10_a_second_attempt_needs_the_operators_too() -> None:
    d = Slow(plan=operator("op.a", scan()))
    d.late()
    d.beat("b", {"ffq.splits"})
    assert d.pull("b", 4) == ()
    assert not has_work_for(d.core.scheduling.state, WorkerId("b"))
    assert has_work_for(d.core.scheduling.state, WorkerId("c"))
    assert d.pull_one("c").key.attempt == 2


def test_R8_no_second_attempt_while_an_input_is_made_again() -> None:
    d = Slow(attrs.evolve(SETTINGS, adaptive_target_bytes=1), aggregate(scan(), 4))
    d.finish(d.slow, dict.fromkeys(range(4), 1), endpoint="a:1")
    readers = d.pull("b", 4)
    assert len(readers) == 4
    d.now_ms += USUAL_MS
    for each in readers[:3]:
        d.finish(each)
    d.late()
    d.beat("a", {"ffq.splits"}, incarnation=2)
    given = d.pull("c", 4)
    assert [each.key for each in given] == [key("q", 1, d.slow.key.task_id, 2)], "its input"
    assert d.pull("a", 4) == ()
    d.finish(given[0], dict.fromkeys(range(4), 1), endpoint="c:1")
    (second,) = d.pull("a", 4)
    assert second.key == attrs.evolve(readers[3].key, attempt=Attempt(2))
    lost = LostInput(second.inputs[0].stage_id, TaskId(0), second.inputs[0].attempt)
    d.report(second, TaskState.FAILED, "gone", kind=ErrorKind.SHUFFLE_INPUT, lost=[lost])
    d.finish(readers[3])
    d.run_all("b", "c")
    assert d.status("q").state is QueryState.SUCCEEDED


def test_R26_two_results_of_one_task_fail_no_query_that_one_fits_into() -> None:
    d = Slow(attrs.evolve(SETTINGS, max_result_bytes=20))
    second = d.second()
    d.upload(d.slow, b"8 bytes.")
    with pytest.raises(QuotaExceeded):
        d.upload(second, b"8 bytes.")
    d.succeed(d.slow)
    assert d.status("q").state is QueryState.SUCCEEDED


def test_peers_on_the_fixed_wire_take_no_part() -> None:
    d = Driver(SETTINGS)
    for number in range(3):
        d.submit(f"q{number}", aggregate(scan(), 2))
        d.finish(d.pull_one("peer"))
        assert d.pull_one("peer").key.stage_id == 0
    d.advance(9_000)
    assert d.pull("other", 4) == ()
    assert not d.core.scheduling.state.speculation_due


def test_too_few_have_finished_to_know_what_is_slow() -> None:
    d = Slow(attrs.evolve(SETTINGS, speculation_quantile=76))
    d.advance(9_000)
    assert d.pull("b", 4) == ()


def test_R13_what_finished_and_is_lost_again_makes_nobody_slow() -> None:
    """The one that runs was late beside three that are to be run again."""
    d = Slow(plan=aggregate(scan(), 4))
    d.late()
    d.beat("b", {"ffq.splits"}, incarnation=2)
    again = d.pull("c", 4)
    assert [each.key.attempt for each in again] == [2, 2, 2], "and no second attempt beside them"
    assert d.pull("c") == ()
    for each in again[:2]:
        d.finish(each, endpoint="c:1")
    (second,) = d.pull("c")
    assert second.key == attrs.evolve(d.slow.key, attempt=Attempt(2))


def test_short_tasks_are_left_alone() -> None:
    d = Slow(attrs.evolve(SETTINGS, speculation_min_ms=1_000))
    d.advance(900 - 1)
    assert d.pull("b", 4) == ()
    d.advance(1)
    assert d.pull_one("b").key.attempt == 2
