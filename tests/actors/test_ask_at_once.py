"""Asks of the streams' tasks, which an idle actor answers within the call."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.actors.parties import Parties
from ffq.actors.posting import ask_at_once
from ffq.core.machine import Party
from ffq.errors import NotReady
from ffq.messages import GetTask, Tick
from ffq.runtime import Actor, ActorSystem, handles
from ffq.runtime.errors import ActorEnded
from tests.actors.harness import InlinePlanner, pull
from tests.runtime.stock import settle


class Scheduling(Actor[GetTask | Tick]):
    """Answers a pull at once, and a status when it may."""

    def __init__(self) -> None:
        self.may = trio.Event()
        self.log: list[str] = []

    @handles(GetTask)
    def pulled(self, message: GetTask) -> tuple[()]:
        if message.capacity == 0:
            raise NotReady("nothing")
        self.log.append("pull")
        return ()

    @handles(Tick)
    async def asked(self, _: Tick) -> None:
        self.log.append("status begins")
        try:
            await self.may.wait()
        except trio.Cancelled:
            self.log.append("status cancelled")
            raise
        self.log.append("status ends")


@attrs.frozen
class Given:
    """`actor` behind `parties`."""

    actor: Scheduling
    parties: Parties


async def given(system: ActorSystem) -> Given:
    actor = Scheduling()
    ref = await system.spawn(lambda: actor)
    await settle()
    return Given(actor, Parties(InlinePlanner(), {Party.SCHEDULING: ref}))


async def test_an_idle_actor_answers_before_any_other_task_runs() -> None:
    others: list[str] = []

    async def other() -> None:
        others.append("ran")

    async with ActorSystem() as system, trio.open_nursery() as nursery:
        it = await given(system)
        nursery.start_soon(other)
        assert await ask_at_once(it.parties, pull()) == ()
        assert others == []
        with pytest.raises(NotReady, match="nothing"):
            await ask_at_once(it.parties, attrs.evolve(pull(), capacity=0))


async def test_a_busy_actor_answers_in_its_turn(autojump_clock: MockClock) -> None:
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        it = await given(system)
        nursery.start_soon(ask_at_once, it.parties, Tick())
        await settle()
        nursery.start_soon(ask_at_once, it.parties, pull())
        await settle()
        assert it.actor.log == ["status begins"]
        it.actor.may.set()
    assert it.actor.log == ["status begins", "status ends", "pull"]


async def test_who_is_cancelled_gives_up_what_it_asked(autojump_clock: MockClock) -> None:
    async with ActorSystem() as system:
        it = await given(system)
        with trio.move_on_after(1) as scope:
            await ask_at_once(it.parties, Tick())
        assert scope.cancelled_caught
        await settle()
        assert it.actor.log == ["status begins", "status cancelled"]
        assert await ask_at_once(it.parties, pull()) == ()


async def test_an_actor_that_ends_meanwhile_is_an_error(autojump_clock: MockClock) -> None:
    async with ActorSystem() as system:
        it = await given(system)
        async with trio.open_nursery() as nursery:

            async def asks() -> None:
                with pytest.raises(ActorEnded):
                    await ask_at_once(it.parties, Tick())

            nursery.start_soon(asks)
            await settle()
            await it.parties.actors[Party.SCHEDULING].kill()
