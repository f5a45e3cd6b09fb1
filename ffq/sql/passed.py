"""Columns of one scan that a plan passes on as they are, and computes nothing of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import attrs

from ffq.plan import model
from ffq.plan.bound import Conversion, Match, Phase, Place
from ffq.plan.model import Node
from ffq.plan.terms import Bound, Expr
from ffq.sql.pieces import places_of

_LEFT: Final = frozenset({Match.SEMI, Match.ANTI, Match.MARK})
Columns: TypeAlias = tuple[int | None, ...]
"""Of each column of a node, which column of the scan it is; None: none."""


class Unknown(Exception):
    """A node of which it is not known what it does with its columns."""


@attrs.define
class Passed:
    """Follows the columns of a scan through the nodes above it.

    Attributes:
        scan: the object, as it stands in the plan, below a Project that gives out its columns.
        leaf: of each column of that Project, which column of the scan it stands for, if any; None:
            the one that it gives out.
        used: columns that something is computed of, or that decide where rows go.
        exchanged: those that other tasks are sent.
    """

    scan: model.ParquetScan
    leaf: Sequence[int | None] | None = None
    used: set[int] = attrs.field(factory=set, init=False)
    exchanged: set[int] = attrs.field(factory=set, init=False)
    _met: bool = attrs.field(default=False, init=False)

    def columns(self, node: Node) -> Columns:  # noqa: PLR0911
        """Raises Unknown."""
        match node:
            case model.ParquetScan():
                return self._scan(node)
            case model.Inline(columns=columns):
                return (None,) * len(columns)
            case model.Values(types=types):
                return (None,) * len(types)
            case model.Project():
                return self._project(node, self.columns(node.input))
            case model.Filter(predicate=predicate):
                return self.using((predicate,), self.columns(node.input))
            case model.Sort(keys=keys):
                return self.using(keys, self.columns(node.input))
            case model.ShuffleWrite() | model.Broadcast():
                return self._sent(node, self.columns(node.input))
            case model.ShuffleRead():
                return self.columns(node.input)
            case model.Join():
                return self._join(node, self.columns(node.left), self.columns(node.right))
            case model.Aggregate():
                return self._aggregate(node, self.columns(node.input))
            case model.OverWindows(windows=windows):
                below = self.using(windows, self.columns(node.input))
                return (*below, *([None] * len(windows)))
            case _:
                raise Unknown

    def _scan(self, node: model.ParquetScan) -> Columns:
        if node.projection is None or (node is self.scan and self._met):
            raise Unknown  # of rows that stand there twice it would not be known which are meant
        self._met |= node is self.scan
        width = len(node.projection)
        own = range(width) if node is self.scan else [None] * width
        return (*own, *([None] if isinstance(node, model.NumberedScan) else []))

    def _project(self, node: model.Project, below: Columns) -> Columns:
        if node.input is self.scan and self.leaf is not None:
            return tuple(self.leaf)
        found: list[int | None] = []
        for expr, _ in node.exprs:
            place = _passed(expr, of_scan=node.input is self.scan)
            if place is None:
                self.using((expr,), below)
            found.append(None if place is None else below[place])
        return tuple(found)

    def _aggregate(self, node: model.Aggregate, below: Columns) -> Columns:
        if node.phase is Phase.MERGED:  # its expressions are over what the states were made of
            self.used.update(at for at in below if at is not None)
        else:
            self.using((node.groups, node.aggregates), below)
        return (None,) * (len(node.groups) + len(node.aggregates) + len(node.groupings))

    def _sent(self, node: model.ShuffleWrite | model.Broadcast, below: Columns) -> Columns:
        self.exchanged.update(each for each in below if each is not None)
        if isinstance(node, model.ShuffleWrite):
            keys = getattr(node.partitioning, "keys", ())
            self.using(map(_own_place, keys), below)
        return below

    def _join(self, node: model.Join, left: Columns, right: Columns) -> Columns:
        both = left + right
        self.using((node.condition,), both)
        if node.match is Match.MARK:
            return (*left, None)
        return left if node.match in _LEFT else both

    def using(self, exprs: Iterable[Any], below: Columns) -> Columns:
        """Takes note that expressions are over these columns, and gives the columns."""
        found = (below[at] for at in places_of(tuple(exprs)))
        self.used.update(at for at in found if at is not None)
        return below


def _own_place(key: object) -> Place:
    if isinstance(key, str) and key[:1] == "c" and key[1:].isdecimal():
        return Place(int(key[1:]))
    raise Unknown


def _passed(expr: Expr, *, of_scan: bool) -> int | None:
    """The column that an expression gives out as it is. That a scan's column has the type that it
    was planned as changes nothing of it."""
    tree = expr.tree if isinstance(expr, Bound) else None
    if of_scan and isinstance(tree, Conversion) and not tree.tries:
        tree = tree.expr
    if tree is None:
        raise Unknown
    return tree.index if isinstance(tree, Place) else None
