"""Types that the columns of CSV and JSON files may have."""

from __future__ import annotations

from typing import Final

import duckdb
from duckdb.sqltypes import DuckDBPyType

from ffq.engine.types import INTEGERS, NESTED, children_of
from ffq.errors import InvalidRequest

PLAIN_TYPES: Final = frozenset(
    {"BOOLEAN", "FLOAT", "DOUBLE", "VARCHAR", "DATE", "TIME", "TIMESTAMP"}
    | {"TIMESTAMP WITH TIME ZONE", "UUID", "JSON"}
) | (INTEGERS - {"HUGEINT", "UHUGEINT"})
"""Types that a column of a text file may have; also decimals, and in JSON nested ones of these."""


def read_type(column: str, written: str) -> str:
    """A type that a column of a text file may have, as DuckDB writes it.

    Raises:
        InvalidRequest: it is none, or no such file holds it; names the column.
    """
    try:
        kind = str(duckdb.sqltype(written))
    except duckdb.Error:
        kind = ""
    if not kind or not _may_hold(duckdb.sqltype(kind)):
        raise InvalidRequest(
            f"column {column!r} cannot be {written[:60]!r}; right would be one of "
            f"{', '.join(sorted(PLAIN_TYPES))}, DECIMAL(width, scale), or in JSON a list or struct"
        )
    return kind


def _may_hold(kind: DuckDBPyType) -> bool:
    if kind.id in NESTED:
        return all(map(_may_hold, children_of(kind).values()))
    return str(kind) in PLAIN_TYPES or kind.id == "decimal"
