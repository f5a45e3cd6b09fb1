"""A small query in one task: its plan without exchanges.

The plan is made of the one for several tasks: what settles the order of rows there, where they are
computed more than once, holds here as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ffq.plan.bound import Phase
from ffq.plan.distribution import distribution_of
from ffq.plan.model import (
    Aggregate,
    Broadcast,
    Custom,
    FetchedRows,
    Join,
    Node,
    ParquetScan,
    Project,
    Recursion,
    ShuffleRead,
    ShuffleWrite,
    Sort,
)
from ffq.plan.volatile import is_volatile
from ffq.plan.walk import child_fields, walk_plan


def scans_of(plan: Node) -> Iterator[ParquetScan]:
    """All scans of a plan, each as often as it is read."""
    return (node for node in walk_plan(plan) if isinstance(node, ParquetScan))


def exchanges_of(plan: Node) -> int:
    """How many exchanges a plan has."""
    return len({id(node) for node in walk_plan(plan) if isinstance(node, ShuffleRead)})


def reads_later(plan: Node) -> bool:
    """Whether columns of the plan are read when it is known for which rows."""
    return any(isinstance(node, FetchedRows) for node in walk_plan(plan))


def in_one_task(plan: Node) -> Node | None:
    """The plan as one stage of one task, with the same columns; None: it needs its exchanges.

    An operator of a user's may take any time over few rows. What a recursion reads, and what is
    made with a function that gives another value each time, is computed once behind an exchange.
    """
    for node in walk_plan(plan):
        if isinstance(node, Custom | Recursion) or is_volatile(node):
            return None
    together = _visit(plan, {})
    if isinstance(together, Project) and distribution_of(together).is_split:
        # What every task computes whole, one task computes.
        together = attrs.evolve(together, input=Broadcast(together.input))
    return together


def _visit(node: Node, done: dict[int, Node]) -> Node:
    """done: by id, what was made of a node: one that stands twice in the plan still does."""
    if id(node) not in done:
        done[id(node)] = _made(node, done)
    return done[id(node)]


def _made(node: Node, done: dict[int, Node]) -> Node:
    match node:
        case ShuffleRead() | ShuffleWrite() | Broadcast() | Sort(partial=True):
            return _visit(node.input, done)
        case Aggregate():
            whole = in_one_phase(node)
            if whole is not node:
                return attrs.evolve(whole, input=_visit(whole.input, done))
        case Join():
            left, right = _visit(node.left, done), _visit(node.right, done)
            return Join(left, right, node.match, node.condition, ())
    below_by_name: Mapping[str, Any] = {
        name: _visit(getattr(node, name), done) for name in child_fields(node)
    }
    changed: Node = attrs.evolve(node, **below_by_name)
    return changed


def in_one_phase(node: Aggregate) -> Aggregate:
    """An aggregation of what tasks have found, as one of the rows that they have found it of; any
    other as it is."""
    states = _behind_exchange(node.input) if node.phase is Phase.MERGED else None
    if isinstance(states, Aggregate) and states.phase is Phase.STATES:
        return attrs.evolve(states, phase=Phase.WHOLE)
    return node


def _behind_exchange(node: Node) -> Node:
    while isinstance(node, ShuffleRead | ShuffleWrite):
        node = node.input
    return node
