"""Which scan follows which one, and where the analysis does not know that it may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from ffq.core.layout import scan_inputs
from ffq.core.records import TaskShare
from ffq.ids import StageId
from ffq.messages import ScanSplit, StageScan
from ffq.plan import model as m
from ffq.plan.bound import (
    BoundAggregate,
    BoundExpr,
    Call,
    Conjunction,
    Constant,
    Conversion,
    Match,
    Phase,
    Place,
    SqlType,
)
from ffq.plan.ranges import Following, RangeColumn
from ffq.plan.stages import Parallelism, StagePlan, cut
from ffq.plan.terms import Bound

BIGINT, BOOLEAN = SqlType("BIGINT"), SqlType("BOOLEAN")
EQUAL = Call("=", (Place(1), Place(2)), BOOLEAN)
LESS = Call("<", (Place(0), Place(3)), BOOLEAN)
KEYS = (("c1", "c0"),)
SINGLE = m.SinglePartitioning()


def scan(table: str, *columns: str) -> m.Node:
    return projected(m.ParquetScan(table, None, columns, ()), range(len(columns)))


def projected(below: m.Node, places: Sequence[int]) -> m.Node:
    of_scan = isinstance(below, m.ParquetScan)
    exprs = [Conversion(Place(at), BIGINT) if of_scan else Place(at) for at in places]
    return m.Project(tuple((Bound(each), f"c{at}") for at, each in enumerate(exprs)), below)


LEFT, RIGHT = scan("a", "v", "k"), scan("b", "k", "w")
"""Their keys are columns 1 and 0; of both together 1 and 2."""


def joined(
    left: m.Node = LEFT,
    right: m.Node = RIGHT,
    match: Match = Match.INNER,
    condition: BoundExpr | None = EQUAL,
    keys: tuple[tuple[str, str], ...] = KEYS,
    *,
    right_leads: bool = False,
) -> m.RangeJoin:
    return m.RangeJoin(left, right, match, condition, keys, right_leads)


def stage(node: m.Node) -> StagePlan:
    return cut(node).stages[0]


def follows(node: m.Node) -> list[Following]:
    return [scan.follows for scan in stage(node).scans if scan.follows]


def shared(node: m.Node) -> list[str]:
    return [scan.table for scan in stage(node).scans if scan.split]


def by(name: str) -> RangeColumn:
    return RangeColumn(name, BIGINT)


@pytest.mark.parametrize("match", [Match.INNER, Match.LEFT, Match.SEMI, Match.ANTI])
def test_the_right_scan_follows_the_left_one(match: Match) -> None:
    node = joined(match=match)
    assert follows(node) == [Following(1, by("k"), 0, by("k"))]
    assert shared(node) == ["a"]
    assert stage(node).parallelism is Parallelism.SCAN


def test_of_an_inner_join_the_right_side_may_lead() -> None:
    node = joined(right_leads=True)
    assert follows(node) == [Following(0, by("k"), 1, by("k"))]
    assert shared(node) == ["b"]
    for match in set(Match) - {Match.INNER}:
        assert not follows(joined(match=match, right_leads=True))


def test_more_conditions_filters_and_columns_in_another_order_change_nothing() -> None:
    keep = Bound(Call("<", (Place(0), Constant(BIGINT, 5)), BOOLEAN))
    left = projected(m.Filter(keep, scan("a", "k", "u", "v")), [2, 0])
    right = m.CteRef("cte0", m.CoalesceBatches(10, m.Filter(keep, RIGHT)))
    node = joined(left, right, condition=Conjunction((LESS, EQUAL), any=False))
    assert follows(node) == [Following(1, by("k"), 0, by("k"))]


def test_a_side_may_be_joined_with_what_every_task_has() -> None:
    small = m.Broadcast(scan("s", "x"))
    left = m.Join(LEFT, small, Match.SEMI, None, ())
    right = projected(m.Join(scan("b", "w", "k"), small, Match.INNER, None, ()), [1, 0])
    node = joined(left, right)
    assert follows(node) == [Following(2, by("k"), 0, by("k"))]
    assert shared(node) == ["a"]


@pytest.mark.parametrize("right_leads", [False, True])
@pytest.mark.parametrize("place", [1, 2])
def test_several_scans_follow_one(place: int, *, right_leads: bool) -> None:
    """Also by the key that the follower before has."""
    below = joined(right_leads=right_leads)
    same = Call("=", (Place(place), Place(4)), BOOLEAN)
    node = joined(below, scan("c", "k"), condition=same, keys=((f"c{place}", "c0"),))
    leads = 1 if right_leads else 0
    assert follows(node) == [
        Following(1 - leads, by("k"), leads, by("k")),
        Following(2, by("k"), leads, by("k")),
    ]


def grouped(below: m.Node, *aggregates: BoundAggregate, **more: Any) -> m.Node:
    """By the first of two columns."""
    return m.Aggregate((Place(0),), aggregates, below, **more)


SUM = BoundAggregate("sum", (Place(1),), BIGINT, arg_types=(BIGINT,))
COUNT = BoundAggregate("count", (), BIGINT)
KEEP = Bound(Call("<", (Place(1), Constant(BIGINT, 5)), BOOLEAN))


@pytest.mark.parametrize("match", [Match.INNER, Match.LEFT, Match.SEMI, Match.ANTI])
def test_what_follows_may_be_grouped_by_the_key(match: Match) -> None:
    """Of each key of its share a task has all rows."""
    right = projected(m.Filter(KEEP, grouped(RIGHT, SUM, COUNT)), [0, 2])
    node = joined(right=right, match=match)
    assert follows(node) == [Following(1, by("k"), 0, by("k"))]
    assert shared(node) == ["a"]
    if match is Match.INNER:
        condition = Call("=", (Place(0), Place(3)), BOOLEAN)
        turned = joined(right, LEFT, condition=condition, keys=(("c0", "c1"),), right_leads=True)
        assert follows(turned) == [Following(0, by("k"), 1, by("k"))]


def _exchanged(below: m.Node) -> m.Node:
    return m.ShuffleRead(m.ShuffleWrite(below, SINGLE), SINGLE)


RANDOM = m.Filter(
    Bound(Call("<", (Call("random", (), SqlType("DOUBLE")), Constant(BIGINT, 1)), BOOLEAN)), RIGHT
)
_REFUSED = {
    "a full join": joined(match=Match.FULL),
    "a right join": joined(match=Match.RIGHT),
    "a mark": joined(match=Match.MARK),
    "no condition": joined(condition=None),
    "another condition": joined(condition=LESS),
    "nulls are alike": joined(
        condition=Call("IS NOT DISTINCT FROM", (Place(1), Place(2)), BOOLEAN)
    ),
    "one of two conditions": joined(condition=Conjunction((LESS, EQUAL), any=True)),
    "columns that are not the keys": joined(condition=Call("=", (Place(0), Place(3)), BOOLEAN)),
    "no keys": joined(keys=()),
    "two keys": joined(keys=(*KEYS, ("c0", "c1"))),
    "keys of no name of a column": joined(keys=(("c-1", "k"),)),
    "keys that are not there": joined(keys=(("c9", "c9"),)),
    "a key that is computed": joined(
        projected(m.Project(((Bound(LESS), "c0"), (Bound(LESS), "c1")), LEFT), [0, 1])
    ),
    "a cast over a column": joined(
        m.Project(((Bound(Place(0)), "c0"), (Bound(Conversion(Place(1), BIGINT)), "c1")), LEFT)
    ),
    "an exchange on the left": joined(_exchanged(LEFT)),
    "an exchange on the right": joined(right=_exchanged(RIGHT)),
    "a limit": joined(right=m.Limit(5, RIGHT)),
    "a union": joined(right=m.UnionAll(RIGHT, RIGHT)),
    "groups of what leads": joined(projected(grouped(RIGHT), [0, 0])),
    "groups by another column": joined(right=projected(grouped(scan("b", "w", "k"), SUM), [1, 0])),
    "groups of several sets": joined(right=grouped(RIGHT, sets=((0,), ()))),
    "groupings": joined(right=grouped(RIGHT, groupings=((0,),))),
    "states": joined(right=grouped(RIGHT, SUM, phase=Phase.STATES)),
    "sums of floats": joined(
        right=grouped(RIGHT, attrs.evolve(SUM, arg_types=(SqlType("DOUBLE"),)))
    ),
    "sums of what is not told": joined(right=grouped(RIGHT, attrs.evolve(SUM, arg_types=()))),
    "the first value": joined(right=grouped(RIGHT, attrs.evolve(SUM, name="first"))),
    "groups of what every task has": joined(right=grouped(m.Broadcast(RIGHT))),
    "what every task has": joined(m.Broadcast(LEFT)),
    "chance": joined(right=RANDOM),
    "a follower of its own": joined(right=projected(joined(), [1, 0])),
    "a column of a side that all tasks have": joined(
        projected(
            m.Join(scan("s", "v"), m.Broadcast(scan("a", "k")), Match.INNER, None, ()), [0, 1]
        )
    ),
}


@pytest.mark.parametrize("name", list(_REFUSED))
def test_elsewhere_one_task_sees_all_rows(name: str) -> None:
    node = _REFUSED[name]
    assert not [each for each in follows(node) if each.leads == 0 and each.leaf == 1]
    assert stage(node).parallelism is Parallelism.SINGLE


def test_where_the_right_side_is_whole_the_join_is_any_other() -> None:
    node = joined(right=m.Broadcast(RIGHT))
    assert not follows(node)
    assert stage(node).parallelism is Parallelism.SCAN


def test_each_task_has_what_is_beside_its_share_and_one_alone_all() -> None:
    plan = stage(m.UnionAll(projected(joined(), [0]), projected(joined(), [0])))
    assert [(each.leads, each.leaf) for each in (s.follows for s in plan.scans) if each] == [
        (0, 1),
        (2, 3),
    ]

    def splits(*names: str) -> tuple[tuple[ScanSplit, ...], ...]:
        return tuple((ScanSplit(name, 0, 1),) for name in names)

    shares = [splits("a0", "a1"), splits("b0", "b1", "b"), splits("c0"), splits("d0", "d")]
    scans = {
        leaf: StageScan(StageId(0), leaf, plan.scans[leaf].table, each)
        for leaf, each in enumerate(shares)
    }

    def read(task: TaskShare) -> list[str]:
        inputs = scan_inputs(plan, scans, task)
        return [split.path if not split.empty else "" for one in inputs for split in one.splits]

    assert read(TaskShare(scan=(0, 0))) == ["a0", "b0", "", ""]
    assert read(TaskShare(scan=(0, 1))) == ["a1", "b1", "", ""]
    assert read(TaskShare(scan=(2, 0))) == ["", "", "c0", "d0"]
    assert read(TaskShare()) == ["a0", "a1", "b", "c0", "d"]
