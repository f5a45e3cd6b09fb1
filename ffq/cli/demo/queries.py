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
    """A query and the SQL whose answer it must give. `remark` tells what to look at."""

    title: str
    plan: model.Node = attrs.field(repr=False)
    sql: str = attrs.field(repr=False)
    remark: str = ""


def q1() -> DemoQuery:
    return DemoQuery("TPC-H Q1", tpch.q1().node, tpch.Q1_SQL)


def q3_held(gate: Path) -> DemoQuery:
    """Q3 whose tasks that scan lineitem go on only when the file `gate` exists."""
    config = {"until": str(gate), "at_most_s": str(HOLD_AT_MOST_S)}
    plan = above_scans(tpch.q3().node, _HELD_TABLE, HOLD_OPERATOR, config)
    stage_id = stage_with(plan, HOLD_OPERATOR)
    remark = (
        f"Slowed down on purpose: in the tasks of stage {stage_id} the operator {HOLD_OPERATOR} "
        "waits until a worker that runs one of them has been killed."
    )
    return DemoQuery("TPC-H Q3", plan, tpch.Q3_SQL, remark)


def stage_with(plan: model.Node, op_name: str) -> StageId:
    """The first stage whose tasks need an operator."""
    return next(stage.stage_id for stage in cut(plan).stages if op_name in stage.operators)


def operator_query(specialist: str) -> DemoQuery:
    """Needs an operator that only the worker `specialist` has."""
    plan = tpch.late_lines(at_least=LATE_AT_LEAST, operator=LATE_OPERATOR).node
    sql = tpch.LATE_LINES_SQL.format(at_least=LATE_AT_LEAST)
    remark = (
        f"Only {specialist} has the operator {LATE_OPERATOR}: all tasks of stage "
        f"{stage_with(plan, LATE_OPERATOR)} must run there."
    )
    return DemoQuery("Late lines", plan, sql, remark)


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
