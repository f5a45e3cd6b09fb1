"""Hypothesis strategies for queries as scheduling sees them: plans that cut into several stages.

`relations()` draws plans whose stages share out work in every way there is: scans by splits,
reduce partitions by hash, whole inputs in one task, broadcast sides, operators in some stages.
`scans_of()` draws the shares of their tables, `submissions()` a whole AcceptQuery. (The plans of
`tests.strategies.plans` are of every node and shape instead, and nearly all of one task per stage.)
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from hypothesis import strategies as st

from ffq.ids import QueryId
from ffq.messages import AcceptQuery, ScanSplit, StageScan
from ffq.plan import dump_plan, model, terms
from ffq.plan.bound import Call, Conversion, Match, Place, SqlType
from ffq.plan.codec import plan_digest
from ffq.plan.model import Node
from ffq.plan.stages import StageGraph, cut
from ffq.plan.terms import Bound, BuildSide, Column, JoinStrategy, JoinType

KEY = "k"
_GROUPS = (Column(KEY),)
_COUNT = ((terms.AggregateExpr(terms.AggregateFunction.COUNT, Column(KEY)), "n"),)


def scan(table: str = "t") -> Node:
    """A scan of the one column that all these plans have."""
    return model.ParquetScan(table, None, (KEY,), ())


def exchange(below: Node, partitions: int = 1) -> Node:
    """A hash exchange by the key."""
    partitioning = model.HashPartitioning((KEY,), partitions)
    return model.ShuffleRead(model.ShuffleWrite(below, partitioning), partitioning)


def gather(below: Node) -> Node:
    """A Single exchange."""
    single = model.SinglePartitioning()
    return model.ShuffleRead(model.ShuffleWrite(below, single), single)


def operator(name: str, below: Node) -> Node:
    return model.Custom(name, (), below)


def aggregate(below: Node, partitions: int = 1) -> Node:
    """A count by key in two phases."""
    partial = model.PartialHashAggregate(_GROUPS, _COUNT, below)
    return model.FinalHashAggregate(_GROUPS, _COUNT, exchange(partial, partitions))


def join(left: Node, right: Node, partitions: int = 1) -> Node:
    """A shuffled join on the key."""
    return model.HashJoin(
        exchange(left, partitions),
        exchange(right, partitions),
        ((KEY, KEY),),
        JoinType.INNER,
        JoinStrategy.SHUFFLE,
        BuildSide.RIGHT,
    )


def adaptive_join(left: Node, right: Node, partitions: int = 1, most: int = 100) -> Node:
    """A shuffled join; a broadcast one where the right stage gives out at most `most` bytes."""
    return model.AdaptiveJoin(
        exchange(left, partitions),
        exchange(right, partitions),
        Match.INNER,
        None,
        ((KEY, KEY),),
        most,
    )


def adaptive_joins(left: Node, build: Node, partitions: int = 1, most: int = 100) -> Node:
    """Two adaptive joins, one over the other, for which the size of one right stage decides."""
    by = model.HashPartitioning((KEY,), partitions)
    named = zlib.crc32(repr((left, build, partitions, most)).encode())
    read = model.SharedRead(model.ShuffleWrite(build, by), by, named)
    on = ((KEY, KEY),)
    first = model.AdaptiveJoin(exchange(left, partitions), read, Match.INNER, None, on, most)
    above = exchange(first, partitions)
    return model.AdaptiveJoin(above, read, Match.INNER, None, on, most * 2)


def adaptive_gather(below: Node, most: int = 100) -> Node:
    """A Single exchange, left out where the stage below reads at most `most` bytes of others."""
    single = model.SinglePartitioning()
    return model.AdaptiveGather(model.ShuffleWrite(below, single), single, most)


def shared(below: Node, partitions: int = 1, number: int | None = None) -> Node:
    """Rows that two read which are exchanged once: all of both, or by key."""
    by = model.HashPartitioning((KEY,), partitions)
    named = zlib.crc32(repr((below, partitions)).encode()) if number is None else number
    read = model.SharedRead(model.ShuffleWrite(below, by), by, named)
    counted = model.PartialHashAggregate(_GROUPS, _COUNT, read)
    return model.UnionAll(model.FinalHashAggregate(_GROUPS, _COUNT, counted), aggregate(read, 2))


def reduced_join(left: Node, right: Node, partitions: int = 1, most: int = 100) -> Node:
    """A shuffled join; right rows with other keys are left out before that where the left stage
    gives out at most `most` bytes."""
    return model.ReducedJoin(
        exchange(_keyed(left), partitions),
        exchange(_keyed(right), partitions),
        Match.SEMI,
        None,
        ((KEY, KEY),),
        most,
    )


def keyed_join(
    left: Node, right: Node, partitions: int = 1, most: int = 100, keys: int = 50
) -> Node:
    """As `adaptive_join`; where the right stage gives out more, left rows with other keys are left
    out before they are exchanged, if the keys have at most `keys` bytes."""
    by = model.KeyedPartitioning((KEY,), partitions, keys)
    build = model.ShuffleRead(model.ShuffleWrite(_keyed(right), by), by)
    return model.AdaptiveJoin(
        _exchanged_alike(left, partitions), build, Match.INNER, None, ((KEY, KEY),), most
    )


def keyed_joins(
    left: Node, build: Node, partitions: int = 1, most: int = 100, keys: int = 50
) -> Node:
    """Two such joins, one over the other, for which the size of one right stage decides."""
    by = model.KeyedPartitioning((KEY,), partitions, keys)
    named = zlib.crc32(repr((left, build, partitions, most, keys)).encode())
    read = model.SharedRead(model.ShuffleWrite(_keyed(build), by), by, named)
    on = ((KEY, KEY),)
    first = model.AdaptiveJoin(_exchanged_alike(left, partitions), read, Match.SEMI, None, on, most)
    above = _exchanged_alike(first, partitions)
    return model.AdaptiveJoin(above, read, Match.SEMI, None, on, most * 2)


def _exchanged_alike(below: Node, partitions: int) -> Node:
    """A hash exchange by the key of rows that have no other column."""
    return exchange(_keyed(below), partitions)


def _keyed(below: Node) -> Node:
    return model.Project(((Column(KEY), KEY),), below)


def range_join(left: str, right: str) -> Node:
    """Rows of one table that have a partner in another one, which is read beside their shares."""
    kind = SqlType("BIGINT")
    a, b = (
        model.Project(((Bound(Conversion(Place(0), kind)), "c0"),), scan(table))
        for table in (left, right)
    )
    same = Call("=", (Place(0), Place(1)), SqlType("BOOLEAN"))
    joined = model.RangeJoin(a, b, Match.SEMI, same, (("c0", "c0"),), right_leads=False)
    return model.Project(((Bound(Place(0)), KEY),), joined)


def broadcast_join(left: Node, right: Node) -> Node:
    """A join whose right side every task reads whole."""
    return model.HashJoin(
        left,
        model.Broadcast(right),
        ((KEY, KEY),),
        JoinType.INNER,
        JoinStrategy.BROADCAST_RIGHT,
        BuildSide.RIGHT,
    )


def relations(
    operators: Sequence[str] = ("op.a", "op.b"), max_leaves: int = 3
) -> st.SearchStrategy[Node]:
    """Plans of one to about ten stages.

    Args:
        operators: names that custom operators are drawn from; empty: none are.
        max_leaves: about how many tables a plan reads.
    """
    partitions = st.integers(1, 4)

    def nested(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        choices = [
            st.builds(aggregate, inner, partitions),
            st.builds(join, inner, inner, partitions),
            st.builds(adaptive_join, inner, inner, partitions, st.sampled_from([0, 60, 1000])),
            st.builds(reduced_join, inner, inner, partitions, st.sampled_from([0, 60, 1000])),
            st.builds(adaptive_joins, inner, inner, partitions, st.sampled_from([0, 60, 1000])),
            st.builds(keyed_join, inner, inner, partitions, st.sampled_from([0, 60, 1000])),
            st.builds(keyed_joins, inner, inner, partitions, st.sampled_from([0, 60, 1000])),
            st.builds(exchange, inner, partitions),
            st.builds(broadcast_join, inner, inner),
            st.builds(model.UnionAll, inner, inner),
            st.builds(gather, inner),
            st.builds(shared, inner, partitions),
            st.builds(adaptive_gather, inner, st.sampled_from([0, 60, 1000])),
            st.builds(model.Limit, st.just(10), inner),
        ]
        if operators:
            choices.append(st.builds(operator, st.sampled_from(operators), inner))
        return st.one_of(choices)

    tables = st.sampled_from(["t", "u"])
    leaves = st.one_of(tables.map(scan), st.builds(range_join, tables, tables))
    return st.recursive(leaves, nested, max_leaves=max_leaves)


def scans_of(graph: StageGraph, max_shares: int = 3) -> st.SearchStrategy[tuple[StageScan, ...]]:
    """Shares of the tables that a plan reads; about one table in five is not known. What follows
    another one has a share beside each of that one's, and one more."""
    leaves = [(stage.stage_id, source) for stage in graph.stages for source in stage.scans]
    counts = st.integers(0, 4).map(lambda drawn: min(drawn, max_shares))

    def made(drawn: tuple[int, ...]) -> tuple[StageScan, ...]:
        shares = {
            (stage_id, source.leaf): count
            for (stage_id, source), count in zip(leaves, drawn, strict=True)
        }
        for stage_id, source in leaves:
            if source.follows is not None and shares[stage_id, source.leaf]:
                shares[stage_id, source.leaf] = shares[stage_id, source.follows.leads] + 1
        return tuple(
            StageScan(
                stage_id,
                source.leaf,
                source.table,
                tuple((ScanSplit(f"{source.table}.parquet", n, n + 1),) for n in range(count)),
            )
            for stage_id, source in leaves
            if (count := shares[stage_id, source.leaf])
        )

    return st.tuples(*(counts for _ in leaves)).map(made)


@st.composite
def submissions(
    draw: st.DrawFn, query_id: QueryId, plans: st.SearchStrategy[Node] | None = None
) -> AcceptQuery:
    """A query, with its tables' shares."""
    plan = draw(plans if plans is not None else relations())
    graph = cut(plan)
    data = dump_plan(plan)
    return AcceptQuery(query_id, data, plan_digest(data), graph, draw(scans_of(graph)))
