"""Plans that were read and cut lately: one that is run again and again is read once.

A client looks which operators a plan needs, and the coordinator, which may live in the same
process, how it is cut: of the same bytes the same graph.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ffq.plan.codec import parse_plan
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.plan.stages import StageGraph, cut

_LARGEST: Final = 16 << 10
"""Bytes of a plan that is kept; a graph takes some thirty times as much. Larger ones are read
while much more is done."""
_MOST: Final = 64


def graph_of(plan: bytes, limits: PlanLimits = DEFAULT_LIMITS) -> StageGraph:
    """The plan's stages. From any thread.

    Raises:
        InvalidPlan: too large, or no plan.
        PlanningError: it cannot be cut, or into too many stages.
    """
    return (_kept if len(plan) <= _LARGEST else _read)(plan, limits)


def _read(plan: bytes, limits: PlanLimits) -> StageGraph:
    return cut(parse_plan(plan, limits=limits), limits=limits)


_kept = lru_cache(maxsize=_MOST)(_read)
