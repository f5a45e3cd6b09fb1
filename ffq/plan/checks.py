"""Checks of the plan builder: wrong names and numbers are refused where they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from ffq.errors import InvalidRequest, PlanningError
from ffq.plan.model import Column, Expr

MAX_SHOWN = 20


def check_positive(what: str, value: int, *, minimum: int = 1) -> None:
    """
    Raises:
        InvalidRequest: not an integer, or below the minimum.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise InvalidRequest(f"{what} is {value!r}, not an integer >= {minimum}")


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

    Raises:
        PlanningError: names the missing column and the ones that exist.
    """
    if columns is None:
        return
    last_parts = {name.rpartition(".")[2] for name in columns}
    for name in _column_names(expr):
        if name not in columns and name.rpartition(".")[2] not in last_parts:
            some = ", ".join(columns[:MAX_SHOWN]) + (", …" if len(columns) > MAX_SHOWN else "")
            raise PlanningError(f"{what}: unknown column {name!r}; the input has: {some}")


def _column_names(value: object) -> Iterator[str]:
    """Names of all plain columns in an expression, whatever it is made of."""
    pending: list[Any] = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, Column):
            yield each.name
        elif isinstance(each, tuple):
            pending.extend(each)
        elif attrs.has(type(each)):
            pending.extend(getattr(each, field.name) for field in attrs.fields(type(each)))
