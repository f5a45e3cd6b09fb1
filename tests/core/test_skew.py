"""A partition far larger than the others is shared out by ranges of map tasks (R25, R31)."""

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest

from ffq.core import CoordinatorSettings
from ffq.core.records import MapRange, TaskShare
from ffq.core.skew import find_skewed, share_out
from ffq.ids import StageId
from ffq.messages import Assignment, QueryState
from ffq.plan import cut, model
from ffq.plan.distribution import splittable_reads
from ffq.plan.model import Node
from ffq.plan.terms import JoinType
from tests.core.driver import Driver
from tests.strategies.graphs import aggregate, exchange, gather, join, operator, scan

SETTINGS = CoordinatorSettings(adaptive_skew_bytes=100, adaptive_target_bytes=1)
# 0 joins 1, of four map tasks, and 2, of two.
JOINED = join(scan("t"), scan("u"), 4)
EVEN, LARGE = {0: 4, 1: 4, 2: 4, 3: 4}, {0: 4, 1: 4, 2: 40, 3: 4}


def joined(kind: JoinType) -> Node:
    assert isinstance(JOINED, model.HashJoin)
    return attrs.evolve(JOINED, join_type=kind)


def readers(
    left: dict[int, int], right: dict[int, int], settings: CoordinatorSettings = SETTINGS
) -> tuple[Driver, list[Assignment]]:
    """The tasks of the stage that joins, each map task of a side having written the same."""
    d = Driver(settings)
    d.submit("q", JOINED, {"t": 4, "u": 2})
    for worker in ("a", "b"):
        d.beat(worker)
    while True:
        given = [each for worker in ("a", "b") for each in d.pull(worker, 8)]
        if given and given[0].key.stage_id == 0:
            return d, given
        for each in given:
            d.finish(each, left if each.key.stage_id == 1 else right)


def reads(task: Assignment) -> dict[int, list[int]]:
    """The map tasks that it reads, by stage."""
    found: dict[int, list[int]] = {}
    for each in task.inputs:
        found.setdefault(each.stage_id, []).append(each.map_task)
    return found


def test_R25_the_larger_side_of_a_large_partition_is_divided_and_the_other_read_by_all() -> None:
    d, tasks = readers(LARGE, EVEN)
    assert [list(each.reduce_partitions) for each in tasks] == [[0], [1], [2], [2], [2], [2], [3]]
    assert [reads(each) for each in tasks[2:6]] == [{1: [at], 2: [0, 1]} for at in range(4)]
    assert reads(tasks[0]) == {1: [0, 1, 2, 3], 2: [0, 1]}
    assert all(each.task_count == 7 for each in tasks)
    assert d.status("q").stages[0].decisions == (
        "skew: partition 2 has 1.6 KiB, and 4 tasks share what stage 1 gave it",
    )
    for each in tasks:
        d.finish(each)
    assert d.status("q").state is QueryState.SUCCEEDED


def test_R31_even_partitions_and_small_ones_are_left_as_they_are() -> None:
    assert len(readers(EVEN, EVEN)[1]) == 4
    large = attrs.evolve(SETTINGS, adaptive_skew_bytes=1_681)
    assert len(readers(LARGE, EVEN, large)[1]) == 4


def test_what_makes_a_partition_large_may_be_the_right_side_of_an_inner_join() -> None:
    _, tasks = readers({0: 1, 1: 1, 2: 1, 3: 1}, LARGE)
    divided = [reads(each) for each in tasks if list(each.reduce_partitions) == [2]]
    assert divided == [{1: [0, 1, 2, 3], 2: [0]}, {1: [0, 1, 2, 3], 2: [1]}]


@pytest.mark.parametrize(
    ("plan", "leaves"),
    [
        (joined(JoinType.INNER), {0, 1}),
        (joined(JoinType.LEFT), {0}),
        (joined(JoinType.SEMI), {0}),
        (joined(JoinType.ANTI), {0}),
        (joined(JoinType.RIGHT), {1}),
        (joined(JoinType.FULL), set()),
        (exchange(scan(), 3), {0}),
        (aggregate(scan(), 3), set()),
        (operator("op.a", exchange(scan(), 3)), set()),
        (model.UnionAll(exchange(scan(), 3), exchange(scan("u"), 3)), set()),
        (gather(scan()), set()),
        (model.Limit(1, exchange(scan(), 3)), set()),
        (cut(aggregate(JOINED, 3)).stages[1].fragment, {0, 1}),
    ],
)
def test_which_reads_may_be_divided(plan: Node, leaves: set[int]) -> None:
    assert splittable_reads(plan) == leaves


def test_no_row_of_a_side_that_is_given_out_without_a_match_is_divided_from_what_may_match() -> (
    None
):
    """A right side that is large is not divided below a LEFT join, nor is the small left one."""
    plan = cut(joined(JoinType.LEFT)).stages[0]
    small: dict[int, int] = {0: 1, 1: 1}
    sizes = {StageId(1): [small] * 4, StageId(2): [{0: 500, 1: 1}] * 2}
    assert find_skewed(plan, [1_004, 6, 0, 0], sizes, SETTINGS) == ()


def test_ranges_hold_about_equal_bytes_and_all_map_tasks() -> None:
    plan = cut(JOINED).stages[0]
    left = [{0: size} for size in (10, 0, 700, 10, 10, 300, 0, 300, 0)]
    sizes = {StageId(1): left, StageId(2): [{0: 1, 1: 100}]}
    (found,) = find_skewed(plan, [1_331, 100, 0, 0], sizes, SETTINGS)
    ranges = [(each.begin, each.end) for each in found.ranges]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(left)
    assert all(end == begin for (_, end), (begin, _) in pairwise(ranges))
    assert all(any(left[at][0] for at in range(*each)) for each in ranges)
    assert 2 <= len(ranges) <= 5


def test_others_of_its_group_have_a_task_of_their_own() -> None:
    plan = cut(JOINED).stages[0]
    sizes = {StageId(1): [{1: 500}, {1: 500}], StageId(2): [{0: 1}]}
    skewed = find_skewed(plan, [1, 1_000, 0, 0], sizes, SETTINGS)
    one, two = (MapRange(StageId(1), at, at + 1) for at in range(2))
    assert share_out([(0, 1, 2, 3)], skewed) == (
        TaskShare((0, 2, 3)),
        TaskShare((1,), maps=one),
        TaskShare((1,), maps=two),
    )


def test_one_output_alone_cannot_be_divided() -> None:
    plan = cut(JOINED).stages[0]
    sizes = {StageId(1): [{1: 1_000}, {}], StageId(2): [{0: 1}]}
    assert find_skewed(plan, [1, 1_000, 0, 0], sizes, SETTINGS) == ()
