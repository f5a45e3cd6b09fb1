"""Parquet: what it has no type for is kept in another where that loses nothing, else refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ffq.cli.output.consoles import note
from ffq.display.cells import Batches, distinct_names
from ffq.display.times import interval_texts
from ffq.errors import InvalidRequest

_Applies: TypeAlias = Callable[[pa.DataType], bool]

_NARROW_DIGITS: Final = 38
_MAX_DIGITS: Final = 76
_GROUP_ROWS: Final = 1 << 20
_GROUP_BYTES: Final = 64 << 20
_UNABLE: Final = (pa.ArrowNotImplementedError, pa.ArrowInvalid, OSError)


def write_parquet(batches: Batches, out: BinaryIO) -> None:
    """Write rows as a Parquet file, as they come; `out` need not seek.

    Intervals become ISO 8601 text, decimals with a negative scale get scale 0, run ends and
    dictionaries of nested values are written out, a second column `x` is `x_1`; a note on stderr
    says what was changed.

    Raises:
        InvalidRequest: Parquet cannot hold a column, or rows without columns; names it.
        OSError: of `out`.
    """
    file = _File(batches.schema, out)
    try:
        for group in _groups(batches):
            file.write(group)
        file.close()
    except BaseException:
        file.abandon()
        raise


class _File:
    """Opened with the first rows, whose types say what the columns are kept as."""

    def __init__(self, schema: pa.Schema, out: BinaryIO) -> None:
        self._schema = schema
        self._names = distinct_names(schema.names)
        self._sink = pa.PythonFile(_Counted(out), mode="w")
        self._writer: pq.ParquetWriter | None = None

    def write(self, batches: Sequence[pa.RecordBatch]) -> None:
        table = self._storable(batches)
        try:
            writer = self._writer
            if writer is None:
                writer = self._writer = pq.ParquetWriter(self._sink, table.schema)
            writer.write_table(table)
        except _UNABLE:
            _name_the_culprit(table)
            raise

    def close(self) -> None:
        if self._writer is None:
            self.write([])
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """It failed already; what is said at its end says no more."""
        if self._writer is not None:
            with suppress(*_UNABLE):
                self._writer.close()

    def _storable(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        rows = sum(batch.num_rows for batch in batches)
        if rows and not self._names:
            raise InvalidRequest(
                f"{rows} rows without columns cannot be kept in Parquet: --format arrow or json can"
            )
        columns, fields = [], []
        for at, (name, field) in enumerate(zip(self._names, self._schema, strict=True)):
            chunks = [batch.column(at) for batch in batches] or [pa.nulls(0, field.type)]
            try:
                stored = pa.chunked_array([_storable(chunk) for chunk in chunks])
            except _UNABLE as error:
                raise _refusal(name, field.type, error) from error
            columns.append(stored)
            fields.append(field.with_name(name).with_type(stored.type))
        if self._writer is None:
            self._tell(fields)
        return pa.table(columns, pa.schema(fields, self._schema.metadata))

    def _tell(self, fields: Sequence[pa.Field]) -> None:
        for before, after in zip(self._schema, fields, strict=True):
            if after.name != before.name:
                note(f"a second column {before.name!r} is {after.name!r} in the file")
            if after.type != before.type:
                note(f"column {after.name!r} of type {before.type} is {after.type} in the file")


class _Counted(io.RawIOBase):
    """A pipe does not know its place, which the writer asks for."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._out.write(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size


def _groups(batches: Batches) -> Iterator[list[pa.RecordBatch]]:
    """What is written at a time, and held in memory until then."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group


def _name_the_culprit(table: pa.Table) -> None:
    """Raise InvalidRequest for the first column that cannot be written alone."""
    for index, field in enumerate(table.schema):
        try:
            pq.write_table(table.select([index]), pa.BufferOutputStream())
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
