"""Columns are read for rows that are named by file and number: those rows', in their order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, Table
from ffq.engine import Engine, FragmentSpec
from ffq.errors import DataError, FileChanged, PlanningError, StorageError, UnsupportedPlan
from ffq.messages import ScanSplit, TableFormat
from ffq.plan.model import MAX_FETCHED, FetchedRows, NumberedScan, ParquetScan
from ffq.plan.terms import BinaryOp, BinaryOperator, Column
from tests.engine.runner import integer, leaf, run_fragment, whole_files

_ROW = pa.struct([("file", pa.uint64()), ("row", pa.int64())])


def _write(path: Path, values: Sequence[int], **more: list[Any]) -> Path:
    columns = {"v": list(values), "text": [f"text {value}" for value in values], **more}
    pq.write_table(pa.table(columns), path, row_group_size=3)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two with rows and one without; their columns are called as the engine calls its own."""
    values = {"a": range(10), "empty": [], "b": range(10, 17)}
    return [
        _write(
            tmp_path / f"{name}.parquet",
            values[name],
            file_row_number=[7] * len(values[name]),
            filename=pa.array(["x"] * len(values[name]), pa.string()),
        )
        for name in values
    ]


def _rows(engine: Engine, splits: Sequence[ScanSplit]) -> dict[int, dict[str, int]]:
    """What names each row, by its value of v."""
    scan = NumberedScan("t", None, ("v",), ())
    found = run_fragment(engine, FragmentSpec(scan, {0: splits}))
    return dict(zip(found.column(0).to_pylist(), found.column(1).to_pylist(), strict=True))


def _fetched(
    engine: Engine,
    rows: Sequence[dict[str, int] | None],
    splits: Sequence[ScanSplit],
    projection: tuple[str, ...] | None = ("text", "v"),
    node: FetchedRows | None = None,
    format_: TableFormat | None = None,
) -> list[tuple[Any, ...]]:
    given = pa.table(
        {"n": pa.array(range(len(rows)), pa.int32()), "row": pa.array(rows, _ROW)},
    )
    node = node or FetchedRows(leaf(), ParquetScan("t", None, projection, ()), 1)
    formats = {} if format_ is None else {0: format_}
    spec = FragmentSpec(node, {0: splits}, {0: given.to_reader}, formats=formats)
    found = run_fragment(engine, spec)
    columns = [column.to_pylist() for at, column in enumerate(found.columns) if at != 1]
    return list(zip(*columns, strict=True))


def test_rows_come_in_their_order_and_as_often_as_they_are_named(
    engine: Engine, files: list[Path]
) -> None:
    splits = whole_files(files)
    rows = _rows(engine, splits)
    assert rows.keys() == set(range(17))
    wanted = [16, 3, 0, 3, 9, 10]
    assert _fetched(engine, [rows[value] for value in wanted], splits) == [
        (at, f"text {value}", value) for at, value in enumerate(wanted)
    ]


def test_a_row_that_names_none_has_nulls(engine: Engine, files: list[Path]) -> None:
    splits = whole_files(files)
    rows = _rows(engine, splits)
    nothing: Any = {"file": None, "row": None}
    assert _fetched(engine, [None, rows[4], nothing], splits) == [
        (0, None, None),
        (1, "text 4", 4),
        (2, None, None),
    ]


def test_no_rows_have_the_columns_all_the_same(engine: Engine, files: list[Path]) -> None:
    node = FetchedRows(leaf(), ParquetScan("t", None, ("text",), ()), 0)
    given = pa.table({"row": pa.array([], _ROW)})
    spec = FragmentSpec(node, {0: whole_files(files)}, {0: given.to_reader})
    found = run_fragment(engine, spec)
    assert found.num_rows == 0
    assert [field.type for field in found.schema][1:] == [pa.string()]


def test_all_columns_where_none_are_named(engine: Engine, files: list[Path]) -> None:
    splits = whole_files(files)
    rows = _rows(engine, splits)
    assert _fetched(engine, [rows[12]], splits, None) == [(0, 12, "text 12", 7, "x")]


def test_rows_are_the_same_in_whatever_parts_their_files_are_given(
    engine: Engine, files: list[Path]
) -> None:
    parts = [ScanSplit(str(files[0]), at, at + 1) for at in range(4)]
    parts += [ScanSplit(str(files[2]), 1, 3), ScanSplit(str(files[2]), 0, 1)]
    rows = _rows(engine, whole_files(files))
    assert _rows(engine, parts) == rows
    assert _rows(engine, parts[1:2]) == {value: rows[value] for value in (3, 4, 5)}
    assert _fetched(engine, [rows[8], rows[10]], parts) == [(0, "text 8", 8), (1, "text 10", 10)]


def test_columns_of_paths_and_files_of_other_types(engine: Engine, tmp_path: Path) -> None:
    for part, kind in (("x", pa.int32()), ("y", pa.int64())):
        (tmp_path / f"part={part}").mkdir()
        numbers = pa.array([1, 2, 3], kind)
        table = pa.table({"v": numbers, "text": [f"{part}{at}" for at in range(3)]})
        pq.write_table(table, tmp_path / f"part={part}" / "f.parquet")
    shares = Catalog.of([Table("t", (str(tmp_path),))]).scan_shares("t", 2**40, 1).shares
    splits = shares[0]
    scan = NumberedScan("t", None, ("part", "text"), ())
    found = run_fragment(engine, FragmentSpec(scan, {0: splits}))
    rows = {(part, text): row for part, text, row in zip(*found.to_pydict().values(), strict=True)}
    wanted = [rows["y", "y2"], rows["x", "x0"]]
    assert _fetched(engine, wanted, splits, ("v", "part", "text")) == [
        (0, 3, "y", "y2"),
        (1, 1, "x", "x0"),
    ]


def _known(files: Sequence[Path]) -> list[ScanSplit]:
    """Splits of files as they are now."""
    status = [path.stat() for path in files]
    return [
        attrs.evolve(split, file_bytes=one.st_size, modified_us=one.st_mtime_ns // 1000)
        for split, one in zip(whole_files(files), status, strict=True)
    ]


def test_a_file_that_has_changed_is_an_error(engine: Engine, files: list[Path]) -> None:
    splits = _known(files)
    rows = _rows(engine, splits)
    _write(files[0], range(100, 110))
    os.utime(files[0], ns=(0, 10**9))
    with pytest.raises(FileChanged, match="a.parquet"):
        _fetched(engine, [rows[5]], splits)
    assert _fetched(engine, [rows[15]], splits) == [(0, "text 15", 15)]
    files[2].unlink()
    with pytest.raises(StorageError, match="b.parquet"):
        _fetched(engine, [rows[15]], splits[1:])


def test_a_row_that_is_not_there_is_an_error(engine: Engine, files: list[Path]) -> None:
    splits = whole_files(files)
    rows = _rows(engine, splits)
    with pytest.raises(DataError, match="table 't': a row that was there"):
        _fetched(engine, [rows[5], rows[5] | {"row": 10}], splits)
    with pytest.raises(PlanningError, match="2 files are wanted, and 1 have such numbers"):
        _fetched(engine, [rows[5], {"file": 1, "row": 0}], splits)
    with pytest.raises(PlanningError, match="1 files are wanted, and 0 have such numbers"):
        _fetched(engine, [rows[5]], splits[1:])


def test_more_rows_than_may_be_are_refused(engine: Engine, files: list[Path]) -> None:
    splits = whole_files(files)
    row = _rows(engine, splits)[3]
    assert len(_fetched(engine, [row] * MAX_FETCHED, splits)) == MAX_FETCHED
    with pytest.raises(UnsupportedPlan, match="more than 10,000 rows"):
        _fetched(engine, [row] * (MAX_FETCHED + 1), splits)


def test_what_names_no_rows_is_refused(engine: Engine, files: list[Path], tmp_path: Path) -> None:
    splits = whole_files(files)
    scan = ParquetScan("t", None, ("v",), ())
    for at in (0, 2):
        with pytest.raises(PlanningError, match=f"names no rows in column {at}"):
            _fetched(engine, [None], splits, node=FetchedRows(leaf(), scan, at))
    asked = attrs.evolve(scan, filters=(BinaryOp(Column("v"), BinaryOperator.EQ, integer(1)),))
    with pytest.raises(UnsupportedPlan, match="filters"):
        _fetched(engine, [None], splits, node=FetchedRows(leaf(), asked, 1))
    lines = tmp_path / "lines.csv"
    pyarrow.csv.write_csv(pa.table({"v": [1]}), lines)
    text, format_ = ScanSplit(str(lines), 0, 1), TableFormat("csv", columns=(("v", "BIGINT"),))
    numbered = FragmentSpec(NumberedScan("t", None, ("v",), ()), {0: [text]}, formats={0: format_})
    with pytest.raises(UnsupportedPlan, match="'csv' have no numbers"):
        run_fragment(engine, numbered)
    with pytest.raises(UnsupportedPlan, match="'csv' have no numbers"):
        _fetched(engine, [None], [text], ("v",), format_=format_)
