"""What a machine tells another before its reply: at once where that is idle, and in order."""

from __future__ import annotations

from math import inf
from typing import Any

import attrs
import trio
from trio.testing import MockClock

from ffq.actors.machine import MachineActor
from ffq.actors.parties import Parties
from ffq.actors.posting import Answer
from ffq.core import CoordinatorSettings
from ffq.core.liveness import liveness_machine
from ffq.core.machine import Party
from ffq.ids import WorkerId
from ffq.messages import Heartbeat, RecordHeartbeat, WorkerChanged, WorkerLost
from ffq.runtime import Actor, ActorRef, ActorSystem, handles
from tests.actors.harness import InlinePlanner
from tests.runtime.stock import settle

W = WorkerId("w")


class Told(Actor[WorkerChanged | WorkerLost]):
    """Remembers what it was told, and takes as long to hear of a loss."""

    def __init__(self, loss_s: float) -> None:
        self._loss_s = loss_s
        self.told: list[type] = []

    @handles(WorkerChanged)
    def changed(self, message: WorkerChanged) -> None:
        self.told.append(type(message))

    @handles(WorkerLost)
    async def lost(self, message: WorkerLost) -> None:
        await trio.sleep(self._loss_s)
        self.told.append(type(message))


@attrs.frozen
class Given:
    told: Told
    parties: Parties
    liveness: ActorRef[Any]


async def given(system: ActorSystem, loss_s: float) -> Given:
    told = Told(loss_s)
    parties = Parties(InlinePlanner(), {Party.SCHEDULING: await system.spawn(lambda: told)})
    machine = liveness_machine(CoordinatorSettings())
    liveness = await system.spawn(MachineActor, machine, lambda: 0, parties)
    parties.actors[Party.LIVENESS] = liveness
    await settle()
    return Given(told, parties, liveness)


def record(incarnation: int) -> RecordHeartbeat:
    return RecordHeartbeat(Heartbeat(W, 0, 0, frozenset(), incarnation=incarnation))


async def test_an_idle_party_is_told_and_the_reply_there_within_the_call() -> None:
    async with ActorSystem() as system:
        at = await given(system, 0)
        answer = Answer()
        at.parties.post(record(1), answer.take, inf)
        assert answer.there
        assert answer.result().current
        assert at.told.told == [WorkerChanged]


async def test_what_follows_is_told_when_the_first_has_been_and_then_comes_the_reply(
    autojump_clock: MockClock,
) -> None:
    async with ActorSystem() as system:
        at = await given(system, 5)
        await at.liveness.ask(record(1))
        answer = Answer()
        posted = at.parties.post(record(2), answer.take, inf)
        await trio.sleep(4)
        assert not answer.there
        assert at.told.told == [WorkerChanged]
        await answer.comes(posted)
        assert at.told.told == [WorkerChanged, WorkerLost, WorkerChanged]


async def test_a_beat_behind_one_that_waits_to_be_told_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    async with ActorSystem() as system:
        at = await given(system, 5)
        await at.liveness.ask(record(1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at.liveness.ask, record(2))
            await settle()
            began = trio.current_time()
            assert (await at.liveness.ask(record(2))).current
            assert trio.current_time() - began == 5
