"""Writing SQL safely, and relations: what each plan node becomes.

Inside the SQL every column is called c0, c1, ... by position; the plan's names live beside it in
`Relation`. So names never reach the SQL, and columns of one name stay apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from ffq.errors import PlanningError
from ffq.plan.model import Column, ColumnRef, Expr

_MAX_ROWS = 2**62
_EMPTY_ROW = "1 AS _"
"""SQL has no row without columns."""


@attrs.frozen
class ColumnInfo:
    """name: as the plan calls it, may repeat. type: in DuckDB's words."""

    name: str
    type: str


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


def resolve(name: str, columns: Sequence[ColumnInfo], node: str) -> int:
    """Position of the column that `name` means: exact, else by its last dotted part.

    Of several columns with that name the first is meant, as in Arrow's schemas.

    Raises:
        PlanningError: no such column; names those that exist.
    """
    last = name.rpartition(".")[2]
    names = [column.name for column in columns]
    for wanted in (name, last):
        if wanted in names:
            return names.index(wanted)
    # Only the column's own name is dotted: right where it is unambiguous.
    similar = [at for at, known in enumerate(names) if known.rpartition(".")[2] == last]
    if len(similar) == 1:
        return similar[0]
    raise PlanningError(
        f"{node}: no column {name!r}; its input has {', '.join(names) or 'no columns'}"
    )


def referenced_columns(expr: Expr) -> Iterator[Column | ColumnRef]:
    """Every column that an expression names, left to right."""
    pending: list[object] = [expr]
    while pending:
        part = pending.pop()
        if isinstance(part, Column | ColumnRef):
            yield part
        elif isinstance(part, tuple):
            pending.extend(reversed(part))
        elif attrs.has(type(part)):
            pending.extend(reversed(attrs.astuple(part, recurse=False)))  # type: ignore[arg-type]
