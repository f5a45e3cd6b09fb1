"""Aggregates in two phases. A partial state is one column; its type says what it holds:

    Count                               BIGINT
    Sum of integers                     STRUCT(whole DECIMAL(38,0)): exact; the final one is BIGINT
    Sum of decimals                     DECIMAL(38,s); of more than 26 digits, STRUCT(high
                                        DECIMAL(38,h), low DECIMAL(38,s)), see `ffq.engine.decimals`
    Sum of floats                       DOUBLE
    Min, Max                            the argument's type
    Avg                                 STRUCT(total, count BIGINT); total as of Sum, of integers
                                        DECIMAL(38,0)
    CountDistinct, ApproxCountDistinct  LIST of the distinct values that are not null (both exact)

Changing a layout changes `ffq.engine.ENGINE_FAMILY` (R31).
"""

from __future__ import annotations

from typing import Final

from ffq.engine import types
from ffq.engine.decimals import is_wide, wide_double, wide_scale, wide_sum, wide_total
from ffq.engine.expressions import ExpressionWriter
from ffq.engine.sql import referenced_columns, text
from ffq.errors import PlanningError
from ffq.plan.terms import AggregateExpr, AggregateFunction

_INT64: Final = f"{-(2**63)} AND {2**63 - 1}"


def partial_sql(aggregate: AggregateExpr, writer: ExpressionWriter) -> str:
    """The partial state over rows. Raises PlanningError, UnsupportedPlan."""
    value = writer.sql(aggregate.argument)
    match aggregate.function:
        case AggregateFunction.COUNT:
            return f"count({value})"
        case AggregateFunction.SUM:
            total = _total(value, aggregate, writer)
            whole = types.is_integer(writer.type_of(value))
            return f"struct_pack(whole := {total})" if whole else total
        case AggregateFunction.AVG:
            total = _total(value, aggregate, writer)
            return f"struct_pack(total := {total}, count := count({value}))"
        case AggregateFunction.MIN | AggregateFunction.MAX:
            extreme = f"{aggregate.function.name.lower()}({value})"
            return types.one_zero(extreme, writer.type_of(value))
        case AggregateFunction.COUNT_DISTINCT | AggregateFunction.APPROX_COUNT_DISTINCT:
            return f"list(DISTINCT {value}) FILTER ({value} IS NOT NULL)"


def final_sql(aggregate: AggregateExpr, state: str, kind: str) -> str:  # noqa: PLR0911
    """The result from partial states.

    Args:
        aggregate: what is computed.
        state: the SQL of the state column.
        kind: its type.
    """
    scale = wide_scale(kind)
    match aggregate.function:
        case AggregateFunction.COUNT:
            return f"CAST(coalesce(sum({state}), 0) AS BIGINT)"
        case AggregateFunction.SUM:
            if scale is not None:
                overflow = _overflow(aggregate, "has more than 38 digits; right would be a Float64")
                return wide_total(state, scale, overflow)
            if kind.startswith("STRUCT("):
                total = f"sum({state}.whole)"
                overflow = _overflow(aggregate, "does not fit in 64 bits; right would be a decimal")
                fits = f"CAST({total} AS BIGINT)"
                return f"CASE WHEN {total} NOT BETWEEN {_INT64} THEN {overflow} ELSE {fits} END"
            return f"sum({state})"
        case AggregateFunction.AVG:
            count = f"CAST(nullif(sum({state}.count), 0) AS DOUBLE)"
            if scale is not None:
                return f"({wide_double(f'{state}.total', scale)} / {count})"
            return f"(CAST(sum({state}.total) AS DOUBLE) / {count})"
        case AggregateFunction.MIN:
            return f"min({state})"
        case AggregateFunction.MAX:
            return f"max({state})"
        case AggregateFunction.COUNT_DISTINCT | AggregateFunction.APPROX_COUNT_DISTINCT:
            return f"CAST(coalesce(len(list_distinct(flatten(list({state})))), 0) AS BIGINT)"


def _overflow(aggregate: AggregateExpr, why: str) -> str:
    names = ", ".join(repr(column.name) for column in referenced_columns(aggregate.argument))
    return f"error({text(f'{aggregate.function.value} of {names} {why}: cast it before')})"


def _total(value: str, aggregate: AggregateExpr, writer: ExpressionWriter) -> str:
    kind = writer.type_of(value)
    check_number(aggregate.function.value, kind, writer.node)
    if types.is_integer(kind):
        return f"CAST(sum({value}) AS DECIMAL(38,0))"
    decimal = types.decimal_parts(kind)
    if decimal and is_wide(kind):
        return wide_sum(value, decimal[1])
    if types.is_float(kind) or decimal:
        return f"sum({value})"
    return f"sum(CAST({value} AS DOUBLE))"


def check_number(function: str, kind: str, node: str) -> None:
    """Raises PlanningError: a type that has no sum; names the function.

    What is computed on decimals may be all null: it is a number still.
    """
    number = types.is_integer(kind) or types.is_float(kind) or types.decimal_parts(kind)
    if not number and kind != '"NULL"':
        raise PlanningError(f"{node}: {function} takes a number, not a {kind}")
