"""What may be submitted: plan bytes, JSON text, a plan, or a relation of the builder."""

from __future__ import annotations

from typing import TypeAlias

from ffq.plan.builder import Relation
from ffq.plan.codec import dump_plan
from ffq.plan.model import Node

PlanLike: TypeAlias = bytes | str | Node | Relation


def plan_bytes(plan: PlanLike) -> bytes:
    """The JSON to submit; bytes and text go as they are, the coordinator checks them.

    Raises:
        InvalidPlan, PlanningError: a plan or relation that no coordinator would take.
    """
    match plan:
        case bytes():
            return plan
        case str():
            return plan.encode()
        case Relation():
            return plan.to_json()
        case _:
            return dump_plan(plan)
