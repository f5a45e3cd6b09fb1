"""Expressions mean what docs/plan.md says, also where DuckDB's SQL would differ."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from ffq.engine import Engine
from ffq.errors import DataError, ExecutionError, PlanningError, UnsupportedPlan
from ffq.plan import model, terms
from ffq.plan.model import Filter, Project
from ffq.plan.terms import (
    BinaryOp,
    BinaryOperator,
    CaseWhen,
    Cast,
    Column,
    ColumnRef,
    DataType,
    Expr,
    Literal,
    LiteralType,
    ScalarUdf,
    VectorDistance,
)
from tests.engine.runner import NULL, integer, leaf, run_over, text, value_of

NUMBERS = pa.table(
    {
        "a": pa.array([7, -7, None], pa.int64()),
        "b": pa.array([2, 2, 2], pa.int32()),
        "zero": pa.array([0, 0, 0], pa.int64()),
        "f": pa.array([2.5, -2.5, None]),
        "d": pa.array([Decimal("1.25"), Decimal("-0.05"), None], pa.decimal128(15, 2)),
    }
)
DATES = pa.table(
    {
        "day": [dt.date(2020, 1, 1), dt.date(2020, 1, 2), None],
        "as_text": ["2020-01-01", "2020-01-02", None],
    }
)


def binary(left: Expr, op: str, right: Expr) -> BinaryOp:
    return BinaryOp(left, BinaryOperator(op), right)


def cast(expr: Expr, name: str, *arguments: object) -> Cast:
    return Cast(expr, DataType(name, arguments))


A, B, D, F = Column("a"), Column("b"), Column("d"), Column("f")


@pytest.mark.parametrize(
    ("expr", "kind", "values"),
    [
        (binary(A, "Plus", B), pa.int64(), [9, -5, None]),
        (binary(A, "Divide", B), pa.int64(), [3, -3, None]),
        (binary(integer(1), "Divide", B), pa.int64(), [0, 0, 0]),
        (binary(F, "Divide", B), pa.float64(), [1.25, -1.25, None]),
        (binary(F, "Divide", Column("zero")), pa.float64(), [math.inf, -math.inf, None]),
        (
            binary(D, "Multiply", binary(integer(1), "Minus", D)),
            pa.decimal128(18, 4),
            [Decimal("-0.3125"), Decimal("-0.0525"), None],
        ),
        (binary(A, "Eq", integer(7)), pa.bool_(), [True, False, None]),
        (binary(A, "NotEq", NULL), pa.bool_(), [None, None, None]),
        (terms.And(terms.IsNull(A), NULL), pa.bool_(), [False, False, None]),
        (terms.Or(terms.IsNotNull(A), NULL), pa.bool_(), [True, True, None]),
        (terms.Not(binary(A, "Lt", B)), pa.bool_(), [True, False, None]),
        (ColumnRef("a", 1), pa.int32(), [2, 2, 2]),
        (integer(3), pa.int64(), [3, 3, 3]),
        (Literal(LiteralType.BOOLEAN, False), pa.bool_(), [False] * 3),
        (Literal(LiteralType.FLOAT64, 0.1), pa.float64(), [0.1] * 3),
        (Literal(LiteralType.FLOAT64, math.inf), pa.float64(), [math.inf] * 3),
        (text("O'Brien; --"), pa.string(), ["O'Brien; --"] * 3),
        (NULL, pa.null(), [None] * 3),
        (CaseWhen(((terms.IsNull(A), text("none")),), None), pa.string(), [None, None, "none"]),
        (CaseWhen(((terms.IsNull(A), NULL),), B), pa.int32(), [2, 2, None]),
    ],
)
def test_value_and_type(
    engine: Engine, expr: Expr, kind: pa.DataType, values: list[object]
) -> None:
    column = value_of(engine, expr, NUMBERS)
    assert column.type == kind
    assert column.to_pylist() == values


@pytest.mark.parametrize(
    ("expr", "kind", "value"),
    [
        (cast(Literal(LiteralType.FLOAT64, 2.9), "Int64"), pa.int64(), 2),
        (cast(Literal(LiteralType.FLOAT64, -2.9), "Int32"), pa.int32(), -2),
        (cast(cast(text("2.90"), "Decimal128", 9, 2), "UInt8"), pa.uint8(), 2),
        (cast(text("12"), "Int16"), pa.int16(), 12),
        (cast(integer(12), "Utf8"), pa.string(), "12"),
        (cast(integer(12), "LargeUtf8"), pa.string(), "12"),
        (cast(integer(1), "Boolean"), pa.bool_(), True),
        (cast(integer(1), "Float32"), pa.float32(), 1.0),
        (cast(text("1.5"), "Decimal128", 15, 2), pa.decimal128(15, 2), Decimal("1.50")),
        (cast(text("2020-02-29"), "Date32"), pa.date32(), dt.date(2020, 2, 29)),
        (
            cast(text("2020-02-29"), "Timestamp", "Millisecond", None),
            pa.timestamp("ms"),
            dt.datetime(2020, 2, 29),
        ),
        (cast(text("ab"), "Binary"), pa.binary(), b"ab"),
        (cast(NULL, "Int8"), pa.int8(), None),
    ],
)
def test_casts(engine: Engine, expr: Expr, kind: pa.DataType, value: object) -> None:
    column = value_of(engine, expr, NUMBERS.slice(0, 1))
    assert (column.type, column.to_pylist()) == (kind, [value])


def test_a_time_zone_is_utc_wherever_the_process_runs(engine: Engine) -> None:
    expr = cast(text("2020-02-29 12:00:00"), "Timestamp", "Microsecond", "UTC")
    column = value_of(engine, expr, NUMBERS.slice(0, 1))
    assert column.type == pa.timestamp("us", "UTC")
    assert column.to_pylist() == [dt.datetime(2020, 2, 29, 12, tzinfo=dt.UTC)]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("Decimal256", (50, 2)), ("List", ("Int64",)), ("Interval", ("DayTime",)), ("Wrong", ())],
)
def test_a_type_that_duckdb_has_not_is_unsupported(
    engine: Engine, name: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(UnsupportedPlan, match=f"no data type {name}"):
        value_of(engine, cast(A, name, *arguments), NUMBERS)


@pytest.mark.parametrize(
    "predicate",
    [
        binary(Column("day"), "GtEq", text("2020-01-02")),
        binary(text("2020-01-02"), "LtEq", Column("day")),
        binary(Column("as_text"), "GtEq", text("2020-01-02")),
        binary(text("2020-01-02"), "LtEq", Column("as_text")),
        binary(cast(Column("as_text"), "Date32"), "GtEq", text("2020-01-02")),
    ],
)
def test_text_compared_with_a_date_means_the_date(engine: Engine, predicate: Expr) -> None:
    rows = run_over(engine, Filter(predicate, leaf()), DATES)
    assert rows["as_text"].to_pylist() == ["2020-01-02"]


def test_a_date_column_of_text_is_compared_as_text(engine: Engine) -> None:
    predicate = binary(Column("as_text"), "Lt", text("2020-1"))
    assert run_over(engine, Filter(predicate, leaf()), DATES).num_rows == 2


@pytest.mark.parametrize(
    "kind", [pa.int32(), pa.float64(), pa.decimal128(9, 2), pa.timestamp("us")]
)
def test_R17_text_that_means_nothing_beside_a_column_is_a_planning_error(
    engine: Engine, kind: pa.DataType
) -> None:
    """It would fail on every worker, and be blamed on each."""
    table = pa.table({"v": pa.array([None], kind)})
    for predicate in (
        binary(Column("v"), "Eq", text("junk")),
        binary(text("junk"), "Lt", Column("v")),
    ):
        with pytest.raises(PlanningError, match="Filter: Conversion Error"):
            run_over(engine, Filter(predicate, leaf()), table)


def test_text_that_is_no_date_is_a_planning_error(engine: Engine) -> None:
    predicate = binary(Column("day"), "Lt", text("2020-13-01"))
    with pytest.raises(PlanningError, match="'2020-13-01' is compared with a date but is none"):
        run_over(engine, Filter(predicate, leaf()), DATES)


@pytest.mark.parametrize("op", ["Plus", "Minus", "Multiply"])
def test_overflow_is_an_error(engine: Engine, op: str) -> None:
    table = pa.table({"a": pa.array([-(2**63)], pa.int64()), "b": pa.array([2**62], pa.int64())})
    left, right = (B, B) if op == "Plus" else (A, B)
    with pytest.raises(ExecutionError, match=r"(?i)overflow"):
        value_of(engine, binary(left, op, right), table)


@pytest.mark.parametrize("rows", [3, 300_000])
def test_an_integer_divided_by_zero_is_an_error(engine: Engine, rows: int) -> None:
    """Also when the first rows are out already."""
    table = pa.table({"a": pa.array(range(rows)), "zero": [rows - 1] * rows})
    divisor = binary(Column("zero"), "Minus", A)
    with pytest.raises(DataError, match="Division by zero"):
        value_of(engine, binary(A, "Divide", divisor), table)


def test_bad_data_in_a_cast_is_an_error_of_the_data(engine: Engine) -> None:
    with pytest.raises(DataError, match="Could not convert string 'x' to INT32$"):
        value_of(engine, cast(Column("s"), "Int32"), pa.table({"s": ["1", "x"]}))


def test_columns_are_found_by_name_then_by_last_dotted_part(engine: Engine) -> None:
    table = pa.table({"t.a": [1], "a": [2], "u.b": [3], "x.c": [4], "y.c": [5], "é\"'": [6]})
    for name, value in {"t.a": 1, "a": 2, "v.a": 2, "b": 3, "w.b": 3, "é\"'": 6}.items():
        assert value_of(engine, Column(name), table).to_pylist() == [value]
    with pytest.raises(PlanningError, match=r"no column 'A'; its input has t\.a, a, u\.b"):
        value_of(engine, Column("A"), table)
    for name in ("c", "z.c"):
        ambiguous = rf"column '{name}' is ambiguous: it may be x\.c \(column 4\), y\.c \(column 5\)"
        with pytest.raises(PlanningError, match=ambiguous):
            value_of(engine, Column(name), table)


def test_output_names_are_given_as_they_are(engine: Engine) -> None:
    names = ['weird "; DROP TABLE x; --', "select", "select", "", "日本"]
    rows = run_over(engine, Project(tuple((A, name) for name in names), leaf()), NUMBERS)
    assert rows.schema.names == names


@pytest.mark.parametrize("index", [-1, 5])
def test_a_column_reference_out_of_range(engine: Engine, index: int) -> None:
    with pytest.raises(PlanningError, match=f"index {index}, but its input has 5 columns"):
        value_of(engine, ColumnRef("a", index), NUMBERS)


def test_a_nul_character_is_refused(engine: Engine) -> None:
    with pytest.raises(PlanningError, match="NUL"):
        value_of(engine, text("a\0b"), NUMBERS)


def test_types_that_do_not_go_together_name_the_node(engine: Engine) -> None:
    with pytest.raises(PlanningError, match="Project: "):
        value_of(engine, binary(A, "Plus", DATES_DAY), pa.table({"a": [True], "day": ["x"]}))


DATES_DAY = Column("day")


def test_a_predicate_must_be_boolean(engine: Engine) -> None:
    with pytest.raises(PlanningError, match="Filter: the predicate is a BIGINT, not a BOOLEAN"):
        run_over(engine, Filter(A, leaf()), NUMBERS)


@pytest.mark.parametrize(
    ("name", "args", "value"),
    [
        ("lower", (text("AbC"),), "abc"),
        ("UPPER", (text("AbC"),), "ABC"),
        ("abs", (integer(-3),), 3),
        ("length", (text("grün"),), 4),
        ("substr", (text("hello"), integer(2), integer(3)), "ell"),
        ("coalesce", (NULL, text("x")), "x"),
        ("concat", (text("a"), NULL, text("b")), "ab"),
        ("year", (cast(text("1998-09-02"), "Date32"),), 1998),
    ],
)
def test_scalar_functions(engine: Engine, name: str, args: tuple[Expr, ...], value: object) -> None:
    assert value_of(engine, ScalarUdf(name, args), NUMBERS.slice(0, 1)).to_pylist() == [value]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int64(), pa.uint32(), pa.uint64()])
def test_functions_take_whole_numbers_of_any_size(engine: Engine, kind: pa.DataType) -> None:
    given = pa.table({"n": pa.array([2], kind), "f": [1.256], "s": ["hello"]})
    n, f, s = Column("n"), Column("f"), Column("s")
    assert value_of(engine, ScalarUdf("round", (f, n)), given).to_pylist() == [1.26]
    assert value_of(engine, ScalarUdf("substr", (s, n)), given).to_pylist() == ["ello"]
    assert value_of(engine, ScalarUdf("substring", (s, n, n)), given).to_pylist() == ["el"]


def test_functions_keep_the_largest_numbers_and_count_bytes(engine: Engine) -> None:
    given = pa.table({"n": pa.array([2**64 - 1], pa.uint64()), "b": [b"\x00\xff"]})
    rounded = value_of(engine, ScalarUdf("round", (Column("n"), integer(1))), given)
    assert (rounded.type, rounded.to_pylist()) == (pa.uint64(), [2**64 - 1])
    assert value_of(engine, ScalarUdf("length", (Column("b"),)), given).to_pylist() == [2]


def test_an_unknown_function_is_unsupported_and_named(engine: Engine) -> None:
    with pytest.raises(UnsupportedPlan, match="ScalarUdf 'read_text': this engine has no such"):
        value_of(engine, ScalarUdf("read_text", (text("/etc/passwd"),)), NUMBERS)
    with pytest.raises(PlanningError, match="'substr' takes 2 to 3 arguments, not 1"):
        value_of(engine, ScalarUdf("substr", (text("a"),)), NUMBERS)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2)])
def test_vector_distances(engine: Engine, kind: pa.DataType) -> None:
    table = pa.table({"v": pa.array([[3.0, 4.0], None], kind)})
    query = Literal(LiteralType.VECTOR_F32, (3.0, 0.0))
    for function, value in {"DotProduct": 9.0, "L2Distance": 4.0, "CosineSimilarity": 0.6}.items():
        column = value_of(engine, VectorDistance(function, Column("v"), query), table)
        assert column.to_pylist() == [pytest.approx(value), None]


def test_deep_expressions_and_plans(engine: Engine) -> None:
    """As deep as a plan's JSON may be; work must not double with each level."""
    expr: Expr = A
    for _ in range(100):
        expr = binary(integer(1), "Plus", binary(expr, "Divide", integer(1)))
    assert value_of(engine, expr, NUMBERS).to_pylist() == [107, 93, None]
    node: model.Node = leaf()
    for _ in range(200):
        node = Filter(terms.IsNotNull(A), node)
    assert run_over(engine, node, NUMBERS).num_rows == 2
