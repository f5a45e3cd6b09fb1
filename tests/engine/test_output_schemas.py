"""What operators declare to give out: known without running them, and held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from ffq.engine import Engine, OperatorRegistry, operator
from ffq.engine.arrow_types import arrow_schema, sql_columns
from ffq.engine.operators import declared_schema
from ffq.errors import OperatorError, PlanningError, StartupError, UnsupportedPlan
from ffq.plan.model import Custom
from tests.engine.runner import leaf, run_over

INPUT = pa.schema([("a", pa.int64())])
SCORED = pa.schema([("a", pa.int64()), ("score", pa.float64())])


def with_score(schema: pa.Schema) -> pa.Schema:
    return schema.append(pa.field("score", pa.float64()))


def declared(output_schema: Any, **config: str) -> pa.Schema | None:
    registry = OperatorRegistry()

    @operator("o", output_schema=output_schema, registry=registry)
    def one(batches: Iterator[Any], *, limit: int = 1) -> Iterator[Any]:
        raise AssertionError("it is not run to be planned")

    return declared_schema("o", config, INPUT, registry=registry)


@pytest.mark.parametrize(
    "output_schema",
    [
        SCORED,
        {"a": "BIGINT", "score": "double"},
        {"a": pa.int64(), "score": pa.float64()},
        with_score,
    ],
)
def test_it_is_known_without_running_the_operator(output_schema: Any) -> None:
    assert declared(output_schema) == SCORED


def test_nothing_is_known_of_one_that_declares_nothing_or_is_not_here() -> None:
    assert declared(None) is None
    assert declared_schema("other", {}, INPUT, registry=OperatorRegistry()) is None


def test_its_config_is_checked_where_it_is_planned() -> None:
    with pytest.raises(PlanningError, match="config 'limit' is 'x'; right would be a whole number"):
        declared(SCORED, limit="x")


@pytest.mark.parametrize(
    ("output_schema", "message"),
    [
        (
            {"a": "DUBLE"},
            "'o': column 'a' of its output_schema is declared 'DUBLE', which is no",
        ),
        ({"a": "INT); DROP TABLE x"}, "column 'a' of its output_schema is declared 'INT"),
        ({"a": 5}, "'o': its output_schema has 'a': 5; right would be a column's name and its"),
        ([("a", "INT")], "'o': its output_schema is a list; right would be a pyarrow.Schema, a"),
    ],
)
def test_what_is_no_schema_is_refused_where_it_is_defined(output_schema: Any, message: str) -> None:
    with pytest.raises(StartupError, match=message):
        declared(output_schema)


def _raises(schema: pa.Schema) -> pa.Schema:
    return schema.field("zz")


@pytest.mark.parametrize(
    ("output_schema", "message"),
    [
        (_raises, "operator 'o': its output_schema raised KeyError: .*zz"),
        (
            lambda schema: 5,
            "operator 'o': its output_schema gave a int; right would be a pyarrow",
        ),
    ],
)
def test_a_function_of_the_input_that_fails_is_named(output_schema: Any, message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        declared(output_schema)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"a": [1], "score": [1]},
            "yielded a batch whose column 'score' is of type int64; right would be double, as it",
        ),
        (
            {"a": [1]},
            "with columns a: int64; right would be columns a: int64, score: double, as",
        ),
        (
            {"score": [1.0], "a": [1]},
            "with columns score: double, a: int64; right would be col",
        ),
    ],
)
def test_batches_are_held_to_it(given: dict[str, list[Any]], message: str) -> None:
    registry = OperatorRegistry()

    @operator("o", output_schema=with_score, registry=registry)
    def one(batches: Iterator[Any]) -> Iterator[Any]:
        return (pa.record_batch(given) for _ in batches)

    engine = Engine(registry=registry)
    with pytest.raises(OperatorError, match=message):
        run_over(engine, Custom("o", (), leaf()), pa.table({"a": [1]}))
    engine.close()


def test_names_of_fields_that_differ_in_null_alone_are_one_schema() -> None:
    """A schema may say that a column has no nulls; batches rarely do."""
    registry = OperatorRegistry()
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False)])

    @operator("o", output_schema=schema, registry=registry)
    def one(batches: Iterator[Any]) -> Iterator[Any]:
        return batches

    engine = Engine(registry=registry)
    assert run_over(engine, Custom("o", (), leaf()), pa.table({"a": [1]})).to_pydict() == {"a": [1]}
    engine.close()


@pytest.mark.parametrize(
    "kind",
    [
        *("BOOLEAN", "TINYINT", "UBIGINT", "FLOAT", "DOUBLE", "VARCHAR", "BLOB", "DATE", "TIME"),
        *("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "DECIMAL(38,2)", "INTERVAL", "BIGINT[]"),
        *("STRUCT(x INTEGER, y VARCHAR[])", "MAP(VARCHAR, DOUBLE)", "INTEGER[3]"),
    ],
)
def test_types_of_the_engine_come_back_from_arrow(kind: str) -> None:
    schema = arrow_schema([("a.b", kind)])
    ((name, back),) = sql_columns("it", schema)
    assert (name, arrow_schema([("c", back)]).field(0).type) == ("a.b", schema.field(0).type)


@pytest.mark.parametrize(
    "kind", [pa.duration("s"), pa.decimal256(50, 2), pa.list_view(pa.float16())]
)
def test_a_type_that_the_engine_has_not_is_refused_by_column(kind: pa.DataType) -> None:
    with pytest.raises(UnsupportedPlan, match="operator 'o' gives out column 'x' of type"):
        sql_columns("operator 'o'", pa.schema([("x", kind)]))
