"""Fragments that take each row by itself, or sort and group: nothing is joined or repeated."""

from __future__ import annotations

from typing import Final

from ffq.plan import model
from ffq.plan.model import Node
from ffq.plan.walk import walk_stage

_PLAIN: Final = (
    model.ParquetScan,
    model.ShuffleRead,
    model.ShuffleWrite,
    model.CoalesceBatches,
    model.Broadcast,
    model.Filter,
    model.Project,
    model.Limit,
    model.Sort,
    model.TopKByScore,
    model.UnionAll,
    model.Aggregate,
    model.PartialHashAggregate,
    model.FinalHashAggregate,
)


def is_plain(fragment: Node) -> bool:
    """Whether the work grows with the rows that it reads, and not with their combinations."""
    return all(isinstance(node, _PLAIN) for node in walk_stage(fragment))
