"""Assignment: the gates of R6 to R11, and families (R31)."""

from __future__ import annotations

import attrs
import pytest

from ffq.core import CoordinatorSettings
from ffq.core.assignment import encoded_bytes
from ffq.errors import UnknownId
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    DrainWorker,
    ErrorKind,
    GetTask,
    PartitionSize,
    QueryState,
    ScanInput,
    ScanSplit,
    ShuffleInput,
    StageScan,
    TaskState,
)
from ffq.plan import cut, dump_plan, model, terms
from tests.core.driver import OURS, Driver, accept, key, shares
from tests.strategies.graphs import (
    aggregate,
    broadcast_join,
    exchange,
    gather,
    join,
    operator,
    scan,
)

# --- R6, R7 ----------------------------------------------------------------------------------


def test_R6_an_unknown_worker_is_registered_without_capabilities_and_served() -> None:
    d = Driver()
    d.submit("q", scan())
    assert d.pull_one("w").key == key("q", 0, 0, 1)
    worker = d.worker("w")
    assert worker is not None
    assert (worker.capabilities, worker.family, worker.running_attempts) == ((), "", 1)


def test_R6_get_task_never_changes_the_capabilities_of_a_known_worker() -> None:
    d = Driver()
    d.beat("w", {"op.a"}, incarnation=0)
    d.pull("w")
    worker = d.worker("w")
    assert worker is not None
    assert worker.capabilities == ("op.a",)


def test_R6_capacity_0_gets_an_empty_answer() -> None:
    d = Driver()
    d.submit("q", scan())
    assert d.pull("w", 0) == ()
    assert d.status("q").state is QueryState.QUEUED


def test_R6_a_draining_worker_gets_nothing_and_may_finish_what_it_runs() -> None:
    d = Driver()
    d.submit("q", gather(scan()))
    d.beat("w")
    task = d.pull_one("w")
    d.ask(DrainWorker(WorkerId("w")))
    assert d.finish(task).counted is True
    assert d.pull("w") == ()
    assert d.beat("w").accepted is False
    worker = d.worker("w")
    assert worker is not None
    assert worker.draining
    d.beat("w", incarnation=2)
    assert d.pull_one("w").key == key("q", 0, 0, 1)


def test_R6_draining_a_worker_that_is_not_there_is_an_error() -> None:
    d = Driver()
    with pytest.raises(UnknownId, match="no live worker w") as caught:
        d.ask(DrainWorker(WorkerId("w")))
    assert caught.value.stable_reason == "UNKNOWN_WORKER"


def test_R6_a_worker_that_has_not_said_what_it_can_do_gets_nothing_yet() -> None:
    d = Driver()
    d.submit("q", scan())
    assert d.ask(GetTask(WorkerId("w"), 1, incarnation=3)) == ()
    d.beat("w", incarnation=3)
    assert d.pull_one("w").key == key("q", 0, 0, 1)


def test_R6_a_pull_without_the_incarnation_of_the_known_worker_gets_nothing() -> None:
    d = Driver()
    d.submit("q", scan())
    d.beat("w", incarnation=3)
    assert d.ask(GetTask(WorkerId("w"), 1, incarnation=0)) == ()
    assert d.ask(GetTask(WorkerId("w"), 1, incarnation=2)) == ()
    assert len(d.ask(GetTask(WorkerId("w"), 1, incarnation=3))) == 1


def test_R7_no_more_than_capacity_and_slots_per_worker_and_per_query() -> None:
    d = Driver(
        CoordinatorSettings(max_concurrent_tasks_per_worker=3, max_concurrent_tasks_per_query=4)
    )
    d.submit("q", scan(), tables={"t": 9})
    d.beat("a")
    d.beat("b")
    assert len(d.pull("a", 2)) == 2
    first, *_ = d.pull("b", 9)
    assert [str(each.key) for each in d.pull("a", 9)] == []
    assert len(d.attempts("q")) == 9
    d.submit("r", scan())
    (other,) = d.pull("a", 9)
    assert other.key.query_id == "r"
    d.finish(first)
    (more,) = d.pull("b", 9)
    assert more.key.query_id == "q"


def test_R7_slots_are_free_again_after_success_failure_and_cancel() -> None:
    d = Driver(CoordinatorSettings(max_concurrent_tasks_per_worker=1))
    for query in ("a", "b", "c", "d"):
        d.submit(query, scan())
    d.finish(d.pull_one("w"))
    d.fail(d.pull_one("w"))
    running = d.pull_one("w")
    assert d.pull("w") == ()
    d.cancel(running.key.query_id)
    assert len(d.pull("w")) == 1


def test_R7_an_answer_stays_below_the_size_a_peer_can_receive() -> None:
    one = Driver()
    one.submit("q", scan())
    given = one.pull_one("w")
    room = 2 * encoded_bytes(given) + len(given.plan_bytes) - 1
    d = Driver(CoordinatorSettings(max_assignment_bytes=room))
    for query in "abc":
        d.submit(query, scan())
    assert len(d.pull("w", 3)) == 2
    small = Driver(CoordinatorSettings(max_assignment_bytes=1))
    small.submit("q", scan())
    assert len(small.pull("w", 3)) == 1


def test_R7_R11_what_a_query_gets_in_a_run_where_it_is_alone_ends_at_each_limit() -> None:
    tables = {"t": 6}
    one = Driver()
    one.beat("w")
    one.submit("q", gather(scan("t")), tables=tables)
    given = one.pull("w", 4)
    assert [each.key.task_id for each in given] == [0, 1, 2, 3]
    size = encoded_bytes(given[0])
    for bound in (
        CoordinatorSettings(max_concurrent_tasks_per_query=3),
        CoordinatorSettings(max_concurrent_tasks_per_worker=3),
        CoordinatorSettings(max_assignment_bytes=3 * size),
    ):
        d = Driver(bound)
        d.beat("w")
        d.submit("q", gather(scan("t")), tables=tables)
        assert len(d.pull("w", 9)) == 3, bound
    shared = Driver()
    shared.beat("w")
    for query in "ab":
        shared.submit(query, gather(scan("t")), tables=tables)
    assert [each.key.query_id for each in shared.pull("w", 4)] == ["a", "b", "a", "b"]


# --- R8, R9 ----------------------------------------------------------------------------------


def test_R8_a_stage_runs_only_when_every_task_of_every_parent_has_committed() -> None:
    d = Driver()
    d.submit("q", join(scan("t"), scan("u")), tables={"t": 2, "u": 1})
    d.beat("w")
    first, second, third = d.pull("w", 9)
    assert {str(each.key) for each in (first, second, third)} == {"q/1/0/1", "q/1/1/1", "q/2/0/1"}
    d.finish(first)
    d.finish(third)
    assert d.pull("w", 9) == ()
    d.finish(second)
    assert d.pull_one("w").key == key("q", 0, 0, 1)


def test_R8_a_stage_is_laid_out_when_all_it_reads_is_known() -> None:
    d = Driver(CoordinatorSettings(adaptive_target_bytes=100))
    d.submit("q", join(scan("t"), scan("u"), 4))
    d.beat("w")
    first, second = d.pull("w", 9)
    d.finish(first, {0: 10})
    assert len(d.attempts("q")) == 2
    d.finish(second, {3: 10})
    assert [each.reduce_partitions for each in d.pull("w", 9)] == [(0, 1, 2), (3,)]


def test_R8_a_failed_parent_task_keeps_the_stage_waiting() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=0))
    d.submit("q", gather(scan()))
    d.beat("w")
    d.fail(d.pull_one("w"))
    retry = d.pull_one("w")
    assert retry.key == key("q", 1, 0, 2)
    assert d.pull("w") == ()


def test_R9_an_attempt_is_assigned_once() -> None:
    d = Driver()
    d.submit("q", scan())
    d.pull_one("a")
    assert d.pull("a") == ()
    assert d.pull("b") == ()


def test_R9_a_retry_is_assigned_when_its_backoff_is_past_and_not_before() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=100))
    d.submit("q", scan())
    d.fail(d.pull_one("w"))
    assert [d.core.scheduling.state.backoff.is_due(ms) for ms in (99, 100)] == [False, True]
    d.now_ms = 99
    assert d.pull("w") == ()
    d.now_ms = 100
    assert d.pull_one("w").key == key("q", 0, 0, 2)
    assert not len(d.core.scheduling.state.backoff)


# --- R10 -------------------------------------------------------------------------------------


def test_R10_operator_tasks_go_only_to_workers_that_name_all_of_them() -> None:
    d = Driver()
    d.submit("q", operator("op.a", operator("op.b", scan())))
    d.beat("only-a", {"op.a"})
    d.beat("neither", ())
    assert d.pull("only-a") == ()
    assert d.pull("neither") == ()
    assert d.pull("stranger") == ()
    d.beat("both", {"op.a", "op.b", "op.c"})
    assert d.pull_one("both").key == key("q", 0, 0, 1)


def test_R10_only_the_stage_with_the_operator_needs_it() -> None:
    d = Driver()
    d.submit("q", operator("op.a", exchange(scan())))
    d.beat("able", {"op.a"})
    d.beat("plain", ())
    d.finish(d.pull_one("plain"))
    assert d.pull("plain") == ()
    assert d.pull_one("able").key == key("q", 0, 0, 1)


def test_R10_a_task_becomes_assignable_as_soon_as_a_capable_worker_beats() -> None:
    d = Driver()
    d.submit("q", operator("op.a", scan()))
    d.beat("w", ())
    assert d.pull("w") == ()
    before = d.core.scheduling.version
    d.beat("w", {"op.a"})
    assert d.core.scheduling.version > before
    assert len(d.pull("w")) == 1


def test_R10_the_status_says_what_nobody_has() -> None:
    d = Driver()
    d.submit("q", operator("op.a", scan()))
    assert d.status("q").message == "waiting: no live worker"
    d.beat("w", ())
    assert d.status("q").message == "waiting: no live worker has custom operator 'op.a'"
    d.beat("w", {"op.a"})
    assert d.status("q").message == ""


def test_R10_by_default_a_query_waits_for_ever() -> None:
    d = Driver()
    d.submit("q", operator("op.a", scan()))
    d.advance(10**9)
    assert d.status("q").state is QueryState.QUEUED


def test_R10_past_the_unrunnable_timeout_the_query_fails_with_that_reason() -> None:
    d = Driver(CoordinatorSettings(unrunnable_timeout_ms=1000))
    d.now_ms = 50
    d.submit("q", operator("op.a", scan()))
    d.beat("w", ())
    d.advance(1000)
    assert d.status("q").state is QueryState.QUEUED
    d.advance(1)
    status = d.status("q")
    assert status.state is QueryState.FAILED
    assert "no live worker has custom operator 'op.a'" in status.message
    assert "longer than 1000 ms" in status.message


def test_R10_the_unrunnable_time_starts_anew_when_somebody_could_run_it() -> None:
    d = Driver(CoordinatorSettings(unrunnable_timeout_ms=1000))
    d.submit("q", operator("op.a", scan()))
    d.advance(900)
    d.beat("w", {"op.a"})
    d.advance(900)
    d.beat("w", ())
    d.advance(900)
    assert d.status("q").state is QueryState.QUEUED
    d.beat("w", ())
    d.advance(101)
    assert d.status("q").state is QueryState.FAILED


# --- R11 -------------------------------------------------------------------------------------


def test_R11_a_small_query_behind_a_huge_one_is_served_within_one_round() -> None:
    d = Driver(CoordinatorSettings(max_concurrent_tasks_per_query=10**6))
    d.submit("huge", scan(), tables={"t": 1000})
    d.beat("w")
    d.pull("w", 1)
    d.submit("small", scan(), tables={"t": 2})
    served = [each.key.query_id for each in d.pull("w", 5)]
    assert served == ["huge", "small", "huge", "small", "huge"]


def test_R11_queries_take_turns_whichever_buckets_their_stages_are_in() -> None:
    d = Driver(CoordinatorSettings(max_concurrent_tasks_per_worker=100))
    d.beat("w", {"ffq.splits", "op.a"})
    d.submit("a", operator("op.a", scan()), tables={"t": 3})
    d.submit("b", scan(), tables={"t": 3})
    d.submit("c", operator("op.a", scan()), tables={"t": 3})
    assert [each.key.query_id for each in d.pull("w", 9)] == list("abcabcabc")


def test_R11_a_query_at_its_limit_does_not_hold_others_up() -> None:
    d = Driver(CoordinatorSettings(max_concurrent_tasks_per_query=1))
    d.beat("w")
    d.submit("a", scan(), tables={"t": 3})
    d.submit("b", scan(), tables={"t": 3})
    first, second = d.pull("w", 5)
    assert [first.key.query_id, second.key.query_id] == ["a", "b"]
    d.finish(first)
    assert [each.key.query_id for each in d.pull("w", 5)] == ["a"]


# --- R31 -------------------------------------------------------------------------------------


def test_R31_all_tasks_run_on_the_family_of_the_first_assignment() -> None:
    d = Driver()
    d.submit("q", scan(), tables={"t": 4})
    d.beat("ours")
    d.beat("other", family="ffq-other")
    assert len(d.pull("other", 1)) == 1
    assert d.pull("ours") == ()
    assert d.pull("peer") == ()
    assert len(d.pull("other", 9)) == 3


def test_R31_a_query_whose_family_is_gone_says_so() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=0))
    d.submit("q", scan(), tables={"t": 2})
    d.beat("w", family="rare")
    d.pull_one("w")
    d.advance(16_000)
    d.beat("other", family="common")
    assert d.pull("other") == ()
    assert "engine family 'rare'" in d.status("q").message


def test_R31_a_family_in_which_some_stage_could_never_run_is_not_chosen() -> None:
    d = Driver()
    d.submit("q", operator("op.a", exchange(scan())))
    d.beat("able", {"op.a"}, family="with-operator")
    d.beat("plain", (), family="without")
    assert d.pull("plain") == ()
    assert d.pull_one("able").key == key("q", 1, 0, 1)


def test_R31_a_family_is_chosen_though_incomplete_when_no_other_is_complete() -> None:
    d = Driver()
    d.submit("q", operator("op.a", exchange(scan())))
    d.beat("plain", (), family="without")
    assert d.pull_one("plain").key == key("q", 1, 0, 1)


def test_R31_a_peer_without_shares_gets_one_task_per_stage_with_all_partitions() -> None:
    d = Driver()
    d.submit("q", aggregate(scan(), 4), tables={"t": 3})
    (task,) = d.pull("peer", 9)
    assert (task.key, task.task_count, task.scans, task.inputs) == (key("q", 1, 0, 1), 1, (), ())
    d.finish(task, {1: 5})
    (reducer,) = d.pull("peer", 9)
    assert (reducer.key, reducer.reduce_partitions) == (key("q", 0, 0, 1), (0, 1, 2, 3))


def test_R31_shares_of_a_started_query_are_for_workers_that_take_them() -> None:
    d = Driver()
    d.submit("q", scan(), tables={"t": 2})
    d.beat("splitter", OURS)
    d.beat("other", ())
    d.pull_one("splitter")
    assert d.pull("other") == ()
    assert "ffq.splits" not in d.status("q").message
    assert len(d.pull("splitter")) == 1


@pytest.mark.parametrize(
    "plan",
    [
        model.Limit(5, exchange(scan(), 4)),
        model.TopKByScore(terms.Column("k"), 5, exchange(scan(), 4)),
        model.FinalHashAggregate((), (), exchange(scan(), 4)),
    ],
)
def test_R31_a_limit_a_top_k_and_a_global_aggregate_are_one_task(plan: model.Node) -> None:
    d = Driver()
    d.submit("q", plan, tables={"t": 1})
    d.beat("w")
    d.finish(d.pull_one("w"), dict.fromkeys(range(4), 10**7))
    (task,) = d.pull("w", 9)
    assert (task.task_count, task.reduce_partitions) == (1, (0, 1, 2, 3))


def test_a_plan_that_peers_number_otherwise_is_kept_from_them() -> None:
    cte = model.CteRef("c", exchange(scan()))
    d = Driver()
    d.submit("q", model.UnionAll(model.UnionAll(cte, cte), exchange(scan("u"))))
    assert d.pull("peer") == ()
    d.beat("ours", ())
    assert len(d.pull("ours", 9)) == 3


def test_R22_a_repeated_cte_that_comes_last_is_for_peers_too() -> None:
    """A peer walks it once: in the copy's stage it finds nothing to do, and registers nothing."""
    cte = model.CteRef("c", exchange(scan()))
    d = Driver()
    d.submit("q", model.UnionAll(cte, cte))
    first, copy = d.pull("peer", 9)
    assert (first.key.stage_id, copy.key.stage_id) == (1, 2)
    d.finish(first, {0: 5})
    d.report(copy, TaskState.SUCCEEDED)
    sink = d.pull_one("peer")
    d.upload(sink)
    d.report(sink, TaskState.SUCCEEDED)
    assert d.status("q").state is QueryState.SUCCEEDED


# --- what an assignment says -----------------------------------------------------------------


def test_R25_a_reducer_is_told_the_committed_attempts_and_its_partitions_once() -> None:
    d = Driver(CoordinatorSettings(adaptive_target_bytes=100, retry_backoff_base_ms=0))
    d.submit("q", aggregate(scan(), 4), tables={"t": 2})
    d.beat("a")
    d.beat("b")
    first, second = d.pull_one("a"), d.pull_one("b")
    d.fail(first)
    again = d.pull_one("a")
    assert again.key.attempt == 2
    d.finish(again, {0: 10, 1: 1, 3: 10}, endpoint="a:1")
    d.finish(second, {1: 9}, endpoint="b:1")
    tasks = d.pull("a", 9)
    assert [each.reduce_partitions for each in tasks] == [(0,), (1, 2), (3,)]
    sizes = [(PartitionSize(0, 100, 10),), (PartitionSize(1, 10, 1),), (PartitionSize(3, 100, 10),)]
    others = [(), (PartitionSize(1, 90, 9),), ()]
    for task, size, other in zip(tasks, sizes, others, strict=True):
        assert task.inputs == (
            ShuffleInput(again.key.stage_id, again.key.task_id, again.key.attempt, "a:1", size),
            ShuffleInput(second.key.stage_id, second.key.task_id, second.key.attempt, "b:1", other),
        )


def test_R25_a_broadcast_side_is_read_whole_by_every_task() -> None:
    plan = broadcast_join(scan("t"), exchange(scan("u"), 3))
    d = Driver()
    d.submit("q", plan, tables={"t": 2, "u": 1})
    d.beat("w")
    d.finish(d.pull_one("w"), {0: 1, 2: 1})
    for task in d.pull("w", 9):
        (only,) = task.inputs
        assert [each.reduce_partition for each in only.partitions] == [0, 2]
        assert len(task.scans[0].splits) == 1


def test_a_scan_stage_has_a_task_for_each_share() -> None:
    d = Driver()
    d.submit("q", scan(), tables={"t": 3})
    d.beat("w")
    tasks = d.pull("w", 9)
    assert [each.scans for each in tasks] == [
        (ScanInput(0, "t", (ScanSplit("t.parquet", n, n + 1),)),) for n in range(3)
    ]
    assert {each.task_count for each in tasks} == {3}


def test_in_a_union_each_task_reads_one_leaf_and_the_schema_of_the_others() -> None:
    d = Driver()
    d.submit("q", model.UnionAll(scan("t"), scan("u")), tables={"t": 1, "u": 2})
    d.beat("w")
    ranges = [
        [
            (each.table, [(s.row_group_start, s.row_group_end) for s in each.splits])
            for each in t.scans
        ]
        for t in d.pull("w", 9)
    ]
    assert ranges == [
        [("t", [(0, 1)]), ("u", [(0, 0)])],
        [("t", [(0, 0)]), ("u", [(0, 1)])],
        [("t", [(0, 0)]), ("u", [(1, 2)])],
    ]


def test_a_scan_with_an_unknown_table_is_one_task_that_reads_all_of_the_known_ones() -> None:
    d = Driver()
    d.submit("q", model.UnionAll(scan("t"), scan("nobody")), tables={"t": 2})
    d.beat("w")
    (task,) = d.pull("w", 9)
    (known,) = task.scans
    assert (known.table, len(known.splits)) == ("t", 2)


def test_a_stage_keeps_its_layout_when_its_tasks_run_again() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=0))
    plan = exchange(scan(), 2)
    graph = cut(plan)
    scans = (StageScan(graph.stages[1].stage_id, 0, "t", ((ScanSplit("f", 0, 1),),)),)
    d.ask(accept(QueryId("q"), dump_plan(plan), plan, scans))
    d.beat("w")
    before = d.pull_one("w")
    d.report(before, TaskState.FAILED, kind=ErrorKind.OPERATOR)
    after = d.pull_one("w")
    assert (after.layout, after.scans, after.key.attempt) == (before.layout, before.scans, 2)


def test_layouts_of_different_stages_and_queries_differ() -> None:
    d = Driver()
    d.submit("a", join(scan(), scan()))
    d.submit("b", scan())
    layouts = {each.layout.fingerprint for each in d.pull("w", 9)}
    assert len(layouts) == 3


# --- R30: what an answer may hold ------------------------------------------------------------


def test_R30_an_answer_of_several_tasks_counts_the_files_that_they_read() -> None:
    """A broadcast table of many files is named in every task of the stage."""
    plan = broadcast_join(scan("t"), scan("dim"))
    for room, tasks in ((10_000, 1), (100_000, 4)):
        d = Driver(CoordinatorSettings(max_assignment_bytes=room))
        d.beat("w")
        d.submit("q", plan, {"t": 4, "dim": 100})
        assert len(d.pull("w", 8)) == tasks


def test_R30_a_task_that_no_message_holds_fails_its_query_and_says_why() -> None:
    d = Driver(CoordinatorSettings(max_task_bytes=5_000))
    d.beat("w")
    d.submit("large", broadcast_join(scan("t"), scan("dim")), {"t": 4, "dim": 100})
    d.submit("small", scan())
    assert [each.key.query_id for each in d.pull("w", 8)] == ["small"]
    status = d.status("large")
    assert status.state is QueryState.FAILED
    assert "task 0 of stage 0 is too large to be assigned: " in status.message
    assert "101 files and 0 map outputs; max_task_bytes is 5000; right would be" in status.message


def test_of_a_query_that_such_a_task_ends_nothing_is_handed_out() -> None:
    plan = scan()
    (small,) = shares(plan, {"t": 2})
    first, second = small.shares
    scans = (attrs.evolve(small, shares=(first, second * 100)),)
    d = Driver(CoordinatorSettings(max_task_bytes=5_000))
    d.beat("w")
    d.ask(accept(QueryId("q"), dump_plan(plan), plan, scans))
    d.submit("other", scan())
    assert [each.key.query_id for each in d.pull("w", 8)] == ["other"]
    assert d.status("q").state is QueryState.FAILED
