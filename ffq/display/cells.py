"""Arrow values as text and as JSON: exact decimals, ISO dates, shortest floats; a null stays None.

One rendering for csv, tables and json, so that they never disagree. Every type that Arrow has is
shown, or refused by name. A nested value is converted column by column, whatever lies inside: so
its parts look as they would in a column of their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar
from uuid import UUID

import pyarrow as pa

from ffq.display.times import date_texts, interval_texts, time_texts, timestamp_texts
from ffq.errors import ExecutionError

T = TypeVar("T")
BATCH_ROWS = 8_192


class Batches(Protocol):
    """Rows batch by batch: what a reader of Arrow's is too."""

    @property
    def schema(self) -> pa.Schema: ...

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...


def text_rows(batches: Batches) -> Iterator[tuple[str | None, ...]]:
    """Rows as text, a few at a time, so that a big result is never text at once.

    Raises:
        ExecutionError: a column's type has no text; names both.
    """
    return _rows(batches, text_column)


def json_rows(batches: Batches) -> Iterator[tuple[Any, ...]]:
    """Rows as values that JSON has, a few at a time. Raises ExecutionError."""
    return _rows(batches, json_column)


def _pieces(batches: Batches) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _rows(batches: Batches, render: Callable[[pa.Array], list[T]]) -> Iterator[tuple[T, ...]]:
    for batch in _pieces(batches):
        columns = []
        for field, column in zip(batch.schema, batch.columns, strict=True):
            try:
                columns.append(render(column))
            except (pa.ArrowNotImplementedError, NotImplementedError) as error:
                raise ExecutionError(
                    f"column {field.name!r} of type {field.type} has no text: "
                    f"--format arrow keeps it"
                ) from error
        if columns:
            yield from zip(*columns, strict=True)
        else:
            yield from [()] * batch.num_rows


def text_column(column: pa.Array) -> list[str | None]:
    """One column as text.

    Decimals have as many places as their type's scale and never an exponent; dates, times and
    intervals are ISO 8601; booleans are true and false; floats are as short as they can be, with
    nan, inf and -inf; durations are a number in their unit; bytes are hexadecimal; UUIDs have
    dashes; nested values are JSON.
    """
    kind = column.type
    unwrapped = _unwrapped(column)
    if unwrapped is not None:
        return text_column(unwrapped)
    for applies, render in _RENDERERS:
        if applies(kind):
            return render(column)
    if pa.types.is_union(kind):
        return _unions(column, text_column)
    if pa.types.is_nested(kind):
        return _rendered(json_column(column), _dumped)
    return _strings(column)


def json_column(column: pa.Array) -> list[Any]:
    """One column as what JSON can hold: null, booleans, numbers, texts, arrays and objects.

    JSON has no word for infinity and not-a-number, and readers round long fractions: floats that
    are not finite, and decimals, are texts, and so is all that `text_column` has a form for.
    Integers and durations are numbers. A struct is an object, its fields named apart
    (`distinct_names`), a map an array of [key, value], a union the value that it holds.
    """
    unwrapped = _unwrapped(column)
    if unwrapped is not None:
        return json_column(unwrapped)
    for applies, render in _JSON_RENDERERS:
        if applies(column.type):
            return render(column)
    return list(text_column(column))


def distinct_names(names: Sequence[str]) -> list[str]:
    """Each name once: a second `x` is `x_1`, as in DuckDB, or the next number that is free."""
    taken = set(names)
    seen: set[str] = set()
    found: list[str] = []
    for name in names:
        chosen, number = name, 0
        while chosen in seen or (number and chosen in taken):
            number += 1
            chosen = f"{name}_{number}"
        seen.add(chosen)
        found.append(chosen)
    return found


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is shown aligned to the right."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _compute() -> Any:
    """Arrow's functions, which take 20 ms to import: few columns need them."""
    import pyarrow.compute as pc  # noqa: PLC0415

    return pc


def _unwrapped(column: pa.Array) -> pa.Array | None:
    """The values of a column that holds them in a roundabout way; None: it holds them itself."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.dictionary_decode()
    if pa.types.is_run_end_encoded(kind):
        return _compute().run_end_decode(column)
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name != "arrow.uuid":
        storage = column.storage
        return _compute().not_equal(storage, 0) if kind.extension_name == "arrow.bool8" else storage
    return None


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def _rendered(values: Sequence[Any], render: Callable[[Any], str]) -> list[str | None]:
    return [None if value is None else render(value) for value in values]


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _strings(column: pa.Array) -> list[str | None]:
    values: list[str | None] = column.cast(pa.string()).to_pylist()
    return values


def _texts(column: pa.Array) -> list[str | None]:
    """Text that is no UTF-8, which an operator may produce, has its odd bytes replaced."""
    try:
        values: list[str | None] = column.to_pylist()
    except UnicodeDecodeError:
        data = column.cast(pa.large_binary()).to_pylist()
        return _rendered(data, lambda value: value.decode(errors="replace"))
    return values


def _numbers(column: pa.Array) -> list[Any]:
    """Narrow floats by their shortest text: as a double 0.1 would be 0.10000000149011612."""
    values: list[float | None] = column.to_pylist()
    if not pa.types.is_float64(column.type):
        values = [None if text is None else float(text) for text in _strings(column)]
    return [value if value is None or math.isfinite(value) else str(value) for value in values]


def _lists(column: pa.Array) -> list[Any]:
    flat = json_column(column.flatten())
    found: list[Any] = []
    at = 0
    for length in _compute().list_value_length(column).to_pylist():
        found.append(None if length is None else flat[at : at + length])
        at += length or 0
    return found


def _maps(column: pa.Array) -> list[Any]:
    offsets = column.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    keys = json_column(column.keys.slice(first, last - first))
    items = json_column(column.items.slice(first, last - first))
    pairs = [[key, item] for key, item in zip(keys, items, strict=True)]
    return [
        pairs[begin - first : end - first] if valid else None
        for begin, end, valid in zip(
            offsets, offsets[1:], column.is_valid().to_pylist(), strict=False
        )
    ]


def _structs(column: pa.Array) -> list[Any]:
    names = distinct_names([field.name for field in column.type])
    fields = [json_column(field) for field in column.flatten()]
    rows = zip(*fields, strict=True) if fields else [()] * len(column)
    return [
        dict(zip(names, row, strict=True)) if valid else None
        for row, valid in zip(rows, column.is_valid().to_pylist(), strict=True)
    ]


def _unions(column: pa.Array, render: Callable[[pa.Array], list[Any]]) -> list[Any]:
    kind = column.type
    # By its buffers: the properties of a union that is a slice tell those of the whole.
    codes = _buffer(column, 1, pa.int8())
    places = _buffer(column, 2, pa.int32()) if kind.mode == "dense" else range(len(column))
    found: list[Any] = [None] * len(column)
    for index, code in enumerate(kind.type_codes):
        rows = [row for row, each in enumerate(codes) if each == code]
        taken = column.field(index).take(pa.array([places[row] for row in rows], pa.int64()))
        for row, value in zip(rows, render(taken), strict=True):
            found[row] = value
    return found


def _buffer(column: pa.Array, number: int, kind: pa.DataType) -> list[int]:
    buffers = [None, column.buffers()[number]]
    found: list[int] = pa.Array.from_buffers(
        kind, len(column), buffers, offset=column.offset
    ).to_pylist()
    return found


_Applies: TypeAlias = Callable[[pa.DataType], bool]
_Renderer: TypeAlias = tuple[_Applies, Callable[[pa.Array], list[str | None]]]

_JSON_RENDERERS: tuple[tuple[_Applies, Callable[[pa.Array], list[Any]]], ...] = (
    (pa.types.is_boolean, pa.Array.to_pylist),
    (pa.types.is_integer, pa.Array.to_pylist),
    (pa.types.is_duration, lambda column: list(column.cast(pa.int64()).to_pylist())),
    (pa.types.is_floating, _numbers),
    (_is_list, _lists),
    (pa.types.is_map, _maps),
    (pa.types.is_struct, _structs),
    (pa.types.is_union, lambda column: _unions(column, json_column)),
)
_RENDERERS: tuple[_Renderer, ...] = (
    (
        lambda kind: isinstance(kind, pa.BaseExtensionType),
        lambda column: _rendered(column.storage.to_pylist(), lambda value: str(UUID(bytes=value))),
    ),
    (
        pa.types.is_decimal,
        lambda column: _rendered(column.to_pylist(), lambda value: format(value, "f")),
    ),
    (pa.types.is_timestamp, timestamp_texts),
    (pa.types.is_date, date_texts),
    (pa.types.is_time, time_texts),
    (pa.types.is_interval, interval_texts),
    (pa.types.is_duration, lambda column: _strings(column.cast(pa.int64()))),
    (_is_bytes, lambda column: _rendered(column.to_pylist(), bytes.hex)),
    (_is_text, _texts),
)
