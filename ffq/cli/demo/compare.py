"""DuckDB's own answers over the same files, and whether two results are the same rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ffq.cli.demo.data import TABLES

RELATIVE_TOLERANCE = 1e-9
"""For floats, which parallel sums add up in another order. Everything else must be equal."""

Row = tuple[Any, ...]


def difference(answer: pa.Table, expected: pa.Table) -> str | None:
    """What is wrong with an answer, in one line; None when it equals the expected one.

    Rows are compared as a multiset and columns by position and name. Decimals, integers, dates
    and text must be equal, floats up to RELATIVE_TOLERANCE.
    """
    if answer.column_names != expected.column_names:
        return f"columns {answer.column_names} instead of {expected.column_names}"
    if answer.num_rows != expected.num_rows:
        return f"{answer.num_rows} rows instead of {expected.num_rows}"
    kinds = zip(answer.schema.types, expected.schema.types, strict=True)
    inexact = [
        index
        for index, pair in enumerate(kinds)
        if any(pa.types.is_floating(kind) for kind in pair)
    ]
    for got, right in zip(_ordered(answer, inexact), _ordered(expected, inexact), strict=True):
        if not all(_same(*pair) for pair in zip(got, right, strict=True)):
            return f"row {_shown(got)} instead of {_shown(right)}"
    return None


def _ordered(table: pa.Table, inexact: Sequence[int]) -> list[Row]:
    """Rows in an order that a float's last bits change as little as possible: floats go last."""
    columns = [column.to_pylist() for column in table.columns]
    rows: list[Row] = list(zip(*columns, strict=True))
    order = sorted(range(len(columns)), key=lambda index: index in inexact)
    return sorted(rows, key=lambda row: [_rank(row[index]) for index in order])


def _rank(value: Any) -> tuple[int, Any]:
    """Nulls first, not-a-number last, so that any column sorts."""
    if value is None:
        return (0, 0)
    if isinstance(value, float) and math.isnan(value):
        return (2, 0)
    return (1, value)


def _same(got: Any, right: Any) -> bool:
    if isinstance(got, float) or isinstance(right, float):
        return _close(got, right)
    return bool(got == right)


def _close(got: float | Decimal | None, right: float | Decimal | None) -> bool:
    if got is None or right is None:
        return got is right
    left, other = float(got), float(right)
    if math.isnan(left) or math.isnan(other):
        return math.isnan(left) and math.isnan(other)
    return math.isclose(left, other, rel_tol=RELATIVE_TOLERANCE)


def _shown(row: Row) -> str:
    return "(" + ", ".join(str(value) for value in row) + ")"


def direct_answer(sql: str, dataset: Path) -> pa.Table:
    """Run SQL in a DuckDB of its own; each table is the Parquet files of a folder of `dataset`."""
    with duckdb.connect() as connection:
        for table in TABLES:
            connection.read_parquet(str(dataset / table / "*.parquet")).create_view(table)
        return connection.sql(sql).to_arrow_table()
