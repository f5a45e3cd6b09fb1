"""Attempts, retry, exclusion: R12 to R17."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from ffq.core import CoordinatorSettings
from ffq.errors import InvalidRequest, UnknownId
from ffq.ids import WorkerId
from ffq.messages import (
    DrainWorker,
    ErrorKind,
    Layout,
    ListQueries,
    QueryState,
    ReportReply,
    ReportTaskStatus,
    TaskState,
)
from tests.core.driver import Driver, key
from tests.strategies.graphs import aggregate, gather, operator, scan

NO_BACKOFF = CoordinatorSettings(retry_backoff_base_ms=0)

# --- R12, R13 --------------------------------------------------------------------------------


def test_R12_attempts_are_numbered_without_gap_or_reuse() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=0, max_task_attempts=10))
    d.submit("q", scan())
    for number in range(1, 6):
        task = d.pull_one("w")
        assert task.key == key("q", 0, 0, number)
        kind = ErrorKind.STOPPED if number % 2 else ErrorKind.OPERATOR
        d.fail(task, kind=kind)
    assert list(d.attempt_states("q").items()) == [
        *((f"0/0/{number}", "FAILED") for number in range(1, 6)),
        ("0/0/6", "QUEUED"),
    ]


@pytest.mark.parametrize("state", [TaskState.RUNNING, TaskState.SUCCEEDED, TaskState.FAILED])
def test_R13_report_of_an_old_attempt_changes_nothing(state: TaskState) -> None:
    d = Driver(NO_BACKOFF)
    d.submit("q", scan())
    old = d.pull_one("a")
    d.fail(old)
    new = d.pull_one("b")
    before = d.attempts("q")
    assert d.report(old, state, "late") == ReportReply(counted=False, worker_id=WorkerId("a"))
    assert d.attempts("q") == before
    assert d.upload(old, b"old result").counted is False
    d.finish(new, payload=b"new result")
    assert d.upload(old, b"older result").counted is False
    assert d.fetch("q") == [b"new result"]


def test_R13_output_of_an_old_attempt_is_not_stored() -> None:
    d = Driver(NO_BACKOFF)
    d.submit("q", aggregate(scan()))
    old = d.pull_one("a")
    d.fail(old)
    new = d.pull_one("b")
    assert d.register(old, {0: 5}).counted is False
    assert d.register(new, {0: 1}).counted is True
    assert d.register(old, {0: 7}).counted is False
    assert d.core.registry.state.held_partitions() == 1


@pytest.mark.parametrize("layout", [Layout(1, 1), Layout(2, 0), Layout(0, 0)])
def test_R13_what_does_not_echo_the_layout_changes_nothing(layout: Layout) -> None:
    d = Driver()
    d.submit("q", aggregate(scan()))
    task = d.pull_one("w")
    stale = attrs.evolve(task, layout=layout)
    assert d.register(stale, {0: 1}).counted is False
    assert d.succeed(stale).counted is False
    assert d.fail(stale).counted is False
    assert d.attempt_states("q") == {"1/0/1": "RUNNING"}
    assert d.finish(task).counted is True


@pytest.mark.parametrize(
    "stage_task_attempt",
    [(0, 0, 1), (1, 0, 2), (1, 0, 0), (1, 1, 1), (2, 0, 1), (-1, 0, 1), (1, -1, 1), (1, 0, -1)],
)
def test_R13_an_attempt_that_was_never_assigned_is_not_found(
    stage_task_attempt: tuple[int, int, int],
) -> None:
    d = Driver()
    d.submit("q", gather(scan()))
    task = d.pull_one("w")
    wrong = attrs.evolve(task, key=key("q", *stage_task_attempt))
    before = d.attempts("q")
    for call in (d.succeed, d.fail, d.register, d.upload):
        with pytest.raises(UnknownId) as caught:
            call(wrong)
        assert caught.value.stable_reason == "UNKNOWN_TASK"
    assert d.attempts("q") == before


def test_R13_a_queued_attempt_was_not_assigned_yet() -> None:
    d = Driver(NO_BACKOFF)
    d.submit("q", scan())
    task = d.pull_one("w")
    d.fail(task)
    with pytest.raises(UnknownId, match="q/0/0/2 was never assigned"):
        d.fail(attrs.evolve(task, key=key("q", 0, 0, 2)))


def test_R13_a_report_of_another_worker_or_incarnation_changes_nothing() -> None:
    d = Driver()
    d.submit("q", scan())
    d.beat("a", incarnation=5)
    d.beat("b", incarnation=5)
    task = d.pull_one("a")
    assert d.report(task, TaskState.FAILED, worker="b", incarnation=5).counted is False
    assert d.report(task, TaskState.FAILED, worker="a", incarnation=4).counted is False
    assert d.report(task, TaskState.RUNNING, worker="a", incarnation=5).counted is True
    assert d.attempt_states("q") == {"0/0/1": "RUNNING"}


def test_a_report_of_QUEUED_is_malformed() -> None:
    d = Driver()
    d.submit("q", scan())
    task = d.pull_one("w")
    with pytest.raises(InvalidRequest, match="RUNNING, SUCCEEDED or FAILED, not QUEUED"):
        d.report(task, TaskState.QUEUED)


# --- R14 -------------------------------------------------------------------------------------


def test_R14_backoff_doubles_with_each_failure() -> None:
    d = Driver(
        CoordinatorSettings(
            retry_backoff_base_ms=100, max_task_attempts=5, blacklist_failure_threshold=99
        )
    )
    d.submit("q", scan())
    for delay in (100, 200, 400, 800):
        d.fail(d.pull_one("w"))
        d.now_ms += delay - 1
        assert d.pull("w") == ()
        d.now_ms += 1
    assert len(d.pull("w")) == 1


def test_R14_the_exponent_is_at_most_10() -> None:
    settings = CoordinatorSettings(retry_backoff_base_ms=3)
    assert settings.retry_delay_ms(1) == 3
    assert settings.retry_delay_ms(11) == 3 * 2**10
    assert settings.retry_delay_ms(50) == 3 * 2**10


def test_R14_past_its_budget_a_task_fails_the_query_with_its_message() -> None:
    d = Driver(NO_BACKOFF)
    d.submit("q", gather(scan()))
    for number in (1, 2):
        d.fail(d.pull_one("w"), f"failure {number}")
        assert d.status("q").state is QueryState.RUNNING
    d.now_ms = 77
    d.fail(d.pull_one("v"), "no such bucket")
    status = d.status("q")
    assert (status.state, status.finished_at_ms) == (QueryState.FAILED, 77)
    assert status.message == ("no such bucket (task q/1/0 failed 3 times, last on worker v)")
    assert d.pull("w", 9) == ()


def test_R14_each_task_has_a_budget_of_its_own() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=0, blacklist_failure_threshold=99))
    d.submit("q", scan(), tables={"t": 3})
    d.beat("w")
    for task in (*d.pull("w", 3), *d.pull("w", 3)):
        d.fail(task)
    assert d.status("q").state is QueryState.RUNNING
    for task in (*d.pull("w", 3), *d.pull("w", 3)):
        d.fail(task)
    assert d.status("q").state is QueryState.RUNNING


def test_R14_running_attempts_of_a_failed_query_free_their_workers() -> None:
    d = Driver(CoordinatorSettings(max_task_attempts=1))
    d.submit("q", scan(), tables={"t": 2})
    d.beat("a")
    d.beat("b")
    first, second = d.pull_one("a"), d.pull_one("b")
    d.fail(first)
    assert d.attempt_states("q") == {"0/0/1": "FAILED", "0/1/1": "FAILED"}
    worker = d.worker("b")
    assert worker is not None
    assert worker.running_attempts == 0
    assert d.beat("b", running=[second.key]).stop_attempts == (second.key,)


# --- R15, R16 --------------------------------------------------------------------------------


def failures(d: Driver, worker: str, times: int) -> None:
    """`times` consecutive failures of the worker, each of another query."""
    for _ in range(times):
        query = f"f{len(d.core.ask(ListQueries(10_000), d.now_ms))}"
        d.submit(query, scan())
        task = d.pull_one(worker)
        d.fail(task)
        d.cancel(task.key.query_id)


def counts(d: Driver, worker: str) -> tuple[int, bool]:
    status = d.worker(worker)
    assert status is not None
    return status.consecutive_failures, status.excluded


def test_R15_success_clears_the_failure_count() -> None:
    d = Driver()
    failures(d, "w", 2)
    assert counts(d, "w") == (2, False)
    d.submit("good", scan())
    d.finish(d.pull_one("w"))
    assert counts(d, "w") == (0, False)
    failures(d, "w", 2)
    assert counts(d, "w") == (2, False)


def test_R15_a_duplicate_report_changes_nothing() -> None:
    d = Driver(NO_BACKOFF)
    d.submit("q", gather(scan()))
    d.submit("r", scan())
    task, other = d.pull("w", 2)
    assert d.finish(task).counted is True
    before = d.attempts("q")
    d.fail(other)
    assert d.succeed(task).counted is False
    assert d.fail(task).counted is False
    assert d.fail(other).counted is False
    assert d.attempts("q") == before
    assert counts(d, "w") == (1, False)


def test_R16_at_the_threshold_a_worker_is_excluded() -> None:
    d = Driver()
    d.pull("healthy")
    failures(d, "w", 2)
    d.submit("q", gather(scan()))
    d.submit("r", scan())
    running = d.pull_one("w")
    d.fail(d.pull_one("w"))
    assert counts(d, "w") == (3, True)
    assert d.pull("w") == ()
    assert d.beat("w", incarnation=0).accepted is False
    assert d.finish(running).counted is True, "running attempts may finish"
    assert counts(d, "w") == (0, True), "success does not end the exclusion"


def test_R16_exclusion_expires() -> None:
    d = Driver(CoordinatorSettings(blacklist_ttl_ms=1000, worker_liveness_timeout_ms=10**6))
    d.pull("healthy")
    failures(d, "w", 3)
    d.submit("q", scan())
    d.now_ms += 999
    assert d.pull("w") == ()
    d.now_ms += 1
    assert counts(d, "w") == (3, False)
    assert d.beat("w", incarnation=0).accepted is True
    assert len(d.pull("w")) == 1


def test_R16_exclusion_and_count_survive_staleness() -> None:
    d = Driver(CoordinatorSettings(worker_liveness_timeout_ms=1000))
    failures(d, "w", 3)
    failures(d, "v", 2)
    d.advance(1001)
    assert d.worker("w") is None
    d.pull("healthy")
    d.submit("q", scan())
    assert d.pull("w") == ()
    assert (counts(d, "w"), counts(d, "v") if d.beat("v") else None) == ((3, True), (2, False))


def test_R16_excluded_workers_go_stale_like_any_other() -> None:
    d = Driver(CoordinatorSettings(worker_liveness_timeout_ms=1000))
    d.pull("healthy")
    failures(d, "w", 2)
    d.submit("q", gather(scan()))
    d.submit("r", scan())
    running = d.pull_one("w")
    d.fail(d.pull_one("w"))
    assert counts(d, "w") == (3, True)
    d.advance(1001)
    assert d.worker("w") is None
    assert d.attempt_states(running.key.query_id)["1/0/1"] == "FAILED"


def test_R16_when_all_that_could_run_a_task_are_excluded_the_longest_excluded_is_readmitted() -> (
    None
):
    d = Driver()
    failures(d, "first", 3)
    d.now_ms += 10
    failures(d, "second", 3)
    assert (counts(d, "first"), counts(d, "second")) == ((3, True), (3, True))
    d.submit("q", scan())
    assert d.pull("second") == ()
    assert len(d.pull("first")) == 1
    assert (counts(d, "first"), counts(d, "second")) == ((3, False), (3, True))


def test_R16_nobody_is_readmitted_without_work_that_waits() -> None:
    d = Driver()
    failures(d, "w", 3)
    assert d.pull("w") == ()
    assert counts(d, "w") == (3, True)


def test_R16_workers_that_could_not_run_the_task_do_not_stand_in_the_way() -> None:
    d = Driver()
    d.beat("w", {"op.a"}, incarnation=0)
    failures(d, "w", 3)
    d.pull("bystander")
    d.submit("q", operator("op.a", scan()))
    assert len(d.pull("w")) == 1


def test_R16_until_its_next_heartbeat_a_worker_could_run_what_its_last_one_named() -> None:
    d = Driver()
    d.beat("able", {"op.a"})
    failures(d, "able", 3)
    d.beat("later", ())
    d.submit("q", operator("op.a", scan()))
    assert d.beat("able", {"op.a"}).accepted is True, "later has not said yet that it could"
    failures(d, "able", 1)
    d.beat("later", {"op.a"})
    assert d.beat("able", {"op.a"}).accepted is False


def test_R16_a_busy_worker_that_is_not_excluded_stands_in_the_way() -> None:
    d = Driver(CoordinatorSettings(max_concurrent_tasks_per_worker=1))
    failures(d, "w", 3)
    d.submit("q", scan())
    d.submit("r", scan())
    d.pull_one("busy")
    assert d.pull("w") == ()


def test_R16_an_excluded_worker_is_readmitted_by_its_heartbeat_too() -> None:
    d = Driver()
    failures(d, "w", 3)
    assert d.beat("w", (), incarnation=0).accepted is False
    d.submit("q", scan())
    assert d.beat("w", (), incarnation=0).accepted is True


def test_R16_a_readmitted_worker_that_fails_again_is_excluded_at_once() -> None:
    d = Driver(NO_BACKOFF)
    failures(d, "w", 3)
    d.submit("q", scan())
    d.fail(d.pull_one("w"))
    assert counts(d, "w") == (4, True)


# --- R17 -------------------------------------------------------------------------------------


def test_R17_an_error_of_the_plan_fails_the_query_at_once_and_blames_nobody() -> None:
    d = Driver()
    d.submit("q", scan())
    d.fail(d.pull_one("w"), "Window is not supported", ErrorKind.PLAN)
    assert d.status("q").state is QueryState.FAILED
    assert d.status("q").message == "Window is not supported"
    assert d.attempt_states("q") == {"0/0/1": "FAILED"}
    assert counts(d, "w") == (0, False)


def test_R17_an_operator_error_is_retried_within_the_budget_and_blames_nobody() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=100))
    d.submit("q", scan())
    for _ in range(3):
        assert d.status("q").state is not QueryState.FAILED
        d.fail(d.pull_one("w"), "their bug", ErrorKind.OPERATOR)
        assert d.pull("w") == ()
        d.now_ms += 1000
    assert d.status("q").state is QueryState.FAILED
    assert counts(d, "w") == (0, False)


@pytest.mark.parametrize("kind", [None, ErrorKind.EXECUTION])
def test_R17_any_other_failure_is_retried_and_counts(kind: ErrorKind | None) -> None:
    d = Driver()
    d.submit("q", scan())
    d.fail(d.pull_one("w"), kind=kind)
    assert d.attempt_states("q") == {"0/0/1": "FAILED", "0/0/2": "QUEUED"}
    assert counts(d, "w") == (1, False)


def test_R17_an_error_of_the_data_fails_the_query_at_once_and_blames_nobody() -> None:
    d = Driver()
    d.submit("q", scan())
    d.fail(d.pull_one("w"), "Division by zero in expression (1 // x)", ErrorKind.DATA)
    assert d.status("q").state is QueryState.FAILED
    assert d.status("q").message == "Division by zero in expression (1 // x)"
    assert counts(d, "w") == (0, False)


def test_R17_a_failure_of_the_surroundings_counts_and_the_task_goes_to_another_worker() -> None:
    """Also after its backoff, and however often the worker asks."""
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=100))
    d.pull("good")
    d.submit("q", scan())
    d.fail(d.pull_one("full"), "no space left on device", ErrorKind.ENVIRONMENT)
    assert counts(d, "full") == (1, False)
    d.now_ms += 1000
    assert d.pull("full") == ()
    assert d.status("q").message == (
        "waiting: task q/0/0 waits for another worker than full: it failed there"
    )
    assert d.pull_one("good").key == key("q", 0, 0, 2)


def test_R17_what_is_outside_goes_to_another_worker_and_blames_nobody() -> None:
    d = Driver(NO_BACKOFF)
    d.pull("other")
    d.submit("q", scan())
    d.fail(d.pull_one("w"), "cannot read 't.parquet'", ErrorKind.EXTERNAL)
    assert counts(d, "w") == (0, False)
    assert d.pull("w") == ()
    d.fail(d.pull_one("other"), "cannot read 't.parquet'", ErrorKind.EXTERNAL)
    d.fail(d.pull_one("w"), "cannot read 't.parquet'", ErrorKind.EXTERNAL)
    assert d.status("q").state is QueryState.FAILED
    assert counts(d, "w") == (0, False)


def excluded(d: Driver) -> None:
    for _ in range(3):
        d.fail(d.pull_one("other"))


def lost(d: Driver) -> None:
    d.now_ms += d.settings.worker_liveness_timeout_ms + 1
    d.pull("w", 0)
    d.sweep()


@pytest.mark.parametrize(
    "hinder",
    [
        lost,
        excluded,
        lambda d: d.ask(DrainWorker(WorkerId("other"))),
        lambda d: d.beat("other", (), incarnation=0),
        lambda d: d.beat("other", {"op.a"}, incarnation=2),
    ],
    ids=["lost", "excluded", "draining", "not capable", "another family"],
)
def test_R17_the_worker_has_the_task_again_where_no_other_could_take_it(
    hinder: Callable[[Driver], object],
) -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=0, max_task_attempts=9))
    d.beat("w", {"op.a"}, incarnation=0)
    d.beat("other", {"op.a"}, incarnation=0)
    d.submit("q", operator("op.a", scan()))
    d.fail(d.pull_one("w"), "disk full", ErrorKind.ENVIRONMENT)
    assert d.pull("w") == ()
    hinder(d)
    assert "q" in {each.key.query_id for each in d.pull("w", 8)}


def test_R17_a_worker_whose_heartbeats_arrive_but_that_takes_no_task_is_not_waited_for() -> None:
    """As long as it is busy, it is: it asks when it has room."""
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=100, worker_liveness_timeout_ms=1000))
    d.beat("full")
    d.beat("good")
    d.submit("other", scan())
    other = d.pull_one("good")
    d.submit("q", scan())
    d.fail(d.pull_one("full"), "no space left on device", ErrorKind.ENVIRONMENT)
    for _ in range(3):
        d.advance(500)
        d.beat("good")
        assert d.pull("full") == ()
    d.finish(other)
    assert d.pull_one("full").key == key("q", 0, 0, 2)


def test_R17_an_idle_worker_has_the_liveness_timeout_to_ask_from_when_the_task_is_ready() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=800, worker_liveness_timeout_ms=1000))
    d.beat("full")
    d.beat("good")
    d.submit("q", scan())
    d.fail(d.pull_one("full"), "no space left on device", ErrorKind.ENVIRONMENT)
    for _ in range(18):
        d.advance(100)
        d.beat("good")
        assert d.pull("full") == ()
    d.advance(1)
    assert d.pull_one("full").key == key("q", 0, 0, 2)


def test_R17_one_worker_alone_has_its_task_again() -> None:
    d = Driver(NO_BACKOFF)
    d.submit("q", scan())
    for number in (1, 2, 3):
        task = d.pull_one("w")
        assert task.key == key("q", 0, 0, number)
        d.fail(task, "disk full", ErrorKind.ENVIRONMENT)
    assert d.status("q").state is QueryState.FAILED
    assert "disk full" in d.status("q").message


def test_R17_R11_what_a_worker_may_not_have_holds_up_nobody() -> None:
    """Neither the other tasks of its stage nor the queries behind it."""
    d = Driver(NO_BACKOFF)
    d.beat("full")
    d.beat("good")
    d.submit("q", scan(), tables={"t": 3})
    d.submit("r", scan(), tables={"t": 1})
    d.fail(d.pull_one("full"), "disk full", ErrorKind.ENVIRONMENT)
    given = [str(each.key) for each in d.pull("full", 8)]
    assert sorted(given) == ["q/0/1/1", "q/0/2/1", "r/0/0/1"]
    assert str(d.pull_one("good").key) == "q/0/0/2"


def test_R17_a_result_over_the_cap_fails_its_query_once_and_names_the_cap() -> None:
    d = Driver(CoordinatorSettings(max_result_bytes=100))
    d.submit("q", scan())
    task = d.pull_one("w")
    assert d.upload(task, b"x" * 101).counted is False
    status = d.status("q")
    assert status.state is QueryState.FAILED
    assert "results may have 100 bytes (max_result_bytes)" in status.message
    assert "COPY (SELECT ...) TO" in status.message
    assert d.succeed(task).counted is False
    assert d.attempt_states("q") == {"0/0/1": "FAILED"}
    assert counts(d, "w") == (0, False)


def test_R17_the_cap_is_for_all_tasks_of_a_sink_together() -> None:
    d = Driver(CoordinatorSettings(max_result_bytes=100))
    d.beat("w")
    d.submit("q", scan(), tables={"t": 2})
    first, second = d.pull("w", 2)
    assert d.upload(first, b"x" * 60).counted is True
    assert d.upload(second, b"x" * 60).counted is False
    assert d.status("q").state is QueryState.FAILED


def test_R17_a_stopped_attempt_is_retried_at_once_and_charged_to_nobody() -> None:
    d = Driver(CoordinatorSettings(max_task_attempts=1))
    d.submit("q", scan())
    d.fail(d.pull_one("w"), "shutting down", ErrorKind.STOPPED)
    assert d.pull_one("v").key == key("q", 0, 0, 2)
    assert counts(d, "w") == (0, False)


def test_uncharged_retries_are_bounded() -> None:
    d = Driver(CoordinatorSettings(max_uncharged_retries_per_stage=2))
    d.submit("q", scan())
    for _ in range(2):
        d.fail(d.pull_one("w"), "shutting down", ErrorKind.STOPPED)
    assert d.status("q").state is QueryState.RUNNING
    d.fail(d.pull_one("w"), "shutting down", ErrorKind.STOPPED)
    status = d.status("q")
    assert status.state is QueryState.FAILED
    assert "shutting down" in status.message
    assert "3 times through no fault of its own" in status.message


def test_malformed_reports_reach_no_attempt() -> None:
    d = Driver()
    report = ReportTaskStatus(key("nope", 0, 0, 1), TaskState.FAILED, "", Layout(1, 1))
    with pytest.raises(UnknownId, match="there is no query nope"):
        d.ask(report)


def test_R13_an_attempt_that_outlived_a_restart_is_not_one_of_another_plan() -> None:
    """The new coordinator is given another plan under the old id, and assigns the same numbers."""
    before, after = Driver(), Driver()
    before.submit("q", scan("old"))
    outlived = before.pull_one("w")
    after.submit("q", scan("new"))
    assert after.pull_one("w").key == outlived.key
    assert not after.fail(outlived, kind=ErrorKind.PLAN).counted
    assert after.status("q").state is QueryState.RUNNING
