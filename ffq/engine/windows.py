"""Window functions as SQL."""

from __future__ import annotations

from typing import Final

from ffq.engine.aggregates import check_number
from ffq.engine.alike import COMPARABLE_CLASSES, fits, hash_class
from ffq.engine.expressions import ExpressionWriter
from ffq.engine.sql import referenced_columns, row_bound
from ffq.engine.types import is_integer, one_zero
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.plan.terms import (
    BinaryOperator,
    Expr,
    FrameBound,
    Literal,
    WindowExpr,
    WindowFrame,
    WindowFunction,
)

_RANKS: Final = {
    "RowNumber": "row_number",
    "Rank": "rank",
    "DenseRank": "dense_rank",
    "PercentRank": "percent_rank",
    "CumeDist": "cume_dist",
}
_OF_ONE: Final = {
    "Count": "count",
    "Sum": "sum",
    "Avg": "avg",
    "Min": "min",
    "Max": "max",
    "FirstValue": "first_value",
    "LastValue": "last_value",
}
_BOUNDS: Final = {
    "UnboundedPreceding": "UNBOUNDED PRECEDING",
    "CurrentRow": "CURRENT ROW",
    "UnboundedFollowing": "UNBOUNDED FOLLOWING",
}
_EXCLUSIONS: Final = {
    "NoOthers": "",
    "CurrentRow": " EXCLUDE CURRENT ROW",
    "Group": " EXCLUDE GROUP",
    "Ties": " EXCLUDE TIES",
}


def window_sql(window: WindowExpr, writer: ExpressionWriter) -> str:
    """`function OVER (...)`. Raises PlanningError, UnsupportedPlan."""
    parts = []
    if window.partition_by:
        parts.append("PARTITION BY " + ", ".join(map(writer.sql, window.partition_by)))
    if window.order_by:
        keys = (
            f"{_key(writer, key.expr, window.frame)} {'ASC' if key.asc else 'DESC'} "
            f"NULLS {'FIRST' if key.nulls_first else 'LAST'}"
            for key in window.order_by
        )
        parts.append("ORDER BY " + ", ".join(keys))
    if window.frame is not None:
        parts.append(_frame(window.frame))
    sql = f"{_call(window.function, writer)} OVER ({' '.join(parts)})"
    return one_zero(sql, writer.type_of(sql)) if window.function.name in {"Min", "Max"} else sql


def _key(writer: ExpressionWriter, expr: Expr, frame: WindowFrame | None) -> str:
    """What rows are ordered by. A range reaches beyond the values that the type has."""
    sql = writer.sql(expr)
    wide = frame is not None and frame.units == "Range" and is_integer(writer.type_of(sql))
    return f"CAST({sql} AS HUGEINT)" if wide else sql


def _call(function: WindowFunction, writer: ExpressionWriter) -> str:
    name = function.name
    if name in _RANKS:
        return f"{_RANKS[name]}()"
    if name == "Ntile" and function.offset is not None:
        return f"ntile({row_bound(function.offset)})"
    if function.argument is not None:
        value = writer.sql(function.argument)
        if name in {"Sum", "Avg"}:
            check_number(name, writer.type_of(value), writer.node)
        if name in _OF_ONE:
            return f"{_OF_ONE[name]}({value})"
        if name == "NthValue" and function.offset is not None:
            return f"nth_value({value}, {row_bound(function.offset)})"
        if name in {"Lag", "Lead"}:
            offset = 1 if function.offset is None else function.offset
            default = _default(function, function.argument, writer)
            return f"{name.lower()}({value}, {offset}, {default})"
    raise UnsupportedPlan(f"Window: this engine has no window function {name}")


def _default(function: WindowFunction, argument: Expr, writer: ExpressionWriter) -> str:
    """What Lag or Lead gives where there is no row: DuckDB would round it to the column's type."""
    if function.default is None:
        return "NULL"
    default = writer.sql(function.default)
    kind, given = writer.type_of(writer.sql(argument)), writer.type_of(default)
    if given == "VARCHAR" != kind:
        if isinstance(function.default, Literal) and hash_class(kind) == "date or timestamp":
            # It means what it would mean in a comparison, which checks it.
            writer.binary(argument, BinaryOperator.EQ, function.default)
            return default
    elif fits(given, kind) or _is_constant_of(kind, function.default, default, writer):
        return default
    raise PlanningError(
        f"{writer.node}: a {kind} cannot hold all of the default of {function.name}, a {given}; "
        f"right would be a cast of one of them"
    )


def _is_constant_of(kind: str, expr: Expr, sql: str, writer: ExpressionWriter) -> bool:
    classes = {hash_class(kind), hash_class(writer.type_of(sql))}
    if any(referenced_columns(expr)) or (len(classes) > 1 and classes not in COMPARABLE_CLASSES):
        return False
    same = f"CAST({sql} AS {kind}) IS NOT DISTINCT FROM {sql}"
    return writer.oracle.can_be(f"CASE WHEN {same} THEN 0 ELSE error('') END", "INTEGER")


def _frame(frame: WindowFrame) -> str:
    return (
        f"{frame.units.upper()} BETWEEN {_bound(frame, frame.start)} AND {_bound(frame, frame.end)}"
        f"{_EXCLUSIONS[frame.exclusion]}"
    )


def _bound(frame: WindowFrame, bound: FrameBound) -> str:
    if bound.kind in _BOUNDS:
        return _BOUNDS[bound.kind]
    offset = bound.offset or 0
    # Of rows there are fewer than the largest number; a range is a distance between values.
    far = offset if frame.units == "Range" else row_bound(offset)
    return f"{far} {bound.kind.upper()}"
