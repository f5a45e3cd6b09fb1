"""Exchanges that a plan has twice, computed once: equal reads become reads of one stage.

A correlated subquery reads the rows that it is over, and so do they; what WITH defines stands
wherever it is read; a query may say the same twice. What gives other rows each time is left as it
stands: how often SQL computes it, the plan says already. So are a user's operators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ffq.errors import InvalidPlan
from ffq.plan.codec import dump_plan
from ffq.plan.model import (
    AdaptiveJoin,
    Custom,
    HashPartitioning,
    KeyedPartitioning,
    Node,
    ReducedJoin,
    SharedRead,
    ShuffleRead,
    ShuffleWrite,
)
from ffq.plan.volatile import is_volatile
from ffq.plan.walk import child_fields, children


def with_shared(plan: Node) -> tuple[Node, int]:
    """The plan in which equal exchanges are one stage, and how many stages that spares.

    The left side of an AdaptiveJoin has its stage for itself, since that may be done elsewhere.
    Sides of a ReducedJoin have theirs, since one leaves rows out. What is shared gives out no keys
    apart.
    """
    try:
        return _shared(plan)
    except RecursionError:  # whoever writes the plan says that it nests too deep
        return plan, 0


def _shared(plan: Node) -> tuple[Node, int]:
    reads = [(node, _unkeyed(node)) for node in _nodes(plan) if type(node) is ShuffleRead]
    alike = Counter(rows for _, rows in reads)
    twice = {node for node, count in alike.items() if count > 1}
    if not twice:
        return plan, 0
    texts = {id(node): text for node, rows in reads if rows in twice and (text := _text(rows))}
    met = _Sharing(texts, {})
    met.visit(plan)
    numbers = {
        text: number
        for number, text in enumerate(text for text, count in met.met.items() if count > 1)
    }
    return _Sharing(texts, numbers).visit(plan), sum(met.met.values()) - len(met.met)


def _unkeyed(read: ShuffleRead) -> ShuffleRead:
    """The read of an exchange that gives out no keys apart."""
    by, write = read.partitioning, read.input
    if not isinstance(by, KeyedPartitioning) or not isinstance(write, ShuffleWrite):
        return read
    plain = HashPartitioning(by.keys, by.partitions)
    return ShuffleRead(ShuffleWrite(write.input, plain), plain)


def _text(node: Node) -> bytes | None:
    """What two nodes have in common that give the same rows; None: they need not.

    That they are equal is not enough: so are zeros of either sign.
    """
    if any(isinstance(each, Custom) or is_volatile(each) for each in _nodes(node)):
        return None
    try:
        return dump_plan(node)
    except InvalidPlan:
        return None


def _nodes(plan: Node) -> Iterator[Node]:
    pending = [plan]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(children(node)))


@attrs.define
class _Sharing:
    """Rebuilds a plan. What is met again is not visited again.

    texts: of the reads that may be shared, by their ids. numbers: of those that are, by text. met:
    how often each is.
    """

    _texts: Mapping[int, bytes]
    _numbers: Mapping[bytes, int]
    met: Counter[bytes] = attrs.field(factory=Counter)
    _done: dict[bytes, Node] = attrs.field(factory=dict)

    def visit(self, node: Node, *, apart: bool = False) -> Node:
        """apart: this very node is not shared, whatever is below it."""
        text = None if apart else self._texts.get(id(node))
        if text is None:
            return self._with_below(node)
        self.met[text] += 1
        if text not in self._done:
            made = self._with_below(node)
            number = self._numbers.get(text)
            if number is not None and isinstance(made, ShuffleRead):
                rows = _unkeyed(made)
                made = SharedRead(rows.input, rows.partitioning, number)
            self._done[text] = made
        return self._done[text]

    def _with_below(self, node: Node) -> Node:
        changes: dict[str, Any] = {}
        for name in child_fields(node):
            child = getattr(node, name)
            made = self.visit(child, apart=_is_apart(node, name))
            if made is not child:
                changes[name] = made
        rebuilt: Node = attrs.evolve(node, **changes) if changes else node
        return rebuilt


def _is_apart(node: Node, name: str) -> bool:
    """Whether a side of a join has its stage for itself."""
    return isinstance(node, ReducedJoin) or (isinstance(node, AdaptiveJoin) and name == "left")
