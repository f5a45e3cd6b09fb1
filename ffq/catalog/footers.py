"""What the footers of Parquet files say, each read once for as long as the file stays the same."""

from __future__ import annotations

import functools
import os
from typing import Final, TypeAlias

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.errors import StorageError

_CACHED: Final = 4096

Layout: TypeAlias = tuple[tuple[str, str], ...]
"""A file's columns, in order, as (name, Arrow type); then what Arrow's types do not tell apart."""

_UNTOLD: Final = frozenset({"INT96", "Interval", "UUID"})
"""Parquet's types of which Arrow has timestamps of a nanosecond, or binary; workers have others."""


@attrs.frozen
class Footer:
    """sizes: bytes of each row group, encoded, before compression; 0 for one without rows."""

    sizes: tuple[int, ...]
    layout: Layout

    def columns(self) -> Layout:
        """The file's columns alone, in order, as (name, Arrow type)."""
        return tuple((name, kind) for name, kind in self.layout if kind not in _UNTOLD)


def read_footer(table: str, path: str) -> tuple[os.stat_result, Footer]:
    """A file's footer, and the file that it is of.

    Raises:
        StorageError: it is missing or is not Parquet; names the table and the file.
    """
    try:
        status = os.stat(path)
        return status, _footer(path, status.st_mtime_ns, status.st_size)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"table {table!r}: {path} is not readable Parquet: {error}") from None


@functools.lru_cache(maxsize=_CACHED)
def _footer(path: str, _mtime_ns: int, _size: int) -> Footer:
    """A file that was written anew has another time or size, so that its old footer is not used."""
    metadata = pq.read_metadata(path)
    sizes: list[int] = []
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        # A writer may leave the size out: a group with rows still must count for something.
        sizes.append(max(1, group.total_byte_size) if group.num_rows else 0)
    fields = [(field.name, str(field.type)) for field in metadata.schema.to_arrow_schema()]
    columns = map(metadata.schema.column, range(metadata.num_columns))
    kinds = [(one.path, {one.physical_type, str(one.logical_type)} & _UNTOLD) for one in columns]
    untold = [(path, kind) for path, found in kinds for kind in found]
    return Footer(tuple(sizes), (*fields, *untold))
