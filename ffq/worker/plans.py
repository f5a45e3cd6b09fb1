"""From an assignment's plan bytes to its stage; the last few plans are kept cut."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs
import trio

from ffq.errors import InvalidPlan
from ffq.messages import Assignment
from ffq.plan.codec import parse_plan
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
class PlanCache:
    """Plans by their bytes, each read once however many tasks wait for it.

    The tasks of one query share them. Holds at most 32, and those that are being waited for.
    """

    _read_plan: ReadPlan = read_on_thread
    _graphs: OrderedDict[bytes, StageGraph] = attrs.field(factory=OrderedDict)
    _reading: dict[bytes, trio.Event] = attrs.field(factory=dict)

    async def stage_of(self, assignment: Assignment) -> StagePlan:
        """The stage of an assignment.

        Raises:
            InvalidPlan: the bytes are no plan, or it has no such stage.
            PlanningError: it cannot be cut.
        """
        graph = await self._graph(assignment.plan_bytes)
        stage_id = assignment.key.stage_id
        if stage_id >= len(graph.stages):
            raise InvalidPlan(
                f"task {assignment.key} names stage {stage_id}, but its plan has "
                f"{len(graph.stages)} stages"
            )
        return graph.stages[stage_id]

    async def _graph(self, plan_bytes: bytes) -> StageGraph:
        # Whoever waits looks again: the one that read may have been cancelled, or have failed.
        while (graph := self._graphs.get(plan_bytes)) is None:
            reading = self._reading.get(plan_bytes)
            if reading is None:
                graph = await self._read(plan_bytes)
                break
            await reading.wait()
        self._graphs.move_to_end(plan_bytes)
        return graph

    async def _read(self, plan_bytes: bytes) -> StageGraph:
        done = self._reading[plan_bytes] = trio.Event()
        try:
            graph = await self._read_plan(plan_bytes)
        finally:
            del self._reading[plan_bytes]
            done.set()
        self._graphs[plan_bytes] = graph
        if len(self._graphs) > _PLANS_KEPT:
            self._graphs.popitem(last=False)
        return graph
