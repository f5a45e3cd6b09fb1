"""Checks of the plan builder: wrong names and numbers are refused where they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from ffq.errors import InvalidRequest, PlanningError, words
from ffq.plan.codec.shapes import MAX_U64
from ffq.plan.names import PlainColumn, dotted_splits, find_column, unknown_column
from ffq.plan.terms import Column, ColumnName, ColumnPath, Expr


def check_positive(what: str, value: int, *, minimum: int = 1) -> None:
    """
    Raises:
        InvalidRequest: not an integer, below the minimum, or of more than 64 bits.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise InvalidRequest(f"{what} is {words(value, 40)}, not an integer >= {minimum}")
    if value > MAX_U64:
        raise InvalidRequest(f"{what} is {words(value, 40)}, more than {MAX_U64}")


def check_names(what: str, names: Sequence[str]) -> None:
    """Output columns: named, and each name once.

    Raises:
        InvalidRequest: a plain string instead of a sequence, or an empty sequence.
        PlanningError: a name stands twice.
    """
    if isinstance(names, str):
        raise InvalidRequest(f"{what}: columns are a list of names, not the string {names!r}")
    if not names:
        raise InvalidRequest(f"{what}: no columns")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PlanningError(f"{what}: duplicate output column {name!r}")
        seen.add(name)


def check_expr(what: str, expr: Expr, columns: Sequence[str] | None) -> None:
    """Every column of the expression is there. Passes where columns are not known.

    Only names are known here: whether `a.b` is column b of table a or field b of a struct a is
    found where the query runs.

    Raises:
        PlanningError: names the missing column and the ones that exist.
    """
    if columns is None:
        return
    known = [PlainColumn(name) for name in columns]
    for column in _named_columns(expr):
        if isinstance(column, Column):
            find_column(column.name, known, what)
        elif column.name not in columns and not any(
            head in columns or rest in columns for head, rest in dotted_splits(column.name)
        ):
            raise unknown_column(column.name, known, what)


def check_column(what: str, name: ColumnName, columns: Sequence[str] | None) -> None:
    """As `check_expr`, of what a key names."""
    check_expr(what, Column(name) if isinstance(name, str) else name, columns)


def _named_columns(value: object) -> Iterator[Column | ColumnPath]:
    """All columns that an expression names, whatever it is made of."""
    pending: list[Any] = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, Column | ColumnPath):
            yield each
        elif isinstance(each, tuple):
            pending.extend(each)
        elif attrs.has(type(each)):
            pending.extend(getattr(each, field.name) for field in attrs.fields(type(each)))
