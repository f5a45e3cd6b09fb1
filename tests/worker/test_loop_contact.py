"""What the simulated cluster found about a worker that its coordinator cannot reach, or fails."""

from __future__ import annotations

from typing import TypeVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.errors import ExecutionError, WorkerSuperseded
from ffq.messages import Heartbeat, HeartbeatReply, ReportTaskStatus, Rpc
from ffq.worker.loop import LoopSettings
from ffq.worker.ports import TaskOutput, Work
from ffq.worker.process import new_incarnation
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


@attrs.define
class CoordinatorWithAnother(FakeCoordinator):
    """A later process has this worker's id while `another` is True."""

    another: bool = False

    def answer(self, message: object) -> object:
        if isinstance(message, Heartbeat) and self.another:
            return HeartbeatReply(accepted=False, superseded=True)
        return FakeCoordinator.answer(self, message)


async def test_R19_a_superseded_worker_stops_what_it_runs_reports_nothing_and_says_so(
    autojump_clock: MockClock,
) -> None:
    async def forever(work: Work) -> TaskOutput:
        await trio.sleep_forever()
        raise AssertionError(work)

    coordinator = CoordinatorWithAnother(queue=[map_task()])
    world = World(coordinator)
    world.executor.behave = forever
    with pytest.RaisesGroup(
        pytest.RaisesExc(WorkerSuperseded, match=r"worker id 'w1'; give each worker"),
        flatten_subgroups=True,
    ):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.loop().run)
            await until(lambda: world.executor.started)
            coordinator.another = True
            with trio.fail_after(60):
                await trio.sleep_forever()
    assert world.executor.interrupted == [map_task().key]
    assert coordinator.reports == []


async def test_a_worker_whose_predecessor_had_a_later_clock_waits_until_that_one_is_stale(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    coordinator = CoordinatorWithAnother(another=True)
    world = World(coordinator)
    nursery.start_soon(world.loop().run)
    await until(lambda: len(coordinator.beats) > 3)
    coordinator.another = False
    coordinator.queue.append(map_task())
    await until(lambda: coordinator.reports)
    nursery.cancel_scope.cancel()


async def test_a_worker_started_beside_a_later_one_of_its_id_ends_after_its_connect_timeout(
    autojump_clock: MockClock,
) -> None:
    world = World(
        CoordinatorWithAnother(another=True),
        settings=LoopSettings(slots=1, connect_timeout_ms=2_000),
    )
    with pytest.raises(WorkerSuperseded, match="'w1'"):
        await world.loop().run()


def test_R19_incarnations_grow_with_the_clock_and_two_of_one_moment_differ() -> None:
    now = 1_800_000_000_000
    assert new_incarnation(now) < new_incarnation(now + 1) < 2**63
    assert len({new_incarnation(now) for _ in range(5)}) > 1
    assert new_incarnation(0) > 0
