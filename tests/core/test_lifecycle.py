"""Queries: submitted, ended, kept, evicted (R1 to R5, R27)."""

from __future__ import annotations

import pytest

from ffq.core import CoordinatorSettings
from ffq.errors import (
    NotReady,
    PlanConflict,
    PlanningError,
    QuotaExceeded,
    UnknownId,
)
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    CancelQuery,
    DropQueryOutputs,
    DropQueryResults,
    FindQuery,
    FreeQueryId,
    KnownQuery,
    ListQueries,
    QueryState,
    ReportReply,
    SubmitQuery,
    SubmitReply,
    TaskState,
)
from ffq.plan import dump_plan
from ffq.plan.codec import plan_digest
from tests.core.driver import Driver, accept, key
from tests.strategies.graphs import aggregate, exchange, gather, operator, scan

MAP_REDUCE = aggregate(scan())


def test_R1_a_submitted_query_is_queued() -> None:
    d = Driver()
    assert d.submit("q", scan()) == SubmitReply(QueryId("q"), QueryState.QUEUED)
    status = d.status("q")
    assert (status.state, status.submitted_at_ms) == (QueryState.QUEUED, 0)
    assert (status.started_at_ms, status.finished_at_ms) == (None, None)


def test_R1_the_same_bytes_again_answer_the_present_state() -> None:
    d = Driver()
    d.submit("q", scan())
    d.beat("w")
    task = d.pull_one("w")
    assert d.submit("q", scan()).state is QueryState.RUNNING
    d.finish(task)
    before = d.status("q")
    d.now_ms += 5
    assert d.submit("q", scan()).state is QueryState.SUCCEEDED
    assert d.status("q") == before
    assert len(d.attempts("q")) == 1


def test_R1_other_bytes_under_the_same_id_are_refused_also_after_the_end() -> None:
    d = Driver()
    d.submit("q", scan())
    with pytest.raises(PlanConflict, match="query q was submitted before with another plan"):
        d.submit("q", scan("other"))
    d.cancel("q")
    with pytest.raises(PlanConflict):
        d.submit("q", scan("other"))
    assert d.submit("q", scan()).state is QueryState.CANCELED


def test_R1_bytes_are_known_before_they_are_read() -> None:
    d = Driver(CoordinatorSettings(max_queries=1))
    plan = dump_plan(scan())
    assert d.ask(FindQuery(QueryId("q"), len(plan))) is None
    d.submit("q", scan())
    d.cancel("q")
    known = d.ask(FindQuery(QueryId("q"), len(plan)))
    assert known == KnownQuery(plan_digest(plan), QueryState.CANCELED)
    assert d.ask(SubmitQuery(QueryId("q"), plan)).state is QueryState.CANCELED
    with pytest.raises(PlanConflict):
        d.ask(SubmitQuery(QueryId("q"), b"other bytes are not even read as a plan"))
    d.submit("r", scan())
    with pytest.raises(QuotaExceeded, match="1 queries are queued or running"):
        d.ask(SubmitQuery(QueryId("s"), b"nor where there is no room"))


def test_R1_an_unknown_table_is_no_error_at_submit() -> None:
    d = Driver()
    d.submit("q", scan("nobody knows"), tables={})
    d.beat("w")
    assert d.pull_one("w").scans == ()


def test_R2_the_first_assignment_starts_the_query() -> None:
    d = Driver()
    d.submit("q", gather(scan()))
    d.beat("w")
    d.now_ms = 70
    task = d.pull_one("w")
    assert (d.status("q").state, d.status("q").started_at_ms) == (QueryState.RUNNING, 70)
    d.now_ms = 90
    d.finish(task)
    d.pull_one("w")
    assert d.status("q").started_at_ms == 70


def test_R3_a_query_succeeds_with_its_last_task_and_not_before() -> None:
    d = Driver()
    d.submit("q", MAP_REDUCE, tables={"t": 2})
    d.beat("w")
    first, second = d.pull("w", 5)
    d.finish(first)
    assert d.status("q").state is QueryState.RUNNING
    d.finish(second)
    assert d.status("q").state is QueryState.RUNNING
    sink = d.pull_one("w")
    d.upload(sink, b"the result")
    assert d.status("q").state is QueryState.RUNNING
    d.now_ms = 9
    d.succeed(sink)
    assert (d.status("q").state, d.status("q").finished_at_ms) == (QueryState.SUCCEEDED, 9)
    assert d.fetch("q") == [b"the result"]


@pytest.mark.parametrize("incarnation", [0, 1])
def test_R3_a_sink_that_succeeds_without_a_result_fails_with_that_reason(incarnation: int) -> None:
    d = Driver()
    d.submit("q", scan())
    d.beat("w", incarnation=incarnation)
    task = d.pull_one("w")
    d.succeed(task)
    assert d.attempt_states("q") == {"0/0/1": "FAILED", "0/0/2": "QUEUED"}
    assert "without registering a result" in d.attempts("q")[0].message
    assert d.status("q").state is QueryState.RUNNING


def test_R3_every_task_of_the_sink_needs_its_result() -> None:
    d = Driver()
    d.submit("q", scan(), tables={"t": 2})
    d.beat("w")
    first, second = d.pull("w", 2)
    d.upload(second, b"B")
    d.upload(first, b"A")
    d.succeed(second)
    assert d.status("q").state is QueryState.RUNNING
    d.succeed(first)
    assert d.status("q").state is QueryState.SUCCEEDED
    assert d.fetch("q") == [b"A", b"B"]


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "CANCELED"])
def test_R4_nothing_changes_a_query_that_has_ended(end: str) -> None:
    d = Driver(CoordinatorSettings(max_task_attempts=1))
    d.submit("q", scan())
    d.beat("w")
    task = d.pull_one("w")
    match end:
        case "SUCCEEDED":
            d.finish(task)
        case "FAILED":
            d.fail(task)
        case _:
            d.cancel("q", "first reason")
    before, attempts = d.status("q"), d.attempts("q")
    assert before.state.name == end
    d.now_ms += 50
    assert d.cancel("q", "second reason").state.name == end
    assert d.succeed(task) == ReportReply(counted=False, worker_id=WorkerId("w"))
    assert d.fail(task).counted is False
    assert d.upload(task, b"late").counted is False
    assert d.pull("w", 4) == ()
    assert (d.status("q"), d.attempts("q")) == (before, attempts)
    if end == "SUCCEEDED":
        assert d.fetch("q") == [b"rows"]


def test_R4_a_cancel_never_overwrites_success() -> None:
    d = Driver()
    d.submit("q", scan())
    d.run_all("w")
    assert d.status("q").state is QueryState.SUCCEEDED
    assert d.cancel("q").state is QueryState.SUCCEEDED
    assert d.fetch("q") == [b"rows"]


def test_R5_a_canceled_query_stops_at_once() -> None:
    d = Driver()
    d.submit("q", MAP_REDUCE, tables={"t": 3})
    d.beat("w")
    done, running = d.pull("w", 2)
    d.finish(done, endpoint="w:1")
    d.now_ms = 30
    assert d.cancel("q", "changed my mind").state is QueryState.CANCELED
    status = d.status("q")
    assert (status.finished_at_ms, status.message) == (30, "changed my mind")
    assert d.pull("w", 8) == ()
    worker = d.worker("w")
    assert worker is not None
    assert worker.running_attempts == 0
    reply = d.beat("w", running=[running.key], held=["q"])
    assert reply.stop_attempts == (running.key,)
    assert reply.ended_queries == (QueryId("q"),)


def test_R5_the_stores_are_told_to_remove_what_a_canceled_query_left() -> None:
    d = Driver()
    d.submit("q", MAP_REDUCE)
    d.beat("w")
    d.finish(d.pull_one("w"), endpoint="w:1")
    sink = d.pull_one("w")
    d.upload(sink, b"half")
    assert d.core.results.state.held_bytes() == 4
    d.cancel("q")
    assert d.core.results.state.held_bytes() == 0


def test_R5_a_query_can_be_canceled_before_it_starts() -> None:
    d = Driver()
    d.submit("q", scan())
    outcome = d.core.scheduling.step(CancelQuery(QueryId("q"), ""), 7)
    assert outcome.reply.state is QueryState.CANCELED
    assert outcome.notices == (DropQueryOutputs(QueryId("q")), DropQueryResults(QueryId("q")))
    assert d.pull("w") == ()


def test_R29_an_unknown_query_is_an_error_everywhere() -> None:
    d = Driver()
    for call in (d.status, d.cancel, d.fetch, d.attempts):
        with pytest.raises(UnknownId, match="there is no query nope") as caught:
            call("nope")
        assert caught.value.stable_reason == "UNKNOWN_QUERY"


# --- R27 -------------------------------------------------------------------------------------


def finished(d: Driver, query: str, payload: bytes = b"rows") -> None:
    d.submit(query, scan())
    d.finish(d.pull_one("w"), payload=payload)


def test_R27_a_finished_query_is_evicted_after_its_time() -> None:
    d = Driver(CoordinatorSettings(result_ttl_ms=1000, worker_liveness_timeout_ms=10**6))
    finished(d, "q")
    d.advance(1000)
    assert d.fetch("q") == [b"rows"]
    d.advance(1)
    for call in (d.status, d.fetch, d.cancel):
        with pytest.raises(UnknownId, match="no longer kept") as caught:
            call("q")
        assert caught.value.stable_reason == "EXPIRED"
    assert d.core.results.state.held_bytes() == 0


def test_R27_results_over_the_byte_cap_push_out_the_oldest() -> None:
    d = Driver(CoordinatorSettings(max_result_bytes=100))
    finished(d, "a", b"x" * 40)
    finished(d, "b", b"x" * 40)
    finished(d, "c", b"x" * 40)
    with pytest.raises(UnknownId):
        d.status("a")
    assert d.fetch("b") == [b"x" * 40]
    assert d.core.results.state.held_bytes() == 80


def test_R27_results_of_running_queries_are_never_pushed_out() -> None:
    d = Driver(CoordinatorSettings(max_result_bytes=100))
    d.submit("a", scan())
    d.submit("b", scan())
    a, b = d.pull("w", 2)
    d.upload(a, b"x" * 60)
    with pytest.raises(QuotaExceeded, match="100 bytes in all"):
        d.upload(b, b"x" * 60)
    d.succeed(a)
    assert d.fetch("a") == [b"x" * 60]
    d.upload(b, b"x" * 60)
    d.succeed(b)
    with pytest.raises(UnknownId):
        d.fetch("a")
    assert d.fetch("b") == [b"x" * 60]


def test_R27_as_many_finished_queries_and_evicted_ids_are_kept_as_allowed() -> None:
    d = Driver(CoordinatorSettings(max_finished_queries=1, max_expired_ids=1))
    for query in ("a", "b", "c"):
        finished(d, query)
    assert d.status("c").state is QueryState.SUCCEEDED
    reasons = {}
    for query in ("a", "b"):
        with pytest.raises(UnknownId) as caught:
            d.status(query)
        reasons[query] = caught.value.stable_reason
    assert reasons == {"a": "UNKNOWN_QUERY", "b": "EXPIRED"}


def test_R27_an_evicted_id_may_be_used_again_and_old_reports_do_not_reach_the_new_query() -> None:
    d = Driver(CoordinatorSettings(max_finished_queries=1))
    d.submit("a", scan())
    old = d.pull_one("w")
    d.cancel("a")
    finished(d, "b")
    assert d.submit("a", scan()).state is QueryState.QUEUED
    new = d.pull_one("w")
    assert new.key == old.key
    assert d.fail(old).counted is False
    assert d.status("a").state is QueryState.RUNNING
    d.finish(new)
    assert d.status("a").state is QueryState.SUCCEEDED


# --- bounds ----------------------------------------------------------------------------------


def test_R30_too_many_active_queries_are_refused_with_a_time_to_retry() -> None:
    d = Driver(CoordinatorSettings(max_queries=1))
    d.submit("a", scan())
    with pytest.raises(QuotaExceeded, match="1 queries are queued or running") as caught:
        d.submit("b", scan())
    assert caught.value.retry_after_ms > 0
    assert d.submit("a", scan()).state is QueryState.QUEUED
    d.cancel("a")
    assert d.submit("b", scan()).state is QueryState.QUEUED


def test_R30_too_many_plan_bytes_are_refused() -> None:
    plan = dump_plan(scan())
    d = Driver(CoordinatorSettings(max_plan_bytes=2 * len(plan)))
    for query in ("a", "b"):
        d.core.ask(accept(QueryId(query), plan, scan()), 0)
    with pytest.raises(QuotaExceeded, match="plans"):
        d.submit("c", scan())
    d.cancel("a")
    d.submit("c", scan())


def test_R30_a_query_of_too_many_tasks_is_refused() -> None:
    d = Driver(CoordinatorSettings(max_tasks_per_query=8))
    with pytest.raises(PlanningError, match="may need 9 tasks; at most 8"):
        d.submit("q", exchange(scan(), 4), tables={"t": 5})
    d.submit("q", exchange(scan(), 4), tables={"t": 4})


def test_the_newest_queries_are_listed_first() -> None:
    d = Driver()
    for query in ("a", "b", "c"):
        d.submit(query, scan())
    listed = d.ask(ListQueries(limit=2))
    assert [(each.query_id, each.stages) for each in listed] == [("c", ()), ("b", ())]


def test_R26_there_is_no_result_before_success_nor_after_failure() -> None:
    d = Driver()
    d.submit("q", scan())
    with pytest.raises(NotReady, match="QUEUED: it has no result yet"):
        d.fetch("q")
    d.upload(d.pull_one("w"))
    with pytest.raises(NotReady, match="RUNNING") as caught:
        d.fetch("q")
    assert caught.value.stable_reason == "NOT_READY"
    d.cancel("q", "enough")
    with pytest.raises(NotReady, match="CANCELED: it has no result: enough") as caught:
        d.fetch("q")
    assert caught.value.stable_reason == "QUERY_CANCELED"


def test_statuses_count_tasks_by_state() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=100))
    d.submit("q", MAP_REDUCE, tables={"t": 4})
    d.beat("w")
    done, failed, _ = d.pull("w", 3)
    d.finish(done, {0: 7})
    d.fail(failed)
    sink, maps = d.status("q").stages
    assert (maps.queued_tasks, maps.running_tasks, maps.succeeded_tasks) == (2, 1, 1)
    assert maps.failed_tasks == 1
    assert (maps.map_output_rows, maps.map_output_bytes, maps.map_output_partitions) == (7, 70, 1)
    assert (sink.queued_tasks, sink.layout_finalize_count) == (0, 0)
    assert d.attempts("q")[0].key == key("q", 1, 0, 1)
    assert d.attempts("q")[0].state is TaskState.SUCCEEDED


def test_R10_a_message_is_short_however_long_the_operators_name() -> None:
    d = Driver()
    d.submit("q", operator("o" * 1_000_000, scan()))
    d.beat("w", ())
    message = d.status("q").message
    assert message.startswith("waiting: no live worker has custom operator 'ooo")
    assert len(message) == 4096


def test_R27_an_evicted_id_is_free_when_all_that_was_stored_under_it_is_removed() -> None:
    """Removals name the id: they would take what a new query of it stores."""
    d = Driver(CoordinatorSettings(max_finished_queries=1))
    plan = scan()
    again = accept(QueryId("a"), dump_plan(plan), plan)
    d.submit("a", plan)
    d.submit("b", plan)
    d.cancel("a")
    removals = d.core.scheduling.step(CancelQuery(QueryId("b"), ""), 0).notices
    assert removals[-1] == FreeQueryId(QueryId("a"))
    for message in (again, FindQuery(QueryId("a"), 1)):
        with pytest.raises(QuotaExceeded, match="an earlier query a left is still being removed"):
            d.core.ask(message, 0)
    for removal in removals:
        d.ask(removal)
    assert d.ask(again).state is QueryState.QUEUED
