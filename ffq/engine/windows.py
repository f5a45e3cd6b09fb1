"""Window functions as SQL."""

from __future__ import annotations

from typing import Final

from ffq.engine.expressions import ExpressionWriter
from ffq.engine.sql import row_bound
from ffq.engine.types import is_integer, one_zero
from ffq.errors import UnsupportedPlan
from ffq.plan.model import Expr, FrameBound, WindowExpr, WindowFrame, WindowFunction

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
            f"{writer.sql(key.expr)} {'ASC' if key.asc else 'DESC'} "
            f"NULLS {'FIRST' if key.nulls_first else 'LAST'}"
            for key in window.order_by
        )
        parts.append("ORDER BY " + ", ".join(keys))
    if window.frame is not None:
        parts.append(_frame(window.frame))
    sql = f"{_call(window.function, writer)} OVER ({' '.join(parts)})"
    return one_zero(sql, writer.type_of(sql)) if window.function.name in {"Min", "Max"} else sql


def _call(function: WindowFunction, writer: ExpressionWriter) -> str:
    name = function.name
    if name in _RANKS:
        return f"{_RANKS[name]}()"
    if name == "Ntile" and function.offset is not None:
        return f"ntile({row_bound(function.offset)})"
    if function.argument is not None:
        value = writer.sql(function.argument)
        if name in _OF_ONE:
            return f"{_OF_ONE[name]}({value})"
        if name == "NthValue" and function.offset is not None:
            return f"nth_value({value}, {row_bound(function.offset)})"
        if name in {"Lag", "Lead"}:
            offset = 1 if function.offset is None else function.offset
            default = "NULL"
            if function.default is not None:
                value, default = _alike(name, function.argument, function.default, writer)
            return f"{name.lower()}({value}, {offset}, {default})"
    raise UnsupportedPlan(f"Window: this engine has no window function {name}")


def _alike(name: str, value: Expr, default: Expr, writer: ExpressionWriter) -> list[str]:
    """A value and its default: DuckDB would round a default to the value's type.

    Of integers it keeps the type, and refuses a default that this cannot hold.
    """
    both = [writer.sql(value), writer.sql(default)]
    if all(is_integer(writer.type_of(sql)) for sql in both):
        return both
    return writer.made_one(name, [value, default], lambda sqls: f"coalesce({', '.join(sqls)})")


def _frame(frame: WindowFrame) -> str:
    return (
        f"{frame.units.upper()} BETWEEN {_bound(frame.start)} AND {_bound(frame.end)}"
        f"{_EXCLUSIONS[frame.exclusion]}"
    )


def _bound(bound: FrameBound) -> str:
    if bound.kind in _BOUNDS:
        return _BOUNDS[bound.kind]
    return f"{row_bound(bound.offset or 0)} {bound.kind.upper()}"
