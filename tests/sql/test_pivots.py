"""PIVOT without IN: what is asked for first, and what it then gives."""

from __future__ import annotations

from typing import Any

import attrs
import duckdb
import pyarrow as pa
import pytest

from ffq.client.pivots import PivotPlanner
from ffq.errors import InvalidQuery, UnsupportedPlan
from ffq.messages import PlanSql, SqlColumn, SqlPlan
from ffq.plan.codec import dump_plan
from ffq.sql.parameters import dump_parameters, load_parameters
from ffq.sql.pivots import MAX_VALUES, unlisted_pivots
from tests.profiles import CHOSEN
from tests.sql.compared import rows_of
from tests.sql.world import World

SOURCE = "(SELECT k % 3 AS a, s[2] AS b, d, v FROM t WHERE k > 2)"


@attrs.define
class Local:
    """Plans and runs here. ran: plans, of values and of whole queries."""

    world: World
    ran: int = 0

    async def plan(self, message: PlanSql) -> SqlPlan:
        prepared = self.world.prepare(message.sql, load_parameters(message.parameters_json))
        columns = tuple(SqlColumn(*pair) for pair in prepared.columns)
        return SqlPlan(dump_plan(prepared.plan), columns, prepared.tables)

    async def run(self, plan_bytes: bytes) -> pa.Table:
        self.ran += 1
        return self.world.run_plan(plan_bytes)

    async def answer(self, sql: str, parameters: Any = None) -> pa.Table:
        message = PlanSql(sql, dump_parameters(parameters))
        planned = await PivotPlanner(self.plan, self.run).planned(message)
        return await self.run(planned.plan_bytes)


@pytest.mark.parametrize(
    ("sql", "queries"),
    [
        (f"PIVOT {SOURCE} ON a USING sum(v) GROUP BY b", 1),
        (f"pivot_wider {SOURCE} ON b, a USING sum(v) AS s, count(*);", 1),
        (f"PIVOT {SOURCE} ON b, a IN (0, 2) USING sum(v)", 1),
        (f"PIVOT {SOURCE} ON a > 1 USING count(*) GROUP BY b", 1),
        (f"PIVOT {SOURCE} ON (a, b) USING count(*) GROUP BY b", 1),
        (f"PIVOT {SOURCE} ON CASE WHEN a IN (1) THEN 'it''s' END USING max(b)", 1),
        ("PIVOT t ON k % 2 USING sum(v), list(v ORDER BY v) GROUP BY d", 1),
        ("PIVOT 't.parquet' ON d USING count(*) GROUP BY s ORDER BY ALL LIMIT 3", 1),
        (f"WITH u AS {SOURCE} PIVOT u ON a USING sum(v) GROUP BY b", 1),
        (
            f"WITH u AS {SOURCE}, p AS (PIVOT u ON a USING sum(v) GROUP BY b) FROM p",
            1,
        ),
        (f"FROM (PIVOT (PIVOT {SOURCE} ON a USING sum(v) GROUP BY b) ON b USING max('1'))", 2),
        (f"FROM (PIVOT {SOURCE} ON a USING sum(v) GROUP BY b) WHERE b <> '3'", 1),
        ("PIVOT t JOIN (SELECT k, k % 2 AS p FROM t) u USING (k) ON p USING sum(v) GROUP BY d", 1),
        (
            "PIVOT t a JOIN (SELECT k AS l FROM t) b ON a.k = b.l ON l % 2 USING sum(v) GROUP BY d",
            1,
        ),
        ("PIVOT t NATURAL JOIN (SELECT k, 1 AS q FROM t) ON q USING count(*) GROUP BY s", 1),
        (
            "PIVOT t LEFT JOIN (SELECT k AS l FROM t) b JOIN (SELECT k AS m FROM t) c ON l = m "
            "ON k = l ON m % 3, l % 2 USING count(*) GROUP BY v",
            1,
        ),
        ("DESCRIBE PIVOT t ON k % 2 USING sum(v) GROUP BY d", 1),
        ("PIVOT t ON k % 2 IN (0) USING sum(v) GROUP BY d", 1),
        ("PIVOT t ON (k % 2) IN (0, 1) USING sum(v) GROUP BY d", 0),
        ("SELECT 'PIVOT t ON k' AS \"PIVOT t ON k\" -- PIVOT t ON k", 0),
    ][:: CHOSEN.every_query],
)
async def test_it_gives_what_the_engine_gives(world: World, sql: str, queries: int) -> None:
    local = Local(world)
    got, want = await local.answer(sql), world.their_table(sql)
    assert got.schema.remove_metadata() == want.schema.remove_metadata()
    assert sorted(rows_of(got), key=repr) == sorted(rows_of(want), key=repr)
    assert local.ran == queries + 1


async def test_parameters_go_where_they_are_used(world: World) -> None:
    sql = "PIVOT (FROM t WHERE k < $most) ON k USING sum(v + $more) GROUP BY d ORDER BY d < $day"
    values = {"most": 3, "more": 1, "day": "2020-01-02"}
    got = await Local(world).answer(sql, values)
    for name, value in values.items():
        sql = sql.replace(f"${name}", repr(value))
    assert sorted(map(repr, got.to_pylist())) == sorted(
        map(repr, world.their_table(sql).to_pylist())
    )


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("FROM t,\n (PIVOT t ON nope)", r'^line 2, column 3: PIVOT: its values .*"nope" not found'),
        ("PIVOT tt ON k", "^line 1, column 1: PIVOT: its values .* no such table: 'tt'"),
        ("PIVOT t ON k > 3 USING sum(nope)", '^line 1, column 28: .*"nope" not found'),
        (
            "SELECT nope FROM (PIVOT (PIVOT t ON k USING sum(v) GROUP BY d) ON d)",
            '^line 1, column 8: .*"nope" not found',
        ),
        ("PIVOT t ON k = ? USING sum(v)", r"^line 1, column 1: PIVOT: .* right would be \$1"),
        ("PIVOT (FROM t WHERE k < 0) ON k", "^line 1, column 31: PIVOT: the data has no value"),
        ("PIVOT t JOIN t u USING (k) ON nope", '^line 1, column 1: PIVOT: its .*"nope" not found'),
        (" PIVOT t ON k IN (SELECT 2)", "^line 1, column 2: PIVOT over values .* list of them"),
        (
            f"PIVOT range({MAX_VALUES + 1}) r(i) ON i USING count(*)",
            "^line 1, column 1: PIVOT: more than 1,000 columns",
        ),
        (
            "PIVOT (FROM range(40) r(i), range(26) s(j)) ON i, j",
            "^line 1, column 1: PIVOT: more than 1,000 columns",
        ),
        ("PIVOT t ON", "syntax error"),
        ("PIVOT", "syntax error"),
    ],
)
async def test_what_is_wrong_is_named_with_its_place(world: World, sql: str, message: str) -> None:
    with pytest.raises(InvalidQuery, match=message):
        await Local(world).answer(sql, [1] if "?" in sql else None)


async def test_what_is_not_distributed_is_named_where_it_stands(world: World) -> None:
    with pytest.raises(UnsupportedPlan, match="^line 1, column 1: PIVOT: its values .*_bin"):
        await Local(world).answer("PIVOT t ON is_histogram_other_bin(k)")
    with pytest.raises(UnsupportedPlan, match="reservoir_quantile"):
        await Local(world).answer("PIVOT t ON k > 3 USING reservoir_quantile(k, 0.5)")


@pytest.mark.parametrize(
    "expression",
    """
    k; "a b"; year(d); s || k; k % 2; d::VARCHAR; s[1]; -k; CAST(k AS INT); (k); (k + 1); (a, b)
    k NOT; s.a; NOT k; l[1].x; a.b.c; [k]; {'a': k}; lower(s)[1]; s::INT[1]; k = 1 OR k; x -> 'a'
    s COLLATE NOCASE; k::DOUBLE PRECISION; substring(s FROM 1 FOR 2); CASE k WHEN 1 THEN s END
    """.strip()
    .replace("\n", ";")
    .split(";"),
)
def test_a_list_is_one_where_the_engine_takes_it_for_one(expression: str) -> None:
    sql = f"PIVOT t ON {expression.strip()} IN ('x', 'y') USING count(*)"
    (statement,) = duckdb.extract_statements(sql)
    assert (unlisted_pivots(sql) is None) == (statement.type == duckdb.StatementType.SELECT)


def test_values_are_asked_for_as_often_as_they_may_be() -> None:
    found = unlisted_pivots("PIVOT t ON a, b")
    assert found is not None
    assert found.query.count(f"LIMIT {MAX_VALUES + 1}") == 2
    values = [(0, "x'"), (1, "y"), (1, "(")]
    assert found.listed(values).text == b"PIVOT t ON (a) IN ('x'''), (b) IN ('y', '(')"
