"""What an engine keeps of what it found out: the same answers, within bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq import plan as p
from ffq.engine import Engine, FragmentSpec
from ffq.engine.columns import Footer
from ffq.engine.known import Answers, Known
from ffq.engine.oracle import TypeOracle
from ffq.engine.scans import scan_source
from ffq.engine.sql import ColumnInfo
from ffq.errors import FileChanged, PlanningError
from ffq.messages import ScanSplit, file_version
from ffq.plan.model import ParquetScan
from tests.engine.runner import leaf, run_fragment, run_over


class Noting:
    """A connection that notes what it is asked."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.asked: list[str] = []

    def execute(self, sql: str) -> Any:
        self.asked.append(sql)
        return self._connection.execute(sql)


@pytest.fixture
def connection() -> Any:
    with duckdb.connect() as real:
        yield Noting(real)


def test_what_is_asked_again_is_not_asked_of_the_engine(connection: Noting) -> None:
    known = Known()
    columns = (ColumnInfo("a", "INTEGER"), ColumnInfo("b", "DECIMAL(15,2)"))
    answers = [
        TypeOracle(connection, known).types(["c0 + 1", "c1 * c1"], columns, "Project")  # type: ignore[arg-type]
        for _ in range(2)
    ]
    assert answers == [("INTEGER", "DECIMAL(18,4)")] * 2
    assert len(connection.asked) == 1


def test_other_columns_are_another_question(connection: Noting) -> None:
    known = Known()
    for kind, want in (("INTEGER", "INTEGER"), ("DOUBLE", "DOUBLE"), ("TINYINT", "INTEGER")):
        oracle = TypeOracle(connection, known)  # type: ignore[arg-type]
        assert oracle.types(["c0 + 1::INTEGER"], (ColumnInfo("a", kind),), "Project") == (want,)


def test_a_refusal_is_said_of_each_node_that_asks(connection: Noting) -> None:
    oracle = TypeOracle(connection, Known())  # type: ignore[arg-type]
    for node in ("Project", "Filter"):
        with pytest.raises(PlanningError, match=node):
            oracle.types(["c0 + 'x'::BLOB"], (ColumnInfo("a", "INTEGER"),), node)
        with pytest.raises(PlanningError, match=node):
            oracle.check_constant("'no date'", "DATE", node)


def test_it_stays_within_its_room_and_drops_what_was_not_used_longest() -> None:
    kept: Answers[int] = Answers(80)
    for number in range(100):
        kept.keep(number, number, 10)
        assert kept.get(0) == 0
        assert kept.used <= 80
    assert kept.get(99) == 99
    assert kept.get(50) is None


def test_an_answer_too_large_drives_nothing_out() -> None:
    kept: Answers[int] = Answers(80)
    kept.keep("small", 1, 10)
    kept.keep("large", 2, 11)
    assert kept.get("large") is None
    assert kept.get("small") == 1


def test_the_same_key_again_takes_no_more_room() -> None:
    kept: Answers[int] = Answers(80)
    for value in range(50):
        kept.keep("key", value, 10)
    assert (kept.get("key"), kept.used) == (49, 10)


def split_of(path: Path) -> ScanSplit:
    size, modified_us = file_version(path.stat())
    return ScanSplit(str(path), 0, 1, file_bytes=size, modified_us=modified_us)


def test_a_footer_is_read_once_of_each_version(tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "a.parquet"
    scan = p.scan("t").node
    pq.write_table(pa.table({"k": [1, 2]}), path)
    old = split_of(path)
    assert run_fragment(engine, FragmentSpec(scan, {0: [old]}))["k"].to_pylist() == [1, 2]
    pq.write_table(pa.table({"k": ["x", "y", "z"]}), path)
    os.utime(path, ns=(0, 10**15))
    found = run_fragment(engine, FragmentSpec(scan, {0: [split_of(path)]}))
    assert found["k"].to_pylist() == ["x", "y", "z"]
    with pytest.raises(FileChanged):
        run_fragment(engine, FragmentSpec(scan, {0: [old]}))


def test_a_file_of_a_known_version_is_not_described_again(
    tmp_path: Path, connection: Noting
) -> None:
    known: Answers[Footer] = Answers(1000)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"k": [1, 2], "s": ["a", "b"]}), path, row_group_size=1)
    scan = ParquetScan("t", None, None, ())
    sources = [
        scan_source(scan, [split_of(path)], connection, None, known)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    assert sources[0] == sources[1]
    assert len(connection.asked) == 1


def test_a_file_without_a_version_is_looked_at_each_time(tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "a.parquet"
    for values in ([1, 2], ["x"]):
        pq.write_table(pa.table({"k": values}), path)
        spec = FragmentSpec(p.scan("t").node, {0: [ScanSplit(str(path), 0, 1)]})
        assert run_fragment(engine, spec)["k"].to_pylist() == values


def test_streams_that_differ_by_metadata_alone_are_told_apart(engine: Engine) -> None:
    sixteen = pa.binary(16)
    plain = pa.field("k", sixteen)
    marked = plain.with_metadata({b"ARROW:extension:name": b"arrow.uuid"})
    kinds = [
        run_over(engine, leaf(), pa.Table.from_arrays([pa.array([b"0" * 16], sixteen)], schema=one))
        .schema.field(0)
        .type
        for one in (pa.schema([plain]), pa.schema([marked]), pa.schema([plain]))
    ]
    assert kinds[0] == kinds[2] == pa.binary()
    assert kinds[1] != kinds[0]
