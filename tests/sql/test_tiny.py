"""Tables so small that each task reads them itself: no stage, and no exchange, for their rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffq.catalog import Catalog, Table
from ffq.plan.model import ShuffleRead
from ffq.plan.stages import Parallelism, StagePlan, cut
from ffq.plan.walk import walk_stage
from ffq.sql.exchanges import TableEstimate
from ffq.sql.facts import Facts
from tests.sql.compared import Compared, plan_of, write_tables

CHAIN = "FROM t JOIN u ON t.a = u.a JOIN v ON u.k = v.k WHERE v.s <> 'no'"
QUERIES = (
    f"SELECT t.x, v.s {CHAIN}",
    f"SELECT v.s, sum(t.x) AS x, count(*) AS n {CHAIN} GROUP BY v.s ORDER BY v.s",
    "SELECT t.x, u.k FROM t LEFT JOIN u ON t.a = u.a",
    "SELECT t.x, u.k FROM t RIGHT JOIN u ON t.a = u.a",
    "SELECT t.x, u.k FROM t FULL JOIN u ON t.a = u.a",
    "SELECT x FROM t WHERE a IN (SELECT a FROM u)",
    "SELECT x FROM t WHERE a NOT IN (SELECT a FROM u)",
    "SELECT x FROM t WHERE a NOT IN (SELECT a FROM u WHERE a IS NOT NULL)",
    "SELECT x FROM t WHERE NOT EXISTS (FROM u WHERE u.a = t.a AND u.k > t.x)",
    "SELECT x FROM t WHERE a IN (SELECT a FROM e)",
    "SELECT t.x, e.k FROM t LEFT JOIN e ON t.a = e.a",
    "SELECT t.x, u.k FROM t, u WHERE t.x < u.k",
    "SELECT a.k, b.k FROM u a JOIN u b ON a.a = b.a",
)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """t, and tiny tables with nulls and duplicates (u, v) and without rows (e)."""
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t AS SELECT nullif(i % 9, 4) AS a, i AS x FROM range(900) r(i)")
        con.execute(
            "CREATE TABLE u AS FROM (VALUES (1, 1), (1, 2), (2, 1), (NULL, 1), (3, NULL), (77, 2)) "
            "_(a, k)"
        )
        con.execute("CREATE TABLE v AS FROM (VALUES (1, 'yes'), (2, 'no'), (2, NULL)) _(k, s)")
        con.execute("CREATE TABLE e AS SELECT 1 AS a, 2 AS k WHERE false")
        files = write_tables(con, tmp_path_factory.mktemp("tiny"))
        made = Compared.over(con, files, tmp_path_factory.mktemp("shuffles"), tasks=3)
        made.estimates = {"t": TableEstimate(10**9, 10**11)}
        made.estimates |= {name: TableEstimate(6, 600, tiny=True) for name in "uve"}
        yield made
        made.close()


def stages(compared: Compared, sql: str) -> tuple[StagePlan, ...]:
    return cut(compared.plan(plan_of(compared.instance, sql))).stages


@pytest.mark.parametrize("sql", QUERIES)
def test_it_gives_what_the_engine_gives(compared: Compared, sql: str) -> None:
    compared.check(sql)


def test_a_chain_of_them_is_joined_where_the_rows_are_that_it_is_joined_with(
    compared: Compared,
) -> None:
    (stage,) = stages(compared, QUERIES[0])
    assert stage.parallelism is Parallelism.SCAN
    assert {scan.table: scan.split for scan in stage.scans} == {"t": True, "u": False, "v": False}


def test_the_rows_of_others_are_made_in_a_stage_of_their_own(compared: Compared) -> None:
    before = dict(compared.estimates)
    compared.estimates["v"] = TableEstimate(6, 600)
    try:
        found = stages(compared, QUERIES[0])
    finally:
        compared.estimates = before
    assert len(found) > 1


@pytest.mark.parametrize(
    "tiny", ["(SELECT a, random() AS k FROM u)", "(SELECT a, sum(k) AS k FROM u GROUP BY a)"]
)
def test_what_is_not_only_their_rows_is_computed_once(compared: Compared, tiny: str) -> None:
    (first, *_) = stages(compared, f"SELECT t.x, w.k FROM t JOIN {tiny} w ON t.a = w.a")
    assert any(isinstance(node, ShuffleRead) for node in walk_stage(first.fragment))


@pytest.mark.parametrize(
    ("rows", "files", "tiny"),
    [(3, 1, True), (3, 5, False), (10_000, 1, True), (10_001, 1, False)],
)
def test_a_table_is_tiny_by_its_footers(tmp_path: Path, rows: int, files: int, tiny: bool) -> None:
    paths = [str(tmp_path / f"{at}.parquet") for at in range(files)]
    for path in paths:
        pq.write_table(pa.table({"k": [1] * rows}), path)
    facts = Facts()
    try:
        assert facts.of(Catalog.of([Table("t", tuple(paths))]), "t").tiny is tiny
    finally:
        facts.close()


def test_one_in_a_store_is_none(tmp_path: Path) -> None:
    """Each task would ask the store for it."""
    pq.write_table(pa.table({"k": [1]}), tmp_path / "t.parquet")
    facts = Facts()
    try:
        here = facts.of(Catalog.of([Table("t", (str(tmp_path / "t.parquet"),))]), "t")
    finally:
        facts.close()
    (split,) = here._splits
    there = attrs.evolve(here, splits=(attrs.evolve(split, path="s3://lake/t.parquet"),))
    assert (here.tiny, there.tiny) == (True, False)


def test_one_of_many_bytes_is_none_nor_one_whose_footers_say_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": ["x" * 300_000]}), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("k\n1\n")
    tables = [Table("p", (str(tmp_path / "t.parquet"),))]
    facts = Facts()
    try:
        assert not facts.of(Catalog.of(tables), "p").tiny
        text = ('{"name": "c", "paths": ["' + str(tmp_path / "t.csv") + '"], "format": "csv"}',)
        assert not facts.of(Catalog.of(()).over(text), "c").tiny
    finally:
        facts.close()
