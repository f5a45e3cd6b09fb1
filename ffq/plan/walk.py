"""Walking a plan: the children of each node, and the order that stage and leaf numbers follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ffq.plan import model
from ffq.plan.model import Node, ParquetScan, ShuffleRead

# Child fields from left to right: stages get their ids in this order (docs/plan.md).
_CHILD_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    model.ParquetScan: (),
    model.NumberedScan: (),
    model.FetchedRows: ("input", "scan"),
    model.ParquetWrite: ("input",),
    model.Filter: ("input",),
    model.InSubqueryFilter: ("input", "subquery"),
    model.ExistsSubqueryFilter: ("input", "subquery"),
    model.ScalarSubqueryFilter: ("input", "subquery"),
    model.Project: ("input",),
    model.Window: ("input",),
    model.CoalesceBatches: ("input",),
    model.PartialHashAggregate: ("input",),
    model.FinalHashAggregate: ("input",),
    model.HashJoin: ("left", "right"),
    model.ShuffleWrite: ("input",),
    model.ShuffleRead: ("input",),
    model.Broadcast: ("input",),
    model.Limit: ("input",),
    model.TopKByScore: ("input",),
    model.UnionAll: ("left", "right"),
    model.CteRef: ("plan",),
    model.VectorTopK: (),
    model.VectorKnn: (),
    model.Custom: ("input",),
    model.Sort: ("input",),
    model.Aggregate: ("input",),
    model.Join: ("left", "right"),
    model.AdaptiveJoin: ("left", "right"),
    model.AdaptiveGather: ("input",),
    model.SharedRead: ("input",),
    model.KeysRead: ("input",),
    model.ReducedJoin: ("left", "right"),
    model.RangeJoin: ("left", "right"),
    model.Values: (),
    model.Series: (),
    model.OverWindows: ("input",),
    model.SetOperation: ("left", "right"),
    model.Unnest: ("input",),
    model.RowsOf: ("input",),
    model.WithTables: ("input",),
    model.Inline: (),
    model.Recursion: ("start", "step"),
    model.RecursionRef: (),
    model.Write: ("input",),
    model.Commit: ("input",),
}
KEEPS_COLUMNS: Final = (
    model.Filter,
    model.InSubqueryFilter,
    model.ExistsSubqueryFilter,
    model.ScalarSubqueryFilter,
    model.CoalesceBatches,
    model.ShuffleWrite,
    model.ShuffleRead,
    model.Broadcast,
    model.Limit,
    model.TopKByScore,
    model.WithTables,
)
"""Nodes that give out the columns of their `input`, and no others."""


def node_name(node: Node) -> str:
    """The node's name on the wire, as errors quote it."""
    return type(node).__name__


def child_fields(node: Node) -> tuple[str, ...]:
    """Names of the fields that hold child nodes, left to right."""
    return _CHILD_FIELDS[type(node)]


def children(node: Node) -> tuple[Node, ...]:
    """Child nodes, left to right."""
    return tuple(getattr(node, name) for name in _CHILD_FIELDS[type(node)])


def walk_plan(plan: Node) -> Iterator[Node]:
    """All nodes of a plan, in no order; one that stands twice in it is met twice."""
    pending = [plan]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(children(node))


def walk_stage(fragment: Node) -> Iterator[Node]:
    """Nodes of one stage: parent first, left to right, not past a ShuffleRead.

    Leaf numbers count ParquetScans and ShuffleReads (each for themselves) in this order. A node
    object that stands twice in the plan is met twice: it is two leaves.
    """
    pending = [fragment]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, ShuffleRead):
            pending.extend(reversed(children(node)))


def stage_scans(fragment: Node) -> tuple[ParquetScan, ...]:
    """The stage's ParquetScans; the index is the leaf number."""
    return tuple(node for node in walk_stage(fragment) if isinstance(node, ParquetScan))


def stage_reads(fragment: Node) -> tuple[ShuffleRead, ...]:
    """The stage's ShuffleReads; the index is the leaf number."""
    return tuple(node for node in walk_stage(fragment) if isinstance(node, ShuffleRead))
