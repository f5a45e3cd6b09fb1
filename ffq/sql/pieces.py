"""Pieces of plans that the distribution of a query puts together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from ffq.plan.bound import BoundExpr, Call, Conjunction, Constant, Form, Place, Special, SqlType
from ffq.plan.model import Filter, Node, Project
from ffq.plan.terms import Bound
from ffq.sql.serialized import BOOLEAN, COMPARISONS, ExpressionReader, Json, read_constant, refuse


@attrs.frozen
class Rows:
    """A node of `width` columns. split: several tasks may have a share of its rows."""

    node: Node
    width: int
    split: bool


# --- nodes -----------------------------------------------------------------------------------

NOTHING: Final = Constant(SqlType("INTEGER"), None)


def part_of(column: BoundExpr, kind: Json, index: Json) -> BoundExpr:
    """A column, or the part of a struct that a scan reads of it."""
    while index.get("index_type") == "PUSHDOWN_EXTRACT" and index.get("child_indexes"):
        (index,) = index["child_indexes"]
        field = kind["type_info"]["child_types"][index.get("index", 0)]
        column = Special(Form.FIELD, (column, Constant(SqlType("VARCHAR"), field["first"])))
        kind = field["second"]
    return column


def project(below: Node, exprs: Sequence[BoundExpr]) -> Node:
    listed = exprs or [NOTHING]  # rows without a column are rows
    return Project(tuple((Bound(expr), f"c{at}") for at, expr in enumerate(listed)), below)


def filtered(below: Node, conditions: Sequence[BoundExpr]) -> Node:
    condition = all_of(conditions)
    return below if condition is None else Filter(Bound(condition), below)


def mapped(rows: Rows, places: Sequence[int] | None) -> Rows:
    if not places:
        return rows
    return attrs.evolve(
        rows, node=project(rows.node, [Place(at) for at in places]), width=len(places)
    )


def all_of(conditions: Sequence[BoundExpr]) -> BoundExpr | None:
    if len(conditions) <= 1:
        return next(iter(conditions), None)
    return Conjunction(tuple(conditions), any=False)


# --- expressions over other columns ----------------------------------------------------------


def replaced(value: Any, place: Callable[[int], int]) -> Any:
    """An expression whose columns stand elsewhere."""
    if isinstance(value, Place):
        return Place(place(value.index))
    if isinstance(value, Constant | SqlType):
        return value
    if isinstance(value, tuple):
        return tuple(replaced(each, place) for each in value)
    if attrs.has(type(value)):
        changes = {
            field.name: replaced(getattr(value, field.name), place)
            for field in attrs.fields(type(value))
        }
        return attrs.evolve(value, **changes)
    return value


def shifted(expr: BoundExpr, by: int) -> BoundExpr:
    moved: BoundExpr = replaced(expr, lambda at: at + by)
    return moved


def moved_to(expr: BoundExpr, to: Sequence[int]) -> BoundExpr:
    moved: BoundExpr = replaced(expr, lambda at: to[at])
    return moved


def widened(expr: BoundExpr, width: int, by: int) -> BoundExpr:
    """Over two inputs of which the first, of `width` columns, has got `by` more."""
    moved: BoundExpr = replaced(expr, lambda at: at if at < width else at + by)
    return moved


def swapped(expr: BoundExpr, first: int, second: int) -> BoundExpr:
    """Over two inputs that change places; of `first` columns was the one that comes last now."""
    moved: BoundExpr = replaced(expr, lambda at: at + second if at < first else at - first)
    return moved


# --- what a scan leaves out ---


def table_filter(found: Json, column: BoundExpr) -> BoundExpr | None:  # noqa: PLR0911
    """What a scan was told to leave out; None: a hint that decides nothing."""
    kind = found["filter_type"].removeprefix("LEGACY_")
    match kind:
        case "CONSTANT_COMPARISON":
            sign = COMPARISONS[found["comparison_type"]]
            return Call(sign, (column, read_constant(found["constant"])), BOOLEAN)
        case "CONJUNCTION_AND" | "CONJUNCTION_OR":
            parts = [table_filter(each, column) for each in found["child_filters"]]
            sure = [part for part in parts if part is not None]
            if kind == "CONJUNCTION_AND":
                return all_of(sure)
            return Conjunction(tuple(sure), any=True) if len(sure) == len(parts) else None
        case "IS_NULL":
            return Special(Form.IS_NULL, (column,))
        case "IS_NOT_NULL":
            return Special(Form.IS_NOT_NULL, (column,))
        case "IN_FILTER":
            return Special(Form.IN, (column, *(read_constant(each) for each in found["values"])))
        case "OPTIONAL_FILTER" | "DYNAMIC_FILTER":
            return None
        case "EXPRESSION_FILTER":
            (at,) = {column}
            expr = ExpressionReader(1)(found["expr"])
            index = at.index if isinstance(at, Place) else 0
            return moved_to(expr, [index])
        case _:
            return refuse(f"a filter of kind {kind}", found)
