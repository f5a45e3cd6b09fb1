"""JSON: an array of objects, one row a line. Decimals are strings, so that they stay exact."""

from __future__ import annotations

import json
from typing import TextIO

from ffq.display.cells import Batches, distinct_names, json_rows


def write_json(batches: Batches, out: TextIO, *, ascii_only: bool = False) -> None:
    """Write rows, as they come, as one JSON array; an empty one is `[]`.

    An object cannot have a name twice: a second column `x` is `x_1`.

    Args:
        ascii_only: write other characters as escapes, which any reader of JSON understands.

    Raises:
        ExecutionError: a column's type has no form in JSON; names both.
    """
    names = distinct_names(batches.schema.names)
    out.write("[")
    separator = "\n"
    for row in json_rows(batches):
        record = dict(zip(names, row, strict=True))
        out.write(separator + json.dumps(record, ensure_ascii=ascii_only, allow_nan=False))
        separator = ",\n"
    out.write("\n]\n" if separator != "\n" else "]\n")
