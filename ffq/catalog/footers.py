"""What the footers of Parquet files say, each read once for as long as the file stays the same."""

from __future__ import annotations

import functools
from typing import Final, TypeAlias

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.catalog.statistics import Known, row_groups
from ffq.engine import stores
from ffq.engine.stores import Status
from ffq.errors import FfqError, StorageError
from ffq.messages import ScanSplit, file_version

_CACHED: Final = 4096
_CACHED_STATISTICS: Final = 16_384
_CACHED_WHOLE: Final = 16
"""Footers that are kept as they were read: whoever asks one thing of a file asks others soon."""

Layout: TypeAlias = tuple[tuple[str, str], ...]
"""A file's columns, in order, as (name, Arrow type); then what Arrow's types do not tell apart."""

_UNTOLD: Final = frozenset({"INT96", "Interval", "UUID"})
"""Parquet's types of which Arrow has timestamps of a nanosecond, or binary; workers have others."""


@attrs.frozen
class Footer:
    """sizes: bytes of each row group, encoded, before compression; 0 for one without rows.
    rows: of all of them.
    """

    sizes: tuple[int, ...]
    rows: int
    layout: Layout

    def columns(self) -> Layout:
        """The file's columns alone, in order, as (name, Arrow type)."""
        return tuple((name, kind) for name, kind in self.layout if kind not in _UNTOLD)


def read_status(table: str, path: str) -> Status:
    """Size and time of change of a table's file.

    Raises:
        StorageError: it is missing; names the table and the file.
    """
    try:
        return stores.status(path)
    except OSError as error:
        raise StorageError(f"table {table!r}: {path} cannot be read: {error}") from None
    except FfqError as error:
        raise StorageError(f"table {table!r}: {path}: {error.message}") from None


def read_footer(table: str, path: str) -> tuple[Status, Footer]:
    """A file's footer, and the file that it is of.

    Raises:
        StorageError: it is missing or is not Parquet; names the table and the file.
    """
    try:
        status = stores.status(path)
        size, modified_us = file_version(status)
        return status, _footer(path, modified_us, size)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"table {table!r}: {path} is not readable Parquet: {error}") from None


def layout_of(table: str, split: ScanSplit) -> Layout:
    """The columns of a split's file. Raises as `column_statistics`."""
    return _footer_of(table, split).layout


def group_sizes(table: str, split: ScanSplit) -> tuple[int, ...]:
    """Bytes of each row group of a split's file, as `Footer` has them. Raises likewise."""
    return _footer_of(table, split).sizes


def _footer_of(table: str, split: ScanSplit) -> Footer:
    try:
        return _footer(split.path, split.modified_us, split.file_bytes)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"table {table!r}: {split.path} is not readable Parquet: {error}"
        ) from None


def column_statistics(table: str, split: ScanSplit, column: str) -> tuple[Known, ...]:
    """What the footer of a split's file says of a column's values in each row group.

    Raises:
        StorageError: it is missing or is not Parquet; names the table and the file.
    """
    try:
        return _statistics(split.path, split.modified_us, split.file_bytes, column)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"table {table!r}: {split.path} is not readable Parquet: {error}"
        ) from None


def stored_sizes(table: str, split: ScanSplit, columns: tuple[str, ...] | None) -> tuple[int, ...]:
    """Bytes that the columns of these names take in each row group of a split's file, compressed;
    None: all columns.

    Raises:
        StorageError: it is missing or is not Parquet; names the table and the file.
    """
    try:
        return _stored(split.path, split.modified_us, split.file_bytes, columns)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"table {table!r}: {split.path} is not readable Parquet: {error}"
        ) from None


@functools.lru_cache(maxsize=_CACHED)
def _footer(path: str, modified_us: int, size: int) -> Footer:
    """A file that was written anew has another time or size, so that its old footer is not used."""
    metadata = _metadata(path, modified_us, size)
    sizes: list[int] = []
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        # A writer may leave the size out: a group with rows still must count for something.
        sizes.append(max(1, group.total_byte_size) if group.num_rows else 0)
    fields = [(field.name, str(field.type)) for field in metadata.schema.to_arrow_schema()]
    columns = map(metadata.schema.column, range(metadata.num_columns))
    kinds = [(one.path, {one.physical_type, str(one.logical_type)} & _UNTOLD) for one in columns]
    untold = [(path, kind) for path, found in kinds for kind in found]
    return Footer(tuple(sizes), metadata.num_rows, (*fields, *untold))


@functools.lru_cache(maxsize=_CACHED_STATISTICS)
def _statistics(path: str, modified_us: int, size: int, column: str) -> tuple[Known, ...]:
    return row_groups(_metadata(path, modified_us, size), column)


@functools.lru_cache(maxsize=_CACHED_STATISTICS)
def _stored(
    path: str, modified_us: int, size: int, columns: tuple[str, ...] | None
) -> tuple[int, ...]:
    metadata = _metadata(path, modified_us, size)
    paths = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    wanted = None if columns is None else frozenset(columns)
    read = [at for at, leaf in enumerate(paths) if wanted is None or _is_within(leaf, wanted)]
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return tuple(
        sum(max(0, group.column(at).total_compressed_size) for at in read) for group in groups
    )


def _is_within(leaf: str, columns: frozenset[str]) -> bool:
    """Whether a leaf is a part of one of them: `a.b.c` is one of `a`. A name may have dots, too."""
    return any(leaf[:end] in columns for end, sign in enumerate(f"{leaf}.") if sign == ".")


@functools.lru_cache(maxsize=_CACHED_WHOLE)
def _metadata(path: str, _modified_us: int, _size: int) -> pq.FileMetaData:
    with stores.parquet_file(path) as file:
        return file.metadata
