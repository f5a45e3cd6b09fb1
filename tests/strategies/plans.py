"""Hypothesis strategies for physical plans.

`plans()` draws any plan that the JSON can carry: every node, expression, type and window function,
sensible or not: for codecs. `stage_plans()` draws plans whose exchanges pair up: for stage cutting
and scheduling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from ffq.plan import model, terms
from ffq.plan.model import Node
from ffq.plan.terms import Expr

_I64 = st.integers(-(2**63), 2**63 - 1)
_COUNT = st.integers(0, 2**64 - 1)
_POSITIVE = st.integers(1, 2**64 - 1)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_COLUMN_NAME = st.sampled_from(["a", "b", "t.a", "k", "K", "ü", "a b", '"'])
_TABLE_NAME = st.sampled_from(["t", "lineitem", "no such"])
_FLOAT = st.floats(allow_nan=False, allow_infinity=False)
_FLOAT32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
_VECTOR = st.lists(_FLOAT32, max_size=3).map(tuple)


def _tuples(items: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=most).map(tuple)


# --- types -----------------------------------------------------------------------------------

_TIME_UNIT = st.sampled_from(["Second", "Millisecond", "Microsecond", "Nanosecond"])
_SIZE = st.integers(0, 2**31 - 1)
_PLAIN_TYPES = st.sampled_from(
    [
        *("Null", "Boolean", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32"),
        *("UInt64", "Float16", "Float32", "Float64", "Date32", "Date64", "Binary", "LargeBinary"),
        *("BinaryView", "Utf8", "LargeUtf8", "Utf8View"),
    ]
).map(terms.DataType)


@st.composite
def _decimals(draw: st.DrawFn) -> terms.DataType:
    name, most = draw(
        st.sampled_from(
            [("Decimal32", 9), ("Decimal64", 18), ("Decimal128", 38), ("Decimal256", 76)]
        )
    )
    precision = draw(st.integers(1, most))
    return terms.DataType(name, (precision, draw(st.integers(-most, precision))))


def _typed(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[terms.DataType]:
    return st.tuples(*arguments).map(lambda values: terms.DataType(name, values))


def _nested_types(inner: st.SearchStrategy[terms.DataType]) -> st.SearchStrategy[terms.DataType]:
    field = st.builds(terms.Field, _TEXT, inner, st.booleans())
    return st.one_of(
        *(_typed(name, field) for name in ("List", "ListView", "LargeList", "LargeListView")),
        _typed("FixedSizeList", field, _SIZE),
        _typed("Struct", _tuples(field)),
        _typed(
            "Union",
            _tuples(st.tuples(st.integers(-128, 127), field)),
            st.sampled_from(["Sparse", "Dense"]),
        ),
        _typed("Dictionary", inner, inner),
        _typed("Map", field, st.booleans()),
        _typed("RunEndEncoded", field, field),
    )


def data_types() -> st.SearchStrategy[terms.DataType]:
    """Every Arrow type that a plan can name, nested a little."""
    flat = st.one_of(
        _PLAIN_TYPES,
        _decimals(),
        _typed("Timestamp", _TIME_UNIT, st.none() | st.sampled_from(["UTC", "+02:00"])),
        *(_typed(name, _TIME_UNIT) for name in ("Time32", "Time64", "Duration")),
        _typed("Interval", st.sampled_from(["YearMonth", "DayTime", "MonthDayNano"])),
        _typed("FixedSizeBinary", _SIZE),
    )
    return st.recursive(flat, _nested_types, max_leaves=4)


_SCHEMAS = st.builds(
    terms.Schema, _tuples(st.builds(terms.Field, _TEXT, data_types(), st.booleans()))
)

# --- expressions -----------------------------------------------------------------------------

_LITERALS = st.one_of(
    st.tuples(st.just(terms.LiteralType.INT64), _I64),
    st.tuples(st.just(terms.LiteralType.FLOAT64), _FLOAT),
    st.tuples(st.just(terms.LiteralType.UTF8), _TEXT),
    st.tuples(st.just(terms.LiteralType.BOOLEAN), st.booleans()),
    st.just((terms.LiteralType.NULL, None)),
    st.tuples(st.just(terms.LiteralType.VECTOR_F32), _VECTOR),
).map(lambda pair: terms.Literal(*pair))

_BINARY_OPERATORS = st.sampled_from(terms.BinaryOperator)


def _nested_expressions(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.builds(terms.BinaryOp, inner, _BINARY_OPERATORS, inner),
        st.builds(terms.Cast, inner, data_types()),
        st.builds(terms.And, inner, inner),
        st.builds(terms.Or, inner, inner),
        st.builds(terms.Not, inner),
        st.builds(terms.IsNull, inner),
        st.builds(terms.IsNotNull, inner),
        st.builds(terms.CaseWhen, _tuples(st.tuples(inner, inner)), st.none() | inner),
        st.builds(terms.ScalarUdf, st.sampled_from(["abs", "lower"]), _tuples(inner)),
        st.builds(
            terms.VectorDistance,
            st.sampled_from(["CosineSimilarity", "L2Distance", "DotProduct"]),
            inner,
            inner,
        ),
    )


def expressions() -> st.SearchStrategy[Expr]:
    """Every expression, whether it makes sense or not."""
    leaves: st.SearchStrategy[Expr] = st.one_of(
        st.builds(terms.Column, _COLUMN_NAME),
        st.builds(terms.ColumnRef, _COLUMN_NAME, _COUNT),
        _LITERALS,
    )
    return st.recursive(leaves, _nested_expressions, max_leaves=5)


_AGGREGATES = _tuples(
    st.tuples(
        st.builds(terms.AggregateExpr, st.sampled_from(terms.AggregateFunction), expressions()),
        _TEXT,
    )
)


def _window_functions() -> st.SearchStrategy[terms.WindowFunction]:
    make = terms.WindowFunction
    expr = expressions()
    plain = st.sampled_from(["RowNumber", "Rank", "DenseRank", "PercentRank", "CumeDist"])
    of_one = st.sampled_from(["Count", "Sum", "Avg", "Min", "Max", "FirstValue", "LastValue"])
    return st.one_of(
        st.builds(make, plain),
        st.builds(make, st.just("Ntile"), offset=_POSITIVE),
        st.builds(make, of_one, argument=expr),
        st.builds(make, st.just("NthValue"), argument=expr, offset=_POSITIVE),
        st.builds(
            make,
            st.sampled_from(["Lag", "Lead"]),
            argument=expr,
            offset=_I64,
            default=st.none() | expr,
        ),
    )


_FRAME_BOUNDS = st.one_of(
    st.builds(
        terms.FrameBound,
        st.sampled_from(["UnboundedPreceding", "CurrentRow", "UnboundedFollowing"]),
    ),
    st.builds(terms.FrameBound, st.sampled_from(["Preceding", "Following"]), _COUNT),
)
_FRAMES = st.builds(
    terms.WindowFrame,
    st.sampled_from(["Rows", "Range", "Groups"]),
    _FRAME_BOUNDS,
    _FRAME_BOUNDS,
    st.sampled_from(["NoOthers", "CurrentRow", "Group", "Ties"]),
)
_WINDOWS = st.builds(
    terms.WindowExpr,
    _window_functions(),
    _tuples(expressions()),
    _tuples(st.builds(terms.SortKey, expressions(), st.booleans(), st.booleans())),
    st.none() | _FRAMES,
    _TEXT,
)

# --- nodes -----------------------------------------------------------------------------------

_CONFIG = st.dictionaries(_TEXT, _TEXT, max_size=2).map(
    lambda config: tuple(sorted(config.items()))
)
_WHOLE_COLUMN = _COLUMN_NAME | st.builds(terms.ColumnPath, _COLUMN_NAME)
_KEYS = _tuples(_WHOLE_COLUMN, most=2)
_PARTITIONINGS: st.SearchStrategy[model.Partitioning] = st.one_of(
    st.builds(model.HashPartitioning, _KEYS, st.integers(1, 9)),
    st.builds(model.SinglePartitioning),
)
_SCANS = st.builds(
    model.ParquetScan,
    _TABLE_NAME,
    st.none() | _SCHEMAS,
    st.none() | _tuples(_WHOLE_COLUMN),
    _tuples(expressions()),
)
_OPERATORS = st.sampled_from(["op.a", "op.b"])


def _joins(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(
        model.HashJoin,
        inner,
        inner,
        _tuples(st.tuples(_WHOLE_COLUMN, _WHOLE_COLUMN)),
        st.sampled_from(terms.JoinType),
        st.sampled_from(terms.JoinStrategy),
        st.sampled_from(terms.BuildSide),
    )


def _nested_rows(inner: st.SearchStrategy[Node]) -> list[st.SearchStrategy[Node]]:
    """Nodes over `inner` that may stand in any stage."""
    expr = expressions()
    aggregates: list[Callable[..., Node]] = [model.PartialHashAggregate, model.FinalHashAggregate]
    return [
        st.builds(model.ParquetWrite, _TABLE_NAME, inner),
        st.builds(model.Filter, expr, inner),
        st.builds(model.InSubqueryFilter, inner, expr, inner, st.booleans()),
        st.builds(model.ExistsSubqueryFilter, inner, inner, st.booleans()),
        st.builds(model.ScalarSubqueryFilter, inner, expr, _BINARY_OPERATORS, inner),
        st.builds(model.Project, _tuples(st.tuples(expr, _TEXT)), inner),
        st.builds(model.Window, _tuples(_WINDOWS, most=1), inner),
        st.builds(model.CoalesceBatches, _COUNT, inner),
        *(st.builds(make, _tuples(expr, most=2), _AGGREGATES, inner) for make in aggregates),
        _joins(inner),
        st.builds(model.Broadcast, inner),
        st.builds(model.Limit, _COUNT, inner),
        st.builds(model.TopKByScore, expr, _COUNT, inner),
        st.builds(model.UnionAll, inner, inner),
        st.builds(model.CteRef, _TEXT, inner),
        st.builds(model.Custom, _OPERATORS, _CONFIG, inner),
    ]


def _leaf_nodes() -> st.SearchStrategy[Node]:
    return st.one_of(
        _SCANS,
        st.builds(model.VectorTopK, _TABLE_NAME, _VECTOR, _COUNT, st.none() | _TEXT),
        st.builds(
            model.VectorKnn,
            _TABLE_NAME,
            _tuples(_VECTOR, most=2),
            _COUNT,
            st.none() | _COUNT,
            st.none() | _TEXT,
            st.none() | _TEXT,
            st.none() | _TEXT,
        ),
    )


def plans() -> st.SearchStrategy[Node]:
    """Any plan that the JSON can carry, sensible or not."""

    def nested(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        return st.one_of(
            *_nested_rows(inner),
            st.builds(model.ShuffleWrite, inner, _PARTITIONINGS),
            st.builds(model.ShuffleRead, inner, _PARTITIONINGS),
        )

    return st.recursive(_leaf_nodes(), nested, max_leaves=5)


def _exchanges(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    def pair(node: Node, partitioning: model.Partitioning) -> Node:
        return model.ShuffleRead(model.ShuffleWrite(node, partitioning), partitioning)

    return st.builds(pair, inner, _PARTITIONINGS)


def stage_plans(max_leaves: int = 8) -> st.SearchStrategy[Node]:
    """Plans that can be cut: every ShuffleRead over a ShuffleWrite of its own partitioning."""

    def nested(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        # Several times, so that about half of all nodes are exchanges and plans have stages.
        return st.one_of(_exchanges(inner), _exchanges(inner), st.one_of(*_nested_rows(inner)))

    return st.recursive(_leaf_nodes(), nested, max_leaves=max_leaves)
