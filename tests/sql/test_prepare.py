"""From SQL over files to a plan: what it gives is what the engine gives for the same text."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ffq.catalog import Catalog
from ffq.errors import FfqError, InvalidQuery, InvalidRequest, StorageError, UnsupportedPlan
from ffq.plan.model import WithTables
from ffq.sql.planning import PlanningInstance
from ffq.sql.prepare import Preparer, Query
from tests.sql.world import World

BEHIND = dt.timezone(dt.timedelta(hours=-3, minutes=-30))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT t.k FROM 't.parquet' WHERE t.k > 15",
        "SELECT x.k, 't.parquet' AS \"t.parquet\" FROM 't.parquet' x WHERE x.k < 3",
        "SELECT a.k FROM a : 't.parquet' WHERE a.k < 3",
        'SELECT k FROM "t.parquet" WHERE k = 3',
        "SELECT a, b FROM 't.parquet' AS x(a, b) WHERE a < 3",
        "SELECT count(*) FROM 't.parquet' x JOIN 'T.parquet' y USING (k) JOIN t USING (k)",
        "SELECT k FROM 't.parquet' WHERE k IN (SELECT k + 17 FROM 't.parquet')",
        "WITH u AS (FROM 't.parquet'), v AS (SELECT k FROM u WHERE k < 2) FROM v",
        "WITH t AS (SELECT 42 AS k) SELECT k FROM t",
        "WITH \"t.parquet\" AS (SELECT 42 AS k) SELECT k FROM 't.parquet'",
        "SELECT max(k) FROM 'b c/it''s.parquet'",
        "SELECT \"it's\".k FROM 'b c/it''s.parquet' WHERE k = 1",
        "SELECT count(*) FROM 'b c/*.parquet'",
        "SELECT \"b c/*.parquet\".k FROM 'b c/*.parquet' WHERE k = 1",
        "SELECT read_parquet.k FROM read_parquet('t.parquet') WHERE k = 1",
        "SELECT count(*) FROM read_parquet(['t.parquet', 'T.parquet'])",
        "SELECT f.k FROM /* read_parquet( */ read_parquet ('t.parquet' /* ) */ ) AS f WHERE k < 2",
        "SELECT k FROM T WHERE k = 1 UNION ALL SELECT k FROM main.t WHERE k = 1",
        "SELECT (SELECT max(k) FROM 't.parquet') AS m, k FROM t WHERE k = 1",
        "FROM 't.parquet' SELECT k LIMIT 0",
    ],
)
def test_files_stand_where_tables_do(world: World, sql: str) -> None:
    assert world.run(sql) == world.expected(sql)


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT k, s FROM t WHERE k = $1", [3]),
        ("SELECT k FROM t WHERE k = ? AND s = ?", [3, "s3"]),
        ("SELECT $1, k + $1 FROM 't.parquet' WHERE s = $2", [7, "s3"]),
        ("SELECT k + $a AS x FROM t WHERE s = $b", {"a": 7, "b": "s3"}),
        ("SELECT k FROM t WHERE d = $1", ["2020-01-05"]),
        ("SELECT k FROM t WHERE k IN $1", [[1, 2, 99]]),
        ("SELECT k FROM t WHERE s = $1", ["' OR 1 = 1; --"]),
        ("SELECT $1 AS x", ["'); DROP TABLE t; --"]),
        ("SELECT '$1', k FROM t WHERE k = $1 -- $2", [3]),
        ("SELECT k FROM t ORDER BY k LIMIT $1", [5]),
        ("SELECT $s.a AS x", {"s": {"a": "it's"}}),
        ("SELECT -$1 AS x, $1::VARCHAR AS y", [-5]),
        ("SELECT k FROM t WHERE v > $1", [None]),
        ("SELECT k FROM t WHERE k IN ($1,$2)AND k=$1OR k=$2", [1, 2]),
        ("SELECT k FROM t WHERE $1[2] = k", [[1, 2]]),
        ("SELECT [$1] AS x, $1 || 'x' AS y", ["it's"]),
        ("SELECT count(*) FROM range($1)", [5]),
        ("SELECT k FROM t WHERE k BETWEEN $1 AND $2", [3, 5]),
        ("SELECT CASE $1 WHEN 1 THEN $2 ELSE 'n' END AS x", [1, "y"]),
    ],
)
def test_parameters_are_values(world: World, sql: str, parameters: Any) -> None:
    assert world.run(sql, parameters) == world.expected(sql, parameters)


def test_columns_are_called_as_in_the_text_and_have_the_types_of_the_values(world: World) -> None:
    prepared = world.prepare("SELECT $1, k + $1, d FROM t", [2**40])
    assert prepared.columns == (("$1", "BIGINT"), ("(k + $1)", "BIGINT"), ("d", "DATE"))
    odd = {"m": {dt.date(2020, 1, 1): [1]}, "t": dt.time(1, tzinfo=BEHIND), "key": {"key": [1]}}
    prepared = world.prepare("SELECT $m, $t, $KEY.key", odd)
    assert prepared.columns == (
        ("$m", "MAP(DATE, INTEGER[])"),
        ("$t", "TIME WITH TIME ZONE"),
        ('($KEY)."key"', "INTEGER[]"),
    )


@pytest.mark.parametrize(
    ("sql", "parameters", "message"),
    [
        ("SELECT\n nope FROM t", None, r"^line 2, column 2: .*\"nope\" not found.*\"d\"$"),
        ("SELECT 'é' FROM 't.parquet' WHERE kk = 1", None, r"^line 1, column 35: .*\"kk\""),
        ("SELECT $1 FROM 'b c/it''s.parquet' WHERE kk = $1", ["x" * 99], "^line 1, column 42: "),
        ("SELECT k FROM t a, t b", None, 'column 8: Ambiguous reference to column name "k"'),
        ("SELECT s + 1 FROM t", None, r"column 10: No function matches.*VARCHAR"),
        ("SELECT nosuch(k) FROM t", None, "column 8: Scalar Function with name nosuch"),
        ("FROM tt", None, r"^line 1, column 6: no such table: 'tt': did you mean 't'\?$"),
        ("SELECT k FROM t, nowhere", None, "column 18: no such table: 'nowhere'; there are: t$"),
        ("FROM duckdb_tables", None, "no such table: 'duckdb_tables'"),
        ("FROM sqlite_master", None, "no such table: 'sqlite_master'"),
        ("FROM world", None, "no such table: 'world'"),
        ("SELECT $1", None, r"^line 1, column 8: the parameter \$1 has no value; given: none$"),
        ("SELECT $b", {"a": 1}, r"the parameter \$b has no value; given: \$a"),
        ("SELECT $1", [1, 2], r"the query has no parameter \$2; it has: \$1"),
        ("SELECT 1", {"x": 1}, r"the query has no parameter \$x; it has: none"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, None, r"depth limit of 1000 exceeded\.$"),
        ("SELECT " + "[" * 900 + "]" * 900, None, "."),
        ("FROM ''", None, "no such table: ''; there are: t$"),
        ("FROM 'by_m'", None, "no such table: 'by_m'; .*; of a folder, right would be 'by_m/'$"),
        ("FROM d/by_m.csv", None, "^line 1, column 7: .*; the path .* in quotes: 'd/by_m.csv'$"),
        ("FROM (FROM /d/*.csv)", None, "the path of a file stands in quotes: '/d/\\*.csv'$"),
        ("FROM by_m.csv", None, "no such table: by_m.csv; the path .* in quotes: 'by_m.csv'$"),
        ("FROM read_parquet('')", None, "the path of a file is empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    world: World, sql: str, parameters: Any, message: str
) -> None:
    with pytest.raises(InvalidQuery, match=message):
        world.prepare(sql, parameters)


@pytest.mark.parametrize(
    ("sql", "kind", "message"),
    [
        ("FROM 'no*.parquet'", StorageError, r"table 'no\*\.parquet': no file matches /.*/no\*"),
        ("FROM 'no.parquet'", StorageError, "table 'no.parquet': no such file or folder: /"),
        ("UPDATE t SET k = 1", InvalidQuery, "UPDATE is no query.* INSERT INTO"),
        ("SELECT reservoir_quantile(k, 0.5) FROM t", UnsupportedPlan, "reservoir_quantile"),
    ],
)
def test_what_cannot_be_read_or_run_is_named(
    world: World, sql: str, kind: type[FfqError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        world.prepare(sql)


def test_a_file_that_is_no_parquet_is_named(world: World, folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.parquet"
    bad.write_bytes((folder / "t.parquet").read_bytes()[:200])
    with pytest.raises(StorageError, match=r"bad\.parquet.* is not readable Parquet"):
        world.prepare(f"FROM '{bad}'")


def test_a_file_that_was_written_anew_has_its_new_columns(world: World, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for name in ("a", "b"):
        with duckdb.connect() as engine:
            engine.execute(f"COPY (SELECT 1 AS {name}, 'filler' AS more_{name}) TO '{path}'")
        assert world.prepare(f"FROM '{path}'").columns[0][0] == name


def test_only_the_tables_that_it_reads_go_with_a_plan(world: World, folder: Path) -> None:
    path = str(folder / "t.parquet")
    prepared = world.prepare("SELECT k FROM b", tables={"a": path, "b": path, "c": path})
    assert prepared.tables == ("b",)
    assert isinstance(prepared.plan, WithTables)
    assert [json.loads(one)["name"] for one in prepared.plan.tables] == ["b"]


def test_two_tables_that_differ_in_case_alone_are_told_apart_or_refused(
    world: World, folder: Path
) -> None:
    tables = {"u": str(folder / "t.parquet"), "U": str(folder / "b c" / "*.parquet")}
    assert world.prepare("FROM U", tables=tables).tables == ("U",)
    assert world.prepare("FROM u", tables=tables).tables == ("u",)
    tables = {"Aa": tables["u"], "aA": tables["u"]}
    with pytest.raises(InvalidQuery, match="the table 'aa' may be Aa or aA"):
        world.prepare("FROM aa", tables=tables)


def test_a_coordinator_that_takes_no_tables_says_so(world: World) -> None:
    with pytest.raises(InvalidQuery, match="takes no tables from clients, and so not t"):
        world.prepare("SELECT k FROM T", client_tables=False)
    with pytest.raises(InvalidQuery, match="takes no tables from clients, and so not t"):
        world.prepare("INSERT INTO t SELECT 1", client_tables=False)
    assert world.prepare("SELECT 1", client_tables=False).columns  # it names none of them
    with pytest.raises(InvalidQuery, match=r"line 1, column 6: .* and so not 't\.parquet'"):
        world.prepare("FROM 't.parquet'", tables={}, client_tables=False)
    with pytest.raises(InvalidQuery, match=r"reads no files .* and so not '/etc/passwd'"):
        world.prepare("FROM read_csv('/etc/passwd')", tables={}, client_tables=False)
    assert world.prepare("SELECT 1", tables={}, client_tables=False).columns


@pytest.mark.parametrize("text", ["[", "3", '{"name": "t"}', '{"name": "t", "paths": 3}', "{}"])
def test_a_table_that_is_none_is_refused(preparer: Preparer, text: str) -> None:
    with pytest.raises(InvalidRequest):
        preparer.prepare(Query("SELECT 1", {}, (text,)))


def test_an_instance_is_opened_once_and_again_after_a_query_that_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[PlanningInstance] = []

    class Counted(PlanningInstance):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            opened.append(self)

    monkeypatch.setattr("ffq.sql.prepare.PlanningInstance", Counted)
    preparer = Preparer(Catalog.of(()))
    try:
        for sql in (
            "SELECT 1",
            "FROM 't.parquet'",
            "FROM 't.parquet' x JOIN 'T.parquet' y USING (k)",
        ):
            preparer.prepare(Query(sql, folder=str(world.folder)))
        assert len(opened) == 1
        with pytest.raises(InvalidQuery):
            preparer.prepare(Query("SELECT nothing"))
        preparer.prepare(Query("SELECT 1"))
        assert len(opened) == 2
    finally:
        preparer.close()


def test_tables_whose_names_differ_in_case_alone_are_refused_together(world: World) -> None:
    path = str(world.folder / "t.parquet")
    with pytest.raises(InvalidQuery, match="line 1, column 27: the tables 't' and 'T', whose"):
        world.prepare('SELECT count(*) FROM t x, "T" y', tables={"t": path, "T": path})
    assert world.prepare('SELECT k FROM "T"', tables={"t": path, "T": path}).tables == ("T",)
