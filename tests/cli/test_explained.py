"""`ffq sql --explain` and `--analyze`, as a user sees them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.processes import ffq


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"k": [1, 1, 2], "v": [1, 2, 3]}), tmp_path / "t.parquet")
    return tmp_path


def test_analyze_shows_the_plans_and_what_was_done_and_writes_the_result_where_told(
    folder: Path,
) -> None:
    query = "EXPLAIN ANALYZE SELECT k, sum(v) AS s FROM t WHERE v > 1 GROUP BY k ORDER BY k"
    ran = ffq(
        *("sql", "-o", "out.csv", "--workers", "1", "--table", "t=t.parquet", query),
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stderr
    assert (folder / "out.csv").read_text() == "k,s\n1,2\n2,3\n"
    lines = ran.stdout.splitlines()
    assert lines[6].startswith("         └─ Scan t  columns v, k  (3 rows, ")
    assert lines[:6] == [
        "Logical plan",
        "============",
        "Project  k, sum(v) AS s",
        "└─ Sort  k",
        "   └─ Aggregate  by k: sum(v)",
        "      └─ Filter  v > 1",
    ]
    assert "Stage 0 · 1 task · the result" in lines
    (scan,) = [
        line.split() for line in lines if line.split()[:1] == ["2"] and "local-1" not in line
    ]
    assert scan[1:3] == ["1", "0"]  # tasks, retries
    assert {line.split()[3] for line in lines if "local-" in line} == {"local-1"}


@pytest.mark.parametrize(
    "words",
    [
        ("--explain", "SELECT v + 1 AS w FROM 't.parquet'"),
        ("explain /* it */ SELECT v + 1 AS w FROM 't.parquet'",),
    ],
)
def test_explain_runs_nothing(folder: Path, words: tuple[str, ...]) -> None:
    ran = ffq("sql", *words, cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[2].startswith("Project  v + 1 AS w")


def test_explain_writes_no_result(folder: Path) -> None:
    ran = ffq("sql", "--explain", "-o", "out.csv", "SELECT 1", cwd=folder)
    assert ran.returncode == 2
    assert "--explain run nothing" in ran.stderr
