"""Dividing a table's row groups into shares for the tasks of a scan stage."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ffq.catalog.footers import Layout, read_footer
from ffq.catalog.partitions import TableFile, partition_values
from ffq.messages import PartitionValue, ScanSplit, file_version


@attrs.frozen
class _File:
    """One file as it is now. `empty`: the split of it that has no rows."""

    empty: ScanSplit
    sizes: tuple[int, ...]
    layout: Layout


@attrs.frozen
class _RowGroup:
    file: _File
    index: int
    bytes: int


def make_shares(
    table: str, files: Sequence[TableFile], target_bytes: int, max_shares: int
) -> tuple[tuple[ScanSplit, ...], ...]:
    """Cut the files' row groups, in order, into shares of about `target_bytes`.

    Raises:
        StorageError: a file is missing or is not Parquet; names the table and the file.
    """
    partitions = partition_values(table, files)
    found = [_look_at(table, file.path, partitions[file.path]) for file in files]
    leads = _leads(found)
    groups = [
        _RowGroup(file, index, size)
        for file in found
        for index, size in enumerate(file.sizes)
        if size > 0
    ]
    if not groups:
        return (leads or (found[0].empty,),)
    total = sum(group.bytes for group in groups)
    wanted = min(max(1, -(-total // target_bytes)), max_shares, len(groups))
    shares: list[list[_RowGroup]] = [[] for _ in range(wanted)]
    before = 0
    for group in groups:
        # By the middle of the group: shares stay near equal however sizes vary, and in order.
        shares[(2 * before + group.bytes) * wanted // (2 * total)].append(group)
        before += group.bytes
    return tuple(leads + _merge(share) for share in shares if share)


def _leads(files: Sequence[_File]) -> tuple[ScanSplit, ...]:
    """Of files that differ in their columns: the first one, and each that adds a name or type."""
    if len({file.layout for file in files}) == 1:
        return ()
    leads = [files[0]]
    seen = set(files[0].layout)
    for file in files:
        if not seen.issuperset(file.layout):
            leads.append(file)
            seen.update(file.layout)
    return tuple(file.empty for file in leads)


def _merge(groups: Sequence[_RowGroup]) -> tuple[ScanSplit, ...]:
    """Neighbouring row groups of one file become one split."""
    splits: list[ScanSplit] = []
    for group in groups:
        last = splits[-1] if splits else None
        path = group.file.empty.path
        if last is not None and (last.path, last.row_group_end) == (path, group.index):
            splits[-1] = attrs.evolve(
                last, row_group_end=group.index + 1, bytes=last.bytes + group.bytes
            )
        else:
            splits.append(
                attrs.evolve(
                    group.file.empty,
                    row_group_start=group.index,
                    row_group_end=group.index + 1,
                    bytes=group.bytes,
                )
            )
    return tuple(splits)


def _look_at(table: str, path: str, partition: tuple[PartitionValue, ...]) -> _File:
    status, footer = read_footer(table, path)
    file_bytes, modified_us = file_version(status)
    empty = ScanSplit(path, 0, 0, 0, file_bytes, modified_us, partition)
    return _File(empty, footer.sizes, footer.layout)
