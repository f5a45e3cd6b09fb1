"""From an assignment's plan bytes to its stage; the last few plans are kept cut."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs
import trio

from ffq.errors import InvalidPlan
from ffq.ids import StageId
from ffq.messages import Assignment
from ffq.plan.codec import parse_plan
from ffq.plan.inlining import with_inlined
from ffq.plan.stages import StageGraph, StagePlan, cut
from ffq.threads import run_blocking

_PLANS_KEPT = 32


ReadPlan: TypeAlias = Callable[[bytes], Awaitable[StageGraph]]
"""Reads and cuts a plan. Raises InvalidPlan, PlanningError."""


async def read_on_thread(plan_bytes: bytes) -> StageGraph:
    """A large plan holds up nobody's heartbeat."""
    return await run_blocking(cut_plan, plan_bytes, abandon_on_cancel=True)


def cut_plan(plan_bytes: bytes) -> StageGraph:
    return cut(parse_plan(plan_bytes))


@attrs.define
class _Cut:
    """A plan's stages. inlined: those that do the work of others, made once for all their tasks."""

    graph: StageGraph
    inlined: dict[tuple[StageId, tuple[StageId, ...]], StagePlan] = attrs.field(factory=dict)

    def stage(self, stage_id: StageId, others: tuple[StageId, ...]) -> StagePlan:
        if not others:
            return self.graph.stages[stage_id]
        stage = self.inlined.get((stage_id, others))
        if stage is None:
            stage = self.inlined[stage_id, others] = with_inlined(self.graph, stage_id, others)
        return stage


@attrs.define
class PlanCache:
    """Plans by their bytes, each read once however many tasks wait for it.

    The tasks of one query share them. Holds at most 32, and those that are being waited for.
    """

    _read_plan: ReadPlan = read_on_thread
    _plans: OrderedDict[bytes, _Cut] = attrs.field(factory=OrderedDict)
    _reading: dict[bytes, trio.Event] = attrs.field(factory=dict)

    async def stage_of(self, assignment: Assignment) -> StagePlan:
        """The stage of an assignment.

        Raises:
            InvalidPlan: the bytes are no plan, it has no such stage, or the stages that are to be
                inlined cannot be.
            PlanningError: it cannot be cut.
        """
        plan = await self._cut(assignment.plan_bytes)
        stage_id, stages = assignment.key.stage_id, len(plan.graph.stages)
        if stage_id >= stages:
            raise InvalidPlan(
                f"task {assignment.key} names stage {stage_id}, but its plan has {stages} stages"
            )
        return plan.stage(stage_id, assignment.inlined)

    async def _cut(self, plan_bytes: bytes) -> _Cut:
        # Whoever waits looks again: the one that read may have been cancelled, or have failed.
        while (plan := self._plans.get(plan_bytes)) is None:
            reading = self._reading.get(plan_bytes)
            if reading is None:
                plan = await self._read(plan_bytes)
                break
            await reading.wait()
        self._plans.move_to_end(plan_bytes)
        return plan

    async def _read(self, plan_bytes: bytes) -> _Cut:
        done = self._reading[plan_bytes] = trio.Event()
        try:
            plan = _Cut(await self._read_plan(plan_bytes))
        finally:
            del self._reading[plan_bytes]
            done.set()
        self._plans[plan_bytes] = plan
        if len(self._plans) > _PLANS_KEPT:
            self._plans.popitem(last=False)
        return plan
