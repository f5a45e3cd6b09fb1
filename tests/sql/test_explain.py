"""EXPLAIN: its rows, what it is about, and what is refused."""

from __future__ import annotations

import pytest

from ffq.errors import InvalidQuery
from ffq.plan.explain import explain_logical, explain_stages
from ffq.plan.stages import cut
from ffq.sql.explained import is_explain, read_explain
from tests.sql.world import World


def test_its_rows_are_both_plans(world: World) -> None:
    query = "SELECT k, count(*) FROM t WHERE s = $1 GROUP BY k"
    prepared = world.prepare(query, ["s3"])
    expected = [
        ("logical_plan", explain_logical(prepared.plan, prepared.sizes)),
        ("physical_plan", explain_stages(cut(prepared.plan), prepared.sizes)),
    ]
    assert world.run(f"EXPLAIN {query}", ["s3"]) == expected
    assert "Stage 1" in expected[1][1]


def test_statements_that_write_are_explained_and_write_nothing(world: World) -> None:
    path = world.folder / "not.parquet"
    (_, (_, stages)) = world.run(f"EXPLAIN COPY (FROM t) TO '{path}'")
    assert "Commit" in stages
    assert not path.exists()


@pytest.mark.parametrize(
    ("sql", "query", "analyze"),
    [
        ("EXPLAIN SELECT 1", "        SELECT 1", False),
        ("explain analyze\nSELECT 1;", "               \nSELECT 1;", True),
        ("/* é */ EXPLAIN(SELECT 1)", "               (SELECT 1)", False),
    ],
)
def test_the_query_keeps_its_places(sql: str, query: str, analyze: bool) -> None:
    assert is_explain(sql)
    found = read_explain(sql)
    assert (found.query, found.analyze is not None) == (query, analyze)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("EXPLAIN SELECT nope FROM t", '^line 1, column 16: .*"nope" not found'),
        ("EXPLAIN\n FROM tt", "^line 2, column 7: no such table: 'tt'"),
        ("EXPLAIN ANALYZE SELECT 1", "^line 1, column 9: EXPLAIN ANALYZE runs its query"),
        ("EXPLAIN (FORMAT json) SELECT 1", "^line 1, column 9: EXPLAIN has no options"),
        ("EXPLAIN DROP TABLE t", "^line 1, column 9: DROP is no query"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(world: World, sql: str, message: str) -> None:
    with pytest.raises(InvalidQuery, match=message):
        world.prepare(sql)
