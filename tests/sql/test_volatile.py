"""random(), uuid() and the like: each row's value is made once, however often tasks run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ffq.core import CoordinatorSettings
from ffq.errors import InvalidQuery, UnsupportedPlan
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.model import CteRef, Node
from ffq.plan.properties import is_repeatable
from ffq.plan.stages import Parallelism, cut
from ffq.plan.volatile import is_volatile
from ffq.plan.walk import walk_stage
from ffq.sql.prepare import prepare
from tests.core.driver import Driver
from tests.profiles import CHOSEN
from tests.sql.compared import Compared, plan_of, write_tables

ROWS = 2000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    root: Path = tmp_path_factory.mktemp("volatile")
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t AS SELECT i AS k, i % 7 AS g FROM range({ROWS}) r(i)")
        compared = Compared.over(con, write_tables(con, root, 3), root / "shuffles", tasks=3)
        yield compared
        compared.close()


def _answer(world: Compared, sql: str) -> list[tuple[Any, ...]]:
    _, table = world.run(sql)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.mark.parametrize(
    "sql",
    [
        # Values of their own in each row, of whatever task.
        "SELECT count(DISTINCT u) = count(*) FROM (SELECT uuid() AS u FROM t)",
        "SELECT count(DISTINCT u) = count(*) FROM (SELECT random() AS u FROM t)",
        "SELECT count(DISTINCT uuidv7()) = count(DISTINCT gen_random_uuid()) FROM t",
        # One value where SQL says one, though several tasks need it.
        "SELECT count(DISTINCT r) = 1 FROM (SELECT k, (SELECT random()) AS r FROM t)",
        "SELECT count(DISTINCT r) = 2 FROM t, (VALUES (random()), (2)) v(r)",
        "SELECT count(DISTINCT r) = 1 FROM t JOIN (SELECT 3 AS g, random() AS r) USING (g)",
        # What is made of a value agrees with it, before an exchange and behind it.
        "SELECT bool_and(r = s) FROM (SELECT r, r + 0 AS s FROM (SELECT random() AS r FROM t))",
        f"SELECT sum(n) = {ROWS} AND count(*) = 4 FROM (SELECT (random() * 3)::INT AS b, "
        "count(*) AS n FROM t GROUP BY b)",
        f"SELECT sum(n) = {ROWS} FROM (SELECT b, count(DISTINCT k) AS n FROM "
        "(SELECT k, (random() * 3)::INT AS b FROM t) GROUP BY b)",
        f"SELECT count(*) = {ROWS} AND bool_and(a.b = c.b) FROM "
        "(SELECT k, (random() * 9)::INT AS b FROM t) a "
        "JOIN (SELECT range AS b FROM range(10)) c ON a.b = c.b",
        "SELECT count(*) BETWEEN 800 AND 1200 FROM t WHERE random() < 0.5",
        "SELECT bool_and(r < 0.5) FROM (SELECT * FROM (SELECT random() AS r FROM t) WHERE r < 0.5)",
        "SELECT bool_and(w >= r) FROM (SELECT r, max(r) OVER (PARTITION BY g) AS w FROM "
        "(SELECT g, random() AS r FROM t))",
        "SELECT count(*) = 5 AND count(DISTINCT k) = 5 FROM "
        "(SELECT k FROM t ORDER BY random() LIMIT 5)",
        "SELECT bool_and(i OR NOT i) AND count(i) = 1 FROM "
        "(SELECT 0.5 IN (SELECT random() UNION ALL SELECT 1) AS i)",
        "WITH RECURSIVE c AS MATERIALIZED (SELECT random() AS x), "
        "r(n, x) AS (SELECT 1, NULL::DOUBLE UNION ALL SELECT n + 1, c.x FROM r, c WHERE n < 5) "
        "SELECT count(DISTINCT x) = 1 FROM r",
        "WITH RECURSIVE r(n, x) AS (SELECT 1, random() UNION ALL SELECT n + 1, random() FROM r "
        "WHERE n < 5) SELECT count(DISTINCT x) = 5 FROM r",
        "WITH a AS (SELECT uuid() AS u, k FROM t) SELECT count(*) = count(DISTINCT u) FROM a",
        "SELECT count(*) > 0 FROM (SELECT g FROM t GROUP BY GROUPING SETS ((random()), (g)))",
        "SELECT count(*) = 3 FROM (SELECT DISTINCT ON ((random() * 2)::INT) k FROM t)",
        "SELECT typeof(uuid()) = 'UUID' AND typeof(uuidv4()) = 'UUID' AND random() < 1",
    ][:: CHOSEN.every_variant],
)
def test_it_holds_as_in_the_engine(world: Compared, sql: str) -> None:
    assert world.con.sql(sql).fetchall() == [(True,)]
    assert _answer(world, sql) == [(True,)]


def test_each_row_is_drawn_as_often_as_any_other(world: Compared) -> None:
    """Whatever share of the rows its task has: the first of each task are not drawn anew."""
    drawn = [_answer(world, "SELECT k FROM t ORDER BY random() LIMIT 500") for _ in range(4)]
    assert len({tuple(rows) for rows in drawn}) == 4
    assert all(len(set(rows)) == 500 for rows in drawn)
    assert 700 < sum(k < ROWS / 2 for rows in drawn for (k,) in rows) < 1300


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "WITH c AS (SELECT k,\n random() AS r FROM t) SELECT * FROM c a JOIN c b USING (k)",
            r"^line 2, column 2: .*: random\(\) in a WITH that is read 2 times",
        ),
        (
            "WITH a AS (SELECT uuid() AS u FROM t), b AS (SELECT u, count(*) FROM a GROUP BY u) "
            "SELECT * FROM b x JOIN b y USING (u)",
            r"^line 1, column 19: .*: uuid\(\) in a WITH that is read 2 times",
        ),
        (
            "FROM t LIMIT (random() * 3)::INT",
            r"^line 1, column 15: .*LIMIT or OFFSET by random\(\)",
        ),
        (
            "SELECT k, n FROM (FROM t ORDER BY random() LIMIT 3) a, "
            "LATERAL (SELECT count(*) AS n FROM t b WHERE b.k < a.k)",
            r"^line 1, column 35: .*: random\(\) in rows that a correlated subquery reads 2 times",
        ),
        ("SELECT setseed(0.5)", "^line 1, column 8: the function setseed"),
        ("SELECT nextval('q')", "^line 1, column 8: the function nextval"),
    ],
)
def test_what_would_be_computed_twice_is_refused_where_it_stands(
    tmp_path: Path, sql: str, message: str
) -> None:
    path = tmp_path / "t.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS k) TO '{path}'")
    with pytest.raises((UnsupportedPlan, InvalidQuery), match=message):
        prepare(sql, {"t": str(path)})


# --- attempts ------------------------------------------------------------------------------------

EXCHANGED = """
    SELECT b, count(DISTINCT k) AS n FROM (SELECT k, {} AS b FROM t) GROUP BY b
"""


def _plan(world: Compared, sql: str) -> Node:
    return parse_plan(dump_plan(world.plan(plan_of(world.instance, sql))))


@pytest.mark.parametrize(
    "sql",
    [
        EXCHANGED.format("(random() * 3)::INT"),
        "SELECT count(*) FROM t WHERE random() < 0.5",
        "SELECT g, avg(random()) FROM t GROUP BY g",
        "SELECT k FROM t ORDER BY random() LIMIT 5",
        "SELECT * FROM t JOIN (VALUES (1, random()), (2, 0.5)) v(k, r) USING (k)",
        "SELECT list_transform([k], lambda x: x + random()) AS l, count(*) FROM t GROUP BY l",
        "SELECT CASE WHEN k > 3 THEN uuid() END AS u, max(k) FROM t GROUP BY u",
        "SELECT unnest([random(), 1]) AS r, count(*) FROM t GROUP BY r",
        "SELECT max(k) FILTER (WHERE random() < 0.5) FROM t",
        "SELECT a.k FROM t a JOIN t b ON a.k = b.k AND random() < 0.5",
    ],
)
def test_no_stage_that_holds_one_is_taken_for_repeatable(world: Compared, sql: str) -> None:
    stages = cut(_plan(world, sql)).stages
    holding = [stage for stage in stages if any(map(is_volatile, walk_stage(stage.fragment)))]
    assert holding
    assert not any(map(is_repeatable, holding))


def test_what_several_tasks_need_whole_is_made_in_one(world: Compared) -> None:
    sql = "SELECT k FROM t, (SELECT random() AS r) WHERE r < 2"
    stages = cut(_plan(world, sql)).stages
    (made,) = (one for one in stages if any(map(is_volatile, walk_stage(one.fragment))))
    assert made.parallelism is Parallelism.SINGLE
    assert any(one.parallelism is Parallelism.SCAN for one in stages)


@pytest.mark.parametrize(("of", "again"), [("(random() * 3)::INT", True), ("k % 3", False)])
def test_R25_readers_of_two_attempts_are_not_mixed(world: Compared, of: str, again: bool) -> None:
    """Two tasks share what t's rows became; one has read it when an attempt of it is lost."""
    d = Driver(CoordinatorSettings(worker_liveness_timeout_ms=1000))
    plan = _plan(world, EXCHANGED.format(of))
    graph = cut(plan)
    assert [stage.parallelism for stage in graph.stages] == [Parallelism.HASH, Parallelism.SCAN]
    d.submit("q", plan, tables={"t": 2})
    d.beat("a")
    d.beat("b")
    partitions = dict.fromkeys(range(graph.stages[1].output_partitions), 5)
    d.finish(d.pull_one("a"), partitions, endpoint="a:1")
    d.finish(d.pull_one("b"), partitions, endpoint="b:1")
    done, *_ = d.pull("b", 2)
    d.finish(done)
    assert d.attempt_states("q")["0/0/1"] == "SUCCEEDED*"
    for _ in range(3):
        d.advance(500)
        d.beat("b")
    states = d.attempt_states("q")
    assert states["1/0/2"] == "QUEUED", "the lost attempt is made again"
    assert (states["0/0/1"] == "SUCCEEDED*") is not again
    assert ("0/0/2" in states) is again


def test_a_with_that_is_read_once_is_computed_once(world: Compared) -> None:
    plan = _plan(world, "WITH c AS MATERIALIZED (SELECT random() AS r FROM t) SELECT max(r) FROM c")
    nodes = [node for stage in cut(plan).stages for node in walk_stage(stage.fragment)]
    assert sum(isinstance(node, CteRef) for node in nodes) == 1
