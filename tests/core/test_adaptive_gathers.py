"""Gathers that the size of what is gathered from decides: where little is read, the stage below is
inlined into the one that gathers; the decision stands whatever is lost afterwards.
"""

from __future__ import annotations

import pytest

from ffq.ids import Attempt, StageId, TaskId
from ffq.messages import ErrorKind, LostInput, QueryState, TaskState
from ffq.plan import model
from ffq.plan.model import Node
from tests.core.driver import Driver
from tests.core.test_adaptive_joins import decided, finish_all, pulled, started
from tests.strategies.graphs import (
    adaptive_gather,
    adaptive_join,
    aggregate,
    gather,
    operator,
    scan,
)


def first(below: Node, most: int) -> Node:
    """Ten rows, of all that is gathered."""
    return model.Limit(10, adaptive_gather(below, most))


# 0 gathers from 1, which groups what 2 scans.
GATHERED = first(aggregate(scan("t"), 3), 100)


def skipped(d: Driver) -> list[int]:
    return [each.stage_id for each in d.status("q").stages if each.skipped]


def test_little_is_done_where_it_is_gathered() -> None:
    d = started(GATHERED)
    finish_all(d, pulled(d)[2])  # four tasks of two partitions of ten bytes: 80
    ((task,),) = pulled(d).values()
    assert (task.key.stage_id, task.inlined, task.task_count) == (0, (1,), 1)
    read = [
        (each.stage_id, each.map_task, [size.reduce_partition for size in each.partitions])
        for each in task.inputs
    ]
    assert read == [(2, map_task, [0, 1]) for map_task in range(4)]
    assert decided(d) == {
        0: ("in place: stage 1 reads 80 B, and is done here",),
        1: ("skipped: it reads 80 B, and stage 0 does this one's work",),
    }
    d.run_all("a")
    d.finish(task)
    assert d.status("q").state is QueryState.SUCCEEDED


@pytest.mark.parametrize(("last", "little"), [(4, True), (5, False)])
def test_so_many_bytes_are_little_and_no_more(last: int, little: bool) -> None:
    d = started(GATHERED)
    first, *tasks = pulled(d)[2]
    d.finish(first, {0: last})
    for task in tasks:
        d.finish(task, {2: 2})
    assert skipped(d) == ([1] if little else [])
    assert pulled(d).keys() == ({0} if little else {1})


def test_much_is_shared_out_and_then_gathered() -> None:
    d = started(GATHERED)
    finish_all(d, pulled(d)[2], rows=5)
    tasks = pulled(d)[1]
    assert len(tasks) > 1
    for task in tasks:
        d.finish(task)
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED
    assert decided(d) == {0: ("gathered: stage 1 reads 400 B, more than 100 B",)}


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (first(scan("t"), 10**9), "what is scanned has no size yet, and is shared out"),
        (
            first(operator("op.a", aggregate(scan("t"), 3)), 10**9),
            "not every worker that may gather has the operator",
        ),
        (model.Limit(10, gather(aggregate(scan("t"), 3))), "nothing says that it may be"),
        (
            adaptive_gather(aggregate(scan("t"), 3), 10**9),
            "without the exchange the one that gathers would be several tasks",
        ),
    ],
)
def test_it_is_not_inlined(plan: Node, why: str) -> None:
    d = started(plan, ("ffq.splits", "op.a"))
    d.run_all("a")
    assert d.status("q").state is QueryState.SUCCEEDED
    assert skipped(d) == [], why


def test_a_decision_stands_when_what_was_little_is_lost_and_comes_back_as_much() -> None:
    d = started(GATHERED)
    finish_all(d, pulled(d)[2])
    (task,) = pulled(d)[0]
    lost = tuple(LostInput(StageId(2), TaskId(each), Attempt(1)) for each in range(4))
    d.report(task, TaskState.FAILED, kind=ErrorKind.SHUFFLE_INPUT, lost=lost)
    again = pulled(d)
    assert again.keys() == {2}
    finish_all(d, again[2], rows=50)
    d.advance(10_000)
    d.beat("a", endpoint="a:1")
    (retried,) = pulled(d)[0]
    assert retried.inlined == (1,)
    assert {each.attempt for each in retried.inputs} == {2}
    d.finish(retried)
    assert d.status("q").state is QueryState.SUCCEEDED


def test_a_decision_stands_when_what_was_much_is_lost_and_comes_back_as_little() -> None:
    d = started(GATHERED)
    finish_all(d, pulled(d)[2], rows=50)
    running = pulled(d)[1]
    lost = tuple(LostInput(StageId(2), TaskId(each), Attempt(1)) for each in range(4))
    d.report(running[0], TaskState.FAILED, kind=ErrorKind.SHUFFLE_INPUT, lost=lost)
    for task in running[1:]:
        d.finish(task)
    finish_all(d, pulled(d)[2], rows=0)
    d.advance(10_000)
    d.beat("a", endpoint="a:1")
    assert skipped(d) == []
    assert pulled(d).keys() == {1}


def test_a_join_whose_sides_are_exchanged_is_done_in_place_too() -> None:
    """Two decisions about one stage: its join's first."""
    d = started(first(adaptive_join(scan("t"), scan("u"), 3, most=0), 10**6))
    finish_all(d, pulled(d)[3])
    finish_all(d, pulled(d)[2])
    (task,) = pulled(d)[0]
    assert task.inlined == (1,)
    assert {each.stage_id for each in task.inputs} == {2, 3}
    assert skipped(d) == [1]


def test_a_join_that_scans_in_place_is_shared_out() -> None:
    d = started(first(adaptive_join(scan("t"), scan("u"), 3, most=10**6), 10**6))
    finish_all(d, pulled(d)[3])
    tasks = pulled(d)[1]
    assert len(tasks) == 4
    assert {task.inlined for task in tasks} == {(2,)}
