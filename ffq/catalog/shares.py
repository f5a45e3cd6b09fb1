"""Dividing a table's row groups into shares for the tasks of a scan stage."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ffq.catalog.footers import Layout, column_statistics, read_footer, read_status
from ffq.catalog.partitions import TableFile, partition_values
from ffq.catalog.statistics import NOTHING, Known, may_hold, of_folder
from ffq.messages import PartitionValue, ScanSplit, TableFormat, file_version
from ffq.plan.conditions import Condition

_PACKED = 4
"""How many bytes of text a byte of a compressed file stands for, about."""


@attrs.frozen
class Shares:
    """A table's files, divided. rows: of all files, whatever of them is left out; None: they do not
    say.
    """

    shares: tuple[tuple[ScanSplit, ...], ...]
    rows: int | None


@attrs.frozen
class _File:
    """One file as it is now. `empty`: the split of it that has no rows. `rows`: if it says."""

    empty: ScanSplit
    sizes: tuple[int, ...]
    layout: Layout
    rows: int | None


@attrs.frozen
class _RowGroup:
    file: _File
    index: int
    bytes: int


def make_shares(
    table: str,
    files: Sequence[TableFile],
    target_bytes: int,
    max_shares: int,
    *,
    format_: TableFormat | None = None,
    condition: Condition | None = None,
) -> Shares:
    """Cut the files' row groups, in order, into shares of about `target_bytes`.

    Args:
        format_: how the files are read that do not say so themselves. Text is not cut: each such
            file is one row group here.
        condition: row groups of which it is true nowhere are left out.

    Raises:
        StorageError: a file is missing or is not Parquet; names the table and the file.
    """
    found = _look_at_all(table, files, format_)
    shares = _divided(table, found, target_bytes, max_shares, format_, condition)
    rows = [file.rows for file in found if file.rows is not None]
    return Shares(shares, sum(rows) if len(rows) == len(found) else None)


def _divided(
    table: str,
    found: Sequence[_File],
    target_bytes: int,
    max_shares: int,
    format_: TableFormat | None,
    condition: Condition | None,
) -> tuple[tuple[ScanSplit, ...], ...]:
    # The types that a format names need no file to show them.
    leads = _leads(found) if format_ is None else ()
    groups = [
        _RowGroup(file, index, size)
        for file in found
        for index, size in enumerate(file.sizes)
        if size > 0
    ]
    if condition is not None:
        groups = _kept(table, groups, condition, format_)
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


def lead_splits(
    table: str, files: Sequence[TableFile], format_: TableFormat | None = None
) -> tuple[ScanSplit, ...]:
    """Splits without rows that show every column and type there is.

    Raises as `make_shares`.
    """
    found = _look_at_all(table, files, format_)
    return (_leads(found) if format_ is None else ()) or (found[0].empty,)


def _look_at_all(
    table: str, files: Sequence[TableFile], format_: TableFormat | None
) -> list[_File]:
    partitions = partition_values(table, files)
    look = _look_at if format_ is None or format_.name == "parquet" else _look_at_text
    return [look(table, file.path, partitions[file.path]) for file in files]


def _kept(
    table: str, groups: Sequence[_RowGroup], condition: Condition, format_: TableFormat | None
) -> list[_RowGroup]:
    return [
        group
        for group in groups
        if may_hold(condition, lambda column, group=group: _known(table, group, column, format_))  # type: ignore[misc]
    ]


def _known(table: str, group: _RowGroup, column: str, format_: TableFormat | None) -> Known:
    split = group.file.empty
    if format_ is not None and format_.name != "parquet":
        if any(name == column for name, _ in format_.columns):
            return NOTHING
    elif any(name == column for name, _ in group.file.layout):
        return column_statistics(table, split, column)[group.index]
    elif format_ is not None and any(name == column for name, _ in format_.columns):
        return Known(values=False)
    return next((of_folder(each) for each in split.partition if each.name == column), NOTHING)


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
    return _File(empty, footer.sizes, footer.layout, footer.rows)


def _look_at_text(table: str, path: str, partition: tuple[PartitionValue, ...]) -> _File:
    file_bytes, modified_us = file_version(read_status(table, path))
    empty = ScanSplit(path, 0, 0, 0, file_bytes, modified_us, partition)
    packed = path.endswith((".gz", ".zst", ".zstd"))
    return _File(empty, (file_bytes * (_PACKED if packed else 1),), (), None)
