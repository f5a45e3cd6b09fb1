"""Data of a program for workers that cannot read its files: it travels in each query's plan."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import attrs

from ffq.client.session.tables import arrow_reader, write_parquet
from ffq.errors import InvalidRequest
from ffq.plan.inline import MAX_INLINE_BYTES, InlineTable

_COUNTED_BYTES: Final = 16 * MAX_INLINE_BYTES
"""As far as is told by how much a table is too large."""


def inline_table(name: str, data: Any) -> InlineTable:
    """A table's rows as they travel.

    Raises:
        InvalidRequest: no data, what Parquet does not hold, or too much; names the table.
    """
    sink = _Sink()
    with suppress(_TooMuch):
        write_parquet(name, arrow_reader(name, data), sink, "zstd")
    if sink.count > MAX_INLINE_BYTES:
        more = "more than " if sink.count > _COUNTED_BYTES else ""
        raise InvalidRequest(
            f"table {name!r} has {more}{min(sink.count, _COUNTED_BYTES):,} bytes as Parquet; data "
            f"of this program travels within each query, and may have {MAX_INLINE_BYTES:,}; right "
            "would be a Parquet file that the workers can read, registered by its path"
        )
    return InlineTable(name, sink.kept.getvalue())


def brought(tables: Iterable[InlineTable], text: str) -> tuple[InlineTable, ...]:
    """The tables as a query of this text brings them: of those that it does not name, the rows
    stay here.
    """
    # Within a quoted name each quote stands twice. Its case says nothing.
    texts = (text.lower(), text.lower().replace('""', '"'))
    return tuple(
        each if any(each.name.lower() in one for one in texts) else attrs.evolve(each, parquet=b"")
        for each in tables
    )


class _TooMuch(Exception):
    """By how much does not matter any more."""


class _Sink(io.RawIOBase):
    """Keeps what may travel, and counts what comes after."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = io.BytesIO()
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.count += len(data)
        if self.count > _COUNTED_BYTES:
            raise _TooMuch
        if self.count <= MAX_INLINE_BYTES:
            self.kept.write(data)
        return len(data)
