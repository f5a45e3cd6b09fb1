"""What the engine's errors call c0, c1, ... by the names that a plan's tables have for it.

A fragment's SQL has such columns only, in each of its relations others. So a name is given where
all places that the error may be about have the one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import attrs

from ffq.plan import model
from ffq.plan.bound import BoundExpr, Call, Constant, Conversion, Form, Place, Special
from ffq.plan.model import Node
from ffq.plan.terms import Bound, Column, Expr
from ffq.plan.walk import child_fields, children, walk_stage

_Names: TypeAlias = "tuple[str | None, ...]"
"""Of a node's columns; None: one is made of others."""
_OF_A_CAST: Final = re.compile(r" when casting from source column (c\d+|.*\(.*)$")
_OF_A_DIVISION: Final = re.compile(r" in expression \((.*)\)$")
_COLUMN: Final = re.compile(r"\bc(\d+)\b")
_DIVISIONS: Final = frozenset({"//", "%", "/", "divide", "mod", "fmod"})
_SAME: Final = (
    model.Filter,
    model.Sort,
    model.Limit,
    model.CoalesceBatches,
    model.ShuffleRead,
    model.ShuffleWrite,
    model.Broadcast,
    model.WithTables,
    model.CteRef,
)


def with_names(said: str, fragment: Node | None) -> str:
    """An error's line with names of columns, or without the SQL that nobody wrote."""
    cast = _OF_A_CAST.search(said)
    if cast is not None:
        name = _one_name(fragment, cast[1], _casts) if _COLUMN.fullmatch(cast[1]) else None
        return said[: cast.start()] + (f" when casting from column {name}" if name else "")
    division = _OF_A_DIVISION.search(said)
    if division is None:
        return said
    names = {
        column[0]: _one_name(fragment, column[0], _divisions)
        for column in _COLUMN.finditer(division[1])
    }
    if not names or None in names.values():
        return said[: division.start()]
    shown = _COLUMN.sub(lambda column: str(names[column[0]]), division[1])
    return f"{said[: division.start()]} in expression ({shown})"


def _one_name(fragment: Node | None, column: str, kind: Any) -> str | None:
    if fragment is None:
        return None
    index = int(column[1:])
    found: set[str | None] = set()
    for node in walk_stage(fragment):
        if isinstance(node, model.Project) and isinstance(node.input, model.ParquetScan):
            continue  # columns as they were planned
        if any(index in kind(each) for each in _expressions(node)):
            below = _below(node)
            found.add(below[index] if index < len(below) else None)
    return found.pop() if len(found) == 1 else None


def _casts(expr: BoundExpr) -> Iterable[int]:
    if isinstance(expr, Conversion) and isinstance(expr.expr, Place):
        yield expr.expr.index


def _divisions(expr: BoundExpr) -> Iterable[int]:
    if isinstance(expr, Call) and expr.name in _DIVISIONS:
        yield from (each.index for each in parts_of(expr) if isinstance(each, Place))


def _expressions(node: Node) -> Iterator[Any]:
    below = child_fields(node)
    for field in attrs.fields(type(node)):
        if field.name not in below:
            yield from parts_of(getattr(node, field.name))


def parts_of(value: Any) -> Iterator[Any]:
    """All that an expression, or a tuple of them, is made of, in no order."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, tuple):
            pending.extend(each)
        elif attrs.has(type(each)):
            yield each
            pending.extend(getattr(each, field.name) for field in attrs.fields(type(each)))


# --- names of columns ------------------------------------------------------------------------


def _below(node: Node) -> _Names:
    return tuple(name for child in children(node) for name in _names(child))


def _names(node: Node) -> _Names:  # noqa: PLR0911
    match node:
        case model.ParquetScan(projection=projection):
            return tuple(each if isinstance(each, str) else None for each in projection or ())
        case model.Project(exprs=exprs):
            below = _below(node)
            return tuple(_name(expr, below) for expr, _ in exprs)
        case model.Aggregate(groups=groups, aggregates=aggregates):
            below = _below(node)
            return (*(_name(Bound(each), below) for each in groups), *(None,) * len(aggregates))
        case model.Join() | model.OverWindows() | model.Unnest() | model.RowsOf():
            return _below(node)
        case model.UnionAll(left=left, right=right):
            pairs = zip(_names(left), _names(right), strict=False)
            return tuple(a if a == b else None for a, b in pairs)
        case _ if isinstance(node, _SAME):
            return _below(node)
    return ()


def _name(expr: Expr, below: _Names) -> str | None:
    match expr:
        case Column(name=name):
            return name
        case Bound(tree=tree):
            return _name_of(tree, below)
    return None


def _name_of(tree: BoundExpr, below: _Names) -> str | None:
    match tree:
        case Place(index=index):
            return below[index] if index < len(below) else None
        case Conversion(expr=inner):
            return _name_of(inner, below)
        case Special(form=Form.FIELD, args=(inner, Constant(value=str(field)))):
            name = _name_of(inner, below)
            return None if name is None else f"{name}.{field}"
    return None
