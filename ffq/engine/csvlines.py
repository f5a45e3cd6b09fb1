"""Where a CSV file is broken: what DuckDB says of a file whose dialect it does not find names no
line of it.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ffq.engine import stores

_MAX_LINES: Final = 1_000_000
_DELIMITERS: Final = ",;|\t"


def ragged_line(path: str, options: Mapping[str, str]) -> str:
    """The first line that has more or fewer columns than the first one, or opens a quote that
    nothing closes, as `path, line 5: why`; empty: none was found.

    Args:
        options: of the table, as texts; without a delimiter it is the one that the first line has
            most often.
    """
    try:
        with stores.open_bytes(path) as data:
            encoding = options.get("encoding", "utf-8")
            text = io.TextIOWrapper(data, encoding=encoding, newline="")
            why = _ragged(itertools.islice(text, _MAX_LINES), options)
    except (OSError, ValueError):
        return ""  # what could not be read has been said already
    return f"{path}, {why}" if why else ""


def _ragged(lines: Iterator[str], options: Mapping[str, str]) -> str:
    skipped = int(options.get("skip", "0"))
    first = next(itertools.islice(lines, skipped, None), "")
    delimiter = options.get("delimiter") or max(_DELIMITERS, key=first.count)
    quote = options.get("quote", '"')
    if len(delimiter) != 1:
        return ""  # Python's reader knows none of several characters
    reader = csv.reader(
        _without_comments(itertools.chain([first], lines), options.get("comment")),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    columns = 0
    while True:
        number = skipped + reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            ended = "unexpected end of data" in str(error)
            return f"line {number}: its quote is never closed" if ended else ""
        if row is None:
            return ""
        columns = columns or len(row)
        if row and len(row) != columns:
            plural = "s" if len(row) > 1 else ""
            return (
                f"line {number}: it has {len(row)} column{plural} by the delimiter {delimiter!r}, "
                f"and the first line has {columns}"
            )


def _without_comments(lines: Iterable[str], comment: str | None) -> Iterator[str]:
    """Each of them as an empty line: those that come after keep their numbers."""
    for line in lines:
        yield "\n" if comment and line.startswith(comment) else line
