"""Two-phase aggregates: exact, typed, right over no rows, however the rows are divided."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffq.engine import Engine
from ffq.errors import DataError, ExecutionError, PlanningError
from ffq.plan.model import FinalHashAggregate, PartialHashAggregate, UnionAll, Window
from ffq.plan.terms import (
    AggregateExpr,
    AggregateFunction,
    Column,
    ColumnRef,
    Expr,
    WindowExpr,
    WindowFunction,
)
from tests.engine.runner import integer, leaf, run_over
from tests.profiles import CHOSEN

F = AggregateFunction
X = Column("x")


def aggregate(
    engine: Engine, function: AggregateFunction, *parts: pa.Table, groups: tuple[Expr, ...] = ()
) -> pa.Table:
    """One partial aggregate per table, each from a run of its own, and the final one over all."""
    aggregates = ((AggregateExpr(function, X), "r"),)
    partial = PartialHashAggregate(groups, aggregates, leaf())
    states = pa.concat_tables([run_over(engine, partial, part) for part in parts])
    return run_over(engine, FinalHashAggregate(groups, aggregates, leaf()), states)


def column(values: list[object], kind: pa.DataType) -> pa.Table:
    return pa.table({"x": pa.array(values, kind)})


INT, DEC = pa.int64(), pa.decimal128(15, 2)


@pytest.mark.parametrize(
    ("function", "kind", "values", "expected_kind", "expected"),
    [
        (F.COUNT, INT, [1, None, 1], pa.int64(), 2),
        (F.COUNT_DISTINCT, INT, [1, None, 1, 2], pa.int64(), 2),
        (F.APPROX_COUNT_DISTINCT, pa.string(), ["a", "b", "a", None], pa.int64(), 2),
        (F.SUM, pa.int32(), [1, None, 2], pa.int64(), 3),
        (F.SUM, pa.uint64(), [2**63, None], pa.int64(), ExecutionError),
        (F.SUM, INT, [2**63 - 1, 1], pa.int64(), ExecutionError),
        (F.SUM, INT, [2**63 - 1, 1, -1], pa.int64(), 2**63 - 1),
        (F.SUM, DEC, [Decimal("1.10"), Decimal("2.05")], pa.decimal128(38, 2), Decimal("3.15")),
        (F.SUM, pa.decimal128(9, 0), [Decimal(1), Decimal(2)], pa.decimal128(38, 0), Decimal(3)),
        (F.SUM, pa.float64(), [0.5, 0.25], pa.float64(), 0.75),
        (F.SUM, pa.float32(), [0.5, 0.25], pa.float64(), 0.75),
        (F.MIN, pa.int8(), [3, None, 1], pa.int8(), 1),
        (F.MAX, pa.string(), ["a", "c", None], pa.string(), "c"),
        (F.MIN, DEC, [Decimal("1.10"), Decimal("0.50")], DEC, Decimal("0.50")),
        (F.MAX, pa.date32(), [dt.date(2020, 1, 1)], pa.date32(), dt.date(2020, 1, 1)),
        (F.MAX, pa.bool_(), [False, True], pa.bool_(), True),
        (F.AVG, INT, [1, None, 2], pa.float64(), 1.5),
        (F.AVG, INT, [2**63 - 1, 2**63 - 1], pa.float64(), 2.0**63),
        (F.AVG, DEC, [Decimal("0.10"), Decimal("0.20")], pa.float64(), 0.15),
        (F.AVG, pa.float64(), [1.0, 2.0], pa.float64(), 1.5),
    ],
)
@pytest.mark.parametrize("parts", [1, 2])
def test_value_and_type(
    engine: Engine,
    function: AggregateFunction,
    kind: pa.DataType,
    values: list[object],
    expected_kind: pa.DataType,
    expected: object,
    parts: int,
) -> None:
    whole = column(values, kind)
    half = len(values) // 2
    tables = [whole] if parts == 1 else [whole.slice(0, half), whole.slice(half)]
    if expected is ExecutionError:
        with pytest.raises(ExecutionError):
            aggregate(engine, function, *tables)
        return
    result = aggregate(engine, function, *tables)
    assert result.schema.field("r").type == expected_kind
    assert result["r"].to_pylist() == [pytest.approx(expected) if function is F.AVG else expected]


@pytest.mark.parametrize("function", list(F))
@pytest.mark.parametrize("kind", [INT, pa.int16(), DEC, pa.float64()])
def test_no_rows_give_one_row_of_the_same_type(
    engine: Engine, function: AggregateFunction, kind: pa.DataType
) -> None:
    empty = aggregate(engine, function, column([], kind))
    counts = {F.COUNT, F.COUNT_DISTINCT, F.APPROX_COUNT_DISTINCT}
    assert empty["r"].to_pylist() == [0 if function in counts else None]
    some = aggregate(engine, function, column([1], kind))
    assert empty.schema == some.schema
    # Nor do partial states of tasks that saw no rows change what others saw.
    both = aggregate(engine, function, column([], kind), column([1], kind), column([], kind))
    assert both == some


@pytest.mark.parametrize("function", list(F))
def test_a_global_aggregate_over_no_partial_states_gives_one_row(
    engine: Engine, function: AggregateFunction
) -> None:
    aggregates = ((AggregateExpr(function, X), "r"),)
    states = run_over(engine, PartialHashAggregate((), aggregates, leaf()), column([1], INT))
    final = FinalHashAggregate((), aggregates, leaf())
    counts = {F.COUNT, F.COUNT_DISTINCT, F.APPROX_COUNT_DISTINCT}
    result = run_over(engine, final, states.slice(0, 0))
    assert result.to_pydict() == {"r": [0 if function in counts else None]}


def test_groups_over_no_rows_give_none(engine: Engine) -> None:
    assert aggregate(engine, F.SUM, column([], INT), groups=(X,)).num_rows == 0


def test_null_is_a_group_of_its_own(engine: Engine) -> None:
    part = pa.table({"k": [None, "a", None], "x": [1, 2, 3]})
    more = pa.table({"k": ["a", None], "x": [4, 5]})
    result = aggregate(engine, F.SUM, part, more, groups=(Column("k"),)).sort_by("r")
    assert result.to_pydict() == {"k": ["a", None], "r": [6, 9]}


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_zeros_are_one_group_and_one_extreme_whichever_comes_first(
    engine: Engine, kind: pa.DataType
) -> None:
    orders: list[list[object]] = [[-0.0, 0.0], [0.0, -0.0], [-0.0]]
    for zeros in orders:
        found = aggregate(engine, F.COUNT, column(zeros, kind), groups=(X,))
        assert list(map(str, found["x"].to_pylist())) == ["0.0"]
        for function in (F.MIN, F.MAX):
            (extreme,) = aggregate(engine, function, column(zeros, kind))["r"].to_pylist()
            assert str(extreme) == "0.0"
            window = WindowExpr(WindowFunction(function.value, argument=X), (), (), None, "w")
            seen = run_over(engine, Window((window,), leaf()), column(zeros, kind))["w"]
            assert set(map(str, seen.to_pylist())) == {"0.0"}


NESTED = [
    (pa.struct([("y", pa.float64()), ("it's", pa.int8())]), lambda zero: {"y": zero, "it's": 1}),
    (pa.list_(pa.float32()), lambda zero: [zero, None]),
    (pa.list_(pa.float64(), 2), lambda zero: [zero, 1.0]),
    (pa.map_(pa.string(), pa.float64()), lambda zero: [("a", zero)]),
    (pa.list_(pa.struct([("z", pa.list_(pa.float64()))])), lambda zero: [{"z": [zero]}, None]),
]


@pytest.mark.parametrize(("kind", "value"), NESTED, ids=[str(kind) for kind, _ in NESTED])
def test_zeros_inside_of_values_are_one_as_well(
    engine: Engine, kind: pa.DataType, value: Callable[[float], object]
) -> None:
    for zeros in ([-0.0, 0.0], [0.0, -0.0], [-0.0]):
        table = column([None, *map(value, zeros)], kind)
        found = aggregate(engine, F.COUNT, table, groups=(X,))
        assert found.schema.field("x").type == table.schema.field("x").type
        assert sorted(map(str, found["x"].to_pylist())) == sorted(["None", str(value(0.0))])
        for function in (F.MIN, F.MAX):
            assert str(aggregate(engine, function, table)["r"].to_pylist()) == str([value(0.0)])
            window = WindowExpr(WindowFunction(function.value, argument=X), (), (), None, "w")
            seen = run_over(engine, Window((window,), leaf()), table)["w"]
            assert set(map(str, seen.to_pylist())) == {str(value(0.0))}


def test_final_states_are_taken_by_position(engine: Engine) -> None:
    """An exchange may have renamed them; the ColumnRefs of groups count columns further below."""
    groups = (ColumnRef("k", 1),)
    aggregates = ((AggregateExpr(F.SUM, X), "x"), (AggregateExpr(F.AVG, X), "k"))
    table = pa.table({"x": [1, 3], "k": ["a", "a"]})
    states = run_over(engine, PartialHashAggregate(groups, aggregates, leaf()), table)
    assert states.schema.names == ["k", "x", "k"]
    states = states.rename_columns(["p", "q", "q"])
    result = run_over(engine, FinalHashAggregate(groups, aggregates, leaf()), states)
    assert result.schema.names == ["k", "x", "k"]
    assert [result.column(at).to_pylist() for at in range(3)] == [["a"], [4], [2.0]]


def test_group_columns_keep_the_name_that_the_plan_uses(engine: Engine) -> None:
    table = pa.table({"k": [1]})
    partial = PartialHashAggregate((Column("t.k"),), (), leaf())
    assert run_over(engine, partial, table).schema.names == ["t.k"]


def test_both_phases_in_one_stage(engine: Engine) -> None:
    aggregates = ((AggregateExpr(F.SUM, X), "s"), (AggregateExpr(F.COUNT, integer(1)), "n"))
    groups = (Column("k"),)
    node = FinalHashAggregate(groups, aggregates, PartialHashAggregate(groups, aggregates, leaf()))
    table = pa.table({"k": [1, 1, 2], "x": [10, 20, None]})
    result = run_over(engine, node, table).sort_by("k")
    assert result.to_pydict() == {"k": [1, 2], "s": [30, None], "n": [2, 1]}


MOST = 10**38 - 1
UNSCALED = st.integers(-MOST, MOST) | st.sampled_from(
    [MOST, -MOST, 10**37, 10**19, -(10**19), 10**19 - 1, 10**26, -(10**26) - 1, 5, -5, 1]
)


@settings(max_examples=min(CHOSEN.examples, 40))
@given(st.lists(st.lists(UNSCALED, max_size=6), min_size=1, max_size=3), st.data())
def test_a_sum_of_decimals_may_pass_what_one_holds_on_its_way(
    engine: Engine, parts: list[list[int]], data: st.DataObject
) -> None:
    # Most sums of such values are too large: some are brought back.
    values = [value for part in parts for value in part]
    rest = values[: data.draw(st.integers(0, len(values)))]
    parts = [*parts, [-value for value in data.draw(st.permutations(rest))]]
    scale = data.draw(st.sampled_from([0, 2, 18, 19, 20, 27, 38]))
    kind = pa.decimal128(38, scale)
    exact = Context(prec=100)
    tables = [
        column([Decimal(value).scaleb(-scale, exact) for value in part], kind) for part in parts
    ]
    values = [value for part in parts for value in part]
    if abs(sum(values)) > MOST:
        with pytest.raises(DataError, match="Sum of 'x' has more than 38 digits"):
            aggregate(engine, F.SUM, *tables)
    else:
        expected = Decimal(sum(values)).scaleb(-scale, exact) if values else None
        found = aggregate(engine, F.SUM, *tables)
        assert found.schema.field("r").type == kind
        assert found["r"].to_pylist() == [expected]
    means = aggregate(engine, F.AVG, *tables)["r"].to_pylist()
    if not values:
        assert means == [None]
    else:
        expected_mean = float(Fraction(sum(values), len(values) * 10**scale))
        assert means == [pytest.approx(expected_mean, rel=1e-15, abs=0)]
    # In one task and in one of any other order it is the same.
    turned = column([row for table in reversed(tables) for row in table["x"].to_pylist()], kind)
    assert aggregate(engine, F.AVG, turned)["r"].to_pylist() == means


def test_an_aggregate_that_overflows_names_itself_and_its_column(engine: Engine) -> None:
    for kind, largest in ((INT, 2**63 - 1), (pa.uint64(), 2**64 - 1)):
        with pytest.raises(DataError, match="Sum of 'x' does not fit in 64 bits") as info:
            aggregate(engine, F.SUM, column([largest, largest], kind))
        assert "c0" not in info.value.message


def test_what_cannot_be_aggregated(engine: Engine) -> None:
    with pytest.raises(PlanningError, match="Sum takes a number, not a VARCHAR"):
        aggregate(engine, F.SUM, column(["a"], pa.string()))
    final = FinalHashAggregate((Column("k"),), ((AggregateExpr(F.SUM, X), "s"),), leaf())
    with pytest.raises(PlanningError, match="its input has 1 columns; right would be 2"):
        run_over(engine, final, pa.table({"k": [1]}))
    with pytest.raises(PlanningError, match="neither groups nor aggregates"):
        run_over(engine, PartialHashAggregate((), (), leaf()), pa.table({"k": [1]}))


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", None]),
        st.none() | st.decimals(-(10**12), 10**12, places=2),
    ),
    max_size=15,
)


@settings(max_examples=15)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_any_division_of_rows_gives_what_python_computes(
    engine: Engine,
    parts: list[list[tuple[str | None, Decimal | None]]],
) -> None:
    schema = pa.schema([("k", pa.string()), ("x", DEC)])
    tables = [
        pa.table([[k for k, _ in part], [x for _, x in part]], schema=schema) for part in parts
    ]
    groups: dict[str | None, list[Decimal | None]] = {}
    for key, value in (row for part in parts for row in part):
        groups.setdefault(key, []).append(value)
    node = PartialHashAggregate((Column("k"),), AGGREGATES, leaf())
    states = pa.concat_tables([run_over(engine, node, table) for table in tables])
    final = FinalHashAggregate((Column("k"),), AGGREGATES, UnionAll(leaf(), leaf()))
    result = run_over(engine, final, states, states.slice(0, 0))
    assert {row["k"]: row for row in result.to_pylist()} == {
        key: python_aggregates(key, values) for key, values in groups.items()
    }


AGGREGATES = tuple((AggregateExpr(function, X), function.value) for function in F)


def python_aggregates(key: str | None, values: list[Decimal | None]) -> dict[str, object]:
    known = [value for value in values if value is not None]
    total = sum(known, Decimal("0.00"))
    return {
        "k": key,
        "Count": len(known),
        "CountDistinct": len(set(known)),
        "ApproxCountDistinct": len(set(known)),
        "Sum": total if known else None,
        "Min": min(known, default=None),
        "Max": max(known, default=None),
        "Avg": pytest.approx(float(total / len(known)), abs=math.ulp(1e12)) if known else None,
    }
