"""Plans in the worker: read off the Trio thread, once however many tasks wait for them."""

from __future__ import annotations

import threading
from unittest.mock import patch

import pytest
import trio
import trio.testing

from ffq.errors import InvalidPlan
from ffq.ids import StageId
from ffq.messages import Assignment
from ffq.plan import dump_plan
from ffq.plan.stages import Parallelism, StageGraph, StagePlan
from ffq.worker import plans
from ffq.worker.plans import PlanCache
from tests.strategies.graphs import adaptive_join, scan
from tests.worker.fakes import LAYOUT, key, map_task, sink_task


class SlowReader:
    """Reads as the worker does, when it is let."""

    def __init__(self) -> None:
        self.read = plans.cut_plan
        self.threads: list[int] = []
        self.go = threading.Event()

    def __call__(self, plan_bytes: bytes) -> StageGraph:
        self.threads.append(threading.get_ident())
        assert self.go.wait(20)
        return self.read(plan_bytes)


async def test_a_plan_is_read_once_however_many_tasks_wait_for_it() -> None:
    cache, reader, stages = PlanCache(), SlowReader(), []

    async def ask(assignment: Assignment) -> None:
        stages.append((await cache.stage_of(assignment)).stage_id)

    with patch.object(plans, "cut_plan", reader):
        async with trio.open_nursery() as nursery:
            for task in range(8):
                nursery.start_soon(ask, map_task(task))
            nursery.start_soon(ask, sink_task())
            await trio.testing.wait_all_tasks_blocked()
            reader.go.set()
    assert sorted(stages) == [0, *[1] * 8]
    assert len(reader.threads) == 1
    assert reader.threads[0] != threading.get_ident()
    assert (await cache.stage_of(map_task())).stage_id == 1
    assert len(reader.threads) == 1


async def test_one_that_gives_up_does_not_take_the_others_with_it() -> None:
    cache, reader = PlanCache(), SlowReader()
    found: list[StagePlan] = []

    async def ask() -> None:
        found.append(await cache.stage_of(map_task()))

    with patch.object(plans, "cut_plan", reader):
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as inner:
                inner.start_soon(cache.stage_of, map_task())
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(ask)  # waits for the one that reads, which is cancelled
                await trio.testing.wait_all_tasks_blocked()
                inner.cancel_scope.cancel()
            reader.go.set()
    assert [stage.stage_id for stage in found] == [1]


async def test_bytes_that_are_no_plan_are_an_error_for_everybody_who_waits() -> None:
    cache = PlanCache()
    bad = Assignment(key(0), b"no plan", (), LAYOUT)
    for _ in range(2):
        with pytest.raises(InvalidPlan):
            await cache.stage_of(bad)


async def test_a_stage_that_the_plan_does_not_have_is_named() -> None:
    task = map_task()
    with pytest.raises(InvalidPlan, match="names stage 7, but its plan has 2 stages"):
        await PlanCache().stage_of(Assignment(key(7), task.plan_bytes, (), LAYOUT))


async def test_a_stage_that_does_the_work_of_another_is_made_once_for_all_its_tasks() -> None:
    cache, data = PlanCache(), dump_plan(adaptive_join(scan("t"), scan("u"), 3))
    exchanged = await cache.stage_of(Assignment(key(0), data, (), LAYOUT))
    in_place = Assignment(key(0), data, (), LAYOUT, inlined=(StageId(1),))
    stage = await cache.stage_of(in_place)
    assert stage is await cache.stage_of(in_place)
    assert exchanged.parallelism is Parallelism.HASH
    assert stage.parallelism is Parallelism.SCAN
    with pytest.raises(InvalidPlan, match="no left side of an AdaptiveJoin"):
        await cache.stage_of(Assignment(key(0), data, (), LAYOUT, inlined=(StageId(2),)))
