"""Which outputs several tasks may share, each reading some: told without the core's help."""

from __future__ import annotations

from ffq.ids import StageId
from ffq.plan import model, terms
from ffq.plan.bound import Match
from ffq.plan.stages import StagePlan
from ffq.plan.walk import stage_reads


def may_be_divided(stage: StagePlan, parent: StageId) -> bool:
    """Of these plans: one side of an inner join, the left one of those that ask of each of its rows
    whether it has a partner, below what looks at single rows alone."""
    leaf = next(each.leaf for each in stage.parents if each.stage_id == parent)
    node = stage.fragment
    while not isinstance(node, model.ShuffleRead):
        match node:
            case (
                model.ShuffleWrite()
                | model.PartialHashAggregate()
                | model.CoalesceBatches()
                | model.Project()
            ):
                node = node.input
            case model.HashJoin(join_type=terms.JoinType.INNER) | model.Join(match=Match.INNER):
                on_left = len(stage_reads(node.left))
                leaf, node = (leaf, node.left) if leaf < on_left else (leaf - on_left, node.right)
            case model.Join(match=Match.SEMI) if leaf < len(stage_reads(node.left)):
                node = node.left
            case _:
                return False
    return True
