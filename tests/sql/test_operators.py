"""Operators in FROM: planned without running them, and run where their input is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ffq.engine import Engine, operator
from ffq.errors import FfqError, InvalidPlan, OperatorError, PlanningError, UnsupportedPlan
from ffq.plan.model import Custom, Node
from ffq.plan.walk import children
from ffq.sql.prepare import prepare
from tests.engine.runner import LocalRunner

ROWS = 900
Batches = Iterator[pa.RecordBatch]


@operator("sql.times", output_schema={"a": "BIGINT", "b": "DOUBLE"})
def times(batches: Batches, *, by: float = 2.0) -> Batches:
    for batch in batches:
        product = pc.multiply(batch["a"].cast(pa.float64()), by)
        yield pa.record_batch({"a": batch["a"], "b": product})


@operator("sql.score", output_schema=lambda schema: schema.append(pa.field("s", pa.float64())))
class Score:
    seen: ClassVar[list[dict[str, object]]] = []

    def __init__(
        self, weights: list[float], *, names: dict[str, str] | None = None, fast: bool = False
    ) -> None:
        self.weights = weights
        self.seen.append({"weights": weights, "names": names, "fast": fast})

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        score = pc.multiply(batch["a"].cast(pa.float64()), sum(self.weights))
        return batch.append_column("s", score)


@operator("sql.bare")
def bare(batches: Batches, config: Mapping[str, str]) -> Batches:
    return batches


@operator("sql.counts", output_schema={"n": "BIGINT"})
def counts(batches: Batches) -> Batches:
    yield pa.record_batch({"n": pa.array([sum(batch.num_rows for batch in batches)], pa.int64())})


@operator("sql.same", output_schema=lambda schema: schema)
def same(batches: Batches) -> Batches:
    return batches


@operator("sql.odd", output_schema={"x": pa.duration("s")})
def odd(batches: Batches) -> Batches:
    return batches


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sql") / "t.parquet"
    numbers = pa.array(range(ROWS), pa.int64())
    groups = pa.array([f"g{at % 3}" for at in range(ROWS)])
    pq.write_table(pa.table({"a": numbers, "g": groups}), path, row_group_size=100)
    return path


class Sql:
    def __init__(self, engine: Engine, file: Path, folder: Path) -> None:
        self.engine, self.file, self.folder = engine, file, folder

    def plan(self, text: str, **parameters: Any) -> Node:
        return prepare(text, {"t": str(self.file)}, parameters).plan

    def __call__(self, text: str, **parameters: Any) -> list[dict[str, Any]]:
        runner = LocalRunner(self.engine, self.folder, {"t": [self.file]})
        rows: list[dict[str, Any]] = runner.run(self.plan(text, **parameters)).to_pylist()
        return rows


@pytest.fixture
def sql(engine: Engine, file: Path, tmp_path: Path) -> Sql:
    return Sql(engine, file, tmp_path)


SUM = sum(range(ROWS))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT sum(b) AS x FROM op('sql.times', t)", [{"x": 2.0 * SUM}]),
        ("SELECT count(*) AS x FROM op('sql.times', t)", [{"x": ROWS}]),
        ("SELECT b FROM op('sql.times', t) WHERE a = 3", [{"b": 6.0}]),
        ("SELECT op.b FROM op('sql.times', t, by => -1) WHERE op.a = 3", [{"b": -3.0}]),
        ("FROM op('sql.times', (SELECT a FROM t WHERE a < 1))", [{"a": 0, "b": 0.0}]),
        (
            "SELECT q, x.p FROM op('sql.times', t, by := 3) AS x(p, q) ORDER BY q DESC LIMIT 1",
            [{"q": 3.0 * (ROWS - 1), "p": ROWS - 1}],
        ),
        (
            "SELECT sum(b) AS x FROM op('sql.times', (FROM op('sql.times', t)), by => 0.5)",
            [{"x": SUM / 2}],
        ),
        (
            "WITH s AS (SELECT a FROM t WHERE a < 10), u AS (FROM s WHERE a > 8) "
            "SELECT b FROM op('sql.times', u)",
            [{"b": 18.0}],
        ),
        (
            "WITH s AS (FROM op('sql.times', t)) "
            "SELECT x.a, y.b FROM s x JOIN op('sql.times', s, by => 3) y USING (a) WHERE a = 2",
            [{"a": 2, "b": 6.0}],
        ),
        (
            "SELECT a FROM t WHERE a IN (SELECT b FROM op('sql.times', (FROM t WHERE a < 2))) "
            "ORDER BY a",
            [{"a": 0}, {"a": 2}],
        ),
        (
            "SELECT g, sum(b) AS x FROM t JOIN op('sql.times', (FROM t WHERE a < 4)) o USING (a) "
            "GROUP BY g ORDER BY g",
            [{"g": "g0", "x": 6.0}, {"g": "g1", "x": 2.0}, {"g": "g2", "x": 4.0}],
        ),
        ("SELECT a FROM op('sql.bare', t, returns => {'a': 'INTEGER'}) WHERE a = 7", [{"a": 7}]),
        ("SELECT op FROM (SELECT a AS op FROM t) WHERE op = 1", [{"op": 1}]),
        ("SELECT 'op(''x'')' AS op", [{"op": "op('x')"}]),
        ("SELECT sum(b) AS é FROM op('sql.times', (SELECT a, 'é' FROM t))", [{"é": 2.0 * SUM}]),
        ("FROM op('sql.times', (FROM t WHERE a < 0))", []),
    ],
)
def test_it_stands_anywhere_a_table_does(sql: Sql, text: str, wanted: list[dict[str, Any]]) -> None:
    assert sql(text) == wanted


def test_config_arrives_with_its_types(sql: Sql) -> None:
    Score.seen.clear()
    rows = sql(
        "SELECT sum(s) AS s FROM op('sql.score', t, weights => [1, 0.5], fast => true, "
        "names => {'x': '5'})"
    )
    assert rows == [{"s": 1.5 * SUM}]
    assert Score.seen == [{"weights": [1.0, 0.5], "names": {"x": "5"}, "fast": True}]
    Score.seen.clear()
    sql("FROM op('sql.score', t, weights => [1], names => MAP {'': 'of no struct'})")
    sql("FROM op('sql.score', t, weights => [1], names => $names)", names={})
    assert [each["names"] for each in Score.seen] == [{"": "of no struct"}, {}]


def test_parameters_stand_in_its_config_and_input_and_beside_it(sql: Sql) -> None:
    text = (
        "SELECT $shift + sum(b) AS x FROM op('sql.times', (FROM t WHERE a < $below), by => $by) "
        "WHERE a > $above"
    )
    assert sql(text, shift=100, below=4, by=0.5, above=1) == [{"x": 102.5}]
    assert sql("SELECT max(s) AS s FROM op('sql.score', t, weights => $w)", w=[1, 0.5]) == [
        {"s": 1.5 * (ROWS - 1)}
    ]
    with pytest.raises(PlanningError, match="config 'by' is '2020-01-01'; right would be a number"):
        sql("FROM op('sql.times', t, by => DATE '2020-01-01')")


def test_it_sees_its_tasks_share_or_all_rows_where_the_query_says_so(sql: Sql) -> None:
    shares = [row["n"] for row in sql("FROM op('sql.counts', t)")]
    assert len(shares) > 1
    assert sum(shares) == ROWS
    assert sql("FROM op('sql.counts', t, over => 'all')") == [{"n": ROWS}]


def test_filters_of_the_query_around_it_stay_above_it(sql: Sql) -> None:
    """What it gives out is filtered, not what it reads."""
    assert sql("FROM op('sql.counts', t, over => 'all') WHERE n < 5") == []


def test_a_type_that_the_query_says_is_what_it_is_planned_and_run_with(sql: Sql) -> None:
    text = "SELECT a, a / 2 AS h FROM op('sql.bare', t, returns => {'a': 'DOUBLE'}) WHERE a = 3"
    ((row),) = sql(text)
    assert (row, type(row["a"])) == ({"a": 3.0, "h": 1.5}, float)


def test_the_plan_holds_the_config_as_the_wire_has_it(sql: Sql) -> None:
    pending = [sql.plan("FROM op('sql.times', t, by => 0.25)")]
    while not isinstance(pending[-1], Custom):
        (below,) = children(pending[-1])
        pending.append(below)
    assert pending[-1].config == (("by", "0.25"),)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "FROM op('sql.bare', t)",
            InvalidPlan,
            r"op\('sql.bare'\): it does not declare what it",
        ),
        ("FROM op('sql.tims', t)", InvalidPlan, "registered here: did you mean 'sql.times'"),
        ("FROM op('elsewhere', t)", InvalidPlan, r"returns => {'score': 'DOUBLE'} in its call"),
        ("FROM op('sql.bare', t, returns => {'a': 'DUBLE'})", InvalidPlan, "'a' the type 'DUBLE'"),
        ("FROM op('sql.bare', t, returns => {'a': 5})", InvalidPlan, "'a' the type 5, which is no"),
        ("FROM op('sql.bare', t, returns => 'a')", InvalidPlan, "returns is 'a'; right would be a"),
        ("FROM op('sql.times', t, by => 'x')", PlanningError, "config 'by' is 'x'; right would be"),
        ("FROM op('sql.times', t, bye => 1)", PlanningError, "no config 'bye'; did you mean 'by'"),
        ("FROM op('sql.times', t, by => 1 + 1)", InvalidPlan, "by is no constant; right would be"),
        (
            "FROM op('sql.times', t, over => 'k')",
            InvalidPlan,
            "over is 'k'; right would be over",
        ),
        ("FROM op('sql.times', t, t)", InvalidPlan, "it has 2 arguments without a name after"),
        ("FROM op('sql.times')", InvalidPlan, "it has 0 arguments without a name after"),
        ("FROM op('sql.times', 5)", InvalidPlan, "its input is neither a query nor a table's name"),
        ("FROM op('sql.times', [t])", InvalidPlan, "its input is neither a query nor a table's"),
        ("FROM op(t, 'sql.times')", InvalidPlan, "its first argument is no text"),
        ("SELECT\n op('sql.times', t)", InvalidPlan, "line 2, column 2: op.*, and stands in FROM"),
        ("FROM op()", InvalidPlan, "its first argument is no text"),
        ("FROM op('sql.times', nope)", InvalidPlan, "line 1, column 22: no such table: 'nope'"),
        ("FROM op('sql.times', (SELECT z FROM t))", InvalidPlan, "Referenced column .z. not found"),
        (
            "FROM t, LATERAL op('sql.times', (SELECT t.a))",
            InvalidPlan,
            r"op\('sql.times'\): its input is a query of its own, which sees no table beside it, "
            r'LATERAL or not .*: Referenced table "t" not found',
        ),
        ("FROM op('sql.times', t) TABLESAMPLE 5%", InvalidPlan, "TABLESAMPLE is not for operators"),
        (
            "SELECT\n 1 FROM op('sql.times', (FROM t), t)",
            InvalidPlan,
            r"line 2, column 9: op\('sql",
        ),
        ("SELECT\n nope FROM op('sql.times', t)", InvalidPlan, "line 2, column 2: Referenced colu"),
        ("FROM op('sql.times', (SELECT", InvalidPlan, "line 1, column .*: syntax error"),
        (
            "FROM op('sql.same', (SELECT a, a + 1 AS A FROM t))",
            InvalidPlan,
            "it gives out two columns that are called 'A'; right would be names that differ",
        ),
        ("FROM op('sql.odd', t)", UnsupportedPlan, "operator 'sql.odd' gives out column 'x' of ty"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_name(
    sql: Sql, text: str, kind: type[FfqError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        sql.plan(text)


def test_what_the_query_says_wrongly_of_its_output_fails_and_is_named(sql: Sql) -> None:
    with pytest.raises(PlanningError, match="no column 'z'; its input has a, g"):
        sql("SELECT z FROM op('sql.bare', t, returns => {'z': 'INTEGER'})")
    with pytest.raises(OperatorError, match="operator 'sql.times' raised KeyError"):
        sql("FROM op('sql.times', (SELECT g FROM t))")
