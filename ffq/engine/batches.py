"""Batches that are bounded by bytes, in Arrow's usual types.

DuckDB is asked for 64-bit offsets, so that rows with 2 GiB of text between them fit in one batch.
Here they are cut, and given the 32-bit offsets again that everybody expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from ffq.errors import ExecutionError

MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
_OFFSETS_END: Final = 2**31 - 1
"""Bytes of text that 32-bit offsets reach."""


def usual_schema(schema: pa.Schema, *, nested: bool) -> pa.Schema:
    """The schema with 32-bit offsets; inside of lists and structs only if `nested`."""
    return pa.schema(
        field.with_type(
            _usual_type(field.type)
            if (nested and not has_keyless_maps(field.type)) or not field.type.num_fields
            else field.type
        )
        for field in schema
    )


def has_keyless_maps(kind: pa.DataType) -> bool:
    """Whether values are, or hold, maps whose keys have no type, as `MAP {}`.

    pyarrow makes no such type, and ends the process where it casts what holds one.
    """
    if pa.types.is_map(kind) and pa.types.is_null(kind.key_type):
        return True
    below = (kind.field(at).type for at in range(kind.num_fields))
    return any(map(has_keyless_maps, below))


def bounded(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows in batches of about MAX_BATCH_BYTES, or of one row, under `schema`.

    Raises:
        ExecutionError: a row holds more than 32-bit offsets reach; names the column.
    """
    if not schema.names:
        yield batch.select([])  # DuckDB's placeholder: only the number of rows is meant
    elif batch.nbytes > MAX_BATCH_BYTES and batch.num_rows > 1:
        half = batch.num_rows // 2
        for part in (batch.slice(0, half), batch.slice(half)):
            yield from bounded(part, schema)
    elif batch.schema.types == schema.types:
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    else:
        columns = [
            _cast(column, field) for column, field in zip(batch.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    if column.type == field.type:
        return column
    if column.nbytes > _OFFSETS_END:
        raise ExecutionError(
            f"column {field.name!r} has a value of {column.nbytes} bytes; in a result or before an "
            f"operator a value holds at most 2 GiB"
        )
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid:
        # A slice keeps the offsets of the whole, which 32 bits may not reach.
        return column.take(pa.array(range(len(column)), pa.int64())).cast(field.type)


def _usual_type(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_map(kind):
        return pa.map_(_usual_type(kind.key_type), _usual_type(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_usual_type(each.type)) for each in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(kind.value_field.with_type(_usual_type(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        values = kind.value_field.with_type(_usual_type(kind.value_type))
        return pa.list_(values, kind.list_size)
    return kind
