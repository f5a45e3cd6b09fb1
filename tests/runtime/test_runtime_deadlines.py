"""A5: absolute deadlines, inherited; who gives up on an ask takes the handler down with it."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, handles
from tests.runtime.stock import Add, Gate, Hold, HoldDetached, Holder, Total, settle


class Relay(Actor[Hold | Add]):
    """Asks the next one; tells the deadline it works under."""

    def __init__(self, following: ActorRef[Hold | Add] | None, seen: list[float]) -> None:
        self.following = following
        self.seen = seen

    @handles(Hold)
    async def hold(self, message: Hold) -> str:
        self.seen.append(trio.current_effective_deadline())
        if self.following is None:
            await trio.sleep(100)
            return message.who
        return await self.following.ask(message)

    @handles(Add)
    async def add(self, message: Add) -> int:
        self.seen.append(trio.current_effective_deadline())
        return message.n if self.following is None else await self.following.ask(message)


async def test_A5_deadline_is_taken_from_the_scope_and_inherited(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen: list[float] = []
    async with ActorSystem() as system:
        last = await system.spawn(Relay, None, seen)
        middle = await system.spawn(Relay, last, seen)
        first = await system.spawn(Relay, middle, seen)
        with trio.fail_at(trio.current_time() + 7):
            await first.ask(Add(1))
        assert seen == [pytest.approx(7)] * 3
        seen.clear()
        await first.ask(Add(1))  # the deadline of one message does not stick to the next
        assert seen == [float("inf")] * 3
        seen.clear()
        with trio.move_on_after(5) as scope:
            await first.ask(Hold("x"))
        assert scope.cancelled_caught
        assert trio.current_time() == pytest.approx(5)
        assert await first.ask(Add(2)) == 2


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_A5_handler_is_cancelled_when_its_asker_times_out(
    concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, max_concurrency=concurrency)
        with trio.move_on_after(1):
            await ref.ask(Hold("a"))
        await settle()
        assert gate.log == ["a waits", "a cancelled"]
        assert await ref.ask(Total()) == 0


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_A5_handler_is_cancelled_when_its_asker_is_cancelled(
    concurrency: int,
) -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, max_concurrency=concurrency)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Hold("a"))
            await settle()
            nursery.cancel_scope.cancel()
        await settle()
        assert gate.log == ["a waits", "a cancelled"]
        gate.open.set()
        assert await ref.ask(Hold("b")) == "b"
    assert system.ledger.handled == 2


async def test_A5_cancel_goes_down_the_whole_chain_of_asks() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        holder = await system.spawn(Holder, gate)

        class Asks(Actor[Hold]):
            @handles(Hold)
            async def hold(self, message: Hold) -> str:
                return await holder.ask(message)

        ref = await system.spawn(Asks)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Hold("a"))
            await settle()
            nursery.cancel_scope.cancel()
        await settle()
        assert gate.log == ["a waits", "a cancelled"]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_A5_detached_message_is_finished_without_its_asker(
    concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, max_concurrency=concurrency)
        with trio.move_on_after(1):
            await ref.ask(HoldDetached("a"))
        await trio.sleep(10)
        gate.open.set()
        await settle()
        assert gate.log == ["a waits", "a done"]
        assert await ref.ask(Total()) == 1


async def test_A5_abandoned_and_expired_mail_is_skipped_and_counted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate)
        nursery.start_soon(ref.ask, Hold("a"))
        await settle()
        with trio.move_on_after(1):
            await ref.ask(Hold("b"))
        await ref.tell(Hold("c"), deadline=trio.current_time() + 1)
        await ref.tell(Hold("d"))
        await trio.sleep(2)
        gate.open.set()
    assert [line for line in gate.log if line.endswith("waits")] == ["a waits", "d waits"]
    assert system.ledger.expired == 2
    assert system.ledger.handled == 2


async def test_A5_a_late_reply_goes_nowhere() -> None:
    """The asker has moved on when the handler, which ignores the cancel, returns a value."""

    class Stubborn(Actor[Add]):
        @handles(Add)
        async def add(self, message: Add) -> int:
            with trio.CancelScope(shield=True):
                await gate.open.wait()
            return message.n

    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Stubborn)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Add(1))
            await settle()
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            replies: list[int] = []

            async def ask() -> None:
                replies.append(await ref.ask(Add(2)))

            nursery.start_soon(ask)
            await settle()
            gate.open.set()
        assert replies == [2]


async def test_A5_an_asker_that_moves_its_deadline_away_gets_its_reply(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate)
        nursery.start_soon(ref.ask, Hold("a"))
        await settle()

        async def ask() -> None:
            with trio.CancelScope(deadline=trio.current_time() + 1) as scope:
                scopes.append(scope)
                replies.append(await ref.ask(Hold("b")))

        scopes: list[trio.CancelScope] = []
        replies: list[str] = []
        nursery.start_soon(ask)
        await settle()
        scopes[0].deadline = float("inf")
        await trio.sleep(2)
        gate.open.set()
    assert replies == ["b"]


async def test_A5_an_ask_in_a_cancelled_scope_sends_nothing() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, Gate())
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.ask(Hold("a"))
        assert scope.cancelled_caught
    assert system.ledger.sent == 0


async def test_A5_error_in_a_cancelled_handlers_cleanup_is_logged_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @attrs.frozen
    class Messy(Request[None]):
        pass

    class Untidy(Actor[Messy]):
        @handles(Messy)
        async def messy(self, message: Messy) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("cleanup")

    async with ActorSystem() as system:
        ref = await system.spawn(Untidy)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Messy())
            await settle()
            nursery.cancel_scope.cancel()
        await settle()
        assert ref.alive
        assert system.ledger.unheard == 1
    (record,) = caplog.records
    assert record.getMessage().endswith("Messy, whose asker had left")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "cleanup"
