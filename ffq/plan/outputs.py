"""What columns a node gives out, as far as the plan itself tells. Pure.

A scan without a schema gives out what its files call the columns: of a name in its projection no
more is known than the last dotted part, since that is how the name may have been found.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, TypeAlias

import attrs

from ffq.plan import model, terms
from ffq.plan.bound import Match
from ffq.plan.model import Node
from ffq.plan.names import text_of
from ffq.plan.terms import ColumnName, Expr, JoinType
from ffq.plan.walk import KEEPS_COLUMNS


@attrs.frozen
class Output:
    """A column. exact: it is called so, and the bare name means it; else its last part is this."""

    name: str
    exact: bool = True


Outputs: TypeAlias = tuple[Output, ...] | None
"""A node's columns in order; None: not known."""

LEFT_ONLY: Final = frozenset({JoinType.SEMI, JoinType.ANTI})
"""Joins that give out the left columns, and no others."""


_BOTH_SIDES: Final = frozenset({Match.INNER, Match.LEFT, Match.RIGHT, Match.FULL, Match.SINGLE})


@attrs.define
class OutputsOf:
    """Asks for the outputs of the nodes of one plan, each looked at once."""

    _known: dict[int, Outputs] = attrs.field(factory=dict, init=False)

    def __call__(self, node: Node) -> Outputs:
        if id(node) not in self._known:
            self._known[id(node)] = self._visit(node)
        return self._known[id(node)]

    def _visit(self, node: Node) -> Outputs:  # noqa: PLR0911
        match node:
            case model.ParquetScan() if type(node) is model.ParquetScan:
                return _scanned(node)
            case model.Project():
                return tuple(Output(name) for _, name in node.exprs)
            case model.PartialHashAggregate() | model.FinalHashAggregate():
                groups = (group_name(expr, at) for at, expr in enumerate(node.group_exprs))
                return tuple(map(Output, (*groups, *(name for _, name in node.aggr_exprs))))
            case model.Window():
                below = self(node.input)
                added = tuple(Output(each.output_name) for each in node.exprs)
                return None if below is None else below + added
            case model.HashJoin():
                return _joined(node, self(node.left), self(node.right))
            case model.Inline():
                return tuple(Output(name) for name, _ in node.columns)
            case model.Aggregate():
                return _numbered(len(node.groups) + len(node.aggregates) + len(node.groupings))
            case model.Join():
                left, right = self(node.left), self(node.right)
                known = left is not None and right is not None and node.match in _BOTH_SIDES
                return _numbered(len(left or ()) + len(right or ())) if known else None
            case model.UnionAll():
                return self(node.left)
            case model.CteRef():
                return self(node.plan)
            case _ if isinstance(node, KEEPS_COLUMNS):
                return self(node.input)
            case _:
                return None


def own_name(at: int) -> str:
    """What a node of our own calls its column at a position."""
    return f"c{at}"


def _numbered(width: int) -> tuple[Output, ...]:
    return tuple(Output(own_name(at)) for at in range(width))


def group_name(expr: Expr, at: int) -> str:
    """What an aggregate calls a group: columns keep the name that the plan calls them by."""
    if isinstance(expr, terms.Column | terms.ColumnPath | terms.ColumnRef):
        return expr.name
    return f"group_{at}"


def place_of(name: ColumnName, columns: Outputs) -> int | None:
    """The position of the column that a name means there; None where that is not sure."""
    text = text_of(name)
    exact = [at for at, one in enumerate(columns or ()) if one.exact and one.name == text]
    found = exact or [at for at, one in enumerate(columns or ()) if _last(one.name) == _last(text)]
    return found[0] if len(found) == 1 else None


def keeps_meaning(name: ColumnName, columns: Outputs, added: Outputs) -> bool:
    """Whether a name of one of `columns` cannot mean one of `added`, when these stand beside."""
    text = text_of(name)
    if any(one.exact and one.name == text for one in columns or ()):
        return True
    return added is not None and all(_last(one.name) != _last(text) for one in added)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _scanned(scan: model.ParquetScan) -> Outputs:
    declared = None if scan.schema is None else [field.name for field in scan.schema.fields]
    if scan.projection is None:
        return None if declared is None else tuple(map(Output, declared))
    names = map(text_of, scan.projection)
    return tuple(Output(name, exact=name in (declared or ())) for name in names)


def _joined(node: model.HashJoin, left: Outputs, right: Outputs) -> Outputs:
    if node.join_type in LEFT_ONLY:
        return left
    if left is None or right is None:
        return None
    # By a name that both sides of a join key have, the engine may mean the other one (names.py).
    shared = {text_of(a) for a, b in node.on if a == b}
    if node.join_type is JoinType.RIGHT:
        return _inexact(left, shared) + right
    return left + _inexact(right, shared)


def _inexact(columns: tuple[Output, ...], names: Container[str]) -> tuple[Output, ...]:
    return tuple(attrs.evolve(one, exact=one.exact and one.name not in names) for one in columns)


def own_places(key: frozenset[ColumnName], columns: Outputs) -> frozenset[int]:
    """Positions of a key's names among the columns of a node; where these are not known, it is one
    of our own."""
    if columns is None:
        return frozenset(
            int(name[1:])
            for name in key
            if isinstance(name, str) and name[:1] == "c" and name[1:].isdecimal()
        )
    places = (place_of(name, columns) for name in key)
    return frozenset(at for at in places if at is not None)
