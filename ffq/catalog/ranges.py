"""Which row groups of one table may hold keys that a share of another one has.

Footers tell between which values a column lies in each row group. Where they do not, or files have
other types than the query reads, nothing is left out: too much may be read, never too little.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Final, TypeAlias

import attrs

from ffq.catalog.footers import column_statistics, group_sizes, layout_of
from ffq.catalog.statistics import INTEGERS, Known
from ffq.messages import ScanInput, ScanSplit, TableFormat
from ffq.plan.bound import SqlType
from ffq.plan.ranges import Following, RangeColumn

Interval: TypeAlias = tuple[Fraction, Fraction]
"""From the least value to the greatest one, both of them within."""
Intervals: TypeAlias = tuple[Interval, ...]
"""Apart from one another, in order."""
_EXACT: Final = {
    "date32[day]": "DATE",
    **{f"timestamp[{unit}]": "TIMESTAMP" for unit in ("s", "ms", "us")},
}
"""Arrow's types of which the engine's hold each value as it is, besides numbers."""
_WITH_ZONE: Final = "TIMESTAMP WITH TIME ZONE"


@attrs.frozen
class GroupRange:
    """A row group of a split's file. interval: of its values; None: not known."""

    split: ScanSplit
    index: int
    interval: Interval | None


def group_ranges(
    table: str, splits: Sequence[ScanSplit], column: RangeColumn, format_: TableFormat | None
) -> Iterator[GroupRange]:
    """Of all row groups of these splits that have a value, which null is not.

    Raises:
        StorageError: a file is missing or is not Parquet; names the table and the file.
    """
    for split in splits:
        groups = range(split.row_group_start, split.row_group_end)
        if not groups:
            continue
        if format_ is not None or not _is_exact(table, split, column):
            yield from (GroupRange(split, at, None) for at in groups)
            continue
        known = column_statistics(table, split, column.name)
        for at in groups:
            if known[at].values:
                yield GroupRange(split, at, _interval(known[at]))


def _interval(known: Known) -> Interval | None:
    low, high = known.low, known.high
    return (low, high) if isinstance(low, Fraction) and isinstance(high, Fraction) else None


def _is_exact(table: str, split: ScanSplit, column: RangeColumn) -> bool:
    """Whether values are read as they are in the file, so that their order and bounds are kept."""
    kinds = [kind for name, kind in layout_of(table, split) if name == column.name]
    return len(kinds) == 1 and column.kind is not None and _keeps(kinds[0], column.kind)


def _keeps(arrow: str, kind: SqlType) -> bool:
    if arrow.startswith(("int", "uint")):
        return kind.name in INTEGERS
    if arrow.startswith("decimal") and kind.name == "DECIMAL":
        scale = arrow.partition("(")[2].rstrip(")").split(",")[-1].strip()
        own = kind.arguments[1]
        return scale.isdecimal() and isinstance(own, int) and int(scale) <= own
    if arrow.startswith(("timestamp[ms, tz=", "timestamp[us, tz=")):
        return kind.name == _WITH_ZONE
    return _EXACT.get(arrow) == kind.name


def _meet(one: RangeColumn, other: RangeColumn) -> bool:
    """Whether values of two columns that are equal to the engine are so in their footers, too."""
    if one.kind is None or other.kind is None:
        return False
    return one.kind == other.kind or {one.kind.name, other.kind.name} <= INTEGERS


def intervals_of(groups: Sequence[GroupRange]) -> Intervals | None:
    """Between which values they lie; None: not known."""
    known = [each.interval for each in groups if each.interval is not None]
    if len(known) < len(groups):
        return None
    merged: list[Interval] = []
    for low, high in sorted(known):
        if merged and low <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return tuple(merged)


class Followed:
    """Row groups by the values in them."""

    def __init__(self, groups: Sequence[GroupRange]) -> None:
        """groups: in the order of the table's."""
        self._groups = groups
        self._always = [at for at, each in enumerate(groups) if each.interval is None]
        self._known = sorted(
            (each.interval, at) for at, each in enumerate(groups) if each.interval is not None
        )
        self._lows = [low for (low, _), _ in self._known]
        self._highest = list(accumulate((high for (_, high), _ in self._known), max))

    def within(self, intervals: Intervals | None) -> list[GroupRange]:
        """Those that may have a value in these intervals; None: all."""
        if intervals is None:
            return list(self._groups)
        found = set(self._always)
        for low, high in intervals:
            end = bisect_right(self._lows, high)
            start = bisect_left(self._highest, low, hi=end)
            found.update(at for (_, up), at in self._known[start:end] if low <= up)
        return [self._groups[at] for at in sorted(found)]


def shares_beside(
    scan: ScanInput, led: Sequence[ScanInput], follows: Following
) -> list[tuple[ScanSplit, ...]]:
    """Of what a scan reads, beside each share of another one: what may meet that.

    Raises as `group_ranges`.
    """
    if not _meet(follows.column, follows.by):
        return [scan.splits] * len(led)
    followed = Followed(_ranges_of(scan, follows.column))
    shown = tuple(split for split in scan.splits if split.empty)
    made = []
    for share in led:
        found = followed.within(intervals_of(_ranges_of(share, follows.by)))
        splits = shown + tuple(_splits(scan, found))
        made.append(splits or (scan.splits[0].without_rows(),))
    return made


def _ranges_of(scan: ScanInput, column: RangeColumn) -> list[GroupRange]:
    return list(group_ranges(scan.table, scan.splits, column, scan.format))


def _splits(scan: ScanInput, groups: Sequence[GroupRange]) -> Iterator[ScanSplit]:
    """Neighbouring row groups of one split are one."""
    at = 0
    while at < len(groups):
        split, start = groups[at].split, groups[at].index
        stop = start
        while at < len(groups) and (groups[at].split, groups[at].index) == (split, stop):
            at, stop = at + 1, stop + 1
        if (start, stop) == (split.row_group_start, split.row_group_end):
            yield split
        else:
            size = sum(group_sizes(scan.table, split)[start:stop])
            yield attrs.evolve(split, row_group_start=start, row_group_end=stop, bytes=size)
