"""Whose fault an error of the engine is (R17), by what DuckDB really says, early and late."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.engine.faults import execution_error
from ffq.errors import (
    DataError,
    DiskError,
    ExecutionError,
    FfqError,
    OutOfMemory,
    PlanningError,
    StorageError,
)

LATE = 300_000


def error_of(sql: str, config: dict[str, str] | None = None, *setup: str) -> FfqError:
    """What reading all rows of `sql` as a stream ends with."""
    with duckdb.connect(":memory:", config={"threads": 1, **(config or {})}) as connection:
        connection.execute("SET GLOBAL error_on_division_by_zero = true")
        for statement in setup:
            connection.execute(statement)
        with pytest.raises((duckdb.Error, OSError)) as raised:
            for _ in connection.sql(sql).to_arrow_reader(1000):
                pass
    return execution_error(raised.value)


@pytest.mark.parametrize("rows", [3, LATE], ids=["early", "late"])
@pytest.mark.parametrize(
    "expression",
    [
        "CAST(CASE WHEN i = {last} THEN 'zz' ELSE '1' END AS INTEGER)",
        "CAST(CASE WHEN i = {last} THEN 'zz' ELSE '2020-01-01' END AS DATE)",
        "CAST(i - {last} + 256 AS UTINYINT)",
        "1 // (i - {last})",
        "1 % (i - {last})",
        "9223372036854775807 - {last} + i + 1",
        "(i - {last} + 1) * 9223372036854775807 * 2",
        "CAST('1e37' AS DECIMAL(38, 0)) * CASE WHEN i = {last} THEN 1000 ELSE 0 END",
        "strptime(CASE WHEN i = {last} THEN 'zz' ELSE '2020' END, '%Y')",
        "repeat('x', 100000000000 + i)",
    ],
)
def test_R17_what_the_data_does_is_an_error_of_the_data(expression: str, rows: int) -> None:
    """Late errors come out of the stream as OSErrors."""
    sql = f"SELECT {expression.format(last=rows - 1)} AS x FROM range({rows}) AS t(i)"
    error = error_of(sql)
    assert type(error) is DataError
    assert "\n" not in error.message
    assert "TRY" not in error.message
    assert "expression" not in error.message


def test_a_plan_that_binds_late_is_an_error_of_the_plan() -> None:
    assert type(error_of("SELECT nosuch(1)")) is PlanningError


@pytest.fixture
def files(tmp_path: Path) -> Sequence[str]:
    """Missing, no Parquet, too small for it, and one whose pages are broken."""
    (tmp_path / "text.parquet").write_text("this is no Parquet file, whatever it is called")
    (tmp_path / "small.parquet").write_text("PAR1")
    broken = tmp_path / "broken.parquet"
    pq.write_table(pa.table({"a": range(200_000)}), broken, row_group_size=10_000)
    data = bytearray(broken.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = b"\xff" * 3000
    broken.write_bytes(bytes(data))
    names = ("none", "text", "small", "broken")
    return [str(tmp_path / f"{name}.parquet") for name in names]


def test_R17_a_file_of_a_table_that_cannot_be_read_is_told_apart(files: Sequence[str]) -> None:
    for file in files:
        for what in ("a", "sum(a)"):
            error = error_of(f"SELECT {what} AS x FROM read_parquet('{file}')")
            assert type(error) is StorageError, error.message


BIG = "SELECT i % 50000 AS k, list(repeat('abc', 300) || i) FROM range(150000) AS t(i) GROUP BY k"


def spill_folders(tmp_path: Path) -> Iterator[tuple[dict[str, str], tuple[str, ...], type]]:
    limit = {"memory_limit": "40MB"}
    blocked = tmp_path / "a file"
    blocked.write_text("")
    yield limit | {"temp_directory": ""}, (), OutOfMemory
    yield limit | {"temp_directory": str(blocked / "x")}, (), DiskError
    small = "SET max_temp_directory_size = '1MB'"
    yield limit | {"temp_directory": str(tmp_path / "t")}, (small,), OutOfMemory


def test_R17_without_room_it_is_the_process_that_lacks_it(tmp_path: Path) -> None:
    for config, setup, kind in spill_folders(tmp_path):
        error = error_of(BIG, config, *setup)
        assert type(error) is kind, error.message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/x"), DiskError),
        (OSError('IO Error: Could not write file "/t/duckdb_temp_1": No space left'), DiskError),
        (OSError('IO Error: Cannot open file "/d/t.parquet": Too many open files'), DiskError),
        (OSError('IO Error: Cannot open file "/d/t.parquet": Permission denied'), StorageError),
        (OSError("INTERNAL Error: an assertion of the engine"), ExecutionError),
        (
            OSError("Invalid Input Error: reading the stream registered as 's' failed: x"),
            ExecutionError,
        ),
        (OSError("something new"), ExecutionError),
        (OSError("Invalid Error: TProtocolException: Invalid data"), StorageError),
        (pa.ArrowMemoryError("malloc of size 1 failed"), OutOfMemory),
        (pa.ArrowInvalid("no such thing"), ExecutionError),
        (ZeroDivisionError("a bug of ours"), ExecutionError),
    ],
)
def test_other_errors_by_what_they_say(error: Exception, kind: type[FfqError]) -> None:
    assert type(execution_error(error)) is kind
