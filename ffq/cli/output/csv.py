"""CSV after RFC 4180: a header, one line per row, quotes only where they are needed.

A null is nothing between two commas; an empty string is `""`, so that the two stay apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TextIO

from ffq.display.cells import Batches, text_rows

_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$')


def write_csv(batches: Batches, out: TextIO) -> None:
    """Write rows as UTF-8 text, as they come; lines end with a single newline."""
    out.write(_line(batches.schema.names))
    for row in text_rows(batches):
        out.write(_line(row))


def _line(cells: Iterable[str | None]) -> str:
    return ",".join("" if cell is None else _quoted(cell) for cell in cells) + "\n"


def _quoted(cell: str) -> str:
    if cell and _NEEDS_QUOTES.search(cell) is None:
        return cell
    return '"' + cell.replace('"', '""') + '"'
