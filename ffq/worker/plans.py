"""From an assignment's plan bytes to its stage; the last few plans are kept cut."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from ffq.errors import InvalidPlan
from ffq.messages import Assignment
from ffq.plan.codec import parse_plan
from ffq.plan.stages import StageGraph, StagePlan, cut

_PLANS_KEPT = 32


@attrs.define
class PlanCache:
    """Cut plans by their bytes: the tasks of one query share them. Holds at most 32."""

    _graphs: OrderedDict[bytes, StageGraph] = attrs.field(factory=OrderedDict)

    def stage_of(self, assignment: Assignment) -> StagePlan:
        """The stage of an assignment.

        Raises:
            InvalidPlan: the bytes are no plan, or it has no such stage.
            PlanningError: it cannot be cut.
        """
        graph = self._graphs.get(assignment.plan_bytes)
        if graph is None:
            graph = cut(parse_plan(assignment.plan_bytes))
            self._graphs[assignment.plan_bytes] = graph
            if len(self._graphs) > _PLANS_KEPT:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(assignment.plan_bytes)
        stage_id = assignment.key.stage_id
        if stage_id >= len(graph.stages):
            raise InvalidPlan(
                f"task {assignment.key} names stage {stage_id}, but its plan has "
                f"{len(graph.stages)} stages"
            )
        return graph.stages[stage_id]
