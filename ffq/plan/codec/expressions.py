"""Expressions, aggregates and window functions: each shape once, for reading and writing."""

from __future__ import annotations

from typing import Any, Final

from ffq.plan import terms
from ffq.plan.codec.bound import BOUND
from ffq.plan.codec.cursor import Budget, Cursor, Json
from ffq.plan.codec.shapes import (
    BOOLEAN,
    FLOAT32,
    FLOAT64,
    MAX_I64,
    MAX_U64,
    NAME,
    STRING,
    Codec,
    Key,
    choice,
    convert,
    enumeration,
    integer,
    listing,
    optional,
    pair,
    read_variant,
    record,
    unit,
    variants_of,
    write_variant,
)
from ffq.plan.codec.types import DATA_TYPE
from ffq.plan.terms import (
    OWN_EXPRESSIONS,
    AggregateExpr,
    AggregateFunction,
    BinaryOperator,
    ColumnName,
    Expr,
    FrameBound,
    Literal,
    LiteralType,
    SortKey,
    VectorDistance,
    WindowExpr,
    WindowFrame,
    WindowFunction,
)

INT64 = integer(-MAX_I64 - 1, MAX_I64)
COUNT = integer(0, MAX_U64)
POSITIVE = integer(1, MAX_U64)
OWN_PREFIX = "ffq."
"""Words of the vocabulary that other implementations do not know."""
BINARY_OPERATOR = enumeration(BinaryOperator, "operator")


def _read_expr(cursor: Cursor) -> Expr:
    cursor.budget.spend()
    expr: Expr = read_variant("expression", _EXPRESSIONS, cursor)[1]
    return expr


def _write_expr(expr: Expr, budget: Budget) -> Json:
    with budget.nested():
        name = _wire_name(expr)
        return write_variant(name, _EXPRESSIONS[name], expr, budget)


def _wire_name(expr: Expr) -> str:
    if isinstance(expr, VectorDistance):
        return expr.function
    name = type(expr).__name__
    return f"{OWN_PREFIX}{name}" if isinstance(expr, OWN_EXPRESSIONS) else name


EXPR: Codec[Expr] = Codec(_read_expr, _write_expr)

_LITERALS: dict[str, Codec[Any]] = {
    LiteralType.INT64.value: INT64,
    LiteralType.FLOAT64.value: FLOAT64,
    LiteralType.UTF8.value: STRING,
    LiteralType.BOOLEAN.value: BOOLEAN,
    LiteralType.NULL.value: unit(None),
    LiteralType.VECTOR_F32.value: listing(FLOAT32),
}


def _read_literal(cursor: Cursor) -> Literal:
    name, value = read_variant("literal", _LITERALS, cursor)
    return Literal(LiteralType(name), value)


def _write_literal(literal: Literal, budget: Budget) -> Json:
    name = literal.type.value
    return write_variant(name, _LITERALS[name], literal.value, budget)


def _both(kind: type[terms.And] | type[terms.Or]) -> Codec[Any]:
    return convert(
        pair(EXPR, EXPR, "expression, expression"),
        lambda sides: kind(*sides),
        lambda value: (value.left, value.right),
    )


def _distance(function: str) -> Codec[VectorDistance]:
    return record(
        lambda vector, query: VectorDistance(function, vector, query),
        Key("vector", EXPR),
        Key("query", EXPR),
    )


def _of_one(kind: type[terms.Not] | type[terms.IsNull] | type[terms.IsNotNull]) -> Codec[Any]:
    return convert(EXPR, kind, lambda value: value.expr)


_COLUMN_PATH: Final = f"{OWN_PREFIX}ColumnPath"
_BOUND_TREE: Final = f"{OWN_PREFIX}Bound"
_PATH: Codec[terms.ColumnPath] = convert(STRING, terms.ColumnPath, lambda column: column.name)


def _read_column_name(cursor: Cursor) -> ColumnName:
    if isinstance(cursor.value, str):
        return cursor.string()
    cursor.budget.spend()  # as an expression, which it is written as
    return read_variant("column name", {_COLUMN_PATH: _PATH}, cursor)[1]


def _write_column_name(name: ColumnName, budget: Budget) -> Json:
    return name if isinstance(name, str) else EXPR.write(name, budget)


COLUMN_NAME: Codec[ColumnName] = Codec(_read_column_name, _write_column_name)

_EXPRESSIONS: dict[str, Codec[Any]] = {
    "Column": convert(STRING, terms.Column, lambda column: column.name),
    _COLUMN_PATH: _PATH,
    "ColumnRef": record(terms.ColumnRef, Key("name", STRING), Key("index", COUNT)),
    "Literal": Codec(_read_literal, _write_literal),
    _BOUND_TREE: convert(BOUND, terms.Bound, lambda value: value.tree),
    "BinaryOp": record(
        terms.BinaryOp, Key("left", EXPR), Key("op", BINARY_OPERATOR), Key("right", EXPR)
    ),
    "Cast": record(terms.Cast, Key("expr", EXPR), Key("to_type", DATA_TYPE)),
    "And": _both(terms.And),
    "Or": _both(terms.Or),
    "Not": _of_one(terms.Not),
    "IsNull": _of_one(terms.IsNull),
    "IsNotNull": _of_one(terms.IsNotNull),
    "CaseWhen": record(
        terms.CaseWhen,
        Key("branches", listing(pair(EXPR, EXPR, "when, then"))),
        Key("else_expr", optional(EXPR), default=None),
    ),
    "ScalarUdf": record(terms.ScalarUdf, Key("name", NAME), Key("args", listing(EXPR))),
    **{
        function: _distance(function)
        for function in ("CosineSimilarity", "L2Distance", "DotProduct")
    },
}


def _aggregate(function: AggregateFunction) -> Codec[AggregateExpr]:
    return convert(
        EXPR,
        lambda argument: AggregateExpr(function, argument),
        lambda aggregate: aggregate.argument,
    )


AGGREGATE: Codec[AggregateExpr] = variants_of(
    "aggregate",
    {function.value: _aggregate(function) for function in AggregateFunction},
    lambda aggregate: aggregate.function.value,
)


def _window_function(name: str, *keys: Key) -> Codec[WindowFunction]:
    return record(lambda **values: WindowFunction(name, **values), *keys)


def _of_argument(name: str) -> Codec[Any]:
    def take(function: WindowFunction) -> Any:
        return function.argument

    return convert(EXPR, lambda argument: WindowFunction(name, argument=argument), take)


_ARGUMENT = Key("expr", EXPR, attribute="argument")
_SHIFT = (_ARGUMENT, Key("offset", INT64), Key("default", optional(EXPR), default=None))

_WINDOW_FUNCTIONS: dict[str, Codec[Any]] = {
    **{
        name: unit(WindowFunction(name))
        for name in ("RowNumber", "Rank", "DenseRank", "PercentRank", "CumeDist")
    },
    "Ntile": convert(
        POSITIVE, lambda n: WindowFunction("Ntile", offset=n), lambda function: function.offset
    ),
    **{
        name: _of_argument(name)
        for name in ("Count", "Sum", "Avg", "Min", "Max", "FirstValue", "LastValue")
    },
    "Lag": _window_function("Lag", *_SHIFT),
    "Lead": _window_function("Lead", *_SHIFT),
    "NthValue": _window_function("NthValue", _ARGUMENT, Key("n", POSITIVE, attribute="offset")),
}


def _bound_with_offset(kind: str) -> Codec[FrameBound]:
    return convert(COUNT, lambda offset: FrameBound(kind, offset), lambda bound: bound.offset or 0)


_BOUND: Codec[FrameBound] = variants_of(
    "frame bound",
    {
        "UnboundedPreceding": unit(FrameBound("UnboundedPreceding")),
        "Preceding": _bound_with_offset("Preceding"),
        "CurrentRow": unit(FrameBound("CurrentRow")),
        "Following": _bound_with_offset("Following"),
        "UnboundedFollowing": unit(FrameBound("UnboundedFollowing")),
    },
    lambda bound: bound.kind,
)

_FRAME: Codec[WindowFrame] = record(
    WindowFrame,
    Key("units", choice("frame units", "Rows", "Range", "Groups")),
    Key("start_bound", _BOUND, attribute="start"),
    Key("end_bound", _BOUND, attribute="end"),
    Key("exclusion", choice("frame exclusion", "NoOthers", "CurrentRow", "Group", "Ties")),
)

_SORT_KEY: Codec[SortKey] = record(
    SortKey, Key("expr", EXPR), Key("asc", BOOLEAN), Key("nulls_first", BOOLEAN)
)

WINDOW: Codec[WindowExpr] = record(
    WindowExpr,
    Key(
        "func",
        variants_of("window function", _WINDOW_FUNCTIONS, lambda function: function.name),
        attribute="function",
    ),
    Key("partition_by", listing(EXPR)),
    Key("order_by", listing(_SORT_KEY)),
    Key("frame", optional(_FRAME), default=None),
    Key("output_name", STRING),
)
