"""Dividing a table's row groups into shares for the tasks of a scan stage."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.errors import StorageError
from ffq.messages import ScanSplit

_CACHED_FOOTERS = 4096


@attrs.frozen
class _RowGroup:
    path: str
    index: int
    bytes: int


def make_shares(
    table: str, files: Sequence[str], target_bytes: int, max_shares: int
) -> tuple[tuple[ScanSplit, ...], ...]:
    """Cut the files' row groups, in order, into shares of about `target_bytes`.

    Raises:
        StorageError: a file is missing or is not Parquet; names the table and the file.
    """
    groups = [group for path in files for group in _row_groups(table, path)]
    if not groups:
        return ((ScanSplit(files[0], 0, 0, 0),),)
    total = sum(group.bytes for group in groups)
    wanted = min(max(1, -(-total // target_bytes)), max_shares, len(groups))
    shares: list[list[_RowGroup]] = [[] for _ in range(wanted)]
    before = 0
    for group in groups:
        # By the middle of the group: shares stay near equal however sizes vary, and in order.
        shares[(2 * before + group.bytes) * wanted // (2 * total)].append(group)
        before += group.bytes
    return tuple(_merge(share) for share in shares if share)


def _merge(groups: Sequence[_RowGroup]) -> tuple[ScanSplit, ...]:
    """Neighbouring row groups of one file become one split."""
    splits: list[ScanSplit] = []
    for group in groups:
        last = splits[-1] if splits else None
        if last is not None and (last.path, last.row_group_end) == (group.path, group.index):
            splits[-1] = attrs.evolve(
                last, row_group_end=group.index + 1, bytes=last.bytes + group.bytes
            )
        else:
            splits.append(ScanSplit(group.path, group.index, group.index + 1, group.bytes))
    return tuple(splits)


def _row_groups(table: str, path: str) -> list[_RowGroup]:
    try:
        status = os.stat(path)
        sizes = _footer(path, status.st_mtime_ns, status.st_size)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"table {table!r}: {path} is not readable Parquet: {error}") from None
    return [_RowGroup(path, index, size) for index, size in enumerate(sizes) if size > 0]


@functools.lru_cache(maxsize=_CACHED_FOOTERS)
def _footer(path: str, _mtime_ns: int, _size: int) -> tuple[int, ...]:
    """Bytes of each row group, 0 for one without rows.

    A file that was written anew has another time or size, so that its old footer is not used.
    """
    metadata = pq.read_metadata(path)
    sizes: list[int] = []
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        # A writer may leave the size out: a group with rows still must count for something.
        sizes.append(max(1, group.total_byte_size) if group.num_rows else 0)
    return tuple(sizes)
