"""What the simulated cluster found about a worker that its coordinator cannot reach, or fails."""

from __future__ import annotations

from typing import TypeVar

import attrs
import trio
from trio.testing import MockClock

from ffq.errors import ExecutionError
from ffq.messages import Heartbeat, ReportTaskStatus, Rpc
from ffq.worker.loop import LoopSettings
from tests.worker.fakes import FakeCoordinator, World, map_task, until

R = TypeVar("R")


@attrs.define
class OneWayCoordinator(FakeCoordinator):
    """Hears everything; from `mute` on its answers are lost."""

    mute: bool = False

    async def ask(self, message: Rpc[R]) -> R:
        if isinstance(message, ReportTaskStatus):
            self.mute = True
        reply = await FakeCoordinator.ask(self, message)
        if self.mute and isinstance(message, Heartbeat | ReportTaskStatus):
            await trio.sleep_forever()
        return reply


async def test_an_attempt_is_not_claimed_once_nothing_is_answered(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R20, leases: else a one-way partition would leave it with this worker for ever."""
    coordinator = OneWayCoordinator(queue=[map_task()])
    world = World(coordinator, settings=LoopSettings(slots=1, claim_ms=4_000))
    await nursery.start(world.loop().run)
    await until(lambda: coordinator.mute)
    muted_at = trio.current_time()
    await trio.sleep(3.5)
    assert coordinator.beats[-1].running_attempts == (map_task().key,)
    await until(lambda: coordinator.beats[-1].running_attempts == ())
    assert trio.current_time() - muted_at < 8
    nursery.cancel_scope.cancel()


@attrs.define
class FailingCoordinator(FakeCoordinator):
    """The first beats find a bug in it."""

    bugs: int = 2

    async def ask(self, message: Rpc[R]) -> R:
        if isinstance(message, Heartbeat) and self.bugs:
            self.bugs -= 1
            raise ExecutionError("the coordinator failed: KeyError")
        return await FakeCoordinator.ask(self, message)


async def test_a_coordinator_that_fails_at_the_first_beat_is_beaten_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(FailingCoordinator(queue=[map_task()]))
    await nursery.start(world.loop().run)
    await until(lambda: world.coordinator.reports)
    nursery.cancel_scope.cancel()
