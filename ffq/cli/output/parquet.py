"""Parquet: what it has no type for is kept in another where that loses nothing, else refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ffq.cli.output.consoles import note
from ffq.display.cells import distinct_names
from ffq.display.times import interval_texts
from ffq.errors import InvalidRequest

_Applies: TypeAlias = Callable[[pa.DataType], bool]

_NARROW_DIGITS: Final = 38
_MAX_DIGITS: Final = 76
_UNABLE: Final = (pa.ArrowNotImplementedError, pa.ArrowInvalid, OSError)


def parquet_bytes(table: pa.Table) -> pa.Buffer:
    """A table as a Parquet file, made in memory: a pipe cannot seek.

    Intervals become ISO 8601 text, decimals with a negative scale get scale 0, run ends and
    dictionaries of nested values are written out, a second column `x` is `x_1`; a note on stderr
    says what was changed.

    Raises:
        InvalidRequest: Parquet cannot hold a column, or rows without columns; names it.
    """
    if table.num_rows and not table.num_columns:
        raise InvalidRequest(
            f"{table.num_rows} rows without columns cannot be kept in Parquet: "
            f"--format arrow or json can"
        )
    names = distinct_names(table.column_names)
    columns, fields = [], []
    for name, before, field, column in zip(
        names, table.column_names, table.schema, table.columns, strict=True
    ):
        if name != before:
            note(f"a second column {before!r} is {name!r} in the file")
        chunks = column.chunks or [pa.nulls(0, field.type)]
        try:
            stored = pa.chunked_array([_storable(chunk) for chunk in chunks])
        except _UNABLE as error:
            raise _refusal(name, field.type, error) from error
        if stored.type != field.type:
            note(f"column {name!r} of type {field.type} is {stored.type} in the file")
        columns.append(stored)
        fields.append(field.with_name(name).with_type(stored.type))
    converted = pa.table(columns, pa.schema(fields, table.schema.metadata))
    try:
        return _written(converted)
    except _UNABLE:
        _name_the_culprit(converted)
        raise


def _written(table: pa.Table) -> pa.Buffer:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _name_the_culprit(table: pa.Table) -> None:
    """Raise InvalidRequest for the first column that cannot be written alone."""
    for index, field in enumerate(table.schema):
        try:
            _written(table.select([index]))
        except _UNABLE as error:
            raise _refusal(field.name, field.type, error) from error


def _refusal(name: str, kind: pa.DataType, error: Exception) -> InvalidRequest:
    return InvalidRequest(
        f"column {name!r} of type {kind} cannot be kept in Parquet "
        f"({' '.join(str(error).split())}): --format arrow, json or csv can"
    )


def _storable(column: pa.Array) -> pa.Array:
    """The same values in types that Parquet has; what has none stays as it is."""
    for applies, converted in _CONVERSIONS:
        if applies(column.type):
            return converted(column)
    return column


def _plain_decimals(column: pa.Array) -> pa.Array:
    digits = column.type.precision - column.type.scale
    if digits > _MAX_DIGITS:
        return column
    return column.cast((pa.decimal128 if digits <= _NARROW_DIGITS else pa.decimal256)(digits, 0))


def _days(column: pa.Array) -> pa.Array:
    """Days of 32 bits, as in the file; Arrow itself would wrap the others without a word."""
    days = pc.divide(column.cast(pa.int64()), 86_400_000)
    return days.cast(pa.int32()).cast(pa.date32())


def _storable_nested(column: pa.Array) -> pa.Array:
    kind, absent = column.type, column.is_null()
    if pa.types.is_struct(kind) and kind.num_fields:
        fields = [_storable(column.field(index)) for index in range(kind.num_fields)]
        if [field.type for field in fields] != [field.type for field in kind]:
            named = [pa.field(old.name, new.type) for old, new in zip(kind, fields, strict=True)]
            return pa.StructArray.from_arrays(fields, fields=named, mask=absent)
    elif pa.types.is_map(kind):
        keys, items = _storable(column.keys), _storable(column.items)
        if (keys.type, items.type) != (kind.key_type, kind.item_type):
            return pa.MapArray.from_arrays(_offsets(column), keys, items, mask=absent)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = _storable(column.values)
        if values.type != kind.value_type:
            return type(column).from_arrays(_offsets(column), values, mask=absent)
    elif pa.types.is_fixed_size_list(kind) and kind.list_size:
        start = column.offset * kind.list_size
        values = _storable(column.values.slice(start, len(column) * kind.list_size))
        if values.type != kind.value_type:
            return pa.FixedSizeListArray.from_arrays(values, kind.list_size, mask=absent)
    return column


def _offsets(column: pa.Array) -> pa.Array:
    """In a buffer of their own: with a mask, Arrow takes no part of a longer one."""
    return pa.array(column.offsets.to_pylist(), column.offsets.type)


_CONVERSIONS: Final[tuple[tuple[_Applies, Callable[[pa.Array], pa.Array]], ...]] = (
    (pa.types.is_interval, lambda column: pa.array(interval_texts(column), pa.string())),
    (pa.types.is_run_end_encoded, lambda column: _storable(pc.run_end_decode(column))),
    (
        lambda kind: pa.types.is_dictionary(kind) and pa.types.is_nested(kind.value_type),
        lambda column: _storable(column.dictionary_decode()),
    ),
    (lambda kind: pa.types.is_decimal(kind) and kind.scale < 0, _plain_decimals),
    (pa.types.is_date64, _days),
    (
        lambda kind: pa.types.is_fixed_size_binary(kind) and not kind.byte_width,
        lambda column: column.cast(pa.binary()),
    ),
    (pa.types.is_nested, _storable_nested),
)
