"""What rows lie by above nodes of our own, which take columns by position: where rows that belong
together are in one task, and each way in which they are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ffq.plan import Parallelism, cut, terms
from ffq.plan import model as m
from ffq.plan.bound import BoundExpr, Call, Match, Phase, Place, SqlType

SCAN, HASH, ONE = Parallelism.SCAN, Parallelism.HASH, Parallelism.SINGLE
BIGINT = SqlType("BIGINT")
T = m.ParquetScan("t", None, ("k", "a"), ())
SUM = Call("+", (Place(0), Place(1)), BIGINT)


def project(node: m.Node, *exprs: BoundExpr | int, names: Sequence[str] = ()) -> m.Project:
    trees = [Place(each) if isinstance(each, int) else each for each in exprs]
    called = names or [f"c{at}" for at in range(len(trees))]
    return m.Project(tuple(zip(map(terms.Bound, trees), called, strict=True)), node)


def exchange(node: m.Node, *keys: str, partitions: int = 4) -> m.ShuffleRead:
    by = m.HashPartitioning(keys, partitions)
    return m.ShuffleRead(m.ShuffleWrite(node, by), by)


def grouped(node: m.Node, *groups: BoundExpr | int, phase: Phase = Phase.WHOLE) -> m.Aggregate:
    by = tuple(Place(each) if isinstance(each, int) else each for each in groups)
    return m.Aggregate(by, (), node, phase=phase)


def joined(match: Match, *, kind: type[m.Join] = m.Join, left: str = "c0") -> m.Join:
    sides = exchange(ROWS, left), exchange(ROWS, "c0")
    more = () if kind is m.Join else (0,)
    return kind(*sides, match, None, ((left, "c0"),), *more)


def sink(plan: m.Node) -> Parallelism:
    return cut(plan).stages[0].parallelism


ROWS = project(T, 0, 1)
BY_FIRST = exchange(ROWS, "c0")
SWAPPED = project(T, 0, 1, names=("c1", "c0"))


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (grouped(BY_FIRST, 0), HASH),
        (grouped(BY_FIRST, 1, 0), HASH),
        (grouped(BY_FIRST, 1), ONE),
        (grouped(BY_FIRST), ONE),
        (grouped(BY_FIRST, SUM), ONE),
        (grouped(exchange(ROWS, "c0", "c1"), 0), ONE),
        (grouped(exchange(ROWS, "c0", "c1"), 1, 0), HASH),
        (m.Aggregate((Place(0), Place(1)), (), BY_FIRST, ((0, 1), (1,))), ONE),
        # What a name means is what the exchange gives out under it.
        (grouped(exchange(SWAPPED, "c0"), 0), ONE),
        (grouped(exchange(SWAPPED, "c0"), 1), HASH),
        # Through a projection, and through other groups.
        (grouped(project(BY_FIRST, 1, 0), 1), HASH),
        (grouped(project(BY_FIRST, 1, 0), 0), ONE),
        (grouped(project(BY_FIRST, 1), 0), ONE),
        (grouped(project(BY_FIRST, SUM, 0), 0), ONE),
        (grouped(project(exchange(SWAPPED, "c0"), 0, 1), 0), ONE),
        (grouped(project(exchange(SWAPPED, "c0"), 0, 1), 1), HASH),
        (grouped(grouped(BY_FIRST, 1, 0), 1), HASH),
        (grouped(grouped(BY_FIRST, 1, 0), 0), ONE),
        # Of each task's own rows, wherever they lie; what it makes is not by group in one task.
        (grouped(T, 0, phase=Phase.SHARE), SCAN),
        (grouped(T, phase=Phase.SHARE), SCAN),
        (grouped(BY_FIRST, 1, phase=Phase.SHARE), HASH),
        (grouped(grouped(T, 0, phase=Phase.SHARE), 0), ONE),
        (grouped(exchange(grouped(T, 0, phase=Phase.SHARE), "c0"), 0), HASH),
    ],
)
def test_groups_are_whole_where_they_hold_the_keys(plan: m.Node, expected: Parallelism) -> None:
    assert sink(plan) is expected


@pytest.mark.parametrize(
    ("match", "left", "right"),
    [
        (Match.INNER, HASH, HASH),
        (Match.LEFT, HASH, ONE),
        (Match.SINGLE, HASH, ONE),
        (Match.RIGHT, ONE, ONE),
        (Match.FULL, ONE, ONE),
    ],
)
def test_a_join_keeps_the_keys_that_it_fills_with_no_nulls(
    match: Match, left: Parallelism, right: Parallelism
) -> None:
    assert sink(joined(match)) is HASH
    assert sink(grouped(joined(match), 0)) is left
    assert sink(grouped(joined(match), 2)) is right
    assert sink(grouped(joined(match), 1, 3)) is ONE
    assert sink(grouped(project(joined(match), 3, 2, 1, 0), 3)) is left


@pytest.mark.parametrize("match", [Match.SEMI, Match.ANTI])
def test_a_join_of_left_rows_alone_keeps_their_keys(match: Match) -> None:
    assert sink(grouped(joined(match, left="c1"), 1)) is HASH
    assert sink(grouped(joined(match, left="c1"), 0)) is ONE


@pytest.mark.parametrize("kind", [m.AdaptiveJoin, m.ReducedJoin])
def test_a_join_that_sizes_decide_keeps_none(kind: type[m.Join]) -> None:
    assert sink(joined(Match.LEFT, kind=kind)) is HASH
    assert sink(grouped(joined(Match.LEFT, kind=kind), 0)) is ONE


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (exchange(ROWS, "c0", "c1"), exchange(ROWS, "c0", "c1"), HASH),
        (exchange(ROWS, "c0"), exchange(ROWS, "c0"), HASH),
        (exchange(ROWS, "c0"), exchange(ROWS, "c1"), ONE),
        (exchange(ROWS, "c0", "c1"), exchange(ROWS, "c1", "c0"), ONE),
        (exchange(ROWS, "c0"), exchange(ROWS, "c0", "c1"), ONE),
        (exchange(ROWS, "c0"), exchange(SWAPPED, "c0"), ONE),
        (exchange(ROWS, "c0"), exchange(SWAPPED, "c1"), HASH),
        (exchange(ROWS, "c0"), exchange(ROWS, "c0", partitions=5), ONE),
        (project(exchange(ROWS, "c0"), 1, 0), project(exchange(ROWS, "c0"), 1, 0), HASH),
        (project(exchange(ROWS, "c0"), 1, 0), exchange(ROWS, "c0"), ONE),
        (T, T, ONE),
    ],
)
def test_sides_of_a_set_operation_are_hashed_by_the_same_places(
    left: m.Node, right: m.Node, expected: Parallelism
) -> None:
    assert sink(m.SetOperation(m.SetKind.EXCEPT, left, right)) is expected
