"""Integer literals beside floats are cast, and nothing else is changed."""

from __future__ import annotations

import pytest

from ffq import plan as p
from ffq.errors import InvalidPlan
from ffq.plan import model, terms
from ffq.plan.casts import no_tables, with_literal_casts
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.model import Node
from ffq.plan.terms import DataType, Expr, Field, Schema
from tests.strategies.graphs import exchange

T = Schema(
    (
        Field("k", DataType("Int64")),
        Field("x", DataType("Float64")),
        Field("f", DataType("Float32")),
        Field("u.y", DataType("Float64")),
        Field("h", DataType("Float16")),
    )
)
SCAN = p.scan("t", ["k", "x", "f", "u.y", "h"])
x, f, k, h = p.col("x"), p.col("f"), p.col("k"), p.col("h")
LARGE = 2**24 + 1
"""The first whole number that a Float32 does not hold."""


def tables(name: str) -> Schema | None:
    return T if name == "t" else None


def to_float(value: int, kind: str = "Float64") -> p.Expression:
    return p.lit(value).cast(kind)


EXPRESSIONS: list[tuple[p.Expression, p.Expression]] = [
    (x > 5, x > to_float(5)),
    (p.lit(5) < p.col("y"), to_float(5) < p.col("y")),
    (f == 5, f == to_float(5, "Float32")),
    (1 - x, to_float(1) - x),
    (x * 2 + 1 > 3, x * to_float(2) + to_float(1) > to_float(3)),
    (~((x > 5) | (k > 5)), ~((x > to_float(5)) | (k > 5))),
    (k.cast("Float64") / 2 > 1, k.cast("Float64") / to_float(2) > to_float(1)),
    (p.lit(1.5) * 2 > k, p.lit(1.5) * to_float(2) > k),
    (p.udf("abs", x - 1) > 1, p.udf("abs", x - to_float(1)) > 1),
    (
        p.when(x > 1, x).otherwise(0) > 2,
        p.when(x > to_float(1), x).otherwise(to_float(0)) > to_float(2),
    ),
    (f - (LARGE - 1), f - to_float(LARGE - 1, "Float32")),
    (f < LARGE, f.cast("Float64") < to_float(LARGE)),
    (f + LARGE == 3, f.cast("Float64") + to_float(LARGE) == to_float(3)),
    (x < 2**53 + 1, x < to_float(2**53 + 1)),
    (h < 2049, h.cast("Float32") < to_float(2049, "Float32")),
    (h < 2**20, h.cast("Float32") < to_float(2**20, "Float32")),
    (h < LARGE, h.cast("Float64") < to_float(LARGE)),
    (f + x == 5, f + x == to_float(5)),
    (x + f == 5, x + f == to_float(5)),
    (f + f == 5, f + f == to_float(5, "Float32")),
    (
        p.when(k > 1, f).when(k > 2, None).otherwise(LARGE) == 5,
        p.when(k > 1, f.cast("Float64")).when(k > 2, None).otherwise(to_float(LARGE))
        == to_float(5),
    ),
    (
        p.when(k > 1, f).when(k > 2, x).otherwise(LARGE) == 5,
        p.when(k > 1, f).when(k > 2, x).otherwise(to_float(LARGE)) == to_float(5),
    ),
]
KEPT: list[p.Expression] = [
    k > 5,
    k + 1 > x,
    x > 5.5,
    x > f,
    f + k > 5,
    p.when(k > 1, 1).otherwise(0) > 2,
    x.is_null(),
]


@pytest.mark.parametrize(("before", "after"), EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_a_whole_literal_beside_a_float_is_cast(before: p.Expression, after: p.Expression) -> None:
    plan = SCAN.filter(before).node
    assert with_literal_casts(plan, tables) == SCAN.filter(after).node


@pytest.mark.parametrize("expression", KEPT, ids=range(len(KEPT)))
def test_other_plans_are_the_same_object(expression: p.Expression) -> None:
    plan = SCAN.filter(expression).node
    assert with_literal_casts(plan, tables) is plan


def test_types_are_not_guessed_where_a_table_is_not_known() -> None:
    plan = SCAN.filter(x > 5).node
    assert with_literal_casts(plan, no_tables) is plan
    unknown = p.scan("other").filter(x > 5).node
    assert with_literal_casts(unknown, tables) is unknown


def over() -> list[tuple[str, Node, Node]]:
    """Plans with the predicate `x > 5` above each kind of node, without and with its cast."""
    condition = (x > 5, x > to_float(5))

    def pair(below: p.Relation) -> tuple[Node, Node]:
        return below.filter(condition[0]).node, below.filter(condition[1]).node

    cte = p.Relation(model.CteRef("c", SCAN.node))
    kinds = {
        "project": SCAN.project("k", x.alias("x")),
        "arithmetic": SCAN.project("k", (x + f).alias("x")),
        "exchange": SCAN.repartition(["k"]),
        "cte": cte,
        "limit": SCAN.limit(5),
        "join": SCAN.project("x").join(p.scan("u", ["j"]), [("x", "j")], "semi"),
        "broadcast": SCAN.project("k", "x").join(
            SCAN.project(k.alias("j")), [("k", "j")], strategy="broadcast_right"
        ),
        "union": SCAN.project("x").union_all(SCAN.project(p.col("y").alias("z"))),
        "average": SCAN.aggregate(["k"], [k.avg().alias("x")]),
        "sum": SCAN.aggregate(["k"], [f.sum().alias("x")]),
        "maximum": SCAN.aggregate(["k"], [x.max().alias("x")]),
    }
    return [(name, *pair(below)) for name, below in kinds.items()]


@pytest.mark.parametrize(("name", "before", "after"), over(), ids=lambda each: str(each)[:9])
def test_the_type_of_a_column_goes_up_the_plan(name: str, before: Node, after: Node) -> None:
    assert with_literal_casts(before, tables) == after


def test_a_union_of_two_types_and_what_an_operator_gives_out_have_none() -> None:
    for below in (
        SCAN.project("x").union_all(SCAN.project("f")),
        SCAN.custom("op", columns=["x"]),
        SCAN.aggregate(["k"], [x.count().alias("x")]),
    ):
        plan = below.filter(x > 5).node
        assert with_literal_casts(plan, tables) is plan


def test_an_aggregate_without_any_is_the_same_object_when_it_was_read() -> None:
    total = SCAN.aggregate(["k"], [x.sum().alias("s"), p.count().alias("n")])
    plan = parse_plan(dump_plan(total.node))
    assert with_literal_casts(plan, tables) is plan


def test_both_phases_of_an_aggregate_say_the_same() -> None:
    plan = SCAN.aggregate(["k"], [(x * 2).sum().alias("s")]).node
    cast = with_literal_casts(plan, tables)
    assert isinstance(cast, model.FinalHashAggregate)
    exchanged = cast.input
    assert isinstance(exchanged, model.ShuffleRead)
    assert isinstance(exchanged.input, model.ShuffleWrite)
    partial = exchanged.input.input
    assert isinstance(partial, model.PartialHashAggregate)
    ((aggregate, _),) = partial.aggr_exprs
    assert aggregate.argument == (x * to_float(2)).expr
    assert cast.aggr_exprs == partial.aggr_exprs


def test_windows_scores_subqueries_and_scan_filters_are_looked_into() -> None:
    condition: tuple[Expr, Expr] = ((x > 5).expr, (x > to_float(5)).expr)

    def plan(at: int) -> Node:
        scan = model.ParquetScan("t", None, ("k", "x"), (condition[at],))
        inner = model.Filter(condition[at], exchange(scan))
        function = terms.WindowFunction("Max", argument=condition[at])
        window = model.Window(
            (terms.WindowExpr(function, (), (), None, "w"),),
            model.ExistsSubqueryFilter(scan, inner, negated=False),
        )
        return model.TopKByScore((x * (2, to_float(2))[at]).expr, 3, window)

    assert with_literal_casts(plan(0), tables) == plan(1)


def test_the_builder_writes_them_where_a_scan_says_its_schema() -> None:
    known = p.scan("t", ["x"], schema=T)
    assert known.filter(x > 5).to_json() == known.filter(x > to_float(5)).to_json()
    assert b"Cast" not in p.scan("t", ["x"]).filter(x > 5).to_json()


def test_a_plan_that_has_no_room_for_them_is_left_as_it_is() -> None:
    """With them its deepest part would nest two levels deeper than may be."""
    known = p.scan("t", ["x"], schema=T)
    condition = x > 5
    written = []
    with pytest.raises(InvalidPlan, match="nests deeper than 256 JSON levels"):
        while True:
            written.append(known.filter(condition).to_json())
            condition = ~condition
    assert [b"Cast" in each for each in written[-3:]] == [True, False, False]
