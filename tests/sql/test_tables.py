"""SQL over files of every format, as whole queries: planned, given out and run."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, ScanSettings, Table, plan_scans
from ffq.engine import Engine, FragmentSpec
from ffq.plan.model import Node
from ffq.plan.stages import Parallelism, cut
from ffq.sql.prepare import prepare
from tests.engine.runner import run_fragment


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def sink_rows(engine: Engine, plan: Node, catalog: Catalog) -> tuple[list[Any], int]:
    """Rows of a plan of one stage, task by task, and how many row groups these were given."""
    graph = cut(plan)
    (stage,) = graph.stages
    assert stage.parallelism is Parallelism.SCAN
    (scan,) = plan_scans(graph, catalog, ScanSettings(1))
    formats = {} if scan.format is None else {0: scan.format}
    rows: list[Any] = []
    groups = 0
    for share in scan.shares:
        spec = FragmentSpec(stage.fragment, {0: share}, formats=formats)
        rows += [tuple(row.values()) for row in run_fragment(engine, spec).to_pylist()]
        groups += sum(split.row_group_end - split.row_group_start for split in share)
    return sorted(rows, key=repr), groups


def test_a_where_of_sql_decides_what_is_read(engine: Engine, tmp_path: Path) -> None:
    """Of 2 folders of 10 row groups each."""
    for year in (2023, 2024):
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        values = pa.table({"v": range(100), "s": [f"s{at % 7}" for at in range(100)]})
        pq.write_table(values, folder / "a.parquet", row_group_size=10)
    sql = "SELECT v + 1, s FROM t WHERE year = 2024 AND v BETWEEN 35 AND 52 AND s <> 's3'"
    catalog = Catalog.of([Table("t", (str(tmp_path),))])
    rows, groups = sink_rows(engine, prepare(sql, {"t": str(tmp_path)}).plan, catalog)
    files = f"read_parquet('{tmp_path}/*/*.parquet', hive_partitioning = true)"
    expected = duckdb.execute(sql.replace("FROM t", f"FROM {files}")).fetchall()
    assert rows == sorted(expected, key=repr)
    assert groups == 3


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", b"a,b\n1,2024-01-31\n3,\n"),
        ("t.csv.gz", gzip.compress(b"a;b\n1;2024-01-31\n3;\n", mtime=0)),
        ("t.jsonl", b'{"a": 1, "b": "2024-01-31"}\n{"a": 3}\n'),
    ],
)
def test_sql_over_text(engine: Engine, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    place = str(tmp_path / name)
    plan = prepare("SELECT a * 2, date_part('month', b) FROM t WHERE a > 0", {"t": place}).plan
    rows, _ = sink_rows(engine, plan, Catalog.of([Table("t", (place,))]))
    assert rows == [(2, 1), (6, None)]
