"""Joins that the size of a finished stage decides: the left side's stage waits, and is inlined or
not; the decision stands whatever is lost afterwards.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from ffq.ids import StageId
from ffq.messages import Assignment, ErrorKind, LostInput, QueryState, TaskState
from ffq.plan import cut, model
from ffq.plan.inlining import with_inlined
from ffq.plan.model import Node
from ffq.plan.properties import is_repeatable
from tests.core.driver import Driver, key
from tests.strategies.graphs import (
    adaptive_join,
    adaptive_joins,
    aggregate,
    exchange,
    gather,
    operator,
    scan,
)

# 0 reads 1, which joins 2, the left side, and 3, the right one.
JOINED = exchange(adaptive_join(scan("t"), scan("u"), 3, most=100), 2)
TABLES = {"t": 4, "u": 2}


def started(plan: Node = JOINED, capabilities: tuple[str, ...] = ("ffq.splits",)) -> Driver:
    d = Driver()
    d.submit("q", plan, TABLES)
    d.beat("a", capabilities, endpoint="a:1")
    return d


def pulled(d: Driver, worker: str = "a") -> dict[int, list[Assignment]]:
    """All that the worker is given, by stage."""
    found: dict[int, list[Assignment]] = {}
    while given := d.pull(worker, 8):
        for each in given:
            found.setdefault(each.key.stage_id, []).append(each)
    return found


def finish_all(d: Driver, tasks: list[Assignment], rows: int = 1, endpoint: str = "a:1") -> None:
    for task in tasks:
        d.finish(task, {0: rows, 1: rows}, endpoint=endpoint)


def decided(d: Driver) -> dict[int, tuple[str, ...]]:
    return {each.stage_id: each.decisions for each in d.status("q").stages if each.decisions}


def test_the_left_side_waits_for_the_right_one() -> None:
    d = started()
    first = pulled(d)
    assert {stage: len(tasks) for stage, tasks in first.items()} == {3: 2}
    d.finish(first[3][0])
    assert pulled(d) == {}
    d.finish(first[3][1])
    assert pulled(d).keys() == {1}


@pytest.mark.parametrize(("rows", "inlined"), [(1, (2, 3)), (3, (2,)), (6, ())])
def test_one_right_side_decides_several_joins(rows: int, inlined: tuple[int, ...]) -> None:
    """0 reads 1, which joins 2 and 4; 2 joins 3 and 4. The upper one takes twice as many bytes."""
    plan = exchange(adaptive_joins(scan("t"), scan("u"), 3, most=100), 2)
    d = started(plan)
    first = pulled(d)
    assert first.keys() == {4}
    finish_all(d, first[4], rows)
    while tasks := pulled(d):
        for each in tasks.values():
            finish_all(d, each)
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED
    (query,) = d.core.scheduling.state.queries.values()
    assert {each.stage_id for each in query.stages if each.inlined_into is not None} == {*inlined}
    told = [text.split(":")[0] for texts in decided(d).values() for text in texts]
    assert len(told) == 2 + len(inlined)
    for record in query.stages:
        if record.inlined_into is None:
            assert record.plan == with_inlined(cut(plan), record.stage_id, record.inlined)


def test_a_small_right_side_is_read_whole_where_the_left_one_is_scanned() -> None:
    d = started()
    finish_all(d, pulled(d)[3])  # two tasks of two partitions of ten bytes: 40
    tasks = pulled(d)[1]
    assert [task.inlined for task in tasks] == [(2,)] * 4
    assert [task.scans[0].splits[0].row_group_start for task in tasks] == [0, 1, 2, 3]
    assert {scan.table for task in tasks for scan in task.scans} == {"t"}
    for task in tasks:
        assert task.reduce_partitions == ()
        read = [
            (each.map_task, [size.reduce_partition for size in each.partitions])
            for each in task.inputs
            if each.stage_id == 3
        ]
        assert read == [(0, [0, 1]), (1, [0, 1])]
        assert {each.stage_id for each in task.inputs} == {3}
    finish_all(d, tasks)
    d.run_all("a")
    status = d.status("q")
    assert status.state is QueryState.SUCCEEDED
    assert [each.skipped for each in status.stages] == [False, False, True, False]
    assert decided(d) == {
        1: ("broadcast: stage 3 has 40 B, and stage 2 is done in place",),
        2: ("skipped: stage 3 has 40 B, and stage 1 does this one's work",),
    }


@pytest.mark.parametrize(("rows", "skipped"), [(5, True), (6, False)])
def test_so_many_bytes_are_small_and_no_more(rows: int, skipped: bool) -> None:
    d = started()
    first, second = pulled(d)[3]
    d.finish(first, {0: 5})
    d.finish(second, {2: rows})
    assert d.status("q").stages[2].skipped is skipped
    tasks = pulled(d)
    assert tasks.keys() == ({1} if skipped else {2})
    assert {task.inlined for each in tasks.values() for task in each} == {(2,) if skipped else ()}


def test_a_large_right_side_leaves_both_exchanged() -> None:
    d = started()
    finish_all(d, pulled(d)[3], rows=20)
    finish_all(d, pulled(d)[2])
    tasks = pulled(d)[1]
    assert {each.stage_id for task in tasks for each in task.inputs} == {2, 3}
    finish_all(d, tasks)
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED
    assert decided(d) == {1: ("shuffled: stage 3 has 800 B, more than 100 B",)}


def test_only_attempts_that_count_are_counted() -> None:
    d = started()
    first, second = pulled(d)[3]
    d.register(first, {0: 50})
    d.fail(first)
    d.finish(second, {0: 1})
    d.advance(10_000)
    d.beat("a", endpoint="a:1")
    finish_all(d, pulled(d)[3])
    assert d.status("q").stages[2].skipped


# --- what is lost afterwards -----------------------------------------------------------------


def test_a_decision_stands_when_the_right_side_is_lost_and_comes_back_larger() -> None:
    d = started()
    d.beat("b", endpoint="b:1")
    finish_all(d, pulled(d, "a")[3], endpoint="a:1")
    running = pulled(d, "b")[1]
    d.beat("a", incarnation=2, endpoint="a:2")  # what the old one served is lost
    d.fail(running[0])
    again = pulled(d, "a")
    assert {task.key.attempt for task in again[3]} == {2}
    assert again.keys() == {3}
    finish_all(d, again[3], rows=50, endpoint="a:2")
    assert d.status("q").stages[2].skipped
    for task in running[1:]:
        d.finish(task, endpoint="b:1")
    d.advance(10_000)
    d.beat("a", incarnation=2, endpoint="a:2")
    (retried,) = pulled(d, "a")[1]
    assert retried.inlined == (2,)
    assert {each.attempt for each in retried.inputs} == {2}
    d.finish(retried)
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED


def test_a_right_side_lost_before_it_is_finished_decides_nothing() -> None:
    d = started()
    d.beat("b", endpoint="b:1")
    d.finish(pulled(d, "a")[3][0], endpoint="a:1")
    d.beat("a", incarnation=2, endpoint="a:2")
    assert not decided(d)
    finish_all(d, pulled(d, "b")[3], rows=50, endpoint="b:1")
    assert not decided(d)
    d.advance(1_000)
    finish_all(d, pulled(d, "b")[3], rows=50, endpoint="b:1")
    assert decided(d) == {1: ("shuffled: stage 3 has 2.0 KiB, more than 100 B",)}


def test_readers_in_place_start_again_where_the_right_side_may_have_other_rows() -> None:
    d = started(
        exchange(adaptive_join(scan("t"), operator("op.a", scan("u")), 3), 2),
        ("ffq.splits", "op.a"),
    )
    finish_all(d, pulled(d)[3])
    first, reader, *others = pulled(d)[1]
    d.finish(first, endpoint="a:1")
    gone = reader.inputs[0]
    lost = (LostInput(gone.stage_id, gone.map_task, gone.attempt),)
    d.report(reader, TaskState.FAILED, "gone", kind=ErrorKind.SHUFFLE_INPUT, lost=lost)
    stage = d.status("q").stages[1]
    assert (stage.succeeded_tasks, stage.running_tasks, stage.queued_tasks) == (0, 0, 4)
    finish_all(d, pulled(d)[3], rows=50)
    d.advance(10_000)
    d.beat("a", ("ffq.splits", "op.a"), endpoint="a:1")
    again = pulled(d)[1]
    assert {task.inlined for task in again} == {(2,)}
    assert not d.finish(others[0]).counted


def test_what_an_inlined_stage_reads_is_made_again_for_the_one_that_does_its_work() -> None:
    d = started(exchange(adaptive_join(exchange(scan("t"), 3), scan("u"), 3), 2))
    # 0 reads 1, which joins 2, over an exchange from 3, and 4.
    d.beat("b", endpoint="b:1")
    tasks = pulled(d, "a")
    assert tasks.keys() == {3, 4}
    finish_all(d, tasks[3] + tasks[4], endpoint="a:1")
    joining = pulled(d, "b")[1]
    assert {task.inlined for task in joining} == {(2,)}
    assert {each.stage_id for task in joining for each in task.inputs} == {3, 4}
    d.beat("a", incarnation=2, endpoint="a:2")
    again = pulled(d, "a")
    assert again.keys() == {3, 4}
    finish_all(d, again[3] + again[4] + joining, endpoint="b:1")
    d.run_all("b")
    assert d.status("q").state is QueryState.SUCCEEDED


# --- several, and those that are not done in place -------------------------------------------

# 0 reads 1, which joins 2 and 5; 2 joins 3 and 4.
CHAIN = exchange(adaptive_join(adaptive_join(scan("t"), scan("u"), 3), scan("u"), 3), 2)


@pytest.mark.parametrize("small", [(), (4,), (5,), (4, 5)])
@pytest.mark.parametrize("order", list(permutations([4, 5])))
def test_joins_in_a_chain_are_decided_one_by_one_in_any_order(
    small: tuple[int, ...], order: tuple[int, int]
) -> None:
    d = started(CHAIN)
    tasks = pulled(d)
    assert tasks.keys() == {4, 5}
    for stage in order:
        finish_all(d, tasks[stage], rows=1 if stage in small else 50)
    inlined = {1: (2, 3) if small == (4, 5) else (2,) * (5 in small), 2: (3,) * (4 in small)}
    seen: dict[int, tuple[StageId, ...]] = {}
    while tasks := pulled(d):
        for stage, each in tasks.items():
            (seen[stage],) = {task.inlined for task in each}
            finish_all(d, each)
    assert d.status("q").state is QueryState.SUCCEEDED
    skipped = {probe for probe, build in ((2, 5), (3, 4)) if build in small}
    assert {each.stage_id for each in d.status("q").stages if each.skipped} == skipped
    assert seen == {stage: inlined.get(stage, ()) for stage in {0, 1, 2, 3} - skipped}
    (query,) = d.core.scheduling.state.queries.values()
    for record in query.stages:
        if record.inlined_into is None:
            assert record.plan == with_inlined(cut(CHAIN), record.stage_id, record.inlined)
            assert record.repeatable == is_repeatable(record.plan)


def test_it_is_not_done_in_place_where_all_of_it_would_be_one_task() -> None:
    d = started(gather(model.Limit(10, adaptive_join(scan("t"), scan("u"), 3))))
    finish_all(d, pulled(d)[3])
    assert decided(d) == {
        1: ("shuffled: stage 3 has 40 B, but without the exchange stage 1 would be one task",)
    }
    assert len(pulled(d)[2]) == 4


def test_no_task_comes_to_need_more_operators_than_a_worker_may_have() -> None:
    """Each of them is somebody's, both are nobody's: the query would wait for ever."""
    plan = adaptive_join(operator("op.a", scan("t")), scan("u"), 3)
    d = started(exchange(operator("op.b", plan), 2), ("ffq.splits", "op.a"))
    d.beat("b", ("ffq.splits", "op.b"), endpoint="b:1")
    finish_all(d, pulled(d)[3])
    assert "not every worker has the operators of stages 2 and 1" in decided(d)[1][0]
    d.run_all("a", "b")
    assert d.status("q").state is QueryState.SUCCEEDED


def test_operators_of_the_stage_done_in_place_are_asked_for() -> None:
    plan = adaptive_join(operator("op.a", scan("t")), scan("u"), 3)
    d = started(exchange(plan, 2), ("ffq.splits", "op.a"))
    d.beat("b", endpoint="b:1")
    finish_all(d, pulled(d)[3])
    assert d.status("q").stages[2].skipped
    assert pulled(d, "b") == {}
    assert pulled(d, "a").keys() == {1}


def test_a_peer_that_knows_no_such_join_is_given_none() -> None:
    d = Driver()
    d.submit("q", aggregate(adaptive_join(scan("t"), scan("u"), 3), 2), TABLES)
    assert d.pull("peer") == ()
    assert d.status("q").state is QueryState.QUEUED


def test_a_query_that_is_cancelled_before_it_is_decided_has_ended() -> None:
    d = started()
    tasks = pulled(d)[3]
    d.cancel("q")
    assert not d.finish(tasks[0]).counted
    assert decided(d) == {}


def test_attempt_keys_of_a_stage_that_is_skipped_are_unknown() -> None:
    d = started()
    finish_all(d, pulled(d)[3])
    assert {str(each.key) for each in d.attempts("q")} >= {str(key("q", 1, 0, 1))}
    assert not [each for each in d.attempts("q") if each.key.stage_id == 2]
