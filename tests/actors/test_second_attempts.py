"""A slow task's second attempt comes in the moment in which it is due: nobody asks before."""

from __future__ import annotations

import attrs
import trio
from trio.testing import MockClock

from ffq.actors import ActorSettings
from ffq.core import CoordinatorSettings
from ffq.ids import WorkerId
from ffq.messages import FromWorker, GetTask, QueryState, SubmitQuery
from tests.actors.harness import (
    PLAN,
    Q,
    W,
    beat,
    open_actors,
    output,
    pull,
    report,
    result,
    status,
)

SETTINGS = CoordinatorSettings(speculation=200, speculation_min_ms=0, adaptive_target_bytes=1)
SLOW = WorkerId("slow")


async def test_R13_a_second_attempt_comes_when_it_is_due(autojump_clock: MockClock) -> None:
    shares = frozenset({"ffq.splits"})
    async with open_actors(SETTINGS, ActorSettings(tick_ms=60_000)) as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        for worker in (W, SLOW):
            await coordinator.ask(attrs.evolve(beat(worker), capabilities=shares))
        (scan,) = await coordinator.ask(pull())
        await coordinator.ask(output(scan, 0, 1, 2, 3))
        await coordinator.ask(report(scan))
        began = trio.current_time()
        reducers = await coordinator.ask(GetTask(W, 3, 1))
        (slow,) = await coordinator.ask(pull(SLOW))
        await trio.sleep(0.1)
        for each in reducers:
            await coordinator.ask(result(each, b"rows"))
            await coordinator.ask(report(each))
        async with coordinator.exchange() as exchange:
            await exchange.send(FromWorker(attrs.evolve(beat(), capabilities=shares), 1, 60_000))
            while not (message := await exchange.receive()) or not message.tasks:
                pass
            assert round(trio.current_time() - began, 3) == 0.2
            (second,) = message.tasks
            assert second.key == attrs.evolve(slow.key, attempt=second.key.attempt)
            assert second.key.attempt == 2
            await coordinator.ask(result(second, b"rows"))
            await coordinator.ask(report(second))
            assert (await status(coordinator)).state is QueryState.SUCCEEDED
