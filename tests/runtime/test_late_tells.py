"""The room of a tell whose deadline has passed is taken back when it is needed (A5)."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.runtime import Actor, ActorSystem, Request, handles
from ffq.runtime.errors import MailboxFull, StashFull
from tests.runtime.stock import settle


@attrs.frozen
class Put(Request[None]):
    n: int


@attrs.frozen
class Nap(Request[None]):
    seconds: float


class Keeper(Actor[Put | Nap]):
    """Puts everything aside; before a nap it takes it out again, to be handled after it."""

    @handles(Put)
    def put(self, message: Put) -> None:
        self.ctx.stash()

    @handles(Nap)
    async def nap(self, message: Nap) -> None:
        self.ctx.unstash_all()
        await trio.sleep(message.seconds)


async def test_A5_in_the_mailbox(autojump_clock: MockClock) -> None:
    async with ActorSystem() as system:
        keeper = await system.spawn(Keeper, mailbox=2)
        await keeper.tell(Nap(100))
        await settle()
        for late in (1, 50):
            await keeper.tell(Put(late), deadline=trio.current_time() + late)
        with pytest.raises(MailboxFull):
            keeper.tell_nowait(Put(0))
        await trio.sleep(2)
        keeper.tell_nowait(Put(0))  # in the room of the first
        assert system.ledger.expired == 1
        with pytest.raises(MailboxFull):
            keeper.tell_nowait(Put(0))
        with trio.move_on_after(1) as waited:
            await keeper.tell(Put(0))
        assert waited.cancelled_caught, "the second is not late yet"
        await trio.sleep(60)
        await keeper.tell(Put(0))  # in its room
        assert trio.current_time() < 100, "while the actor is busy"
        await keeper.kill()


async def test_A5_whoever_waits_for_room_comes_before_who_comes_later(
    autojump_clock: MockClock,
) -> None:
    async with ActorSystem() as system:
        keeper = await system.spawn(Keeper, mailbox=1, stash=1)
        await keeper.tell(Nap(10))
        await settle()
        await keeper.tell(Put(1), deadline=trio.current_time() + 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.tell, Put(2))
            await trio.sleep(2)
            with pytest.raises(MailboxFull):
                keeper.tell_nowait(Put(3))
            await settle()
            assert not nursery.child_tasks, "it has the room"
            await keeper.kill()


async def test_A5_in_the_stash(autojump_clock: MockClock) -> None:
    async with ActorSystem() as system:
        keeper = await system.spawn(Keeper, stash=1)
        await keeper.tell(Put(1), deadline=trio.current_time() + 1)
        await keeper.tell(Nap(0))
        with pytest.raises(StashFull):
            await keeper.ask(Put(2))
        await trio.sleep(2)
        await keeper.tell(Put(3))
        await settle()
        assert (system.ledger.expired, system.ledger.in_flight) == (1, 1)
        await keeper.kill()


async def test_A5_once_they_are_back_from_the_stash(autojump_clock: MockClock) -> None:
    async with ActorSystem() as system:
        keeper = await system.spawn(Keeper, mailbox=1, stash=3)
        for _ in range(3):
            await keeper.tell(Put(1), deadline=trio.current_time() + 3)
            await settle()
        await keeper.tell(Nap(10))
        await settle()
        with pytest.raises(MailboxFull):
            keeper.tell_nowait(Put(2))
        await trio.sleep(4)
        keeper.tell_nowait(Put(2))
        assert system.ledger.expired == 3
        await keeper.kill()
