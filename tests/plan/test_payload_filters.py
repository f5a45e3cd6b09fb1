"""Filters of vector search: what each means as a predicate, and what is refused and how."""

from __future__ import annotations

import json

import pytest

from ffq.errors import FfqError, PlanningError, UnsupportedPlan
from ffq.plan.payload_filters import read_filter
from ffq.plan.terms import (
    And,
    BinaryOp,
    BinaryOperator,
    Column,
    Expr,
    IsNotNull,
    IsNull,
    Literal,
    LiteralType,
    Not,
    Or,
)
from ffq.plan.vector_tables import ColumnKind, Metric, TableColumn, VectorTable

TABLE = VectorTable(
    "docs",
    id=TableColumn("id", ColumnKind.INTEGER, "int64"),
    vector=TableColumn("v", ColumnKind.FLOATS, "list<element: float>"),
    others=(
        TableColumn("lang", ColumnKind.TEXT, "string"),
        TableColumn("year", ColumnKind.INTEGER, "int32"),
        TableColumn("open", ColumnKind.BOOLEAN, "bool"),
        TableColumn("day", ColumnKind.DATE, "date32[day]"),
    ),
    metric=Metric.COSINE,
)


def read(value: object) -> Expr | None:
    text = value if isinstance(value, str) else json.dumps(value)
    return read_filter(text, TABLE, "VectorTopK: filter")


def equal(name: str, kind: LiteralType, value: str | float | bool) -> Expr:
    column = Column(name)
    return And(IsNotNull(column), BinaryOp(column, BinaryOperator.EQ, Literal(kind, value)))


LANG = {"field": "lang", "value": "en"}
YEAR = {"key": "year", "match": {"value": 2020}}
IN_ENGLISH = equal("lang", LiteralType.UTF8, "en")
OF_2020 = equal("year", LiteralType.INT64, 2020)


@pytest.mark.parametrize("text", [None, "", "  ", "{}", '{"must": []}', '{"must": null}'])
def test_no_condition_is_every_row(text: str | None) -> None:
    assert read_filter(text, TABLE, "VectorTopK: filter") is None


@pytest.mark.parametrize(
    ("given", "predicate"),
    [
        ({"must": [LANG]}, IN_ENGLISH),
        ({"must": LANG}, IN_ENGLISH),
        ({"must": [LANG, YEAR]}, And(IN_ENGLISH, OF_2020)),
        ({"must_not": [YEAR]}, Not(OF_2020)),
        ({"should": [LANG, YEAR]}, Or(IN_ENGLISH, OF_2020)),
        ({"must": [LANG], "should": [YEAR]}, And(IN_ENGLISH, OF_2020)),
        ({"must": [{"should": [LANG, YEAR]}]}, Or(IN_ENGLISH, OF_2020)),
        ({"must_not": [{"must": []}]}, Not(Literal(LiteralType.BOOLEAN, True))),
        ({"must": [{"field": "lang", "value": None}]}, IsNull(Column("lang"))),
        (
            {"must": [{"field": "open", "value": True}]},
            equal("open", LiteralType.BOOLEAN, True),
        ),
        ({"must": [{"field": "year", "value": 1.5}]}, equal("year", LiteralType.FLOAT64, 1.5)),
        (
            {"must": [{"field": "day", "value": "2020-01-31"}]},
            equal("day", LiteralType.UTF8, "2020-01-31"),
        ),
    ],
)
def test_what_a_filter_means(given: object, predicate: Expr) -> None:
    assert read(given) == predicate


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("year > 2020", UnsupportedPlan, "'year > 2020' is no payload filter in JSON"),
        ("[" * 100_000, UnsupportedPlan, "is no payload filter in JSON"),
        ([], UnsupportedPlan, "an array of 0 stands where a filter should"),
        ({"min_should": []}, UnsupportedPlan, "'min_should' is not known"),
        ('{"must": [], "must": []}', UnsupportedPlan, "a key stands twice"),
        ('{"must": [{"field": "year", "value": NaN}]}', UnsupportedPlan, "NaN is not a JSON"),
        ('{"must": [{"field": "year", "value": 1e999}]}', UnsupportedPlan, "is not compared with"),
        ({"must": [1]}, UnsupportedPlan, "1 stands in 'must' where a condition should"),
        ({"must": [{}]}, UnsupportedPlan, "a condition of nothing is not known"),
        (
            {"must": [{"key": "year", "range": {"gt": 1}}]},
            UnsupportedPlan,
            "a condition of 'key', 'range' is not known",
        ),
        (
            {"must": [{"key": "year", "match": {"any": [1]}}]},
            UnsupportedPlan,
            "a match of 'any' is not known",
        ),
        ({"must": [{"field": "year", "value": 2**63}]}, UnsupportedPlan, "is not compared with"),
        ({"must": [{"field": "lang", "value": []}]}, UnsupportedPlan, "is not compared with"),
        ({"must": [{"field": "nope", "value": 1}]}, PlanningError, "no column 'nope'; the table"),
        ({"must": [{"field": 1, "value": 1}]}, PlanningError, "no column 1; the table has: 'id'"),
        (
            {"must": [{"field": "year", "value": "x"}]},
            PlanningError,
            "column 'year' is of type int32, which the value 'x' cannot be compared with",
        ),
        ({"must": [{"field": "year", "value": True}]}, PlanningError, "is of type int32"),
        ({"must": [{"field": "v", "value": 1}]}, PlanningError, "is of type list<element: float>"),
        ({"must": [LANG] * 1_001}, UnsupportedPlan, "more than 1,000 conditions"),
    ],
)
def test_what_is_refused_by_name(given: object, error: type[FfqError], says: str) -> None:
    with pytest.raises(error) as caught:
        read(given)
    assert "VectorTopK: filter of table 'docs'" in caught.value.message
    assert says in caught.value.message
    if error is UnsupportedPlan:
        assert 'right would be {"must": ' in caught.value.message


def test_many_levels_are_refused_and_many_conditions_nest_little() -> None:
    deep: object = LANG
    for _ in range(30):
        deep = {"must": [deep]}
    with pytest.raises(UnsupportedPlan, match="deeper than 20 levels"):
        read(deep)

    def depth(expr: Expr | None) -> int:
        return 1 + max(depth(expr.left), depth(expr.right)) if isinstance(expr, And) else 1

    assert depth(read({"must": [LANG] * 1_000})) < 15
