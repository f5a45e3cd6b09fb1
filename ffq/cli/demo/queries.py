"""The demo's three queries: plans for the cluster, SQL for DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from ffq.ids import StageId
from ffq.plan import model, tpch
from ffq.plan.stages import cut
from ffq.plan.walk import child_fields

HOLD_OPERATOR = "demo.hold"
LATE_OPERATOR = "demo.days_late"
LATE_AT_LEAST = 60
HOLD_AT_MOST_S = 60
_HELD_TABLE = "lineitem"


@attrs.frozen
class DemoQuery:
    """A query and the SQL whose answer it must give."""

    title: str
    plan: model.Node = attrs.field(repr=False)
    sql: str = attrs.field(repr=False)


def q1() -> DemoQuery:
    return DemoQuery("TPC-H Q1", tpch.q1().node, tpch.Q1_SQL)


def q3_held(gate: Path) -> DemoQuery:
    """Q3 whose tasks that scan lineitem go on only when the file `gate` exists."""
    config = {"until": str(gate), "at_most_s": str(HOLD_AT_MOST_S)}
    plan = above_scans(tpch.q3().node, _HELD_TABLE, HOLD_OPERATOR, config)
    return DemoQuery("TPC-H Q3", plan, tpch.Q3_SQL)


def held_stage(query: DemoQuery) -> StageId:
    """The stage whose tasks are held."""
    stages = cut(query.plan).stages
    return next(stage.stage_id for stage in stages if HOLD_OPERATOR in stage.operators)


def operator_query() -> DemoQuery:
    """Needs an operator that only one worker has."""
    plan = tpch.late_lines(at_least=LATE_AT_LEAST, operator=LATE_OPERATOR).node
    sql = tpch.LATE_LINES_SQL.format(at_least=LATE_AT_LEAST)
    return DemoQuery("Late lines", plan, sql)


def above_scans(
    plan: model.Node, table: str, op_name: str, config: Mapping[str, str]
) -> model.Node:
    """The plan with a custom operator above each scan of a table."""
    if isinstance(plan, model.ParquetScan):
        if plan.table != table:
            return plan
        return model.Custom(op_name, tuple(sorted(config.items())), plan)
    below: dict[str, Any] = {
        name: above_scans(getattr(plan, name), table, op_name, config)
        for name in child_fields(plan)
    }
    # Which fields a node has is the walk's knowledge, not the type checker's.
    rebuilt: model.Node = attrs.evolve(cast(Any, plan), **below)
    return rebuilt
