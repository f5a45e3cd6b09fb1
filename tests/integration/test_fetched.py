"""Columns that are read when it is known for which rows, on real processes."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.client import connect
from ffq.errors import QueryFailed
from ffq.plan import dump_plan
from ffq.plan import model as m
from ffq.plan.bound import BoundKey, Place
from ffq.plan.model import Node
from tests.integration.cluster import Cluster, cluster, gateway_for, write_dataset


def _gathered(rows: Node) -> Node:
    single = m.SinglePartitioning()
    return m.ShuffleRead(m.ShuffleWrite(rows, single), single)


async def test_the_first_rows_of_a_join_are_the_engines(tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    for part in range(2):
        (folder / f"part={part}").mkdir(parents=True)
        ids = range(part, 60_000, 2)
        text = [f"{at} {'x' * 500}" for at in ids]
        table = pa.table({"k": [at % 20_000 for at in ids], "id": ids, "text": text})
        pq.write_table(table, folder / f"part={part}" / "f.parquet", row_group_size=7_000)
    pq.write_table(pa.table({"k": range(0, 30_000, 3)}), tmp_path / "f.parquet")
    sql = (
        "SELECT w.*, upper(text) AS t, f.k AS k FROM f LEFT JOIN wide w ON f.k = w.k "
        "ORDER BY f.k % 5000, id DESC NULLS FIRST LIMIT 40 OFFSET 3"
    )
    tables = {"f": [str(tmp_path / "f.parquet")], "wide": [str(folder)]}
    with duckdb.connect() as con:
        con.execute(f"CREATE VIEW f AS FROM read_parquet('{tmp_path}/f.parquet')")
        wide = f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true)"
        con.execute(f"CREATE VIEW wide AS FROM {wide}")
        expected = con.sql(sql).fetchall()
    assert {row[2] is None for row in expected} == {True, False}
    dataset = write_dataset(tmp_path)
    with gateway_for(dataset, "--one-task-bytes=0") as (process, endpoint):
        async with connect(endpoint) as client:
            it = Cluster(dataset, endpoint, client, process, 300)
            with it.workers("w1", "w2", slots=1):
                explained = await client.run_sql(f"EXPLAIN {sql}", tables=tables)
                assert "of wide are read for its 40 rows alone" in str(explained.to_pylist())
                found = await client.run_sql(sql, tables=tables)
    columns = [column.to_pylist() for column in found.columns]
    assert list(zip(*columns, strict=True)) == expected


def _first_of_t(it: Cluster) -> bytes:
    """The first rows of t, whose v is read behind the gate."""
    scan = m.NumberedScan("t", None, ("k",), ())
    config = (("file", str(it.dataset.gate)),)
    held = m.Custom("test.gate", config, _gathered(scan))
    key = BoundKey(Place(0), asc=True, nulls_first=False)
    first = m.Sort((key,), 5, 0, partial=False, input=_gathered(held))
    return dump_plan(m.FetchedRows(first, m.ParquetScan("t", None, ("k", "v"), ()), 1))


async def test_files_that_change_before_their_columns_are_read_fail_the_query(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path) as it:
        with it.workers("w1"):
            query = await it.client.submit(_first_of_t(it))
            await it.running_on(query, "w1")
            for file in (tmp_path / "t").iterdir():
                rows = pq.read_table(file)
                pq.write_table(rows.append_column("more", rows.column("v")), file)
            it.dataset.gate.touch()
            with pytest.raises(QueryFailed, match="is another one than the query was planned on"):
                await query.result()


async def test_files_that_stay_as_they_are_give_their_columns(tmp_path: Path) -> None:
    async with cluster(tmp_path) as it:
        it.dataset.gate.touch()
        with it.workers("w1"):
            query = await it.client.submit(_first_of_t(it))
            found = await query.result()
    assert found.column(0).to_pylist() == found.column(2).to_pylist() == [0] * 5
    assert all(value % 10 == 0 for value in found.column(3).to_pylist())
