"""What of one table is read beside each share of another one: all that may meet it."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.catalog import Catalog, ScanSettings, Table, plan_scans
from ffq.catalog.ranges import Followed, GroupRange, intervals_of
from ffq.messages import ScanSplit, StageScan
from ffq.plan import model
from ffq.plan.bound import Call, Conversion, Match, Place, SqlType
from ffq.plan.stages import cut
from ffq.plan.terms import Bound

BIGINT = SqlType("BIGINT")
BOOLEAN = SqlType("BOOLEAN")


def _write(folder: Path, files: Sequence[Any], per_group: int = 2, **options: Any) -> None:
    folder.mkdir()
    for at, keys in enumerate(files):
        column = keys if isinstance(keys, pa.Array) else pa.array(keys, pa.int64())
        pq.write_table(
            pa.table({"k": column}), folder / f"{at}.parquet", row_group_size=per_group, **options
        )


def _side(table: str, kind: SqlType | None) -> model.Node:
    scan = model.ParquetScan(table, None, ("k",), ())
    column = Place(0) if kind is None else Conversion(Place(0), kind)
    return model.Project(((Bound(column), "c0"),), scan)


def _scans(
    root: Path, kind: SqlType | None = BIGINT, other: SqlType | None = BIGINT, slots: int = 2
) -> tuple[StageScan, StageScan]:
    """Of the leading table `a` and of `b`, which follows it, beside one another."""
    same = Call("=", (Place(0), Place(1)), BOOLEAN)
    sides = _side("a", kind), _side("b", other)
    join = model.RangeJoin(*sides, Match.INNER, same, (("c0", "c0"),), right_leads=False)
    graph = cut(join)
    assert [scan.follows is not None for scan in graph.stages[0].scans] == [False, True]
    catalog = Catalog.of([Table(name, (str(root / name),)) for name in "ab"])
    led, beside = plan_scans(graph, catalog, ScanSettings(), slots)
    return led, beside


def _groups(splits: Sequence[ScanSplit]) -> list[str]:
    """As `file.group`."""
    return [
        f"{Path(split.path).stem}.{at}"
        for split in splits
        for at in range(split.row_group_start, split.row_group_end)
    ]


def _beside(root: Path, **options: Any) -> list[tuple[list[str], list[str]]]:
    led, beside = _scans(root, **options)
    assert len(beside.shares) == len(led.shares) + 1
    return [
        (_groups(share), _groups(other))
        for share, other in zip(led.shares, beside.shares, strict=False)
    ]


def _all(root: Path, **options: Any) -> bool:
    """Whether each share has all of the follower beside it."""
    _, beside = _scans(root, **options)
    return all(share == beside.shares[-1] for share in beside.shares)


def test_each_share_has_the_row_groups_that_overlap_it(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[0, 1, 2, 3], [4, 5, 6, 7]])
    _write(tmp_path / "b", [[0, 2, 3, 4, 5, 6], [9, 9]])
    assert _beside(tmp_path) == [
        (["0.0", "0.1"], ["0.0", "0.1"]),
        (["1.0", "1.1"], ["0.1", "0.2"]),
    ]
    _, beside = _scans(tmp_path)
    assert _groups(beside.shares[-1]) == ["0.0", "0.1", "0.2", "1.0"]
    # A part of a file has its part of the bytes: where a task's share is too large goes by them.
    assert 0 < beside.shares[0][0].bytes < beside.shares[-1][0].bytes


def test_equal_bounds_on_both_sides_of_a_cut_are_read_by_both(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[0, 1, 2, 5], [5, 5, 5, 9]])
    _write(tmp_path / "b", [[0, 4], [5, 5], [5, 6], [9, 12]])
    assert _beside(tmp_path) == [
        (["0.0", "0.1"], ["0.0", "1.0", "2.0"]),
        (["1.0", "1.1"], ["1.0", "2.0", "3.0"]),
    ]


def test_a_key_may_lie_in_many_files_of_either_table(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[1, 7], [7, 7], [7, 8]])
    _write(tmp_path / "b", [[0, 7], [7, 7], [7, 9], [10, 11]])
    assert _beside(tmp_path, slots=3) == [([f"{at}.0"], ["0.0", "1.0", "2.0"]) for at in range(3)]


def test_files_need_not_stand_in_the_order_of_their_keys(tmp_path: Path) -> None:
    """Shares are of neighbours by key, as the files stand within each."""
    _write(tmp_path / "a", [[6, 7], [0, 1], [4, 5], [2, 3]])
    _write(tmp_path / "b", [[5, 6], [2, 3], [0, 1]])
    assert _beside(tmp_path) == [
        (["1.0", "3.0"], ["1.0", "2.0"]),
        (["0.0", "2.0"], ["0.0"]),
    ]


def test_between_the_row_groups_of_a_share_nothing_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[0, 1], [20, 21]])
    _write(tmp_path / "b", [[0, 0], [9, 10], [21, 25]])
    assert _beside(tmp_path, slots=1) == [(["0.0", "1.0"], ["0.0", "2.0"])]


def test_nulls_lie_nowhere(tmp_path: Path) -> None:
    """A row group of nulls alone meets nothing, and asks for nothing."""
    _write(tmp_path / "a", [[None, None], [None, 3], [4, None], [5, 6]])
    _write(tmp_path / "b", [[None, None], [1, None], [3, 3], [6, None]])
    led, beside = _scans(tmp_path, slots=1)
    assert _groups(led.shares[0]) == ["0.0", "1.0", "2.0", "3.0"]
    assert _groups(beside.shares[0]) == ["2.0", "3.0"]


def test_empty_files_and_shares_still_tell_the_columns(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[], [5, 6]])
    _write(tmp_path / "b", [[], [1, 2]])
    ((share, other),) = _beside(tmp_path)
    assert (share, other) == (["1.0"], [])
    _, beside = _scans(tmp_path)
    assert beside.shares[0]
    assert all(split.empty for split in beside.shares[0])
    _write(tmp_path / "none", [[]])
    (tmp_path / "a").rename(tmp_path / "some")
    (tmp_path / "none").rename(tmp_path / "a")
    assert _beside(tmp_path) == [([], [])]


def test_without_statistics_all_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[0, 1], [2, 3]])
    _write(tmp_path / "b", [[0, 1], [7, 8]], write_statistics=False)
    assert _all(tmp_path)
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    assert _all(tmp_path)


def test_a_row_group_without_statistics_is_beside_each_share(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[0, 1], [2, 3]])
    _write(tmp_path / "b", [[0, 1], [2, 3]])
    rows = pa.table({"k": pa.array([9, 9], pa.int64())})
    pq.write_table(rows, tmp_path / "b" / "2.parquet", write_statistics=False)
    assert [beside for _, beside in _beside(tmp_path)] == [["0.0", "2.0"], ["1.0", "2.0"]]


def _days(*numbers: int) -> pa.Array:
    return pa.array([datetime.date(2020, 1, 1 + number) for number in numbers])


def _times(unit: str, *numbers: int) -> pa.Array:
    return pa.array(
        [datetime.datetime(2020, 1, 1, number) for number in numbers], pa.timestamp(unit)
    )


def _decimals(scale: int, *numbers: int) -> pa.Array:
    return pa.array([Decimal(number) for number in numbers], pa.decimal128(12, scale))


_TIMESTAMP = SqlType("TIMESTAMP")
_EXACT: dict[str, tuple[Any, SqlType | None]] = {
    "small integers": (lambda *n: pa.array(n, pa.int16()), SqlType("SMALLINT")),
    "read as wider ones": (lambda *n: pa.array(n, pa.int16()), BIGINT),
    "without a sign": (lambda *n: pa.array(n, pa.uint32()), SqlType("UINTEGER")),
    "dates": (_days, SqlType("DATE")),
    "times": (lambda *n: _times("us", *n), _TIMESTAMP),
    "decimals": (lambda *n: _decimals(2, *n), SqlType("DECIMAL", (12, 2))),
    "decimals of more places": (lambda *n: _decimals(2, *n), SqlType("DECIMAL", (18, 4))),
}
_INEXACT: dict[str, tuple[Any, SqlType | None]] = {
    "floats": (lambda *n: pa.array(map(float, n), pa.float64()), SqlType("DOUBLE")),
    "texts": (lambda *n: pa.array(map(str, n)), SqlType("VARCHAR")),
    "integers read as floats": (lambda *n: pa.array(n, pa.int64()), SqlType("DOUBLE")),
    "decimals that are rounded": (lambda *n: _decimals(2, *n), SqlType("DECIMAL", (12, 0))),
    "decimals read as integers": (lambda *n: _decimals(2, *n), BIGINT),
    "times of other units": (lambda *n: _times("ns", *n), _TIMESTAMP),
    "times read as dates": (lambda *n: _times("us", *n), SqlType("DATE")),
    "of no type that is known": (lambda *n: pa.array(n, pa.int64()), None),
}


@pytest.mark.parametrize("name", list(_EXACT | _INEXACT))
def test_only_types_whose_values_are_read_as_they_are_count(tmp_path: Path, name: str) -> None:
    make, kind = (_EXACT | _INEXACT)[name]
    _write(tmp_path / "a", [make(0, 1), make(2, 3)])
    _write(tmp_path / "b", [make(0, 1), make(3, 4)])
    assert _all(tmp_path, kind=kind, other=kind) == (name in _INEXACT)


def test_columns_of_two_types_meet_where_both_are_integers(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[0, 1], [2, 3]])
    _write(tmp_path / "b", [pa.array([0, 1], pa.int32()), pa.array([2, 3], pa.int32())])
    assert not _all(tmp_path, other=SqlType("INTEGER"))
    (tmp_path / "b").rename(tmp_path / "c")
    _write(tmp_path / "b", [_decimals(2, 0, 1), _decimals(2, 2, 3)])
    assert _all(tmp_path, other=SqlType("DECIMAL", (12, 2)))


def test_files_of_several_types_are_known_each_by_itself(tmp_path: Path) -> None:
    """They are shown to each task: it must find the same types whatever it reads."""
    _write(tmp_path / "a", [[0, 1], [2, 3]])
    texts = pa.array(["0", "1"])
    _write(tmp_path / "b", [[0, 1], texts, [2, 3]])
    _, beside = _scans(tmp_path)
    assert [_groups(share) for share in beside.shares[:2]] == [["0.0", "1.0"], ["1.0", "2.0"]]
    leads = [[split for split in share if split.empty] for share in beside.shares]
    assert leads[0]
    assert leads[0] == leads[1] == leads[2]


def test_text_files_are_beside_each_share(tmp_path: Path) -> None:
    _write(tmp_path / "a", [[0, 1], [2, 3]])
    (tmp_path / "b").mkdir()
    for at in range(2):
        pyarrow.csv.write_csv(pa.table({"k": [at]}), tmp_path / "b" / f"{at}.csv")
    assert _all(tmp_path)


_KEYS = st.integers(0, 12)


def _ranges(pairs: Sequence[tuple[int, int] | None]) -> Iterator[GroupRange]:
    for at, pair in enumerate(pairs):
        interval = None if pair is None else (Fraction(min(pair)), Fraction(max(pair)))
        yield GroupRange(ScanSplit("f", 0, len(pairs)), at, interval)


@given(
    st.lists(st.tuples(_KEYS, _KEYS), max_size=6),
    st.lists(st.none() | st.tuples(_KEYS, _KEYS), max_size=8),
)
def test_overlaps_are_those_of_each_with_each(
    share: list[tuple[int, int]], others: list[tuple[int, int] | None]
) -> None:
    groups = list(_ranges(others))
    found = Followed(groups).within(intervals_of(list(_ranges(share))))
    want = [
        group
        for group, pair in zip(groups, others, strict=True)
        if pair is None or any(min(a) <= max(pair) and min(pair) <= max(a) for a in share)
    ]
    assert found == want


@given(st.lists(st.none() | st.tuples(_KEYS, _KEYS), max_size=6))
def test_intervals_hold_every_value_and_stand_apart(pairs: list[tuple[int, int] | None]) -> None:
    found = intervals_of(list(_ranges(pairs)))
    if None in pairs:
        assert found is None
        return
    assert found is not None
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(found))
    values = {value for low, high in found for value in range(int(low), int(high) + 1)}
    assert values == {value for pair in pairs if pair for value in range(min(pair), max(pair) + 1)}
