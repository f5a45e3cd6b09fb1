"""What a WITH defines, and several joins read by the same columns, is exchanged once for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import duckdb
import pytest

from ffq.ids import StageId
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.model import CteRef, Project, ShuffleWrite
from ffq.plan.stages import StageGraph, StagePlan, cut
from ffq.sql.exchanges import TableEstimate
from tests.sql.compared import Compared, plan_of, write_tables

C = "WITH c AS MATERIALIZED (SELECT u.a, u.b, y, z FROM u JOIN v USING (a) WHERE y < 9) "
ONCE = {
    "a semi join, and a join with what is made of it": C
    + "SELECT c.y, g.s FROM c JOIN (SELECT a, b, sum(x) AS s FROM t SEMI JOIN c USING (b, a) "
    "GROUP BY a, b) g ON g.a = c.a AND g.b = c.b WHERE g.s > c.z",
    "two semi joins": C + "SELECT x FROM t SEMI JOIN c USING (a) UNION ALL "
    "SELECT x + 1 FROM t SEMI JOIN (SELECT DISTINCT a FROM c) d USING (a)",
    "other columns of it": C + "SELECT x, y FROM t JOIN c USING (a) UNION ALL "
    "SELECT x, z FROM t JOIN c USING (a)",
    "columns in another order": C
    + "SELECT x, z, d.b FROM t JOIN (SELECT z, a, b FROM c) d USING (a) "
    "UNION ALL SELECT x, y + z, d.b FROM t JOIN (SELECT y, b, z, a FROM c) d USING (a)",
    "keys in another order": C + "SELECT x, y FROM t JOIN c ON t.a = c.a AND t.b = c.b UNION ALL "
    "SELECT x, z FROM t JOIN c ON t.b = c.b AND c.a = t.a",
    "an anti join and an outer one": C + "SELECT x, NULL AS y FROM t ANTI JOIN c USING (a) "
    "UNION ALL SELECT x, y FROM t LEFT JOIN c USING (a)",
    "with a condition": C + "SELECT x FROM t SEMI JOIN c ON t.a = c.a AND c.y < t.x UNION ALL "
    "SELECT x FROM t ANTI JOIN c ON t.a = c.a AND c.z > t.x",
    "nulls that are alike": C + "SELECT x, y FROM t JOIN c ON t.b IS NOT DISTINCT FROM c.b "
    "UNION ALL SELECT x, z FROM t JOIN c ON t.b = c.b",
    "with itself": C + "SELECT p.y, q.z FROM c p JOIN c q ON p.a = q.a AND p.b = q.b",
    "a correlated subquery": "SELECT t.x FROM t JOIN u USING (a) WHERE u.b = 0 AND "
    "t.x > (SELECT avg(o.x) FROM t o WHERE o.a = u.a)",
}
ALIKE = {
    "left sides that keep their rows": C + "SELECT y, x FROM c LEFT JOIN t USING (a) "
    "UNION ALL SELECT z, x FROM c LEFT JOIN t USING (a)",
    "one of them within another": C + ", d AS MATERIALIZED (SELECT x, y FROM t JOIN c USING (a)) "
    "SELECT count(*) FROM d p, d q WHERE p.x = q.y",
}
OTHERS = {
    "by other columns": C + "SELECT x, y FROM t JOIN c USING (a) UNION ALL "
    "SELECT x, y FROM t JOIN c USING (b)",
    "by what is computed": C + "SELECT x, y FROM t JOIN c ON t.a = c.a + 1 UNION ALL "
    "SELECT x, y FROM t JOIN c ON t.a = c.a",
    "by a column twice": C + "SELECT x, y FROM t JOIN c ON t.a = c.a AND t.b = c.a UNION ALL "
    "SELECT x, y FROM t JOIN c ON t.a = c.a",
    "some of its rows": C + "SELECT x, y FROM t JOIN (FROM c WHERE y % 2 = 0) d USING (a) "
    "UNION ALL SELECT x, y FROM t JOIN (FROM c WHERE y % 3 = 0) d USING (a)",
    "read by no join": C + "SELECT a, max(y) FROM c GROUP BY a UNION ALL "
    "SELECT a, max(z) FROM c GROUP BY a",
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """With nulls and duplicates among the keys."""
    with duckdb.connect() as con:
        key = "nullif(i % 13, 5) AS a, nullif(i % 3, 1) AS b"
        con.execute(f"CREATE TABLE t AS SELECT {key}, i AS x FROM range(150) r(i)")
        con.execute(f"CREATE TABLE u AS SELECT {key}, i % 11 AS y FROM range(60) r(i) WHERE i < 50")
        con.execute("CREATE TABLE v AS SELECT nullif(i, 2) AS a, i * 7 AS z FROM range(9) r(i)")
        files = write_tables(con, tmp_path_factory.mktemp("defined"))
        made = Compared.over(con, files, tmp_path_factory.mktemp("shuffles"), tasks=3)
        yield made
        made.close()


def large(compared: Compared) -> None:
    compared.estimates = dict.fromkeys("tuv", TableEstimate(10**8, 10**10))


def graph(compared: Compared, sql: str) -> StageGraph:
    large(compared)
    return cut(parse_plan(dump_plan(compared.plan(plan_of(compared.instance, sql)))))


@pytest.mark.parametrize("inlines", [False, True])
@pytest.mark.parametrize("sized", ["large", "small", "not known"])
@pytest.mark.parametrize("sql", (ONCE | ALIKE | OTHERS).values(), ids=list(ONCE | ALIKE | OTHERS))
def test_answers_are_the_engines(compared: Compared, sql: str, sized: str, inlines: bool) -> None:
    large(compared)
    if sized != "large":
        known = dict.fromkeys("tuv", TableEstimate(10, 100))
        compared.estimates = known if sized == "small" else {}
    compared.runner.inlines = inlines
    try:
        compared.check(sql)
    finally:
        compared.estimates, compared.runner.inlines = {}, False


def exchanged_once(found: StageGraph) -> list[StageId]:
    """Stages that give out what a WITH defines, and have several readers."""
    readers = Counter(source.stage_id for each in found.stages for source in each.parents)
    return [
        each.stage_id for each in found.stages if _is_of_with(each) and readers[each.stage_id] > 1
    ]


def _is_of_with(stage: StagePlan) -> bool:
    write = stage.fragment
    return (
        isinstance(write, ShuffleWrite)
        and isinstance(write.input, Project)
        and isinstance(write.input.input, CteRef)
    )


@pytest.mark.parametrize("sql", ONCE.values(), ids=list(ONCE))
def test_it_is_exchanged_once_for_all(compared: Compared, sql: str) -> None:
    assert len(exchanged_once(graph(compared, sql))) == 1


@pytest.mark.parametrize("sql", OTHERS.values(), ids=list(OTHERS))
def test_other_exchanges_have_their_own(compared: Compared, sql: str) -> None:
    assert not exchanged_once(graph(compared, sql))


def test_its_size_decides_each_of_the_joins(compared: Compared) -> None:
    found = graph(compared, next(iter(ONCE.values())))
    (stage,) = exchanged_once(found)
    assert [join.build for join in found.joins].count(stage) == 2
