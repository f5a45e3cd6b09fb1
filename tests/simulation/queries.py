"""The plans that simulated clients submit: every way there is for stages to share out work."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import attrs

from ffq.catalog.ranges import Followed, GroupRange, intervals_of
from ffq.ids import QueryId
from ffq.messages import AcceptQuery, ScanSplit, StageScan
from ffq.plan import dump_plan, model
from ffq.plan.codec import plan_digest
from ffq.plan.model import Node
from ffq.plan.stages import ScanSource, StageGraph, cut
from tests.strategies.graphs import (
    adaptive_gather,
    adaptive_join,
    adaptive_joins,
    aggregate,
    broadcast_join,
    exchange,
    gather,
    join,
    keyed_join,
    keyed_joins,
    operator,
    range_join,
    reduced_join,
    scan,
    shared,
)

OPERATOR = "op.any"
POISON = "op.poison"
"""A custom operator that kills the process that runs it."""


def _plans() -> dict[str, Node]:
    t, u = scan("t"), scan("u")
    return {
        "scan": t,
        "aggregate": aggregate(t, 3),
        "join": join(t, u, 3),
        "three-levels": aggregate(join(t, u, 2), 3),
        "gathered": gather(aggregate(t, 2)),
        "limited": aggregate(model.Limit(10, gather(t)), 3),
        "broadcast": broadcast_join(exchange(t, 3), gather(u)),
        "union": aggregate(model.UnionAll(t, u), 2),
        "operator": aggregate(operator(OPERATOR, t), 3),
        "operator-late": operator(OPERATOR, exchange(t, 3)),
        "adaptive": aggregate(adaptive_join(t, u, 3), 2),
        "adaptive-chain": adaptive_join(adaptive_join(t, u, 2), aggregate(u, 2), 3),
        "adaptive-twice": adaptive_joins(t, u, 3),
        "reduced": aggregate(reduced_join(t, u, 3), 2),
        "reduced-chain": reduced_join(adaptive_join(t, u, 2), adaptive_join(t, u, 2), 3),
        "reduced-operator": reduced_join(operator(OPERATOR, t), u, 2),
        "keyed": aggregate(keyed_join(t, u, 3, 0, 10**6), 2),
        "keyed-chain": keyed_join(adaptive_join(t, u, 2), operator(OPERATOR, u), 3, 0, 10**6),
        "keyed-twice": keyed_joins(t, u, 2, 0, 10**6),
        "adaptive-operator": aggregate(adaptive_join(t, operator(OPERATOR, u), 3), 2),
        "adaptive-gather": model.Limit(10, adaptive_gather(aggregate(t, 3), 10**6)),
        "adaptive-gather-of-join": model.Limit(
            10, adaptive_gather(adaptive_join(t, u, 3, 0), 10**6)
        ),
        "shared": shared(aggregate(t, 2), 3),
        "ranges": aggregate(range_join("t", "u"), 2),
        "ranges-joined": join(range_join("t", "u"), range_join("u", "t"), 2),
        "ranges-beside": aggregate(model.UnionAll(range_join("t", "u"), t), 2),
        "poison": operator(POISON, t),
    }


PLAN_NAMES = tuple(name for name in _plans() if name != "poison")


@attrs.frozen
class Plan:
    """A plan, read once: the simulation's planner finds it by its bytes."""

    name: str
    data: bytes = attrs.field(repr=False)
    graph: StageGraph = attrs.field(repr=False)

    def scans(self, shares: int) -> tuple[StageScan, ...]:
        """Every table in `shares` shares of one row group each. What follows another one has a
        share beside each of that one's, what may meet it, and behind them all that there is.
        """
        return tuple(
            StageScan(stage.stage_id, source.leaf, source.table, _cut(source, shares))
            for stage in self.graph.stages
            for source in stage.scans
        )

    def accepted(self, query_id: QueryId, shares: int) -> AcceptQuery:
        """As the planner hands it to scheduling."""
        digest = plan_digest(self.data)
        return AcceptQuery(query_id, self.data, digest, self.graph, self.scans(shares))


def _cut(source: ScanSource, shares: int) -> tuple[tuple[ScanSplit, ...], ...]:
    """One row group a share. The greatest value of each is the least one of the next."""
    groups = [
        GroupRange(ScanSplit(source.table, n, n + 1, 100), n, (Fraction(n), Fraction(n + 1)))
        for n in range(shares)
    ]
    led = [[each] for each in groups]
    if source.follows is not None:
        followed = Followed(groups)
        led = [*(followed.within(intervals_of(share)) for share in led), groups]
    return tuple(tuple(each.split for each in share) for share in led)


@cache
def plans() -> dict[str, Plan]:
    """All plans by name."""
    return {name: Plan(name, dump_plan(node), cut(node)) for name, node in _plans().items()}
