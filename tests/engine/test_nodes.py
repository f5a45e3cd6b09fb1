"""Limit, TopKByScore, UnionAll, subquery filters, Window, and nodes that this engine has not."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import attrs
import pyarrow as pa
import pytest

from ffq import plan as p
from ffq.engine import CancelToken, Engine, EngineSettings, FragmentSpec
from ffq.errors import ExecutionError, PlanningError, StartupError, UnsupportedPlan
from ffq.plan.bound import Call, Constant, SqlType
from ffq.plan.model import (
    CoalesceBatches,
    CteRef,
    ExistsSubqueryFilter,
    Filter,
    InSubqueryFilter,
    Limit,
    Node,
    ParquetWrite,
    Project,
    ScalarSubqueryFilter,
    Series,
    ShuffleWrite,
    SinglePartitioning,
    TopKByScore,
    UnionAll,
    VectorKnn,
    VectorTopK,
    Window,
)
from ffq.plan.terms import (
    BinaryOp,
    BinaryOperator,
    Bound,
    Column,
    ColumnRef,
    Expr,
    FrameBound,
    IsNotNull,
    SortKey,
    WindowExpr,
    WindowFrame,
    WindowFunction,
)
from tests.engine.runner import NULL, integer, leaf, run_fragment, run_over

A, B = Column("a"), Column("b")
ROWS = pa.table({"a": [1, 2, None, 4], "b": ["w", "x", "y", "z"]})


def ints(*values: int | None) -> pa.Table:
    return pa.table({"v": pa.array(values, pa.int64())})


@pytest.mark.parametrize(("n", "rows"), [(0, 0), (2, 2), (99, 4), (2**63, 4), (2**64 - 1, 4)])
def test_limit(engine: Engine, n: int, rows: int) -> None:
    assert run_over(engine, Limit(n, leaf()), ROWS).num_rows == rows


def test_top_k_gives_the_largest_first_and_nulls_last(engine: Engine) -> None:
    assert run_over(engine, TopKByScore(A, 2, leaf()), ROWS)["a"].to_pylist() == [4, 2]
    assert run_over(engine, TopKByScore(A, 9, leaf()), ROWS)["a"].to_pylist() == [4, 2, 1, None]
    assert run_over(engine, TopKByScore(A, 2**64 - 1, leaf()), ROWS).num_rows == 4
    negated = BinaryOp(integer(0), BinaryOperator.MINUS, A)
    assert run_over(engine, TopKByScore(negated, 1, leaf()), ROWS)["a"].to_pylist() == [1]


def test_top_k_keeps_its_order_above_and_over_many_rows(engine: Engine) -> None:
    table = pa.table({"a": list(range(500_000))})
    node = Project(((A, "a"),), CoalesceBatches(10, TopKByScore(A, 200_000, leaf())))
    ordered = run_over(engine, node, table)["a"].to_pylist()
    assert ordered == list(range(499_999, 299_999, -1))


def test_top_k_chooses_the_same_of_equal_scores_however_rows_arrive(engine: Engine) -> None:
    table = pa.table({"a": [1] * 6, "b": list("fcbeda")})
    node = TopKByScore(A, 3, leaf())
    for order in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 5, 0, 3, 1, 4]):
        assert run_over(engine, node, table.take(order))["b"].to_pylist() == ["a", "b", "c"]


@pytest.mark.parametrize("score", ["a", "1", True, None, 1, 2, 1.5], ids=repr)
def test_a_constant_is_a_score_and_an_order_that_all_rows_share(
    engine: Engine, score: str | bool | float | None
) -> None:
    expr = p.lit(score).expr
    table = pa.table({"a": [3, 1, 2], "b": [1, 1, 1]})
    assert run_over(engine, TopKByScore(expr, 2, leaf()), table)["a"].to_pylist() == [1, 2]
    key = SortKey(expr, asc=True, nulls_first=True)
    rank = WindowExpr(WindowFunction("Rank"), (expr,), (key,), None, "rank")
    assert run_over(engine, Window((rank,), leaf()), table)["rank"].to_pylist() == [1, 1, 1]


def test_union_all_is_by_position_and_keeps_duplicates(engine: Engine) -> None:
    table = run_over(engine, UnionAll(leaf(), leaf()), ints(1, 2), pa.table({"w": [2, None]}))
    assert table.schema.names == ["v"]
    assert sorted(table["v"].to_pylist(), key=str) == [1, 2, 2, None]


def test_union_all_takes_the_wider_type(engine: Engine) -> None:
    small = pa.table({"v": pa.array([1], pa.int16())})
    assert run_over(engine, UnionAll(leaf(), leaf()), small, ints(2)).schema.types == [pa.int64()]
    nulls = UnionAll(Project(((NULL, "v"),), leaf()), leaf())
    assert run_over(engine, nulls, ROWS, pa.table({"v": ["x"]})).schema.types == [pa.string()]


def test_union_all_of_what_does_not_go_together(engine: Engine) -> None:
    with pytest.raises(PlanningError, match="UnionAll: 2 columns on the left, 1 on the right"):
        run_over(engine, UnionAll(leaf(), leaf()), ROWS, ints(1))
    with pytest.raises(PlanningError, match=r"UnionAll of 'v' \(BIGINT\) and 'v' \(VARCHAR\)"):
        run_over(engine, UnionAll(leaf(), leaf()), ints(1), pa.table({"v": ["x"]}))


def test_a_cte_stands_in_place_each_time(engine: Engine) -> None:
    cte = CteRef("c", Filter(IsNotNull(A), leaf()))
    table = run_over(engine, UnionAll(cte, cte), ROWS, ROWS)
    assert table.num_rows == 6


def test_a_cte_that_reads_no_stream_is_computed_once(engine: Engine) -> None:
    """What only looks the same is not: each draws numbers of its own."""
    number = SqlType("BIGINT")
    rows = Series("range", (Constant(number, 0), Constant(number, 50)), number)
    drawn = Project(((Bound(Call("random", (), SqlType("DOUBLE"))), "r"),), rows)
    cte = CteRef("c", drawn)
    for node, distinct in ((UnionAll(cte, cte), 50), (UnionAll(drawn, drawn), 100)):
        found = run_over(engine, node)["r"].to_pylist()
        assert len(found) == 100
        assert len(set(found)) == distinct
    first, again = run_over(engine, UnionAll(cte, cte))["r"].to_pylist()[::50]
    assert first == again


def test_a_shuffle_write_passes_rows_on(engine: Engine) -> None:
    assert run_over(engine, ShuffleWrite(leaf(), SinglePartitioning()), ROWS).num_rows == 4


@pytest.mark.parametrize(
    ("subquery", "negated", "kept"),
    [
        (ints(2, 4), False, [2, 4]),
        (ints(2, None), False, [2]),
        (ints(2, 4), True, [1]),
        (ints(2, None), True, []),
        (ints(), False, []),
        (ints(), True, [1, 2, None, 4]),
    ],
)
def test_in_subquery(
    engine: Engine, subquery: pa.Table, negated: bool, kept: list[int | None]
) -> None:
    node = InSubqueryFilter(leaf(), A, leaf(), negated)
    result = run_over(engine, node, ROWS, subquery)["a"].to_pylist()
    assert sorted(result, key=str) == sorted(kept, key=str)


@pytest.mark.parametrize(
    ("subquery", "negated", "rows"),
    [(ints(None), False, 4), (ints(), False, 0), (ints(None), True, 0), (ints(), True, 4)],
)
def test_exists_subquery(engine: Engine, subquery: pa.Table, negated: bool, rows: int) -> None:
    node = ExistsSubqueryFilter(leaf(), leaf(), negated)
    assert run_over(engine, node, ROWS, subquery).num_rows == rows


@pytest.mark.parametrize(("subquery", "kept"), [(ints(1), [2, 4]), (ints(None), []), (ints(), [])])
def test_scalar_subquery(engine: Engine, subquery: pa.Table, kept: list[int]) -> None:
    node = ScalarSubqueryFilter(leaf(), A, BinaryOperator.GT, leaf())
    assert sorted(run_over(engine, node, ROWS, subquery)["a"].to_pylist()) == kept


def test_subqueries_that_cannot_be_used(engine: Engine) -> None:
    scalar = ScalarSubqueryFilter(leaf(), A, BinaryOperator.GT, leaf())
    with pytest.raises(ExecutionError, match="More than one row returned by a subquery"):
        run_over(engine, scalar, ROWS, ints(1, 2))
    with pytest.raises(PlanningError, match="its subquery has 2 columns; right would be one"):
        run_over(engine, scalar, ROWS, ROWS)
    plus = ScalarSubqueryFilter(leaf(), A, BinaryOperator.PLUS, leaf())
    with pytest.raises(PlanningError, match="Plus is no comparison"):
        run_over(engine, plus, ROWS, ints(1))


def window(
    function: str,
    argument: Expr | None = None,
    *,
    offset: int | None = None,
    default: Expr | None = None,
    frame: WindowFrame | None = None,
) -> WindowExpr:
    order = (SortKey(Column("v"), asc=False, nulls_first=False),)
    called = WindowFunction(function, argument, offset, default)
    return WindowExpr(called, (Column("g"),), order, frame, function)


def test_windows(engine: Engine) -> None:
    table = pa.table({"g": ["a", "a", "a", "b"], "v": [1, 3, 3, 5]})
    value = Column("v")
    rows = WindowFrame("Rows", FrameBound("Preceding", 1), FrameBound("CurrentRow"), "NoOthers")
    exprs = (
        window("RowNumber"),
        window("Rank"),
        window("DenseRank"),
        window("PercentRank"),
        window("CumeDist"),
        window("Ntile", offset=2),
        window("Count", value),
        window("Sum", value, frame=rows),
        window("Lag", value, offset=1, default=integer(-1)),
        window("Lead", value),
        window("FirstValue", value),
        window("NthValue", value, offset=2),
    )
    order = [("g", "ascending"), ("RowNumber", "ascending")]
    result = run_over(engine, Window(exprs, leaf()), table).sort_by(order)
    assert result.to_pydict() == {
        "g": ["a", "a", "a", "b"],
        "v": [3, 3, 1, 5],
        "RowNumber": [1, 2, 3, 1],
        "Rank": [1, 1, 3, 1],
        "DenseRank": [1, 1, 2, 1],
        "PercentRank": [0.0, 0.0, 1.0, 0.0],
        "CumeDist": [pytest.approx(2 / 3), pytest.approx(2 / 3), 1.0, 1.0],
        "Ntile": [1, 1, 2, 1],
        "Count": [2, 2, 3, 1],
        "Sum": [3, 6, 4, 5],
        "Lag": [-1, 3, 3, -1],
        "Lead": [3, 1, None, None],
        "FirstValue": [3, 3, 3, 5],
        "NthValue": [3, 3, 3, None],
    }
    assert {result.schema.field(name).type for name in ("Sum", "Count")} == {pa.int64()}


@pytest.mark.parametrize(
    ("kind", "default", "given"),
    [
        (pa.int64(), p.lit(0), 0),
        (pa.int32(), p.lit(7), 7),
        (pa.int32(), p.lit(2.0), 2),
        (pa.int32(), p.lit(None), None),
        (pa.int64(), p.col("small"), 1),
        (pa.float32(), p.lit(1), 1.0),
        (pa.float64(), p.lit(0.1), 0.1),
        (pa.decimal128(38, 2), p.lit(0.25), Decimal("0.25")),
        (pa.decimal128(5, 2), p.lit(-1) - 1, Decimal("-2.00")),
        (pa.date32(), p.lit("2020-02-29"), dt.date(2020, 2, 29)),
        (pa.string(), p.lit("none"), "none"),
        (pa.int64(), p.lit(1.5), PlanningError),
        (pa.int8(), p.lit(300), PlanningError),
        (pa.uint64(), p.lit(-1), PlanningError),
        (pa.decimal128(38, 2), p.lit(0.12345), PlanningError),
        (pa.float32(), p.lit(0.1), PlanningError),
        (pa.int32(), p.col("v").cast("Float64"), PlanningError),
        (pa.int8(), p.col("small").cast("Int64"), PlanningError),
        (pa.int64(), p.lit("1"), PlanningError),
        (pa.binary(), p.lit("a"), PlanningError),
        (pa.string(), p.lit(1), PlanningError),
        (pa.date32(), p.lit("2020-02-29 12:00:00"), PlanningError),
    ],
)
@pytest.mark.parametrize("function", ["Lag", "Lead"])
def test_the_default_of_a_window_is_given_out_as_it_is_or_refused(
    engine: Engine, function: str, kind: pa.DataType, default: p.Expression, given: object
) -> None:
    table = pa.table({"g": ["a"], "v": pa.array([None], kind), "small": pa.array([1], pa.int8())})
    node = Window((window(function, Column("v"), default=default.expr),), leaf())
    if given is PlanningError:
        with pytest.raises(PlanningError, match=f"default of {function}|is compared with a date"):
            run_over(engine, node, table)
        return
    result = run_over(engine, node, table)
    assert result.schema.field(function).type == kind
    assert result[function].to_pylist() == [given]


@pytest.mark.parametrize("function", ["Sum", "Avg"])
@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.bool_(), pa.string()])
def test_a_window_sums_what_an_aggregate_sums(
    engine: Engine, function: str, kind: pa.DataType
) -> None:
    table = pa.table({"g": ["a"], "v": pa.array([None], kind)})
    with pytest.raises(PlanningError, match=f"Window: {function} takes a number, not a"):
        run_over(engine, Window((window(function, Column("v")),), leaf()), table)


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        (pa.uint8(), [0, 1, 255]),
        (pa.uint64(), [0, 1, 2**64 - 1]),
        (pa.int8(), [-128, -127, 127]),
        (pa.int64(), [-(2**63), 1 - 2**63, 2**63 - 1]),
    ],
    ids=str,
)
def test_a_window_ranges_over_the_ends_of_its_type(
    engine: Engine, kind: pa.DataType, ends: list[int]
) -> None:
    table = pa.table({"g": ["a"] * 4, "v": pa.array([*ends, None], kind)})
    bounds = FrameBound("Preceding", 1), FrameBound("Following", 2**64 - 1)
    near = WindowFrame("Range", bounds[0], FrameBound("Following", 1), "NoOthers")
    counted = window("Count", Column("v"), frame=near)
    far = attrs.evolve(
        window("Max", Column("v"), frame=WindowFrame("Range", *bounds, "NoOthers")),
        order_by=(SortKey(Column("v"), asc=True, nulls_first=False),),
    )
    result = run_over(engine, Window((counted, far), leaf()), table).sort_by("v")
    assert result["Count"].to_pylist() == [2, 2, 1, 0]
    assert result["Max"].to_pylist() == [ends[2]] * 3 + [None]
    assert result.schema.field("v").type == kind


def test_windows_take_counts_up_to_the_largest_of_a_plan(engine: Engine) -> None:
    table = pa.table({"g": ["a", "a"], "v": [1, 3]})
    most = 2**64 - 1
    ends = FrameBound("Preceding", most), FrameBound("Following", most)
    exprs = (
        window("Ntile", offset=most),
        window("NthValue", Column("v"), offset=most),
        window("Sum", Column("v"), frame=WindowFrame("Rows", *ends, "NoOthers")),
    )
    result = run_over(engine, Window(exprs, leaf()), table).sort_by("v")
    assert result.select(["Ntile", "NthValue", "Sum"]).to_pydict() == {
        "Ntile": [2, 1],
        "NthValue": [None, None],
        "Sum": [4, 4],
    }


@pytest.mark.parametrize(
    "node",
    [
        ParquetWrite("t", leaf()),
        VectorTopK("t", (1.0,), 3, None),
        VectorKnn("t", ((1.0,),), 3, None, None, "L2", "exact"),
    ],
    ids=lambda node: type(node).__name__,
)
def test_nodes_that_the_engine_has_not_are_named(engine: Engine, node: Node) -> None:
    with pytest.raises(UnsupportedPlan) as caught:
        run_over(engine, Limit(1, node), ROWS)
    assert f"does not run {type(node).__name__} nodes" in caught.value.message
    # Vector search comes here only where the coordinator had no catalog to find its table in.
    assert ("catalog has the table" in caught.value.message) is not isinstance(node, ParquetWrite)


def test_a_leaf_without_input(engine: Engine) -> None:
    with pytest.raises(PlanningError, match="ShuffleRead 0 of the stage was given no input"):
        run_fragment(engine, FragmentSpec(leaf()))


def test_what_a_run_tells(engine: Engine) -> None:
    class Sink:
        rows = 0

        def write(self, batch: pa.RecordBatch) -> None:
            self.rows += batch.num_rows

    sink = Sink()
    spec = FragmentSpec(Project(((ColumnRef("a", 0), "x"),), leaf()), shuffles={0: ROWS.to_reader})
    stats = engine.run(spec, lambda schema: sink, CancelToken())
    assert (stats.rows, sink.rows) == (4, 4)
    assert stats.bytes >= 32
    assert stats.batches == math.ceil(4 / 65536)


def test_settings_bound_the_engine() -> None:
    limited = Engine(EngineSettings(threads=1, memory_limit="200MB"))
    assert run_over(limited, leaf(), ROWS).num_rows == 4
    limited.close()
    with pytest.raises(StartupError, match="DuckDB cannot start"):
        Engine(EngineSettings(memory_limit="a lot"))
