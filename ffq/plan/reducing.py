"""Stages whose rows are reduced to those with a partner, before they are exchanged.

The left side of a ReducedJoin is finished before its right side begins. Where the left side turns
out small, each task of the right side's stage reads it whole, and leaves out rows whose keys no row
of it has: nothing of the join is made of them. Nulls are alike here, however the join compares its
keys: what is left may be too much, never too little.

So it is with the left side of an AdaptiveJoin, where the right one, which is finished first, turns
out too large to be read whole, has given out its keys apart, and these are few.
"""

from __future__ import annotations

from typing import Final

import attrs

from ffq.errors import InvalidPlan
from ffq.plan.bound import BoundExpr, Call, Conjunction, Match, Place, SqlType
from ffq.plan.model import Broadcast, Join, Project, ShuffleWrite
from ffq.plan.stages import JoinChoice, StagePlan, stage_of

_ALIKE: Final = "IS NOT DISTINCT FROM"


def reduced(probe: StagePlan, choice: JoinChoice) -> StagePlan:
    """The probe's stage, reading the build's rows or keys whole beside what it reads.

    Deterministic, and the same before and after stages are inlined into it.

    Raises:
        InvalidPlan: the choice is none of such a join, or of another stage.
    """
    reduction, write = choice.reduction, probe.fragment
    if (
        reduction is None
        or choice.probe != probe.stage_id
        or not isinstance(write, ShuffleWrite)
        or not isinstance(write.input, Project)
    ):
        raise InvalidPlan(
            f"stage {probe.stage_id} is to be reduced by stage {choice.build}, which is no left "
            f"side of a ReducedJoin with it, nor a right one of an AdaptiveJoin that has its keys"
        )
    width = len(write.input.exprs)
    pairs: list[BoundExpr] = [
        Call(_ALIKE, (Place(own), Place(width + other)), SqlType("BOOLEAN"))
        for other, own in reduction.places
    ]
    condition = pairs[0] if len(pairs) == 1 else Conjunction(tuple(pairs), any=False)
    kept = Join(write.input, Broadcast(reduction.read), Match.SEMI, condition, ())
    return stage_of(
        probe.stage_id,
        attrs.evolve(write, input=kept),
        (*(each.stage_id for each in probe.parents), choice.build),
        {each.name: each for each in probe.inline},
        tuple(each.home for each in probe.scans),
    )
