"""JSON: an array of objects, one row a line. Decimals are strings, so that they stay exact."""

from __future__ import annotations

import json
import math
from typing import Any, TextIO

import pyarrow as pa

from ffq.cli.output.cells import is_text, text_column


def write_json(table: pa.Table, out: TextIO) -> None:
    """Write a table as one JSON array; an empty one is `[]`."""
    out.write("[")
    separator = "\n"
    for batch in table.to_batches(max_chunksize=8192):
        columns = [_values(column) for column in batch.columns]
        for row in zip(*columns, strict=True):
            record = dict(zip(table.column_names, row, strict=True))
            out.write(separator + json.dumps(record, ensure_ascii=False, default=str))
            separator = ",\n"
    out.write("\n]\n" if separator != "\n" else "]\n")


def _values(column: pa.Array) -> list[Any]:
    """What JSON can hold stays as it is; everything else is text as in the other formats."""
    kind = column.type
    if pa.types.is_floating(kind):
        return [_finite(value) for value in column.to_pylist()]
    if (
        pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or is_text(kind)
        or pa.types.is_nested(kind)
    ):
        values: list[Any] = column.to_pylist()
        return values
    return list(text_column(column))


def _finite(value: float | None) -> float | str | None:
    """JSON has no word for infinity and not-a-number: they become strings."""
    return value if value is None or math.isfinite(value) else str(value)
