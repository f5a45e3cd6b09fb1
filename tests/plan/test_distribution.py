"""What a stage may share out over tasks: each rule, and each way to break it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ffq.plan import Parallelism, cut, terms
from ffq.plan import model as m

T = m.ParquetScan("t", None, None, ())
U = m.ParquetScan("u", None, None, ())
# Of T and U the plan does not say what columns they have.
T_KA = m.ParquetScan("t", None, ("k", "a"), ())
U_JB = m.ParquetScan("u", None, ("j", "b"), ())
U_KB = m.ParquetScan("u", None, ("k", "b"), ())
SINGLE = m.SinglePartitioning()
ALL_JOINS = tuple(terms.JoinType)
Inner, Left, Right, Full, Semi, Anti = ALL_JOINS
SCAN, HASH, ONE = Parallelism.SCAN, Parallelism.HASH, Parallelism.SINGLE


def exchange(node: m.Node, *keys: str, partitions: int = 4) -> m.ShuffleRead:
    partitioning = m.HashPartitioning(keys, partitions)
    return m.ShuffleRead(m.ShuffleWrite(node, partitioning), partitioning)


def gathered(node: m.Node = T) -> m.ShuffleRead:
    return m.ShuffleRead(m.ShuffleWrite(node, SINGLE), SINGLE)


def join(
    left: m.Node,
    right: m.Node,
    how: terms.JoinType = Inner,
    on: Sequence[tuple[str, str]] = (("k", "k"),),
    hint: terms.JoinStrategy = terms.JoinStrategy.AUTO,
) -> m.HashJoin:
    return m.HashJoin(left, right, tuple(on), how, hint, terms.BuildSide.RIGHT)


def final(node: m.Node, *groups: str | terms.Expr) -> m.FinalHashAggregate:
    exprs = tuple(terms.Column(g) if isinstance(g, str) else g for g in groups)
    return m.FinalHashAggregate(exprs, (), m.PartialHashAggregate(exprs, (), node))


def exchanged(groups: Sequence[str | terms.Expr], *keys: str, called: Sequence[str] = ()) -> m.Node:
    """An aggregate with an exchange between its phases; `called`: what the final one calls them."""
    exprs = tuple(terms.Column(g) if isinstance(g, str) else g for g in groups)
    partial = m.PartialHashAggregate(exprs, (), T)
    names = tuple(map(terms.Column, called)) or exprs
    return m.FinalHashAggregate(names, (), exchange(partial, *keys))


def project(node: m.Node, **columns: str) -> m.Project:
    return m.Project(tuple((terms.Column(old), new) for new, old in columns.items()), node)


def window(node: m.Node, *partition_by: str) -> m.Window:
    exprs = tuple(terms.Column(name) for name in partition_by)
    row_number = terms.WindowExpr(terms.WindowFunction("RowNumber"), exprs, (), None, "n")
    return m.Window((row_number,), node)


def sink(plan: m.Node) -> Parallelism:
    return cut(plan).stages[0].parallelism


WIDE = exchange(T, "k")


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        # Leaves, and nodes that pass their child's distribution.
        (T, SCAN),
        (WIDE, HASH),
        (exchange(T), ONE),
        (gathered(), ONE),
        (m.Filter(terms.Column("a"), T), SCAN),
        (m.CoalesceBatches(10, WIDE), HASH),
        (m.CteRef("c", m.Custom("op", (), T)), SCAN),
        (m.Custom("op", (), WIDE), HASH),
        (m.PartialHashAggregate((), (), T), SCAN),
        (m.Broadcast(T), ONE),
        # R31, and what must happen once.
        (m.Limit(1, T), ONE),
        (m.TopKByScore(terms.Column("a"), 1, WIDE), ONE),
        (final(WIDE), ONE),
        (m.Filter(terms.Column("a"), m.Limit(1, WIDE)), ONE),
        (m.ParquetWrite("out", T), ONE),
        (m.ExistsSubqueryFilter(T, U, False), ONE),
        (m.VectorTopK("t", (), 1, None), ONE),
        # A grouped aggregate: the hash keys must be group columns.
        (final(WIDE, "k"), HASH),
        (final(WIDE, "a", "k"), HASH),
        (final(WIDE, "a"), ONE),
        (final(exchange(T, "k", "j"), "k"), ONE),
        (final(T, "k"), ONE),
        (final(WIDE, terms.ColumnRef("k", 7)), ONE),
        (exchanged(["a", terms.ColumnRef("k", 7)], "k"), HASH),
        (final(final(WIDE, "k", "a"), "k"), HASH),
        (m.FinalHashAggregate((terms.Column("k"),), (), WIDE), ONE),
        # Its groups are taken by position, whatever it calls them.
        (m.FinalHashAggregate((terms.Column("k"),), (), exchange(T_KA, "a")), ONE),
        (m.FinalHashAggregate((terms.Column("x"),), (), exchange(T_KA, "k")), HASH),
        (final(exchanged(["k"], "k", called=["x"]), "x"), HASH),
        (final(exchanged(["k", "a"], "k", called=["a", "k"]), "k"), ONE),
        # Keys through a projection.
        (final(project(WIDE, key="k"), "key"), HASH),
        (final(project(WIDE, k="a"), "k"), ONE),
        (final(m.Project(((terms.ColumnRef("k", 0), "k"),), WIDE), "k"), ONE),
        (final(m.Custom("op", (), WIDE), "k"), ONE),
        # Windows.
        (window(WIDE, "a", "k"), HASH),
        (window(WIDE, "a"), ONE),
        (window(exchange(T, "k", "j"), "k"), ONE),
        (window(T, "k"), ONE),
        (m.OverWindows((), T), ONE),
        (m.OverWindows((), T, partial=True), SCAN),
        (final(window(WIDE, "k"), "k"), HASH),
        (final(window(exchange(T, "n"), "n"), "n"), ONE),
        (final(window(exchange(project(T, n="k"), "n"), "n"), "n"), HASH),
        # Unions.
        (m.UnionAll(T, U), SCAN),
        (m.UnionAll(WIDE, exchange(U, "j")), HASH),
        (m.UnionAll(WIDE, exchange(U, "k", partitions=5)), ONE),
        (m.UnionAll(T, WIDE), ONE),
        (m.UnionAll(T, m.Broadcast(U)), ONE),
        (final(m.UnionAll(WIDE, exchange(U, "k")), "k"), ONE),
    ],
)
def test_parallelism_of_a_stage(plan: m.Node, expected: Parallelism) -> None:
    assert sink(plan) is expected


@pytest.mark.parametrize("how", ALL_JOINS)
def test_a_join_of_sides_hashed_by_the_join_keys_is_shared_out(how: terms.JoinType) -> None:
    assert sink(join(WIDE, exchange(U, "k"), how)) is HASH


@pytest.mark.parametrize(
    ("left", "right", "on"),
    [
        (exchange(T, "a"), exchange(U, "b"), [("x", "y"), ("a", "b")]),
        (exchange(T, "a", "b"), exchange(U, "c", "d"), [("b", "d"), ("a", "c")]),
        (project(exchange(T, "a"), k="a"), exchange(U, "k"), [("k", "k")]),
    ],
)
def test_hash_keys_may_be_some_of_the_join_keys(
    left: m.Node, right: m.Node, on: list[tuple[str, str]]
) -> None:
    assert sink(join(left, right, on=on)) is HASH


@pytest.mark.parametrize(
    ("left", "right", "on"),
    [
        (WIDE, exchange(U, "k", partitions=5), [("k", "k")]),
        (WIDE, exchange(U, "j"), [("k", "k")]),
        (exchange(T, "a", "b"), exchange(U, "d", "c"), [("a", "c"), ("b", "d")]),
        (exchange(T, "a", "b"), exchange(U, "c"), [("a", "c"), ("b", "d")]),
        (exchange(T, "a", "b"), exchange(U, "c", "x"), [("a", "c"), ("b", "d")]),
        (WIDE, U, [("k", "k")]),
        (T, U, [("k", "k")]),
        (WIDE, gathered(U), [("k", "k")]),
        (WIDE, exchange(U, "k"), []),
    ],
)
def test_a_join_of_sides_that_lie_otherwise_is_one_task(
    left: m.Node, right: m.Node, on: list[tuple[str, str]]
) -> None:
    assert sink(join(left, right, on=on)) is ONE


@pytest.mark.parametrize("how", ALL_JOINS)
def test_which_side_may_be_broadcast(how: terms.JoinType) -> None:
    right_whole, left_whole = {Inner, Left, Semi, Anti}, {Inner, Right}
    for split, parallelism in ((T, SCAN), (WIDE, HASH)):
        whole_right = sink(join(split, m.Broadcast(U), how))
        assert whole_right is (parallelism if how in right_whole else ONE)
        whole_left = sink(join(m.Broadcast(U), split, how))
        assert whole_left is (parallelism if how in left_whole else ONE)


def test_a_strategy_hint_broadcasts_without_the_node() -> None:
    by_right, by_left = terms.JoinStrategy.BROADCAST_RIGHT, terms.JoinStrategy.BROADCAST_LEFT
    stage = cut(join(T, U, hint=by_right)).stages[0]
    assert [scan.split for scan in stage.scans] == [True, False]
    stage = cut(join(T, gathered(U), hint=by_right)).stages[0]
    assert stage.parallelism is SCAN
    assert [source.whole for source in stage.parents] == [True]
    stage = cut(join(T, U, hint=by_left)).stages[0]
    assert [scan.split for scan in stage.scans] == [False, True]
    assert sink(join(T, U, Left, hint=by_left)) is ONE
    assert sink(join(T, U, hint=terms.JoinStrategy.SHUFFLE)) is ONE


def test_a_whole_side_reads_everything_below_it_whole() -> None:
    side = m.Broadcast(join(exchange(U, "k"), m.UnionAll(U, gathered(U))))
    stage = cut(join(WIDE, side)).stages[0]
    assert stage.parallelism is HASH
    assert [source.whole for source in stage.parents] == [False, True, True]
    assert [scan.split for scan in stage.scans] == [False]


@pytest.mark.parametrize(
    "side",
    [
        m.Limit(1, U),
        m.TopKByScore(terms.Column("a"), 1, U),
        m.Custom("op", (), U),
        final(U),
        window(U, "k"),
        window(exchange(U, "k"), "j"),
    ],
)
def test_a_whole_side_that_could_differ_between_tasks_makes_one_task(side: m.Node) -> None:
    assert sink(join(T, m.Broadcast(side))) is ONE
    assert sink(join(T, m.Broadcast(final(gathered(U), "k")))) is SCAN


@pytest.mark.parametrize(
    ("how", "expected"),
    [(Inner, HASH), (Left, HASH), (Semi, HASH), (Anti, HASH), (Right, ONE), (Full, ONE)],
)
def test_a_join_keeps_the_left_keys_unless_it_fills_them_with_nulls(
    how: terms.JoinType, expected: Parallelism
) -> None:
    joined = join(exchange(T_KA, "k"), exchange(U_JB, "j"), how, on=[("k", "j")])
    assert sink(final(joined, "k")) is expected
    assert sink(final(joined, "j")) is ONE


def test_a_broadcast_join_keeps_the_keys_of_a_left_side_shared_out() -> None:
    left = exchange(T_KA, "k")
    assert sink(final(join(left, m.Broadcast(U_JB)), "k")) is HASH
    assert sink(final(join(m.Broadcast(U_JB), left), "k")) is ONE


HERE_K = terms.Schema(
    (terms.Field("k", terms.DataType("Int64")), terms.Field("a", terms.DataType("Int64")))
)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        # What a scan calls `k` may be its column `o.k`: then a `k` of the right side is meant.
        (T_KA, U_KB, ONE),
        (T, U_JB, HASH),
        (T, U, ONE),
        (T_KA, U, ONE),
        (T_KA, project(U, **{"k": "b"}), ONE),
        (T_KA, project(U, **{"o.k": "b"}), ONE),
        (m.Limit(1, T_KA), m.UnionAll(U_JB, U_KB), HASH),
        (m.UnionAll(T_KA, U_KB), U_JB, HASH),
        # A column that is called so is always meant, or nothing is.
        (m.ParquetScan("t", HERE_K, None, ()), U, HASH),
        (m.ParquetScan("t", HERE_K, ("k",), ()), U, HASH),
        (m.ParquetScan("t", HERE_K, ("t.k",), ()), U_KB, ONE),
        (project(T, k="a"), U, HASH),
        (m.CteRef("c", final(T, "k")), U, HASH),
    ],
)
def test_a_key_is_lost_where_another_column_may_have_taken_its_name(
    left: m.Node, right: m.Node, expected: Parallelism
) -> None:
    whole = m.Broadcast(right)
    for how in (Inner, Left):
        joined = join(exchange(left, "k"), whole, how, on=[("a", "b")])
        assert sink(final(joined, "k")) is expected
        assert sink(window(joined, "k")) is expected
    kept = join(exchange(left, "k"), whole, Semi, on=[("a", "b")])
    assert sink(final(kept, "k")) is HASH


def test_a_key_that_both_sides_of_an_inner_join_are_hashed_by_may_mean_either() -> None:
    left, right = exchange(T, "k"), exchange(U, "k")
    assert sink(final(join(left, right), "k")) is HASH
    assert sink(join(join(left, right), exchange(T, "k"))) is HASH
    assert sink(final(join(left, right, Left), "k")) is ONE
    assert sink(final(join(left, exchange(U, "j"), on=[("k", "j")]), "k")) is ONE
    assert sink(final(join(exchange(T_KA, "k"), exchange(U_KB, "k"), Left), "k")) is ONE
    # A name that an earlier join has given away is not held by its second bearer.
    own = project(T, k="a")
    twice = join(exchange(own, "k"), exchange(project(U, k="b"), "k"))
    assert sink(final(join(twice, m.Broadcast(U)), "k")) is HASH
    twice = join(left, exchange(project(U, k="b"), "k"))
    assert sink(final(join(twice, m.Broadcast(own), on=[("x", "a")]), "k")) is ONE
