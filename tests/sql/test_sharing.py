"""What a plan exchanges twice alike is computed once, and read by several stages."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.stages import StageGraph, cut
from ffq.sql.exchanges import TableEstimate
from tests.sql.compared import Compared, plan_of, write_tables
from tests.sql.world import World

SUMS = "SELECT a, sum(x) AS s, count(*) AS n FROM t GROUP BY a"
SHARED = (
    f"WITH c AS ({SUMS}) SELECT * FROM c WHERE s = (SELECT max(s) FROM c)",
    f"SELECT * FROM ({SUMS}) p JOIN ({SUMS}) q ON p.a = q.a",
    f"SELECT * FROM ({SUMS}) p LEFT JOIN ({SUMS}) q ON p.a = q.a + 1",
    f"{SUMS} UNION ALL {SUMS}",
    "SELECT x FROM t WHERE x > (SELECT avg(o.x) FROM t o WHERE o.a = t.a)",
    "SELECT a, x FROM t WHERE x = (SELECT min(o.x) FROM t o WHERE o.a IS NOT DISTINCT FROM t.a)",
    "SELECT count(*) FROM e p JOIN e q ON p.a = q.a",
    f"WITH c AS ({SUMS}) SELECT count(*) FROM c p, c q, c r WHERE p.a = q.a AND q.a = r.a",
)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """t with nulls and duplicates, e without rows."""
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t AS SELECT nullif(i % 7, 3) AS a, i AS x FROM range(200) r(i)")
        con.execute("CREATE TABLE e AS SELECT 1 AS a, 2 AS x WHERE false")
        files = write_tables(con, tmp_path_factory.mktemp("shared"))
        made = Compared.over(con, files, tmp_path_factory.mktemp("shuffles"), tasks=3)
        yield made
        made.close()


def graph(compared: Compared, sql: str) -> StageGraph:
    plan = compared.plan(plan_of(compared.instance, sql))
    return cut(parse_plan(dump_plan(plan)))


def shared(found: StageGraph) -> list[int]:
    """Stages with several readers."""
    return [
        stage.stage_id
        for stage in found.stages
        if len(found.consumers_of(stage.stage_id)) > 1
        or any(
            [source.stage_id for source in reader.parents].count(stage.stage_id) > 1
            for reader in found.stages
        )
    ]


@pytest.mark.parametrize("size", [None, 10**10, 100])
@pytest.mark.parametrize("sql", SHARED)
@pytest.mark.parametrize("inlines", [False, True])
def test_it_gives_what_the_engine_gives(
    compared: Compared, sql: str, size: int | None, inlines: bool
) -> None:
    known = {} if size is None else dict.fromkeys("te", TableEstimate(size // 10, size))
    compared.estimates, compared.runner.inlines = known, inlines
    try:
        compared.check(sql)
    finally:
        compared.estimates, compared.runner.inlines = {}, False


@pytest.mark.parametrize("sql", SHARED[:4])
def test_a_stage_has_several_readers(compared: Compared, sql: str) -> None:
    assert shared(graph(compared, sql))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a, max(x + random()) FROM t GROUP BY a UNION ALL "
        "SELECT a, max(x + random()) FROM t GROUP BY a",
        "SELECT a, max(x * 0.0::DOUBLE) FROM t GROUP BY a UNION ALL "
        "SELECT a, max(x * '-0.0'::DOUBLE) FROM t GROUP BY a",
        f"{SUMS} UNION ALL SELECT a, sum(x), count(x) FROM t GROUP BY a",
        "SELECT a, max(x) FROM t GROUP BY a UNION ALL SELECT a, max(x) FROM e GROUP BY a",
    ],
)
def test_what_is_not_alike_or_gives_other_rows_each_time_is_not_shared(
    compared: Compared, sql: str
) -> None:
    assert shared(graph(compared, sql)) == []


def test_random_twice_is_two_of_them(compared: Compared) -> None:
    one = "SELECT a, max(random()) AS r FROM t GROUP BY a"
    _, found = compared.run(f"SELECT p.r, q.r FROM ({one}) p JOIN ({one}) q ON p.a = q.a")
    assert found.num_rows
    assert all(p != q for p, q in zip(*(each.to_pylist() for each in found.columns), strict=True))


def test_a_side_that_two_joins_are_built_of_decides_both(compared: Compared) -> None:
    few = "(SELECT a FROM t WHERE x > 3 GROUP BY a)"
    sql = f"SELECT x FROM t WHERE a IN {few} UNION ALL SELECT x + 1 FROM t WHERE a IN {few}"
    found = graph(compared, sql)
    assert len(found.joins) == 2
    assert len({join.build for join in found.joins}) == 1
    readers = {join.probe: found.consumers_of(join.probe) for join in found.joins}
    assert all(len(each) == 1 for each in readers.values())
    compared.check(sql)


def test_explain_says_so(world: World) -> None:
    sql = "SELECT k % 3 AS g, sum(v) AS v FROM t GROUP BY g"
    prepared = world.prepare(f"{sql} UNION ALL {sql}")
    assert prepared.choices == ("what is exchanged twice alike is computed once: 1 less",)
    assert world.run(f"{sql} UNION ALL {sql}") == world.expected(f"{sql} UNION ALL {sql}")
