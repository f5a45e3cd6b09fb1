"""Columns of the engine as Arrow has them, and Arrow's as the engine has them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from ffq.engine import types
from ffq.engine.batches import usual_schema
from ffq.errors import UnsupportedPlan


def arrow_schema(columns: Iterable[tuple[str, str]]) -> pa.Schema:
    """The schema under which an operator is given columns: pairs of name and the engine's type.

    Raises duckdb.Error: a type that the engine has not.
    """
    return pa.schema([(name, _arrow_type(kind)) for name, kind in columns])


def sql_columns(who: str, schema: pa.Schema) -> Sequence[tuple[str, str]]:
    """Pairs of name and the engine's type, as they come out of a stream of this schema.

    Args:
        who: gives out such columns, for errors.

    Raises:
        UnsupportedPlan: a type that the engine has not, or whose values it would change.
    """
    columns = []
    for field in schema:
        what = f"{who} gives out column {field.name!r} of type {field.type}"
        if reason := types.unkept(field.type):
            raise UnsupportedPlan(f"{what}, whose values this engine would change: {reason}")
        try:
            columns.append((field.name, _sql_type(field.type)))
        except duckdb.Error as error:
            raise UnsupportedPlan(f"{what}, which this engine does not take") from error
    return columns


@functools.lru_cache(maxsize=1024)
def _arrow_type(kind: str) -> pa.DataType:
    known = str(duckdb.sqltype(kind))  # it is a type, and no more of SQL
    travels = types.travelling("", known)[1]
    relation = _engine().cursor().sql(f"SELECT CAST(NULL AS {travels}) AS c")
    return usual_schema(relation.to_arrow_reader().schema, nested=True).field(0).type


@functools.lru_cache(maxsize=1024)
def _sql_type(kind: pa.DataType) -> str:
    empty = pa.table({"c": pa.array([], kind)})
    (found,) = _engine().cursor().from_arrow(empty).types
    return types.travelling("", str(found))[1]


@functools.cache
def _engine() -> duckdb.DuckDBPyConnection:
    """That of this process for questions about types: to open one takes longer than to ask."""
    return duckdb.connect(config={"threads": 1})
