"""Stages that are inlined: what they give out is computed by the stage that reads it.

What an AdaptiveGather reads is made of what other stages have given out. Where that turns out
little, its stage is left out: its fragment stands in place of the AdaptiveGather.

The right side of an AdaptiveJoin is finished before its left side, the probe, begins. Where the
right side turns out small, the probe's stage is left out: its fragment stands in the join's stage,
in place of the ShuffleRead, and each task reads the right side whole. Ids stay as the plan was
cut: a stage that is inlined runs no tasks, and its parents are read by the one that it is in.

Inlining is deterministic: a coordinator and a worker that inline the same stages into the same one
get the same fragment, whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from ffq.errors import InvalidPlan
from ffq.ids import StageId
from ffq.plan.model import (
    AdaptiveGather,
    AdaptiveJoin,
    Broadcast,
    Join,
    Node,
    ParquetScan,
    ShuffleRead,
)
from ffq.plan.reducing import reduced
from ffq.plan.stages import StageGraph, StagePlan, stage_of
from ffq.plan.walk import child_fields, walk_stage


def inlined(stage: StagePlan, probe: StagePlan) -> StagePlan:
    """The stage with what `probe` computes in place of the exchange from there.

    Raises:
        InvalidPlan: it reads no such stage, or neither as the left side of an AdaptiveJoin nor by
            an AdaptiveGather.
    """
    leaf = next((each.leaf for each in stage.parents if each.stage_id == probe.stage_id), None)
    if leaf is None:
        raise InvalidPlan(
            f"stage {probe.stage_id} is to be inlined into stage {stage.stage_id}, "
            f"which does not read it"
        )
    (rows,) = (getattr(probe.fragment, name) for name in child_fields(probe.fragment))
    inlining = _Inlining(leaf, rows)
    fragment = inlining.visit(stage.fragment)
    if not inlining.done:
        raise InvalidPlan(
            f"stage {probe.stage_id} is to be inlined into stage {stage.stage_id}, where it is no "
            f"left side of an AdaptiveJoin, and read by no AdaptiveGather"
        )
    parents = [each.stage_id for each in stage.parents]
    parents[leaf : leaf + 1] = [each.stage_id for each in probe.parents]
    homes = [each.home for each in stage.scans]
    before = _scans_before(stage.fragment, leaf)
    homes[before:before] = [each.home for each in probe.scans]
    inline = {each.name: each for each in (*stage.inline, *probe.inline)}
    return stage_of(stage.stage_id, fragment, tuple(parents), inline, tuple(homes))


def with_inlined(graph: StageGraph, stage_id: StageId, stages: Iterable[StageId]) -> StagePlan:
    """A stage, with others inlined into it, or into one another; and reduced by one.

    Raises:
        InvalidPlan: one of them cannot be.
    """
    stage = graph.stages[stage_id]
    left = set(stages)
    for choice in graph.joins:
        if choice.reduction and choice.probe == stage_id and choice.build in left:
            left.discard(choice.build)
            stage = reduced(stage, choice)
    while left:
        probe = next((each.stage_id for each in stage.parents if each.stage_id in left), None)
        if probe is None:
            named = ", ".join(map(str, sorted(left)))
            raise InvalidPlan(
                f"stages {named} are to be inlined into stage {stage_id}, which does not read them"
            )
        left.discard(probe)
        stage = inlined(stage, graph.stages[probe])
    return stage


@attrs.define
class _Inlining:
    """Rebuilds a fragment. `_leaf`: the ShuffleRead that goes; `_rows`: what stands there then."""

    _leaf: int
    _rows: Node
    done: bool = False
    _reads: int = 0

    def visit(self, node: Node) -> Node:
        if isinstance(node, ShuffleRead):
            self._reads += 1
            if isinstance(node, AdaptiveGather) and self._reads == self._leaf + 1:
                self.done = True
                return self._rows
            return node
        if (
            isinstance(node, AdaptiveJoin)
            and self._reads == self._leaf
            and isinstance(node.left, ShuffleRead)
        ):
            self.done = True
            self._reads += 2
            return Join(self._rows, Broadcast(node.right), node.match, node.condition, ())
        changes: dict[str, Any] = {}
        for name in child_fields(node):
            child = getattr(node, name)
            new = child if self._reads > self._leaf else self.visit(child)
            if new is not child:
                changes[name] = new
        rebuilt: Node = attrs.evolve(node, **changes) if changes else node
        return rebuilt


def _scans_before(fragment: Node, leaf: int) -> int:
    """Scans that a walk of the fragment meets before this ShuffleRead."""
    scans = reads = 0
    for node in walk_stage(fragment):
        if isinstance(node, ShuffleRead):
            if reads == leaf:
                break
            reads += 1
        elif isinstance(node, ParquetScan):
            scans += 1
    return scans
