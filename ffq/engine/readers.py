"""Arrow streams on their way into DuckDB and out of it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from ffq.engine.batches import has_keyless_maps
from ffq.engine.cancel import CancelToken
from ffq.engine.faults import Faults, one_line
from ffq.engine.types import MAX_DIGITS
from ffq.errors import FfqError, ShuffleInputError

PLACEHOLDER = pa.schema([pa.field("_", pa.int8())])
"""DuckDB takes no stream without columns: one that only counts rows gets this column."""


def guarded(
    reader: pa.RecordBatchReader, faults: Faults, cancel: CancelToken
) -> pa.RecordBatchReader:
    """The reader's batches for DuckDB to scan once; notes why reading failed.

    Columns are renamed by position, so that equal names do not collide.
    """
    schema = taken_schema(reader.schema)

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                cancel.check()
                yield _with_schema(batch, schema)
        except FfqError as error:
            raise faults.note(error) from error
        except (OSError, pa.ArrowException) as error:
            wrapped = ShuffleInputError(f"a shuffle input cannot be read: {one_line(error)}")
            raise faults.note(wrapped) from error

    return pa.RecordBatchReader.from_batches(schema, batches())


def taken_schema(schema: pa.Schema) -> pa.Schema:
    """In types that DuckDB has, as it has them in files, and with names c0, c1, ..."""
    fields = [
        pa.field(
            f"c{at}",
            field.type if has_keyless_maps(field.type) else _taken(field.type),
            field.nullable,
            field.metadata,
        )
        for at, field in enumerate(schema)
    ]
    return pa.schema(fields) if fields else PLACEHOLDER


def _taken(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911
    """Half floats as Float32, lists of length 0, which are no arrays, as lists, short decimals."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind) and kind.precision <= MAX_DIGITS:
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_taken(each.type)) for each in kind])
    if pa.types.is_map(kind):
        return pa.map_(_taken(kind.key_type), _taken(kind.item_type))
    if pa.types.is_fixed_size_list(kind) and kind.list_size:
        return pa.list_(kind.value_field.with_type(_taken(kind.value_type)), kind.list_size)
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_taken(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_taken(kind.value_type)))
    return kind


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if schema is PLACEHOLDER:
        return pa.RecordBatch.from_arrays([pa.nulls(batch.num_rows, pa.int8())], schema=schema)
    columns = (
        column if column.type == kind else column.cast(kind)
        for column, kind in zip(batch.columns, schema.types, strict=True)
    )
    return pa.RecordBatch.from_arrays(list(columns), schema=schema)
