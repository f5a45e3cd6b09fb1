"""Dividing a table's row groups into shares for the tasks of a scan stage."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

import attrs

from ffq.catalog.footers import (
    Layout,
    column_statistics,
    read_footer,
    read_status,
    stored_sizes,
)
from ffq.catalog.partitions import TableFile, partition_values
from ffq.catalog.statistics import NOTHING, Known, may_hold, of_folder
from ffq.errors import StorageError
from ffq.messages import PartitionValue, ScanSplit, TableFormat, file_version
from ffq.plan.conditions import Condition
from ffq.plan.ranges import RangeColumn

T = TypeVar("T")
_PACKED = 4
"""How many bytes of text a byte of a compressed file stands for, about."""


@attrs.frozen
class Division:
    """How many shares a table is divided into.

    Attributes:
        target_bytes: a share is of at most so many, about, however few slots there are.
        max_shares: at most so many shares.
        slots: as many shares as this, or a multiple of it, where there are as many row groups: the
            slots that run the last of them end together.
    """

    target_bytes: int
    max_shares: int
    slots: int = 1

    def shares(self, total_bytes: int, groups: int) -> int:
        """Of `groups` row groups, which have so many bytes together."""
        rounds = max(1, -(-total_bytes // (self.target_bytes * self.slots)))
        return min(rounds * self.slots, self.max_shares, groups)


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
    """stored: bytes in the file, of the columns that are read; at least 1. place: of its file among
    the table's, and its own in that."""

    file: _File
    place: tuple[int, int]
    index: int
    bytes: int
    stored: int

    def range(self) -> _Range:
        return _Range(self.file.empty, self.index, self.index + 1, self.bytes)


@attrs.frozen
class _Range:
    """Row groups [start, end) of the file that `split` is of."""

    split: ScanSplit
    start: int
    end: int
    bytes: int


def make_shares(
    table: str,
    files: Sequence[TableFile],
    division: Division,
    *,
    format_: TableFormat | None = None,
    condition: Condition | None = None,
    columns: Sequence[str] | None = None,
    order: RangeColumn | None = None,
) -> Shares:
    """Cut the files' row groups, in order, into shares of about the same size.

    Args:
        format_: how the files are read that do not say so themselves. Text is not cut: each such
            file is one row group here.
        condition: row groups of which it is true nowhere are left out.
        columns: names of those that are read: what these take in the files is a share's size; None:
            all.
        order: a column by whose least values row groups are dealt; None: as the files stand.

    Raises:
        StorageError: a file is missing or is not Parquet; names the table and the file.
    """
    found = _look_at_all(table, files, format_)
    # The types that a format names need no file to show them.
    leads = _leads(found) if format_ is None else ()
    groups = _groups(table, found, format_, condition, columns)
    shares: tuple[tuple[ScanSplit, ...], ...] = (leads or (found[0].empty,),)
    if groups:
        dealt = _divided(_ordered(table, groups, order, format_), division)
        shares = tuple(leads + _merge(share) for share in dealt)
    rows = [file.rows for file in found if file.rows is not None]
    return Shares(shares, sum(rows) if len(rows) == len(found) else None)


def _groups(
    table: str,
    found: Sequence[_File],
    format_: TableFormat | None,
    condition: Condition | None,
    columns: Sequence[str] | None,
) -> list[_RowGroup]:
    """Those that may have a row that is asked for, as the files stand."""
    groups = [
        _RowGroup(file, (at, index), index, size, stored)
        for at, file in enumerate(found)
        for index, (size, stored) in enumerate(
            zip(file.sizes, _stored(table, file, format_, columns), strict=True)
        )
        if size > 0
    ]
    return groups if condition is None else _kept(table, groups, condition, format_)


def _ordered(
    table: str, groups: list[_RowGroup], order: RangeColumn | None, format_: TableFormat | None
) -> list[_RowGroup]:
    """By the least values of a column; as they stand, where these are not known of all."""
    if order is None or format_ is not None:
        return groups
    lows = [_known(table, each, order.name, format_).low for each in groups]
    if not all(isinstance(low, Fraction) for low in lows):
        return groups
    places = sorted(range(len(groups)), key=lambda at: (lows[at], at))
    return [groups[at] for at in places]


def _divided(groups: Sequence[_RowGroup], division: Division) -> list[list[_Range]]:
    """In order; within a share as the files stand."""
    sizes = [group.stored for group in groups]
    wanted = division.shares(sum(sizes), len(groups))
    return [
        [group.range() for group in sorted(share, key=lambda group: group.place)]
        for share in _dealt(groups, sizes, wanted)
    ]


def _dealt(items: Sequence[T], sizes: Sequence[int], wanted: int) -> list[list[T]]:
    """In order into at most `wanted` parts of about the same size; none is empty."""
    total = sum(sizes)
    parts: list[list[T]] = [[] for _ in range(wanted)]
    before = 0
    for item, size in zip(items, sizes, strict=True):
        # By the middle of the item: parts stay near equal however sizes vary, and in order.
        parts[(2 * before + size) * wanted // (2 * total)].append(item)
        before += size
    return [part for part in parts if part]


def _stored(
    table: str, file: _File, format_: TableFormat | None, columns: Sequence[str] | None
) -> tuple[int, ...]:
    """Of each row group; one that is read for the number of its rows alone counts as a byte."""
    if format_ is not None and format_.name != "parquet":
        return file.sizes
    read = None if columns is None else tuple(sorted(columns))
    return tuple(max(1, size) for size in stored_sizes(table, file.empty, read))


def stored_bytes(
    table: str,
    splits: Sequence[ScanSplit],
    format_: TableFormat | None,
    columns: Sequence[str] | None,
) -> int:
    """What the columns that are read take in the files, of these splits; None: all columns.

    Raises as `make_shares`.
    """
    if format_ is not None and format_.name != "parquet":
        return sum(split.bytes for split in splits)
    read = None if columns is None else tuple(sorted(columns))
    return sum(
        sum(stored_sizes(table, split, read)[split.row_group_start : split.row_group_end])
        for split in splits
    )


def cut_share(
    table: str,
    splits: Sequence[ScanSplit],
    most_bytes: int,
    format_: TableFormat | None,
    columns: Sequence[str] | None,
) -> tuple[tuple[ScanSplit, ...], ...]:
    """Parts of a share, in order, of about the same size, and of at most `most_bytes`, about, of
    what the columns that are read take in the files; None: all columns.

    Each row group is in one part. Ranges without rows, which show what columns there are, are in
    all; so a share without rows is one part.
    """
    shown = tuple(split for split in splits if split.empty)
    found = [
        each
        for split in splits
        if not split.empty
        for each in _row_groups(table, split, format_, columns)
    ]
    if not found:
        return (shown,)
    sizes = [size for _, size in found]
    wanted = min(-(-sum(sizes) // most_bytes), len(found))
    parts = _dealt([each for each, _ in found], sizes, wanted)
    return tuple(shown + _merge(part) for part in parts)


def _row_groups(
    table: str, split: ScanSplit, format_: TableFormat | None, columns: Sequence[str] | None
) -> list[tuple[_Range, int]]:
    """Each alone, and its stored bytes. The split as it is, where no file of a known version has
    them: whoever reads it says what is wrong."""
    all_ = _Range(split, split.row_group_start, split.row_group_end, split.bytes)
    whole = [(all_, max(1, split.bytes))]
    if (format_ is not None and format_.name != "parquet") or not split.modified_us:
        return whole
    read = None if columns is None else tuple(sorted(columns))
    try:
        sizes = stored_sizes(table, split, read)
    except StorageError:
        return whole
    if len(sizes) < split.row_group_end:
        return whole
    return [
        (_Range(split, at, at + 1, size), max(1, size))
        for at, size in enumerate(sizes)
        if split.row_group_start <= at < split.row_group_end
    ]


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


def _merge(ranges: Sequence[_Range]) -> tuple[ScanSplit, ...]:
    """Neighbouring row groups of one file become one split."""
    merged: list[_Range] = []
    for one in ranges:
        last = merged[-1] if merged else None
        if last is not None and (last.split.path, last.end) == (one.split.path, one.start):
            merged[-1] = _Range(last.split, last.start, one.end, last.bytes + one.bytes)
        else:
            merged.append(one)
    return tuple(
        attrs.evolve(
            each.split, row_group_start=each.start, row_group_end=each.end, bytes=each.bytes
        )
        for each in merged
    )


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
