"""Rows that a WITH defines, and several joins read by the same keys: exchanged once for all.

Each of them takes some of the columns, and has its keys in an order of its own. So their exchanges
are not alike, and what the WITH defines would be computed for each. Where they are made of all of
its columns, by keys in one order, they are equal: one stage, which all read.

A plan is made twice for that: first to see which joins ask for what, then to give it to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import attrs

from ffq.plan.bound import BoundExpr, Place
from ffq.plan.model import CteRef, Project
from ffq.plan.terms import Bound
from ffq.sql.pieces import Equal, Rows, over

Asked: TypeAlias = tuple[str, frozenset[int]]
"""The name of what a WITH defines, and the columns of it by which its rows are exchanged."""


@attrs.frozen
class Definition:
    """Rows of what a WITH defines, of which a reader has some columns; or any rows, with all.

    columns: which of the rows' columns each of the reader's is; None: they are the same.
    """

    rows: Rows
    columns: tuple[int, ...] | None = None

    @property
    def places(self) -> list[BoundExpr]:
        """Where the reader's columns are."""
        return list(map(Place, range(self.rows.width) if self.columns is None else self.columns))

    def over(self, exprs: Sequence[BoundExpr]) -> list[BoundExpr]:
        """What is over the reader's columns, over these rows."""
        return [over(each, self.places) for each in exprs]


@attrs.define
class Definitions:
    """
    Attributes:
        together: what several joins were found to ask for: these exchange the same.
        asked: what joins ask for, and how many of them.
    """

    together: AbstractSet[Asked] = frozenset()
    asked: Counter[Asked] = attrs.field(factory=Counter)
    _rows: dict[str, Rows] = attrs.field(factory=dict)

    def add(self, rows: Rows) -> None:
        """Takes note of what a WITH defines, whose node is a CteRef."""
        if isinstance(rows.node, CteRef):
            self._rows[rows.node.name] = rows

    def of(self, rows: Rows) -> Definition | None:
        """What rows are of which these are some columns, and nothing else."""
        columns = tuple(range(rows.width))
        node = rows.node
        while isinstance(node, Project):
            places = _places(node)
            if places is None:
                return None
            columns = tuple(places[at] for at in columns)
            node = node.input
        known = self._rows.get(node.name) if isinstance(node, CteRef) else None
        return None if known is None else Definition(known, columns)

    def ask(self, rows: Rows, keys: Sequence[BoundExpr]) -> None:
        """A join may wait for these rows, exchanged by these keys."""
        found = self._asked(rows, keys)
        if found is not None:
            self.asked[found[0]] += 1

    def order(self, rows: Rows, keys: Sequence[BoundExpr]) -> tuple[int, ...] | None:
        """Where in the exchange that they have together each of the keys stands; None: they have
        none."""
        found = self._asked(rows, keys)
        return found[1] if found is not None and found[0] in self.together else None

    def wanted(self) -> AbstractSet[Asked]:
        """What several joins ask for."""
        return frozenset(each for each, joins in self.asked.items() if joins > 1)

    def _asked(self, rows: Rows, keys: Sequence[BoundExpr]) -> tuple[Asked, tuple[int, ...]] | None:
        found = self.of(rows)
        if found is None:
            return None
        columns = [key.index for key in found.over(keys) if isinstance(key, Place)]
        if len(columns) < len(keys) or len(set(columns)) < len(columns):
            return None
        assert isinstance(found.rows.node, CteRef)
        asked = found.rows.node.name, frozenset(columns)
        return asked, tuple(map(sorted(columns).index, columns))


def in_one_order(
    definitions: Definitions, equal: Sequence[Equal], left: Rows | None, right: Rows | None
) -> tuple[Sequence[Equal], tuple[Definition | None, Definition | None]]:
    """What must be equal, in the order in which all exchange by it; and of which sides all do, what
    they exchange.

    Args:
        left, right: None: this side has its own exchange, whatever it is.
    """
    here = None if left is None else definitions.order(left, [a for a, *_ in equal])
    there = None if right is None else definitions.order(right, [b for _, b, _ in equal])
    if here is not None and there is not None and here != there:
        here = None
    order = there if here is None else here
    if order is not None:
        equal = [equal[order.index(at)] for at in range(len(equal))]
    of_left = None if left is None or here is None else definitions.of(left)
    of_right = None if right is None or there is None else definitions.of(right)
    return equal, (of_left, of_right)


def _places(node: Project) -> list[int] | None:
    """The columns that it gives out; None: it computes something."""
    trees = [expr.tree for expr, _ in node.exprs if isinstance(expr, Bound)]
    places = [tree.index for tree in trees if isinstance(tree, Place)]
    return places if len(places) == len(node.exprs) else None
