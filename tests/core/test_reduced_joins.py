"""Joins whose left side is finished first: where it is small, the stage of the right side reads it
too, to leave out rows; the decision stands whatever is lost afterwards.
"""

from __future__ import annotations

import pytest

from ffq.messages import ErrorKind, LostInput, QueryState, TaskState
from ffq.plan import cut
from ffq.plan.inlining import with_inlined
from ffq.plan.properties import is_repeatable
from tests.core.driver import Driver
from tests.core.test_adaptive_joins import decided, finish_all, pulled, started
from tests.strategies.graphs import adaptive_join, exchange, operator, reduced_join, scan

# 0 reads 1, which joins 2, the left side, and 3, the right one.
JOINED = exchange(reduced_join(scan("t"), scan("u"), 3, most=100), 2)


def test_the_right_side_waits_for_the_left_one_and_reads_it_whole() -> None:
    d = started(JOINED)
    first = pulled(d)
    assert {stage: len(tasks) for stage, tasks in first.items()} == {2: 4}
    finish_all(d, first[2][:3])
    assert pulled(d) == {}
    finish_all(d, first[2][3:])  # four tasks of two partitions of ten bytes
    tasks = pulled(d)
    assert {stage: len(each) for stage, each in tasks.items()} == {3: 2}
    for task in tasks[3]:
        assert task.inlined == (2,)
        assert [scan.table for scan in task.scans] == ["u"]
        assert [
            (each.stage_id, each.map_task, [size.reduce_partition for size in each.partitions])
            for each in task.inputs
        ] == [(2, at, [0, 1]) for at in range(4)]
    finish_all(d, tasks[3])
    joining = pulled(d)[1]
    assert {task.inlined for task in joining} == {()}
    assert {each.stage_id for task in joining for each in task.inputs} == {2, 3}
    finish_all(d, joining)
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED
    assert decided(d) == {
        3: ("reduced: stage 2 has 80 B, and rows with other keys are left out here",)
    }
    (query,) = d.core.scheduling.state.queries.values()
    for record in query.stages:
        assert record.plan == with_inlined(cut(JOINED), record.stage_id, record.inlined)
        assert record.repeatable == is_repeatable(record.plan)


@pytest.mark.parametrize(("rows", "reduces"), [(5, True), (6, False)])
def test_so_many_bytes_are_small_and_no_more(rows: int, reduces: bool) -> None:
    d = started(JOINED)
    first, second, *others = pulled(d)[2]
    d.finish(first, {0: 5})
    d.finish(second, {2: rows})
    for each in others:
        d.finish(each, {})
    tasks = pulled(d)
    assert tasks.keys() == {3}
    assert {task.inlined for task in tasks[3]} == {(2,) if reduces else ()}
    assert {bool(task.inputs) for task in tasks[3]} == {reduces}
    d.run_all("a")
    if not reduces:
        assert decided(d) == {3: ("not reduced: stage 2 has 110 B, more than 100 B",)}


def test_the_decision_stands_when_the_left_side_is_lost_and_comes_back_larger() -> None:
    """Those of the right side that have read it stay; one that has not reads the new one."""
    d = started(JOINED)
    d.beat("b", endpoint="b:1")
    finish_all(d, pulled(d, "a")[2], endpoint="a:1")
    done, failing = pulled(d, "b")[3]
    d.finish(done, endpoint="b:1")
    d.beat("a", incarnation=2, endpoint="a:2")  # what the old one served is lost
    d.fail(failing)
    again = pulled(d, "a")
    assert again.keys() == {2}, "the right side waits for it, like the join"
    finish_all(d, again[2], rows=50, endpoint="a:2")
    d.advance(10_000)
    d.beat("a", incarnation=2, endpoint="a:2")
    d.beat("b", endpoint="b:1")
    (retried,) = pulled(d, "a")[3]
    assert retried.inlined == (2,)
    assert {each.attempt for each in retried.inputs} == {2}
    d.finish(retried, endpoint="a:2")
    d.run_all("a", "b")
    assert d.status("q").state is QueryState.SUCCEEDED


def test_R25_both_readers_start_again_where_the_left_side_may_have_other_rows() -> None:
    """Rows left out by the keys of one run must not be joined with another."""
    able = ("ffq.splits", "op.a")
    d = started(exchange(reduced_join(operator("op.a", scan("t")), scan("u"), 3), 2), able)
    finish_all(d, pulled(d)[2])
    first, second = pulled(d)[3]
    d.finish(first, endpoint="a:1")
    d.finish(second, endpoint="a:1")
    reader = pulled(d)[1][0]
    gone = next(each for each in reader.inputs if each.stage_id == 2)
    lost = (LostInput(gone.stage_id, gone.map_task, gone.attempt),)
    d.report(reader, TaskState.FAILED, "gone", kind=ErrorKind.SHUFFLE_INPUT, lost=lost)
    stages = d.status("q").stages
    assert [stages[at].succeeded_tasks for at in (1, 2, 3)] == [0, 3, 0]
    finish_all(d, pulled(d)[2], rows=50)
    d.advance(10_000)
    d.beat("a", able, endpoint="a:1")
    again = pulled(d)
    assert {task.key.attempt for task in again[3]} == {2}
    assert {task.inlined for task in again[3]} == {(2,)}


def test_a_right_side_is_reduced_and_does_the_work_of_another_stage() -> None:
    """In whatever order that is decided."""
    plan = exchange(reduced_join(scan("t"), adaptive_join(scan("t"), scan("u"), 2), 3), 2)
    for order in ((2, 5), (5, 2)):
        d = started(plan)
        tasks = pulled(d)
        assert tasks.keys() == {2, 5}
        for stage in order:
            finish_all(d, tasks[stage])
        both = pulled(d)
        assert both.keys() == {3}
        assert {task.inlined for task in both[3]} == {(2, 4)}
        assert {each.stage_id for task in both[3] for each in task.inputs} == {2, 5}
        finish_all(d, both[3])
        d.run_all("a")
        assert d.status("q").state is QueryState.SUCCEEDED


def test_peers_on_the_fixed_wire_are_not_given_it() -> None:
    d = Driver()
    d.submit("q", JOINED, {"t": 4, "u": 2})
    d.beat("peer", ("ffq.splits",), incarnation=0)
    assert pulled(d, "peer") == {}
