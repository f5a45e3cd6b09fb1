"""DESCRIBE, SUMMARIZE and SHOW."""

from __future__ import annotations

import pytest

from ffq.errors import InvalidQuery
from tests.profiles import CHOSEN
from tests.sql.world import World


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("DESCRIBE t", None),
        ("/* x */ desc t -- y\n;", None),
        ("DESCRIBE T;;", None),
        ("(DESCRIBE t)", None),
        ("SHOW t", None),
        ("SHOW main.t", None),
        ("DESCRIBE 't.parquet'", None),
        ("DESCRIBE 'b c/it''s.parquet'", None),
        ("DESCRIBE SELECT k, v / 2 AS half, [s] AS l, d FROM t WHERE k > 3", None),
        ("DESCRIBE SELECT k + $1 AS x FROM t", [2**40]),
        ("DESCRIBE WITH u AS (FROM 't.parquet') SELECT u.k FROM u", None),
        ("DESCRIBE DESCRIBE t", None),
        ("DESCRIBE SUMMARIZE t", None),
        ("FROM (DESCRIBE t)", None),
        ("FROM (SHOW t)", None),
        ("SELECT column_name FROM (DESCRIBE t) WHERE column_type = $1", ["VARCHAR"]),
        ("WITH u AS (SELECT 1 AS t) FROM (DESCRIBE u)", None),
        ("FROM (DESCRIBE t), (DESC 't.parquet') AS o SELECT count(*)", None),
        ("SELECT k FROM t ORDER BY k DESC LIMIT 2", None),
        ("SHOW TABLES", None),
        ("DESCRIBE tables;", None),
        ("FROM (SHOW TABLES) WHERE name <> 'u'", None),
        ("SUMMARIZE t", None),
        ("SUMMARIZE 't.parquet'", None),
        ("SUMMARIZE SELECT k, v FROM t WHERE k > $1", [3]),
        ("SELECT column_name, max FROM (SUMMARIZE t) WHERE null_percentage = 0", None),
    ][:: CHOSEN.every_query],
)
def test_they_give_what_the_engine_gives(world: World, sql: str, parameters: object) -> None:
    assert world.run(sql, parameters) == world.expected(sql, parameters)


def test_columns_are_described_in_their_order(world: World) -> None:
    assert [name for name, _ in world.prepare("SUMMARIZE t").columns] == [
        "column_name",
        "column_type",
        "min",
        "max",
        "approx_unique",
        "avg",
        "std",
        "q25",
        "q50",
        "q75",
        "count",
        "null_percentage",
    ]


def test_all_tables_are_listed_by_name(world: World) -> None:
    path = str(world.folder / "t.parquet")
    tables = {"z'": path, "a": path, "B": path}
    assert world.run("SHOW TABLES", tables=tables) == [("B",), ("a",), ("z'",)]
    assert world.run("SHOW TABLES", tables={}) == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DESCRIBE nope", "^line 1, column 10: no such table: 'nope'; there are: t$"),
        ("SHOW\n tt", r"^line 2, column 2: no such table: 'tt': did you mean 't'\?$"),
        ("SUMMARIZE a.b.c", "^line 1, column 11: no such table: a.b.c"),
        ("DESCRIBE SELECT nope FROM t", '^line 1, column 17: .*"nope" not found'),
        ("DESCRIBE SELECT pg_sleep(1)", "^line 1, column 17: the function pg_sleep"),
        ("SHOW DATABASES", "^line 1, column 1: .* right would be SHOW TABLES"),
        ("FROM t, (SHOW ALL TABLES)", "^line 1, column 10: .* right would be SHOW TABLES"),
        ("DESCRIBE", "^line 1, column 1: .* right would be SHOW TABLES"),
        (" SHOW TABLES FROM x", "^line 1, column 2: .* right would be SHOW TABLES"),
        ("SHOW threads", "^line 1, column 6: no such table: 'threads'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(world: World, sql: str, message: str) -> None:
    with pytest.raises(InvalidQuery, match=message):
        world.prepare(sql)
