"""Filters by a subquery that does not refer to the outer rows, as SQL conditions."""

from __future__ import annotations

from ffq.engine.expressions import COMPARISONS, ExpressionWriter
from ffq.engine.sql import Relation
from ffq.errors import PlanningError
from ffq.plan import model
from ffq.plan.walk import node_name


def subquery_condition(
    node: model.InSubqueryFilter | model.ExistsSubqueryFilter | model.ScalarSubqueryFilter,
    writer: ExpressionWriter,
    subquery: Relation,
) -> str:
    """The condition that keeps a row, with SQL's three-valued logic.

    A scalar subquery over no row is null; over several rows it is an error when it runs.

    Raises:
        PlanningError: a subquery that must have one column and has not, or an operator that does
            not compare.
    """
    if isinstance(node, model.ExistsSubqueryFilter):
        return f"{'NOT ' * node.negated}EXISTS (SELECT 1 FROM {subquery.name})"
    if len(subquery.columns) != 1:
        raise PlanningError(
            f"{node_name(node)}: its subquery has {len(subquery.columns)} columns; "
            f"right would be one"
        )
    value = writer.sql(node.expr)
    kinds = writer.type_of(value), subquery.columns[0].type
    value, column = writer.comparable((value, kinds[0]), ("c0", kinds[1]))
    rows = f"(SELECT {column} FROM {subquery.name})"
    if isinstance(node, model.InSubqueryFilter):
        return f"({value} {'NOT ' * node.negated}IN {rows})"
    sign = COMPARISONS.get(node.op)
    if sign is None:
        raise PlanningError(f"ScalarSubqueryFilter: {node.op.value} is no comparison")
    return f"({value} {sign} {rows})"
