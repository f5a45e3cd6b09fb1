"""Joins that ask of each row only whether it has a partner: rows that are alike are one partner,
and IN that only keeps rows is a semi join. With nulls and duplicates on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from ffq.plan.bound import Match, Phase
from ffq.plan.model import Aggregate, Join, Node, ShuffleRead
from ffq.plan.walk import children
from ffq.sql.exchanges import TableEstimate
from tests.sql.compared import Compared, plan_of, write_tables

IN = {
    # DuckDB makes semi joins of plain IN itself; of these it keeps the mark.
    "in a correlated subquery": "SELECT x FROM t WHERE x > (SELECT sum(u.y) FROM u "
    "WHERE u.a = t.a AND u.b = t.b) AND a IN (SELECT a FROM few)",
    "with another condition": "SELECT * FROM t WHERE (a IN (SELECT a FROM few)) AND (x > 3) "
    "AND b <> (SELECT min(b) FROM u WHERE u.a = t.a)",
}
ALIKE = {
    "semi": "SELECT * FROM t SEMI JOIN (SELECT DISTINCT a FROM u) v ON v.a = t.a",
    "semi by two": "SELECT * FROM t SEMI JOIN (SELECT a, b FROM u GROUP BY a, b) v "
    "ON v.a = t.a AND v.b = t.b",
    "semi with a condition": "SELECT * FROM t SEMI JOIN (SELECT DISTINCT a, b FROM u) v "
    "ON v.a = t.a AND v.b <> t.b",
    "anti": "SELECT * FROM t ANTI JOIN (SELECT DISTINCT a FROM u) v ON v.a = t.a",
    "anti where nulls are alike": "SELECT * FROM t ANTI JOIN (SELECT DISTINCT a FROM u) v "
    "ON v.a IS NOT DISTINCT FROM t.a",
    "anti with a condition": "SELECT * FROM t ANTI JOIN (SELECT DISTINCT a, b FROM u) v "
    "ON v.a = t.a AND v.b < t.b",
    "in": "SELECT * FROM t WHERE a IN (SELECT DISTINCT a FROM u)",
    "exists": "SELECT * FROM t WHERE EXISTS (SELECT DISTINCT b FROM u WHERE u.a = t.a)",
    "not in": "SELECT * FROM t WHERE a NOT IN (SELECT DISTINCT a FROM u WHERE a IS NOT NULL)",
    "not in with nulls": "SELECT * FROM t WHERE a NOT IN (SELECT DISTINCT a FROM u)",
    "shown": "SELECT x, a IN (SELECT DISTINCT a FROM u) AS is_in FROM t",
    "of nothing": "SELECT * FROM t WHERE a NOT IN (SELECT DISTINCT a FROM nothing)",
}
OTHERS = {
    "of a key that is computed": "SELECT * FROM t WHERE a + 1 IN (SELECT a * 2 FROM u GROUP BY a)",
    "groups that count": "SELECT * FROM t SEMI JOIN (SELECT a, count(*) AS n FROM u GROUP BY a) v "
    "ON v.a = t.a AND v.n = t.b",
    "groups that are chosen": "SELECT * FROM t WHERE a IN (SELECT a FROM u GROUP BY a "
    "HAVING count(*) > 40)",
    "grouping sets": "SELECT * FROM t ANTI JOIN (SELECT a, b FROM u GROUP BY GROUPING SETS "
    "((a), (b))) v ON v.a IS NOT DISTINCT FROM t.a AND v.b IS NOT DISTINCT FROM t.b",
    "one of each": "SELECT * FROM t SEMI JOIN (SELECT DISTINCT ON (a) a, b FROM u ORDER BY a, b) v "
    "ON v.a = t.a AND v.b = t.b",
    "inner": "SELECT t.x, v.a FROM t JOIN (SELECT DISTINCT a FROM u) v ON v.a = t.a",
    "left": "SELECT t.x, v.a FROM t LEFT JOIN (SELECT DISTINCT a FROM u) v ON v.a = t.a",
    "few of them": "SELECT * FROM t WHERE a IN (SELECT DISTINCT a FROM u ORDER BY a LIMIT 2)",
    "without case": "SELECT * FROM t SEMI JOIN (SELECT DISTINCT s COLLATE NOCASE AS s FROM u) v "
    "ON v.s = t.s",
    "NOT IN beside a condition": "SELECT x FROM t WHERE (a NOT IN (SELECT a FROM few)) OR x > 9",
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    with duckdb.connect() as con:
        key = "nullif(i % 13, 5) AS a, nullif(i % 3, 1) AS b"
        con.execute(
            f"CREATE TABLE t AS SELECT {key}, i AS x, chr(97 + i::INT % 9) AS s "
            "FROM range(120) r(i)"
        )
        con.execute(
            f"CREATE TABLE u AS SELECT {key}, i % 5 AS y, chr(65 + i::INT % 4) AS s "
            "FROM range(400) r(i) WHERE i % 13 < 8"
        )
        con.execute("CREATE TABLE few AS SELECT nullif(i, 2) AS a FROM range(5) r(i)")
        con.execute("CREATE TABLE nothing AS SELECT 1 AS a WHERE false")
        files = write_tables(con, tmp_path_factory.mktemp("partners"))
        made = Compared.over(con, files, tmp_path_factory.mktemp("shuffles"), tasks=3)
        yield made
        made.close()


def nodes_of(node: Node) -> Iterator[Node]:
    yield node
    for child in children(node):
        yield from nodes_of(child)


def plan(compared: Compared, sql: str) -> list[Node]:
    return list(nodes_of(compared.plan(plan_of(compared.instance, sql))))


@pytest.mark.parametrize("inlines", [False, True])
@pytest.mark.parametrize("size", [100, 10**10])
@pytest.mark.parametrize("sql", (IN | ALIKE | OTHERS).values(), ids=list(IN | ALIKE | OTHERS))
def test_answers_are_the_engines(compared: Compared, sql: str, size: int, inlines: bool) -> None:
    names = compared.runner.tables
    compared.estimates = dict.fromkeys(names, TableEstimate(size // 10, size))
    compared.runner.inlines = inlines
    try:
        compared.check(sql)
    finally:
        compared.estimates, compared.runner.inlines = {}, False


@pytest.mark.parametrize("sql", IN.values(), ids=list(IN))
def test_in_that_keeps_rows_is_a_semi_join(compared: Compared, sql: str) -> None:
    matches = {node.match for node in plan(compared, sql) if isinstance(node, Join)}
    assert Match.SEMI in matches
    assert Match.MARK not in matches


@pytest.mark.parametrize("sql", ALIKE.values(), ids=list(ALIKE))
def test_rows_that_are_alike_are_not_exchanged_to_be_made_one(compared: Compared, sql: str) -> None:
    """Each task leaves out those of its own; no stage is there to do it for all."""
    found = plan(compared, sql)
    groups = [node for node in found if isinstance(node, Aggregate) and not node.aggregates]
    assert [node.phase for node in groups] == [Phase.STATES]
    assert not any(isinstance(node, ShuffleRead) for each in groups for node in nodes_of(each))


@pytest.mark.parametrize("sql", OTHERS.values(), ids=list(OTHERS))
def test_other_groups_are_of_all_rows(compared: Compared, sql: str) -> None:
    found = plan(compared, sql)
    local = [node for node in found if isinstance(node, Aggregate) and not node.aggregates]
    assert all(node.phase is Phase.WHOLE for node in local)
