"""Wide tables are joined last: what nothing but the output asks for is not carried through joins.

INNER joins give the same rows in any order. The planner's goes by how many there are, and not by
how wide they are. A table without conditions leaves out none, as far as is known: where it is wide,
and what the others leave of theirs is less than it is, those are joined first, and meet its rows
where these are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import attrs

from ffq.plan.bound import BoundExpr, Call
from ffq.plan.model import Values
from ffq.sql import joins
from ffq.sql.exchanges import Exchanges
from ffq.sql.pieces import Binding, Equal, Rows, is_plain, mapped, places_of, renumbered
from ffq.sql.serialized import BOOLEAN, Json

_WIDE: Final = 64.0
"""Bytes of a row, by estimate, from which on a table is."""
_NO_ROWS: Final = Values((), ())


@attrs.frozen
class Joined:
    """A join as the engine planned it, of rows that are made already."""

    found: Json
    left: Tree
    right: Tree


Tree: TypeAlias = Joined | Rows


@attrs.frozen(eq=False)
class _Part:
    """Rows of one or more tables. columns: their numbers among those of all tables.

    tables: numbers of all columns that these have, whether they are still there or not.
    """

    rows: Rows
    columns: tuple[int, ...]
    tables: frozenset[int]


def tree_of(found: Json, visit: Callable[[Json], Rows]) -> Tree:
    """The INNER joins that a node is over, down to what is none."""
    if not _is_inner(found):
        return visit(found)
    left, right = found["children"]
    return Joined(found, tree_of(left, visit), tree_of(right, visit))


def _is_inner(found: Json) -> bool:
    is_join = found["type"] == "LOGICAL_COMPARISON_JOIN"
    return is_join and str(found.get("join_type", "INNER")) == "INNER"


def as_planned(tree: Tree, exchanges: Exchanges) -> Rows:
    if isinstance(tree, Rows):
        return tree
    sides = [as_planned(each, exchanges) for each in (tree.left, tree.right)]
    return joins.join(tree.found, sides, exchanges)


def joined_late(tree: Joined, exchanges: Exchanges) -> Rows | None:
    """The tree's rows, with a wide table joined after the others; None: there is none such."""
    if exchanges.repeats or exchanges.whole or not _is_inner(tree.found):
        return None
    chain = _Chain(exchanges)
    columns, _ = chain.add(tree, 0)
    wide = next(chain.wide(), None)
    if wide is None:
        return None
    noted, most = len(exchanges.choices), exchanges.most_bytes
    rows = chain.joined_after(wide, tree, columns)
    if rows is None:
        del exchanges.choices[noted:]
        exchanges.most_bytes = most
        return None
    exchanges.choices.append(
        "Inner join: a wide table without conditions is joined after those that are not so"
    )
    return rows


@attrs.define
class _Chain:
    """INNER joins: their tables, and what must be equal or hold, over the columns of all."""

    _exchanges: Exchanges
    _tables: list[_Part] = attrs.field(factory=list)
    _depths: list[int] = attrs.field(factory=list)
    _equal: list[Equal] = attrs.field(factory=list)
    _others: list[BoundExpr] = attrs.field(factory=list)
    _count: int = 0

    def add(self, tree: Tree, depth: int) -> tuple[list[int], list[Binding] | None]:
        """Numbers of the tree's columns, and the planner's own."""
        if isinstance(tree, Rows):
            columns = range(self._count, self._count + tree.width)
            self._count += tree.width
            self._tables.append(_Part(tree, tuple(columns), frozenset(columns)))
            self._depths.append(depth)
            return [*columns], None if tree.bindings is None else [*tree.bindings]
        sides = [self.add(each, depth + 1) for each in (tree.left, tree.right)]
        (left, of_left), (right, of_right) = sides
        planned, kept = joins.read(tree.found, *(_shape(*side) for side in sides))
        self._equal += [
            (renumbered(a, left), renumbered(b, right), sign) for a, b, sign in planned.equal
        ]
        both = left + right
        self._others += [renumbered(each, both) for each in planned.others]
        bindings = None if of_left is None or of_right is None else of_left + of_right
        return [both[at] for at in kept], bindings and [bindings[at] for at in kept]

    def wide(self) -> Iterator[_Part]:
        """Tables that are carried through a join after their own."""
        for part, depth in zip(self._tables, self._depths, strict=True):
            if depth > 1 and is_plain(part.rows.node) and part.rows.row_bytes >= _WIDE:
                yield part

    def joined_after(self, wide: _Part, tree: Tree, columns: Sequence[int]) -> Rows | None:
        """All tables, first those that are joined without this one; None: that is not less."""
        if not all(map(self._is_of_several, self._conditions())):
            return None
        first = self._without(wide)
        parts = self._in_order(tree, iter(self._tables), first, columns)
        if len(first) == 1 or len(parts) > 1:
            return None
        (found,) = parts
        if found.rows.size is None or found.rows.size > (wide.rows.size or 0.0):
            return None
        left = [wide, *(part for part in self._tables if part is not wide and part not in first)]
        while left:
            pairs = ((part, self._join(found, part, columns)) for part in left)
            part, made = next((pair for pair in pairs if pair[1] is not None), (wide, None))
            if made is None:
                return None
            left.remove(part)
            found = made
        return mapped(found.rows, [found.columns.index(at) for at in columns])

    def _conditions(self) -> list[tuple[BoundExpr, ...]]:
        return [*((a, b) for a, b, _ in self._equal), *((each,) for each in self._others)]

    def _is_of_several(self, condition: tuple[BoundExpr, ...]) -> bool:
        """Whether it is asked where tables are joined, and each side of it of some column."""
        places = [places_of(each) for each in condition]
        one = any(frozenset().union(*places) <= part.tables for part in self._tables)
        return all(places) and not one

    def _without(self, wide: _Part) -> list[_Part]:
        """The largest table, and those that equalities join with it when this one is not there."""
        others = [part for part in self._tables if part is not wide]
        found = [max(others, key=lambda part: part.rows.most or 0.0)]
        more = found
        while more:
            known = frozenset().union(*(part.tables for part in found))
            more = [
                part
                for part in others
                if part not in found
                and any(_sides(each, known, part.tables) for each in self._equal)
            ]
            found += more
        return found

    def _in_order(
        self, tree: Tree, tables: Iterator[_Part], among: Sequence[_Part], columns: Sequence[int]
    ) -> list[_Part]:
        """Those among the tables, joined in the order of the plan as far as equalities do so."""
        if isinstance(tree, Rows):
            part = next(tables)
            return [part] if part in among else []
        parts = [
            part
            for each in (tree.left, tree.right)
            for part in self._in_order(each, tables, among, columns)
        ]
        if len(parts) != 2:
            return parts
        made = self._join(parts[0], parts[1], columns)
        return parts if made is None else [made]

    def _join(self, left: _Part, right: _Part, columns: Sequence[int]) -> _Part | None:
        """None: no equality joins them. columns: that are asked for in the end."""
        tables = left.tables | right.tables
        equal: list[Equal] = []
        others: list[BoundExpr] = []
        later = set(columns)
        for a, b, sign in self._equal:
            sides = _sides((a, b, sign), left.tables, right.tables)
            if sides is not None:
                equal.append((*sides, sign))
            elif self._is_due((a, b), left, right):
                others.append(Call(sign, (a, b), BOOLEAN))
        others += [each for each in self._others if self._is_due((each,), left, right)]
        if not equal:
            return None
        for condition in self._conditions():
            places = places_of(condition)
            later |= set() if places <= tables else places
        of_left = {at: place for place, at in enumerate(left.columns)}
        of_right = {at: place for place, at in enumerate(right.columns)}
        numbers = left.columns + right.columns
        of_both = {at: place for place, at in enumerate(numbers)}
        rows = joins.inner(
            left.rows,
            right.rows,
            [(renumbered(a, of_left), renumbered(b, of_right), sign) for a, b, sign in equal],
            [renumbered(each, of_both) for each in others],
            self._exchanges,
        )
        kept = [place for place, at in enumerate(numbers) if at in later] or [0]
        return _Part(mapped(rows, kept), tuple(numbers[place] for place in kept), tables)

    def _is_due(self, condition: tuple[BoundExpr, ...], left: _Part, right: _Part) -> bool:
        """Whether it can be asked where these are joined, and could not before."""
        places = places_of(condition)
        before = places <= left.tables or places <= right.tables
        return places <= left.tables | right.tables and not before


def _sides(
    equal: Equal, left: frozenset[int], right: frozenset[int]
) -> tuple[BoundExpr, BoundExpr] | None:
    """An equality's side over left columns, then that over right ones; None: it has none such."""
    a, b, _ = equal
    of_a, of_b = places_of(a), places_of(b)
    if of_a <= left and of_b <= right:
        return a, b
    return (b, a) if of_b <= left and of_a <= right else None


def _shape(columns: Sequence[int], bindings: Sequence[Binding] | None) -> Rows:
    """Rows of which only the columns count."""
    known = None if bindings is None else tuple(bindings)
    return Rows(_NO_ROWS, len(columns), split=True, bindings=known)
