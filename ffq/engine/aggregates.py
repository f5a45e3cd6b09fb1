"""Aggregates in two phases. A partial state is one column; its type says what it holds:

    Count                               BIGINT
    Sum of integers                     STRUCT(whole DECIMAL(38,0)): exact; the final one is BIGINT
    Sum of decimals, of floats          DECIMAL(38,s), DOUBLE
    Min, Max                            the argument's type
    Avg                                 STRUCT(total DECIMAL(38,s) or DOUBLE, count BIGINT)
    CountDistinct, ApproxCountDistinct  LIST of the distinct values that are not null (both exact)

Changing a layout changes `ffq.engine.ENGINE_FAMILY` (R31).
"""

from __future__ import annotations

from ffq.engine import types
from ffq.engine.expressions import ExpressionWriter
from ffq.errors import PlanningError
from ffq.plan.model import AggregateExpr, AggregateFunction


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
    match aggregate.function:
        case AggregateFunction.COUNT:
            return f"CAST(coalesce(sum({state}), 0) AS BIGINT)"
        case AggregateFunction.SUM:
            if kind.startswith("STRUCT("):
                return f"CAST(sum({state}.whole) AS BIGINT)"
            return f"sum({state})"
        case AggregateFunction.AVG:
            count = f"nullif(sum({state}.count), 0)"
            return f"(CAST(sum({state}.total) AS DOUBLE) / CAST({count} AS DOUBLE))"
        case AggregateFunction.MIN:
            return f"min({state})"
        case AggregateFunction.MAX:
            return f"max({state})"
        case AggregateFunction.COUNT_DISTINCT | AggregateFunction.APPROX_COUNT_DISTINCT:
            return f"CAST(coalesce(len(list_distinct(flatten(list({state})))), 0) AS BIGINT)"


def _total(value: str, aggregate: AggregateExpr, writer: ExpressionWriter) -> str:
    kind = writer.type_of(value)
    if types.is_integer(kind):
        return f"CAST(sum({value}) AS DECIMAL(38,0))"
    if types.is_float(kind) or types.decimal_parts(kind):
        return f"sum({value})"
    # What is computed on decimals may be all null: it is a number still.
    if kind == '"NULL"':
        return f"sum(CAST({value} AS DOUBLE))"
    raise PlanningError(f"{writer.node}: {aggregate.function.value} takes a number, not a {kind}")
