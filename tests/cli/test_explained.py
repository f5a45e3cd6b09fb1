"""`ffq sql --explain` and `--analyze`, as a user sees them."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.processes import ffq
from tests.profiles import heavy, variants


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


@heavy
def test_of_a_join_that_a_size_decides_it_says_what_does_and_what_was_decided(
    folder: Path,
) -> None:
    """As many groups as rows there might be, but there are 20."""
    chance = random.Random(1)
    values = [chance.randbytes(300).hex() for _ in range(40_000)]
    table = pa.table({"k": [n % 20 for n in range(40_000)], "v": values})
    pq.write_table(table, folder / "big.parquet")
    query = (
        "SELECT big.k, v FROM big JOIN (SELECT k, max(v) AS most FROM big GROUP BY k) AS found "
        "ON big.k = found.k AND v = most"
    )
    ran = ffq(
        *("sql", "-o", "out.csv", "--workers", "1", "--table", "big=big.parquet"),
        *("--analyze", query),
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stderr
    expected = {f"{k},{max(values[k::20])}" for k in range(20)}
    assert set((folder / "out.csv").read_text().split()[1:]) == expected
    planned, _, told = ran.stdout.partition("Decided by size\n===============\n")
    (heading,) = re.findall(r"^Stage 1 · .*$", planned, re.MULTILINE)
    assert re.search(
        r"; decided when stage \d is finished: up to 64.0 MiB this is done in stage 0$", heading
    )
    assert "Inner join: decided when its" in planned
    first, second, *_ = told.splitlines()
    assert re.fullmatch(
        r"Stage 0: broadcast: stage \d has .*B, and stage 1 is done in place", first
    )
    assert re.fullmatch(r"Stage 1: skipped: stage \d has .*B, and stage 0 does .* work", second)


@pytest.mark.parametrize(
    "words",
    variants(
        [
            ("--explain", "SELECT v + 1 AS w FROM 't.parquet'"),
            ("explain /* it */ SELECT v + 1 AS w FROM 't.parquet'",),
        ]
    ),
)
def test_explain_runs_nothing(folder: Path, words: tuple[str, ...]) -> None:
    ran = ffq("sql", *words, cwd=folder)
    assert ran.returncode == 0
    # A busy machine may keep the embedded worker waiting for its coordinator; nothing else is said.
    waits = r"coordinator 127\.0\.0\.1:\d+ is unreachable, trying on: .*"
    assert [line for line in ran.stderr.splitlines() if not re.fullmatch(waits, line)] == []
    assert ran.stdout.splitlines()[2].startswith("Project  v + 1 AS w")


def test_explain_writes_no_result(folder: Path) -> None:
    ran = ffq("sql", "--explain", "-o", "out.csv", "SELECT 1", cwd=folder)
    assert ran.returncode == 2
    assert "--explain run nothing" in ran.stderr
