"""Columns of the engine as Arrow has them, and Arrow's as the engine has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from ffq.engine import types
from ffq.engine.batches import usual_schema
from ffq.engine.sql import select_list
from ffq.errors import UnsupportedPlan


def arrow_schema(columns: Iterable[tuple[str, str]]) -> pa.Schema:
    """The schema under which an operator is given columns: pairs of name and the engine's type.

    Raises duckdb.Error: a type that the engine has not.
    """
    pairs = [
        (name, types.travelling("NULL", str(duckdb.sqltype(kind)))[1]) for name, kind in columns
    ]
    nulls = select_list(f"CAST(NULL AS {kind})" for _, kind in pairs)
    with duckdb.connect() as engine:
        schema = usual_schema(engine.sql(f"SELECT {nulls}").to_arrow_reader().schema, nested=True)
    return pa.schema(schema.field(at).with_name(name) for at, (name, _) in enumerate(pairs))


def sql_columns(who: str, schema: pa.Schema) -> Sequence[tuple[str, str]]:
    """Pairs of name and the engine's type, as they come out of a stream of this schema.

    Args:
        who: gives out such columns, for errors.

    Raises:
        UnsupportedPlan: a type that the engine has not, or whose values it would change.
    """
    return [(field.name, _sql_type(who, field)) for field in schema]


def _sql_type(who: str, field: pa.Field) -> str:
    what = f"{who} gives out column {field.name!r} of type {field.type}"
    if reason := types.unkept(field.type):
        raise UnsupportedPlan(f"{what}, whose values this engine would change: {reason}")
    empty = pa.table({"c0": pa.array([], field.type)})
    with duckdb.connect() as engine:
        try:
            (kind,) = engine.from_arrow(empty).types
        except duckdb.Error as error:
            raise UnsupportedPlan(f"{what}, which this engine does not take") from error
    return types.travelling("", str(kind))[1]
