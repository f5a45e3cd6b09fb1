"""From plan bytes to a query that scheduling can accept: read, digested and cut (R1). Pure."""

from __future__ import annotations

from ffq.messages import AcceptQuery, ReadPlan
from ffq.plan.codec import parse_plan, plan_digest
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.plan.stages import cut


def read_plan(msg: ReadPlan, limits: PlanLimits = DEFAULT_LIMITS) -> AcceptQuery:
    """The query, its scans not bound to any files.

    Raises:
        InvalidPlan: too large, or no plan.
        PlanningError: it cannot be cut, or into too many stages.
    """
    graph = cut(parse_plan(msg.plan_bytes, limits=limits), limits=limits)
    return AcceptQuery(msg.query_id, msg.plan_bytes, plan_digest(msg.plan_bytes), graph)
