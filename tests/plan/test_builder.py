"""The plan builder: what it builds, and what it refuses where it is written."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ffq import plan as p
from ffq.errors import FfqError, InvalidPlan, InvalidRequest, PlanningError
from ffq.plan import model as m
from ffq.plan import terms

A, B = terms.Column("a"), terms.Column("b")


def int64(value: int) -> terms.Literal:
    return terms.Literal(terms.LiteralType.INT64, value)


def table() -> p.Relation:
    return p.scan("t", ["a", "b"])


def kinds(relation: p.Relation) -> list[tuple[p.Parallelism, m.Partitioning | None]]:
    return [(stage.parallelism, stage.output) for stage in p.cut(relation.node).stages]


OPERATORS: list[tuple[Callable[[Any, Any], p.Expression], terms.BinaryOperator]] = [
    (lambda left, right: left + right, terms.BinaryOperator.PLUS),
    (lambda left, right: left - right, terms.BinaryOperator.MINUS),
    (lambda left, right: left * right, terms.BinaryOperator.MULTIPLY),
]


@pytest.mark.parametrize(("apply", "op"), OPERATORS)
def test_arithmetic_keeps_the_order_of_its_sides(
    apply: Callable[[Any, Any], p.Expression], op: terms.BinaryOperator
) -> None:
    assert apply(p.col("a"), p.col("b")).expr == terms.BinaryOp(A, op, B)
    assert apply(p.col("a"), 1).expr == terms.BinaryOp(A, op, int64(1))
    assert apply(1, p.col("a")).expr == terms.BinaryOp(int64(1), op, A)


def test_a_slash_is_the_quotient_and_divide_what_the_plan_calls_so() -> None:
    a, b, divide = p.col("a"), p.col("b"), terms.BinaryOperator.DIVIDE
    assert a.divide(b).expr == terms.BinaryOp(A, divide, B)
    assert a.divide(2).expr == terms.BinaryOp(A, divide, int64(2))
    assert (a / b).expr == terms.BinaryOp(terms.Cast(A, terms.DataType("Float64")), divide, B)
    assert (1 / a).expr == terms.BinaryOp(
        terms.Cast(int64(1), terms.DataType("Float64")), divide, A
    )


def test_a_dotted_name_is_a_path_and_a_plain_one_a_column() -> None:
    assert p.col("a").expr == terms.Column("a")
    assert p.col("t.a").expr == terms.ColumnPath("t.a")
    known = p.scan("t", ["a", "s"])
    for name in ("t.a", "s.field", "x.t.a"):
        known.project(name)
    with pytest.raises(PlanningError, match=r"no column 't\.b'"):
        known.project("t.b")
    grouped = p.scan("t").aggregate(["t.a"], [p.count()])
    assert grouped.columns == ("t.a", "count")


def test_comparisons_and_logic() -> None:
    a, b = p.col("a"), p.col("b")
    op = terms.BinaryOperator
    compared = [a == b, a != b, a < b, a <= b, a > b, a >= b]
    expected = [op.EQ, op.NOT_EQ, op.LT, op.LT_EQ, op.GT, op.GT_EQ]
    assert [each.expr for each in compared] == [terms.BinaryOp(A, each, B) for each in expected]
    assert (a > 1).expr == terms.BinaryOp(A, op.GT, int64(1))
    assert (a & b | ~a).expr == terms.Or(terms.And(A, B), terms.Not(A))
    assert a.is_null().expr == terms.IsNull(A)
    assert a.is_not_null().expr == terms.IsNotNull(A)


def test_an_expression_has_no_truth_value() -> None:
    a = p.col("a")
    for ask in (
        lambda: bool(a),
        lambda: 0 < a < 5,
        lambda: not a,
        lambda: a in [a + 1],
    ):
        with pytest.raises(InvalidRequest, match="use &, | and ~"):
            ask()
    with pytest.raises(TypeError, match="unhashable"):
        hash(a)


def test_literals() -> None:
    kinds = terms.LiteralType
    plain: list[tuple[Any, terms.LiteralType]] = [
        (None, kinds.NULL),
        (True, kinds.BOOLEAN),
        (1, kinds.INT64),
        (1.5, kinds.FLOAT64),
        ("x", kinds.UTF8),
    ]
    for value, kind in plain:
        assert p.lit(value).expr == terms.Literal(kind, value)
    text = terms.Literal(kinds.UTF8, "1998-09-02")
    assert p.lit(datetime.date(1998, 9, 2)).expr == terms.Cast(text, terms.DataType("Date32"))


@pytest.mark.parametrize(
    ("value", "text", "precision", "scale"),
    [("0.05", "0.05", 2, 2), ("-12.50", "-12.50", 4, 2), ("1E+3", "1000", 4, 0), ("0", "0", 1, 0)],
)
def test_decimal_literals_are_exact(value: str, text: str, precision: int, scale: int) -> None:
    literal = terms.Literal(terms.LiteralType.UTF8, text)
    decimal = terms.DataType("Decimal128", (precision, scale))
    assert p.lit(Decimal(value)).expr == terms.Cast(literal, decimal)


@pytest.mark.parametrize(
    "value", [2**63, float("nan"), float("inf"), b"x", [1], datetime.datetime(2020, 1, 1), object()]
)
def test_values_that_are_no_literal_are_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="is no literal of a plan"):
        p.lit(value)
    with pytest.raises(InvalidRequest):
        p.lit(Decimal("1e40"))


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("Int64", terms.DataType("Int64")),
        ("Decimal128(15,2)", terms.DataType("Decimal128", (15, 2))),
        (" Decimal128 ( 15 , -2 ) ", terms.DataType("Decimal128", (15, -2))),
        ("Timestamp(Microsecond)", terms.DataType("Timestamp", ("Microsecond", None))),
        ("Timestamp(Microsecond, UTC)", terms.DataType("Timestamp", ("Microsecond", "UTC"))),
        ("FixedSizeBinary(16)", terms.DataType("FixedSizeBinary", (16,))),
        (terms.DataType("Utf8"), terms.DataType("Utf8")),
    ],
)
def test_casts_spell_types_shortly(
    spelling: str | terms.DataType, expected: terms.DataType
) -> None:
    assert p.col("a").cast(spelling).expr == terms.Cast(A, expected)


@pytest.mark.parametrize(
    "spelling", ["BigInt", "Decimal128", "Decimal128(1)", "Int64(3)", "a b", ""]
)
def test_a_type_that_is_none_is_refused(spelling: str) -> None:
    with pytest.raises(InvalidRequest, match="data type"):
        p.col("a").cast(spelling)


def test_case() -> None:
    case = p.when(p.col("a") > 1, "x").when(p.col("b").is_null(), 2)
    branches = (
        (
            terms.BinaryOp(A, terms.BinaryOperator.GT, int64(1)),
            terms.Literal(terms.LiteralType.UTF8, "x"),
        ),
    )
    branches += ((terms.IsNull(B), int64(2)),)  # type: ignore[assignment]
    assert case.end().expr == terms.CaseWhen(branches, None)
    assert case.otherwise(p.col("b")).expr == terms.CaseWhen(branches, B)
    assert p.udf("abs", p.col("a"), 1).expr == terms.ScalarUdf("abs", (A, int64(1)))


def test_aggregate_is_partial_exchange_final() -> None:
    relation = table().aggregate(["a"], [p.col("b").sum(), p.count().alias("n")], partitions=5)
    aggregates = (
        (terms.AggregateExpr(terms.AggregateFunction.SUM, B), "sum_b"),
        (terms.AggregateExpr(terms.AggregateFunction.COUNT, int64(1)), "n"),
    )
    by_a = m.HashPartitioning(("a",), 5)
    partial = m.PartialHashAggregate((A,), aggregates, table().node)
    exchanged = m.ShuffleRead(m.ShuffleWrite(partial, by_a), by_a)
    assert relation.node == m.FinalHashAggregate((A,), aggregates, exchanged)
    assert relation.columns == ("a", "sum_b", "n")


def test_a_global_aggregate_is_hashed_by_no_keys() -> None:
    relation = table().aggregate([], [p.count()])
    one, many = p.Parallelism.SINGLE, p.Parallelism.SCAN
    assert kinds(relation) == [(one, None), (many, m.HashPartitioning((), 64))]


def test_every_aggregate_has_its_own_name() -> None:
    a = p.col("a")
    every = [a.count(), a.count_distinct(), a.approx_count_distinct(), a.sum(), a.min(), a.max()]
    assert table().aggregate([], [*every, a.avg()]).columns == (
        *("count_a", "count_distinct_a", "approx_count_distinct_a", "sum_a", "min_a", "max_a"),
        "avg_a",
    )


def test_a_shuffled_join_exchanges_both_sides_by_their_keys() -> None:
    other = p.scan("u", ["c", "d"])
    relation = table().join(other, [("a", "c")], "full", partitions=3)
    join = relation.node
    assert isinstance(join, m.HashJoin)
    assert join.join_type is terms.JoinType.FULL
    assert join.on == (("a", "c"),)
    assert relation.columns == ("a", "b", "c", "d")
    assert kinds(relation) == [
        (p.Parallelism.HASH, None),
        (p.Parallelism.SCAN, m.HashPartitioning(("a",), 3)),
        (p.Parallelism.SCAN, m.HashPartitioning(("c",), 3)),
    ]


def test_broadcast_joins_need_no_exchange() -> None:
    other = p.scan("u", ["c", "d"])
    for strategy in ("broadcast_left", "broadcast_right"):
        relation = table().join(other, [("a", "c")], strategy=strategy)
        (stage,) = p.cut(relation.node).stages
        assert [scan.split for scan in stage.scans] == [
            strategy == "broadcast_right",
            strategy == "broadcast_left",
        ]
        assert p.parse_plan(relation.to_json()) == relation.node


def test_semi_and_anti_joins_give_the_left_columns() -> None:
    assert table().join(table(), "a", "semi").columns == ("a", "b")
    assert table().join(p.scan("u"), "a", "anti").columns == ("a", "b")
    assert table().join(p.scan("u"), ["a", "b"]).columns is None


def test_limit_and_top_k_gather_first_but_not_twice() -> None:
    single = m.SinglePartitioning()
    top = table().top_k(p.col("a") * 2, 5)
    assert kinds(top) == [(p.Parallelism.SINGLE, None), (p.Parallelism.SCAN, single)]
    assert len(p.cut(top.limit(3).node).stages) == 2
    assert isinstance(top.limit(3).node, m.Limit)
    assert len(p.cut(table().aggregate([], [p.count()]).limit(1).node).stages) == 2


def test_a_custom_operator_sees_its_share_or_the_whole() -> None:
    shared = table().custom("op", {"z": "1", "b": "2"}, columns=["x"])
    assert shared.node == m.Custom("op", (("b", "2"), ("z", "1")), table().node)
    assert shared.columns == ("x",)
    assert kinds(shared) == [(p.Parallelism.SCAN, None)]
    whole = table().custom("op", whole=True)
    assert whole.columns is None
    assert [parallelism for parallelism, _ in kinds(whole)] == [
        p.Parallelism.SINGLE,
        p.Parallelism.SCAN,
    ]


def test_the_other_steps() -> None:
    single = m.SinglePartitioning()
    by_a = m.HashPartitioning(("a",), 7)
    node = table().node
    assert table().union_all(p.scan("u", ["x", "y"])).columns == ("a", "b")
    assert table().broadcast().node == m.Broadcast(node)
    assert table().coalesce(10).node == m.CoalesceBatches(10, node)
    assert table().gather().node == m.ShuffleRead(m.ShuffleWrite(node, single), single)
    repartitioned = table().repartition(["a"], partitions=7)
    assert repartitioned.node == m.ShuffleRead(m.ShuffleWrite(node, by_a), by_a)
    assert table().project("b", (p.col("a") + 1).alias("c")).columns == ("b", "c")
    assert table().pipe(lambda relation: relation.limit(1)) == table().limit(1)
    filtered = p.scan("t", ["a"], filters=[p.col("a") > 1])
    assert isinstance(filtered.node, m.ParquetScan)
    assert filtered.node.filters == ((p.col("a") > 1).expr,)


def test_columns_resolve_by_their_last_dotted_part_and_unknown_ones_pass() -> None:
    assert table().filter(p.col("t.a") > 1)
    assert p.scan("t").filter(p.col("anything") > 1).columns is None


def other() -> p.Relation:
    return p.scan("u", ["c", "d"])


WRONG: list[tuple[Callable[[], Any], type[FfqError], str]] = [
    (
        lambda: table().filter(p.col("x") > 1),
        PlanningError,
        "filter: no column 'x'; its input has a, b",
    ),
    (
        lambda: table().filter(p.when(p.udf("f", p.col("x")) > 1, 1).end()),
        PlanningError,
        "no column 'x'",
    ),
    (lambda: p.scan("t", ["a"], filters=[p.col("b") > 1]), PlanningError, "no column 'b'"),
    (lambda: p.scan("t", ["a", "a"]), PlanningError, "scan of 't': duplicate output column 'a'"),
    (lambda: p.scan("t", "ab"), InvalidRequest, "a list of names, not the string 'ab'"),
    (lambda: p.scan("t", []), InvalidRequest, "scan of 't': no columns"),
    (
        lambda: table().project("a", p.col("b").alias("a")),
        PlanningError,
        "project: duplicate output column 'a'",
    ),
    (lambda: table().project(p.col("a") + 1), InvalidRequest, "add .alias(...)"),
    (lambda: table().project("x"), PlanningError, "project: no column 'x'"),
    (lambda: table().aggregate("ab", [p.count()]), InvalidRequest, "not the string 'ab'"),
    (lambda: table().aggregate([], []), InvalidRequest, "aggregate: no columns"),
    (lambda: table().aggregate(["x"], [p.count()]), PlanningError, "no column 'x'"),
    (lambda: table().aggregate(["a"], [p.col("x").sum()]), PlanningError, "no column 'x'"),
    (
        lambda: table().aggregate(["a"], [p.count().alias("a")]),
        PlanningError,
        "aggregate: duplicate output column 'a'",
    ),
    (
        lambda: table().aggregate([], [(p.col("a") + 1).sum()]),
        InvalidRequest,
        "needs a name: add .alias(...)",
    ),
    (
        lambda: table().aggregate([], [p.count()], partitions=0),
        InvalidRequest,
        "aggregate: partitions is 0, not an integer >= 1",
    ),
    (
        lambda: table().join(other(), [("a", "c")], "outer"),  # type: ignore[arg-type]
        InvalidRequest,
        "join: how: unknown 'outer'; known: inner, left, right, full, semi, anti",
    ),
    (
        lambda: table().join(other(), [("a", "c")], strategy="merge"),  # type: ignore[arg-type]
        InvalidRequest,
        "join: strategy: unknown 'merge'; known: shuffle, broadcast_left, broadcast_right",
    ),
    (
        lambda: table().join(other(), [("a", "c")], "left", strategy="broadcast_left"),
        InvalidRequest,
        "a left join cannot be broadcast_left",
    ),
    (
        lambda: table().join(other(), [("c", "a")]),
        PlanningError,
        "join, left side: no column 'c'; its input has a, b",
    ),
    (
        lambda: table().join(other(), "a"),
        PlanningError,
        "join, right side: no column 'a'; its input has c, d",
    ),
    (
        lambda: table().join(table(), "a"),
        PlanningError,
        "join (rename with project first): duplicate output column 'a'",
    ),
    (lambda: table().join(other(), []), InvalidRequest, "join: 'on' is empty"),
    (lambda: table().limit(2**64), InvalidRequest, "limit is 18446744073709551616, more than"),
    (lambda: table().limit(10**5000), InvalidRequest, "limit is a number of 16610 bits, more"),
    (lambda: p.col("x") > 10**5000, InvalidRequest, "a number of 16610 bits is no literal"),
    (lambda: p.col("x") > -(10**5000), InvalidRequest, "a number of 16610 bits is no literal"),
    (lambda: table().limit(-1), InvalidRequest, "limit is -1, not an integer >= 0"),
    (lambda: table().top_k(p.col("x"), 1), PlanningError, "top_k: no column 'x'"),
    (lambda: table().top_k(p.col("a"), True), InvalidRequest, "top_k: k is True"),
    (
        lambda: table().union_all(p.scan("u", ["x"])),
        PlanningError,
        "union_all: 2 columns (a, b) on the left, 1 (x) on the right",
    ),
    (
        lambda: table().custom("op", {"k": 1}),  # type: ignore[dict-item]
        InvalidRequest,
        "custom 'op': config 'k' is 1, not a str",
    ),
    (lambda: table().repartition(["x"]), PlanningError, "repartition: no column 'x'"),
    (lambda: table().coalesce(0), InvalidRequest, "coalesce: target_batch_rows is 0"),
    (lambda: table().custom("").to_json(), InvalidPlan, "plan.Custom.op_name: expected a name"),
]


@pytest.mark.parametrize(("build", "error", "complaint"), WRONG, ids=[each[2] for each in WRONG])
def test_mistakes_are_refused_where_they_are_written(
    build: Callable[[], Any], error: type[FfqError], complaint: str
) -> None:
    with pytest.raises(error) as caught:
        build()
    assert complaint in caught.value.message
