"""What an operator declares to give out, and holding it to that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import duckdb
import pyarrow as pa

from ffq.engine.arrow_types import arrow_schema
from ffq.engine.faults import one_line
from ffq.errors import OperatorError, StartupError

DeclaredSchema: TypeAlias = (
    "pa.Schema | Mapping[str, str | pa.DataType] | Callable[[pa.Schema], pa.Schema]"
)
"""A schema; types by column, as SQL or Arrow has them; or a function of the input's schema."""

_FAMILIES: Final[tuple[Callable[[pa.DataType], bool], ...]] = (
    lambda kind: bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    ),
    lambda kind: bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    ),
    lambda kind: bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    ),
    lambda kind: bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind)),
    lambda kind: bool(pa.types.is_time(kind)),
    lambda kind: bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ),
    lambda kind: bool(pa.types.is_struct(kind)),
)
"""Types of one family may hold the same values."""


def read_schema(name: str, declared: Any) -> pa.Schema | Callable[[pa.Schema], pa.Schema] | None:
    """What `output_schema=` was given, types read.

    Raises:
        StartupError: nothing that it can be; names operator, column and type.
    """
    if isinstance(declared, Mapping):
        fields = [
            pa.field(column, _read_type(name, column, kind)) for column, kind in declared.items()
        ]
        return pa.schema(fields)
    if declared is None or isinstance(declared, pa.Schema) or callable(declared):
        return declared
    raise StartupError(
        f"operator {name!r}: its output_schema is a {type(declared).__name__}; right would be a "
        f'pyarrow.Schema, a dict as {{"score": "DOUBLE"}}, or a function of the input\'s schema'
    )


def _read_type(name: str, column: object, kind: object) -> pa.DataType:
    if isinstance(kind, pa.DataType):
        return kind
    if isinstance(kind, str) and isinstance(column, str):
        try:
            return arrow_schema([(column, kind)]).field(0).type
        except duckdb.Error as error:
            raise StartupError(
                f"operator {name!r}: column {column!r} of its output_schema is declared "
                f"{kind!r}, which is no type of SQL: {one_line(error)}"
            ) from error
    raise StartupError(
        f"operator {name!r}: its output_schema has {column!r}: {kind!r}; right would be a column's "
        f'name and its type, as "score": "DOUBLE"'
    )


class Mismatch(Exception):
    """A table that is not of the schema; says of which columns, in words that may follow it."""


def conformed(table: pa.Table, schema: pa.Schema, *, casts: bool, why: str) -> pa.Table:
    """The table under a schema.

    Args:
        casts: columns may stand in another order, and be of another type of the same family if
            that keeps every value.
        why: the schema is this one, for errors.

    Raises:
        Mismatch: names the column and both types.
    """
    if table.schema.equals(schema):
        return table
    if casts and sorted(table.schema.names) == sorted(schema.names):
        table = table.select(schema.names)
    if table.schema.names != schema.names:
        raise Mismatch(
            f"with columns {described(table.schema)}; right would be columns "
            f"{described(schema)}, {why}"
        )
    columns = []
    for field, column in zip(schema, table.columns, strict=True):
        if column.type != field.type:
            column = _cast(column, field, casts, why)  # noqa: PLW2901
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, field: pa.Field, casts: bool, why: str) -> pa.ChunkedArray:
    what = (
        f"whose column {field.name!r} is of type {column.type}; right would be {field.type}, {why}"
    )
    if not (casts and _alike(column.type, field.type)):
        raise Mismatch(what)
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise Mismatch(f"{what}, which does not hold its values: {one_line(error)}") from error


def _alike(given: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_dictionary(given):
        given = given.value_type
    same = any(family(given) and family(wanted) for family in _FAMILIES)
    return bool(pa.types.is_null(given) or given == wanted or same)


def described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def schema_for(
    name: str,
    declared: pa.Schema | Callable[[pa.Schema], pa.Schema] | None,
    input_schema: pa.Schema,
) -> pa.Schema | None:
    """The declared schema over such an input; None: nothing is declared.

    Raises:
        OperatorError: its function of the input's schema raised, or gave no schema.
    """
    if declared is None or isinstance(declared, pa.Schema):
        return declared
    try:
        schema: object = declared(input_schema)
    except Exception as error:
        raise OperatorError(
            f"operator {name!r}: its output_schema raised {type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(schema, pa.Schema):
        raise OperatorError(
            f"operator {name!r}: its output_schema gave a {type(schema).__name__}; right would be "
            f"a pyarrow.Schema"
        )
    return schema
