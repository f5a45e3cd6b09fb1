"""Joins whose right side gives out its keys apart: where its rows are many and its keys few, the
stage of the left side reads the keys, to leave out rows; the decision stands whatever is lost
afterwards.
"""

from __future__ import annotations

import pytest

from ffq.messages import Assignment, ErrorKind, LostInput, QueryState
from ffq.messages import TaskState as State
from ffq.plan import cut
from ffq.plan.inlining import with_inlined
from ffq.plan.properties import is_repeatable
from tests.core.driver import Driver
from tests.core.test_adaptive_joins import decided, pulled, started
from tests.strategies.graphs import exchange, keyed_join, keyed_joins, operator, scan

# 0 reads 1, which joins 2, the left side, and 3, the right one of two tasks; ten bytes a row.
JOINED = exchange(keyed_join(scan("t"), scan("u"), 3, most=100, keys=50), 2)
KEYS = 3
"""The partition of keys, behind those of rows."""


def finish_all(
    d: Driver, tasks: list[Assignment], rows: int, keys: int = 0, endpoint: str = "a:1"
) -> None:
    for task in tasks:
        d.finish(task, {0: rows, 1: rows} | ({KEYS: keys} if keys else {}), endpoint=endpoint)


def reads(task: Assignment) -> list[tuple[int, int, list[int]]]:
    return [
        (each.stage_id, each.map_task, [size.reduce_partition for size in each.partitions])
        for each in task.inputs
    ]


def test_the_left_side_reads_the_keys_of_a_large_right_side_and_no_row_of_it() -> None:
    d = started(JOINED)
    first = pulled(d)
    assert {stage: len(tasks) for stage, tasks in first.items()} == {3: 2}
    finish_all(d, first[3], rows=3, keys=2)
    tasks = pulled(d)
    assert {stage: len(each) for stage, each in tasks.items()} == {2: 4}
    for task in tasks[2]:
        assert task.inlined == (3,)
        assert [scan.table for scan in task.scans] == ["t"]
        assert reads(task) == [(3, 0, [KEYS]), (3, 1, [KEYS])]
    finish_all(d, tasks[2], rows=1)
    joining = pulled(d)[1]
    assert {task.inlined for task in joining} == {()}
    for task in joining:
        mine = set(task.reduce_partitions)
        assert KEYS not in mine
        assert all(mine.issuperset(each) for _, _, each in reads(task))
    finish_all(d, joining, rows=1)
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED
    assert decided(d) == {
        1: ("shuffled: stage 3 has 120 B, more than 100 B",),
        2: ("reduced: the keys of stage 3 have 40 B, and rows with others are left out here",),
    }
    (query,) = d.core.scheduling.state.queries.values()
    for record in query.stages:
        assert record.plan == with_inlined(cut(JOINED), record.stage_id, record.inlined)
        assert record.repeatable == is_repeatable(record.plan)


@pytest.mark.parametrize(
    ("rows", "keys", "inlined"),
    [
        ((2, 3), (9, 9), {1: {(2,)}}),  # so few rows are read whole, however many keys they have
        ((2, 4), (2, 3), {2: {(3,)}}),
        ((2, 4), (2, 4), {2: {()}}),
        ((2, 4), (0, 0), {2: {(3,)}}),  # nobody gave out a key: all rows are left out
        ((0, 0), (0, 0), {1: {(2,)}}),
    ],
)
def test_rows_and_keys_each_decide_up_to_their_bound(
    rows: tuple[int, int], keys: tuple[int, int], inlined: dict[int, set[tuple[int, ...]]]
) -> None:
    d = started(JOINED)
    for task, some, few in zip(pulled(d)[3], rows, keys, strict=True):
        finish_all(d, [task], some, few)
    tasks = pulled(d)
    assert {stage: {task.inlined for task in each} for stage, each in tasks.items()} == inlined
    for each in tasks.values():
        finish_all(d, each, rows=1)
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED
    if inlined == {2: {()}}:
        assert decided(d)[2] == ("not reduced: the keys of stage 3 have 60 B, more than 50 B",)


@pytest.mark.parametrize(
    ("rows", "keys", "skipped", "reduced"),
    [(1, 1, {2, 3}, set()), (3, 1, {2}, {3}), (3, 9, {2}, set()), (6, 1, set(), {2, 3})],
)
def test_one_right_side_decides_each_join_for_itself(
    rows: int, keys: int, skipped: set[int], reduced: set[int]
) -> None:
    """0 reads 1, which joins 2 and 4; 2 joins 3 and 4. The upper one takes twice as many bytes."""
    plan = exchange(keyed_joins(scan("t"), scan("u"), 3, most=100, keys=50), 2)
    d = started(plan)
    finish_all(d, pulled(d)[4], rows, keys)
    while tasks := pulled(d):
        for each in tasks.values():
            finish_all(d, each, rows=1)
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED
    (query,) = d.core.scheduling.state.queries.values()
    assert {each.stage_id for each in query.stages if each.inlined_into is not None} == skipped
    assert {each.stage_id for each in query.stages if 4 in each.inlined} == reduced
    for record in query.stages:
        if record.inlined_into is None:
            assert record.plan == with_inlined(cut(plan), record.stage_id, record.inlined)


def test_the_decision_stands_when_the_right_side_is_lost_and_comes_back_with_more_keys() -> None:
    """What has read the keys stays; what has not reads the new ones."""
    d = started(JOINED)
    d.beat("b", endpoint="b:1")
    finish_all(d, pulled(d, "a")[3], rows=3, keys=2)
    done, *others = pulled(d, "b")[2]
    d.finish(done, endpoint="b:1")
    d.beat("a", incarnation=2, endpoint="a:2")  # what the old one served is lost
    for each in others:
        d.fail(each)
    again = pulled(d, "a")
    assert again.keys() == {3}, "the left side waits for it, like the join"
    finish_all(d, again[3], rows=50, keys=50, endpoint="a:2")
    d.advance(10_000)
    d.beat("a", incarnation=2, endpoint="a:2")
    d.beat("b", endpoint="b:1")
    retried = pulled(d, "a")[2]
    assert {task.inlined for task in retried} == {(3,)}
    assert {each.attempt for task in retried for each in task.inputs} == {2}
    assert {tuple(each) for task in retried for _, _, each in reads(task)} == {(KEYS,)}
    for each in retried:
        d.finish(each, endpoint="a:2")
    d.run_all("a", "b")
    assert d.status("q").state is QueryState.SUCCEEDED


def test_R25_both_readers_start_again_where_the_right_side_may_have_other_rows() -> None:
    """Rows left out by the keys of one run must not be joined with another."""
    able = ("ffq.splits", "op.a")
    plan = exchange(keyed_join(scan("t"), operator("op.a", scan("u")), 3, most=0, keys=50), 2)
    d = started(plan, able)
    finish_all(d, pulled(d)[3], rows=3, keys=2)
    finish_all(d, pulled(d)[2], rows=1)
    reader = pulled(d)[1][0]
    gone = next(each for each in reader.inputs if each.stage_id == 3)
    lost = (LostInput(gone.stage_id, gone.map_task, gone.attempt),)
    d.report(reader, State.FAILED, "gone", kind=ErrorKind.SHUFFLE_INPUT, lost=lost)
    stages = d.status("q").stages
    assert [stages[at].succeeded_tasks for at in (1, 2, 3)] == [0, 0, 1]
    finish_all(d, pulled(d)[3], rows=3, keys=50)
    d.advance(10_000)
    d.beat("a", able, endpoint="a:1")
    again = pulled(d)
    assert {task.key.attempt for task in again[2]} == {2}
    assert {task.inlined for task in again[2]} == {(3,)}


def test_peers_on_the_fixed_wire_are_not_given_it() -> None:
    d = Driver()
    d.submit("q", JOINED, {"t": 4, "u": 2})
    d.beat("peer", ("ffq.splits",), incarnation=0)
    assert pulled(d, "peer") == {}
