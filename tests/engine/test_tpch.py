"""Whole plans over several tasks and stages give what DuckDB answers to the SQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pytest

from ffq import plan as p
from ffq.engine import Engine
from ffq.plan import tpch as queries
from ffq.plan.builder import JoinHow
from tests.engine.runner import LocalRunner


@pytest.fixture
def runner(engine: Engine, tmp_path: Path, tpch: dict[str, list[Path]]) -> LocalRunner:
    return LocalRunner(engine, tmp_path, tpch)


@pytest.fixture
def direct(tpch: dict[str, list[Path]]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for name, files in tpch.items():
            connection.read_parquet([str(file) for file in files]).create_view(name)
        yield connection


def rows(table: pa.Table) -> list[str]:
    """Rows as a sorted list; averages may differ in the last digit."""
    return sorted(
        str([f"{value:.13g}" if isinstance(value, float) else value for value in row.values()])
        for row in table.to_pylist()
    )


def check(
    runner: LocalRunner, plan: p.Relation, direct: duckdb.DuckDBPyConnection, sql: str
) -> None:
    mine = runner.run(plan.node)
    theirs = direct.sql(sql).to_arrow_table()
    assert mine.schema.names == theirs.schema.names
    assert rows(mine) == rows(theirs)
    assert mine.num_rows > 0


@pytest.mark.parametrize("scan_tasks", [1, 4])
def test_q1(runner: LocalRunner, direct: duckdb.DuckDBPyConnection, scan_tasks: int) -> None:
    runner.scan_tasks = scan_tasks
    check(runner, queries.q1(), direct, queries.Q1_SQL)


@pytest.mark.parametrize("joins", ["shuffle", "broadcast"])
def test_q3(
    runner: LocalRunner, direct: duckdb.DuckDBPyConnection, joins: Literal["shuffle", "broadcast"]
) -> None:
    check(runner, queries.q3(joins=joins), direct, queries.Q3_SQL)


def test_global_aggregate_with_every_function(
    runner: LocalRunner, direct: duckdb.DuckDBPyConnection
) -> None:
    price, flag = p.col("l_extendedprice"), p.col("l_shipmode")
    plan = p.scan("lineitem", ["l_extendedprice", "l_shipmode", "l_orderkey"]).aggregate(
        [],
        [
            p.count().alias("n"),
            flag.count_distinct().alias("modes"),
            p.col("l_orderkey").count_distinct().alias("orders"),
            p.col("l_orderkey").sum().alias("keys"),
            price.sum().alias("total"),
            price.min().alias("least"),
            flag.max().alias("last"),
            price.avg().alias("average"),
        ],
    )
    sql = """SELECT count(*) n, count(DISTINCT l_shipmode) modes,
        count(DISTINCT l_orderkey) orders, sum(l_orderkey)::BIGINT AS keys,
        sum(l_extendedprice) total, min(l_extendedprice) least, max(l_shipmode) AS last,
        avg(l_extendedprice) average FROM lineitem"""
    check(runner, plan, direct, sql)


def test_a_global_aggregate_of_nothing_is_one_row(runner: LocalRunner) -> None:
    """Every partition is empty: the one reduce task still yields its row."""
    plan = (
        p.scan("lineitem", ["l_quantity"])
        .filter(p.col("l_quantity") < 0)
        .aggregate([], [p.count().alias("n"), p.col("l_quantity").sum().alias("s")])
    )
    assert runner.run(plan.node).to_pylist() == [{"n": 0, "s": None}]
    grouped = (
        p.scan("lineitem", ["l_quantity", "l_shipmode"])
        .filter(p.col("l_quantity") < 0)
        .aggregate(["l_shipmode"], [p.count().alias("n")])
    )
    assert runner.run(grouped.node).to_pylist() == []


def test_semi_and_anti_joins(runner: LocalRunner, direct: duckdb.DuckDBPyConnection) -> None:
    cases: list[tuple[JoinHow, str]] = [("semi", "IN"), ("anti", "NOT IN")]
    for how, sql in cases:
        orders = p.scan("orders", ["o_custkey"])
        customers = p.scan("customer", ["c_custkey", "c_nationkey"])
        joined = customers.join(orders, [("c_custkey", "o_custkey")], how, partitions=5)
        plan = joined.aggregate(["c_nationkey"], [p.count().alias("n")], partitions=3)
        query = f"""SELECT c_nationkey, count(*) n FROM customer
            WHERE c_custkey {sql} (SELECT o_custkey FROM orders) GROUP BY 1"""
        check(runner, plan, direct, query)


def test_top_k_and_union_over_stages(
    runner: LocalRunner, direct: duckdb.DuckDBPyConnection
) -> None:
    dear = p.scan("part", ["p_partkey", "p_retailprice"])
    supplied = p.scan("partsupp", ["ps_partkey", "ps_supplycost"])
    plan = dear.union_all(supplied).top_k(p.col("p_retailprice"), 5)
    sql = """SELECT * FROM (SELECT p_partkey, p_retailprice FROM part
        UNION ALL SELECT ps_partkey, ps_supplycost FROM partsupp)
        ORDER BY p_retailprice DESC, p_partkey LIMIT 5"""
    check(runner, plan, direct, sql)


def test_every_map_output_row_lies_where_the_hash_says(runner: LocalRunner) -> None:
    """The rows that outputs declare add up to what the scan gave."""
    plan = p.scan("orders", ["o_orderkey"]).repartition(["o_orderkey"], partitions=7)
    table = runner.run(plan.node)
    declared = sum(part.rows for parts in runner.outputs.values() for part in parts)
    assert declared == table.num_rows == 15_000
    assert len(set(table["o_orderkey"].to_pylist())) == 15_000
