"""Properties of plans and stages that scheduling goes by. Pure."""

from __future__ import annotations

from typing import Any

import attrs

from ffq.plan import model
from ffq.plan.distribution import DistributionKind, distribution_of
from ffq.plan.model import OWN_NODES, KeyedPartitioning, Node, ShuffleRead
from ffq.plan.stages import StageGraph, StagePlan
from ffq.plan.terms import OWN_EXPRESSIONS
from ffq.plan.walk import children, walk_stage


def is_repeatable(stage: StagePlan) -> bool:
    """Whether a task of it, run again on the same input, is sure to give the same rows.

    Which rows a Limit takes, how ties are broken, what random() gives and what an operator does
    may differ from run to run. Tasks that read one run must then not be mixed with tasks that read
    another (R25).
    """
    rows = distribution_of(stage.fragment)
    return rows.kind is not DistributionKind.PIN and rows.repeatable


def needs_own_numbering(graph: StageGraph) -> bool:
    """Whether peers on the fixed wire would number the plan's stages otherwise (docs/plan.md).

    They walk a CteRef once, where it first stands, and pass over it where it stands again. So a
    number differs only if they have passed over an exchange, and then meet another. Without one
    after it, the stages that only we count are read by nobody there, and a peer that is given one
    has nothing to do in it.
    """
    walked: set[str] = set()
    passed_over = False
    pending: list[Node | str] = [graph.stages[0].fragment]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            walked.add(node)
        elif isinstance(node, model.CteRef) and node.name in walked:
            passed_over = passed_over or _has_exchange(node)
        elif isinstance(node, ShuffleRead) and passed_over:
            return True
        else:
            if isinstance(node, model.CteRef):
                pending.append(node.name)  # taken up when all of its plan was walked
            pending.extend(reversed(children(node)))
    return False


def has_own_words(graph: StageGraph) -> bool:
    """Whether the plan says something that other implementations of FFQ do not know."""
    pending: list[Any] = [graph.stages[0].fragment]
    while pending:
        value = pending.pop()
        if isinstance(value, (*OWN_EXPRESSIONS, *OWN_NODES, KeyedPartitioning)):
            return True
        if isinstance(value, tuple):
            pending.extend(value)
        elif attrs.has(type(value)):
            pending.extend(getattr(value, field.name) for field in attrs.fields(type(value)))
    return False


def _has_exchange(cte: model.CteRef) -> bool:
    return any(isinstance(node, ShuffleRead) for node in walk_stage(cte.plan))
