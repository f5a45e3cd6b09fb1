"""Columns of one file: how a SELECT over it gets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import attrs
import pyarrow as pa

from ffq.engine.alike import fits
from ffq.engine.types import INTEGERS

Key: TypeAlias = tuple[str, int]
"""A column of a file: its name, and how many of that name stand before it."""


@attrs.frozen
class FileColumn:
    """
    Attributes:
        sql: how a SELECT over the file gets it; type: of that SQL.
        arrow: the type in the file.
        own: what the engine takes the column for, of whose values `sql` may be the text.
    """

    sql: str
    type: str
    arrow: pa.DataType | None
    own: str = ""

    def fits(self, into: str) -> bool:
        """Whether a cast keeps every value, or refuses it. DuckDB reads milliseconds as
        microseconds.
        """
        is_milliseconds = self.arrow == pa.timestamp("ms")
        return (
            fits(self.type, into)
            or (into == "TIMESTAMP_MS" and is_milliseconds)
            or (into == "DOUBLE" and self.type in INTEGERS)
        )


FileColumns: TypeAlias = dict[Key, FileColumn]


@attrs.frozen
class Footer:
    """What a Parquet file says of itself. rows: of each row group.

    columns: what the engine calls them; empty until it was asked, which one file of each layout is.
    """

    layout: pa.Schema
    rows: Sequence[int]
    columns: FileColumns = attrs.field(factory=dict)


def keys_of(names: Iterable[str]) -> Iterator[Key]:
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        yield name, seen[name]
