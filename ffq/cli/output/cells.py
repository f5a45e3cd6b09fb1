"""Arrow values as text: exact decimals, ISO dates, shortest floats; a null stays None.

One rendering for csv and for tables, so that the two never disagree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc


def text_rows(table: pa.Table, *, max_rows: int | None = None) -> Iterator[tuple[str | None, ...]]:
    """The rows of a table as text, batch by batch, so that a big result is never text at once."""
    shown = table if max_rows is None else table.slice(0, max_rows)
    for batch in shown.to_batches(max_chunksize=8192):
        yield from zip(*(text_column(column) for column in batch.columns), strict=True)


def text_column(column: pa.Array) -> list[str | None]:
    """One column as text.

    Decimals have as many places as their type's scale and never an exponent; dates and times are
    ISO 8601; booleans are true and false; durations are a number in their unit; bytes are
    hexadecimal; nested values are JSON.
    """
    for applies, render in _RENDERERS:
        if applies(column.type):
            return render(column)
    return _rendered(column, lambda value: json.dumps(value, default=str, ensure_ascii=False))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is shown aligned to the right."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def is_text(kind: pa.DataType) -> bool:
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


def _rendered(column: pa.Array, render: Callable[[Any], str]) -> list[str | None]:
    return [None if value is None else render(value) for value in column.to_pylist()]


def _strings(column: pa.Array) -> list[str | None]:
    values: list[str | None] = pc.cast(column, pa.string()).to_pylist()
    return values


def _timestamps(column: pa.Array) -> list[str | None]:
    """ISO 8601 with a T; UTC with a Z, whatever zone the column is shown in."""
    zone = column.type.tz
    texts = _strings(column.cast(pa.timestamp(column.type.unit)))
    suffix = "" if zone is None else "Z"
    return [None if text is None else text.replace(" ", "T") + suffix for text in texts]


_Renderer: TypeAlias = tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[str | None]]]

_RENDERERS: tuple[_Renderer, ...] = (
    (pa.types.is_dictionary, lambda column: text_column(column.cast(column.type.value_type))),
    (pa.types.is_decimal, lambda column: _rendered(column, lambda value: format(value, "f"))),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_duration, lambda column: _strings(column.cast(pa.int64()))),
    (_is_bytes, lambda column: _rendered(column, bytes.hex)),
    (is_text, lambda column: _rendered(column, str)),
    (lambda kind: not pa.types.is_nested(kind), _strings),
)
