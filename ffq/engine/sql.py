"""Writing SQL safely, and relations: what each plan node becomes.

Inside the SQL every column is called c0, c1, ... by position; the plan's names live beside it in
`Relation`. So names never reach the SQL, and columns of one name stay apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from ffq.errors import PlanningError
from ffq.plan.terms import Column, ColumnPath, ColumnRef, Expr

_MAX_ROWS = 2**62
_EMPTY_ROW = "1 AS _"
"""SQL has no row without columns."""


@attrs.frozen
class ColumnInfo:
    """A `NamedColumn`. name: as the plan calls it, may repeat. type: in DuckDB's words."""

    name: str
    type: str
    qualifier: str | None = None
    merged: bool = False


Columns = tuple[ColumnInfo, ...]


@attrs.frozen
class Relation:
    """One node's rows: a table expression of SQL, whose columns are c0, c1, ..."""

    name: str
    columns: Columns


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string literal. Raises PlanningError for a NUL character, which ends DuckDB's SQL."""
    if "\0" in value:
        raise PlanningError(f"the text {value[:40]!r} holds a NUL character, which SQL cannot")
    return "'" + value.replace("'", "''") + "'"


def select_list(expressions: Iterable[str]) -> str:
    """Expressions named c0, c1, ...; a placeholder when there are none."""
    return ", ".join(f"{sql} AS c{at}" for at, sql in enumerate(expressions)) or _EMPTY_ROW


def row_bound(count: int) -> int:
    """A number of rows that DuckDB takes. Those of a plan go to 2^64, and no table has so many."""
    return min(count, _MAX_ROWS)


def referenced_columns(expr: Expr) -> Iterator[Column | ColumnPath | ColumnRef]:
    """Every column that an expression names, left to right."""
    pending: list[object] = [expr]
    while pending:
        part = pending.pop()
        if isinstance(part, Column | ColumnPath | ColumnRef):
            yield part
        elif isinstance(part, tuple):
            pending.extend(reversed(part))
        elif attrs.has(type(part)):
            pending.extend(reversed(attrs.astuple(part, recurse=False)))  # type: ignore[arg-type]
