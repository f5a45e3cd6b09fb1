"""COPY and INSERT, from their text to files, on an embedded cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trio

from ffq.client import LocalCluster
from ffq.engine.staging import STAGING
from ffq.errors import InvalidQuery, PlanningError, QueryFailed
from ffq.plan.model import ParquetWrite
from ffq.sql.prepare import prepare


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[LocalCluster, dict[str, str]]]:
    """Tables t (folders k=1 and k=2; a, b) and one (a file), and a folder for what is written."""
    for k in (1, 2):
        part = folder / "t" / f"k={k}"
        part.mkdir(parents=True)
        pq.write_table(pa.table({"a": [10 * k, 10 * k + 1], "b": ["x", "y"]}), part / "0.parquet")
    pq.write_table(pa.table({"a": [1]}), folder / "one.parquet")
    tables = {"t": str(folder / "t"), "one": str(folder / "one.parquet")}
    async with LocalCluster(1, tables=dict(tables)) as it:
        yield it, tables


async def test_copy_and_insert(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (it, tables):

        async def run(sql: str) -> list[dict[str, object]]:
            rows: list[dict[str, object]] = (await it.run(prepare(sql, tables).plan)).to_pylist()
            return rows

        out = tmp_path / "out.csv"
        sql = f"COPY (SELECT a, b FROM t ORDER BY a DESC) TO '{out}' (HEADER false)"
        assert await run(sql) == [{"Count": 4}]
        assert await trio.Path(out).read_text() == "21,y\n20,x\n11,y\n10,x\n"
        with pytest.raises(QueryFailed, match="out.csv: it exists already"):
            await run(sql)
        # By place, by name, by the query's names; the table's folders stay its partitions.
        assert await run("INSERT INTO t SELECT 7, 'seven', 3") == [{"Count": 1}]
        assert await run("INSERT INTO T (K, A) VALUES (4, 8.0), (1, '9')") == [{"Count": 2}]
        assert await run("INSERT INTO t BY NAME SELECT 5 AS k, 'five' AS b") == [{"Count": 1}]
        assert await run("SELECT k, a, b FROM t WHERE k > 2 OR a = 9 ORDER BY k") == [
            {"k": 1, "a": 9, "b": None},
            {"k": 3, "a": 7, "b": "seven"},
            {"k": 4, "a": 8, "b": None},
            {"k": 5, "a": None, "b": "five"},
        ]
        with pytest.raises(PlanningError, match=r"'one' is .*one.parquet; .* that is one folder"):
            await run("INSERT INTO one SELECT 2")
        rows = prepare("SELECT a, b, k FROM t WHERE k = 5", tables).plan
        assert (await it.run(ParquetWrite("t", getattr(rows, "input")))).to_pylist() == [  # noqa: B009
            {"Count": 1}
        ]
    assert not (tmp_path / STAGING).exists()
    assert not (tmp_path / "t" / STAGING).exists()


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("INSERT INTO t SELECT 1", "the query has 1 columns, and there are 3: a, b, k"),
        ("INSERT INTO t (a, z) SELECT 1, 2", "there is no column 'z'; it has a, b, k"),
        ("INSERT INTO t (a, A) SELECT 1, 2", "column 'A' is named twice"),
        ("INSERT INTO nope SELECT 1", "no such table: 'nope'; there are: t"),
        ("INSERT INTO t\nSELECT nope FROM t", "line 2, column 8: .*nope"),
        ("COPY (SELECT nope FROM t) TO '/o.csv'", "line 1, column 14: .*nope"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, sql: str, says: str) -> None:
    (tmp_path / "t" / "k=1").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "t" / "k=1" / "0.parquet")
    with pytest.raises(InvalidQuery, match=says):
        prepare(sql, {"t": str(tmp_path / "t")})
