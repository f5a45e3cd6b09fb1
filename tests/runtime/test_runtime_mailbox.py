"""A3: bounded mailboxes. A11: dead letters and the ledger."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorRef, ActorSystem, MailboxFull, WaitCycle, handles
from ffq.runtime.errors import ActorEnded, LedgerMismatch
from tests.runtime.stock import Add, Counter, Gate, Hold, Holder, Total, settle


async def test_A3_tell_waits_when_mailbox_is_full() -> None:
    gate = Gate()
    sent: list[str] = []
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate, mailbox=2)

        async def send() -> None:
            for who in "abcd":
                await ref.tell(Hold(who))
                sent.append(who)

        nursery.start_soon(send)
        await settle()
        assert sent == ["a", "b", "c"]  # one is handled, two are in the mailbox
        gate.open.set()
        await settle()
        assert sent == ["a", "b", "c", "d"]


async def test_A3_mailbox_is_bounded_by_default() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, Gate(), name="h")
        await ref.tell(Hold("first"))
        await settle()
        for _ in range(64):
            ref.tell_nowait(Hold("x"))
        with pytest.raises(MailboxFull, match=r"/h.*64 messages.*Hold"):
            ref.tell_nowait(Hold("x"))
        await ref.kill()


async def test_A3_ask_waits_for_room_and_then_for_its_reply() -> None:
    gate = Gate()
    replies: list[str] = []
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate, mailbox=1)

        async def ask(who: str) -> None:
            replies.append(await ref.ask(Hold(who)))

        for who in "abcde":
            nursery.start_soon(ask, who)
        await settle()
        gate.open.set()
    assert sorted(replies) == ["a", "b", "c", "d", "e"]


async def test_A3_waiting_senders_are_served_in_order() -> None:
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate, mailbox=1)
        for number in range(6):
            nursery.start_soon(ref.tell, Hold(str(number)))
            await settle()
        gate.open.set()
        await ref.stop()
    assert [line[0] for line in gate.log if line.endswith("done")] == list("012345")


async def test_A3_a_cancelled_waiting_sender_has_sent_nothing() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, mailbox=1)
        await ref.tell(Hold("a"))
        await ref.tell(Hold("b"))
        with trio.CancelScope() as scope, pytest.raises(trio.Cancelled):
            scope.cancel()
            await ref.tell(Hold("c"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.tell, Hold("d"))
            await settle()
            nursery.cancel_scope.cancel()
        gate.open.set()
        await ref.stop()
    assert gate.log == ["a waits", "a done", "b waits", "b done"]
    assert (system.ledger.handled, system.ledger.expired) == (2, 1)


class Talker(Actor[Add]):
    """Tells `other` (itself if None) so many messages from one handler."""

    def __init__(self) -> None:
        self.other: ActorRef[Add] | None = None
        self.got = 0

    @handles(Add)
    async def add(self, message: Add) -> int:
        self.got += 1
        for _ in range(message.n):
            await (self.other or self.ctx.ref).tell(Add(0))
        return self.got


async def test_A3_tell_to_oneself_is_handled_later() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Talker, mailbox=4)
        assert await ref.ask(Add(4)) == 1
        assert await ref.ask(Add(0)) == 6


async def test_A3_tell_to_oneself_with_a_full_mailbox_raises_instead_of_hanging() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Talker, mailbox=4, name="t")
        with pytest.raises(WaitCycle, match="/t → /t"):
            await ref.ask(Add(5))


async def test_A3_a_and_b_both_full_raises_instead_of_hanging() -> None:
    made: list[Talker] = []

    def make() -> Talker:
        made.append(Talker())
        return made[-1]

    errors: list[WaitCycle] = []
    async with ActorSystem() as system:
        a = await system.spawn(make, mailbox=2, name="a")
        b = await system.spawn(make, mailbox=2, name="b")
        made[0].other, made[1].other = b, a

        async def ask(ref: ActorRef[Add]) -> None:
            try:
                await ref.ask(Add(20))
            except WaitCycle as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, a)
            nursery.start_soon(ask, b)
    assert len(errors) == 1
    assert sorted(set(errors[0].path)) == ["/a", "/b"]


async def test_A3_sends_during_start_are_handled_after_it() -> None:
    log: list[str] = []

    class Early(Actor[Hold]):
        async def on_start(self) -> None:
            await self.ctx.ref.tell(Hold("to myself"))
            await helper.tell(Add(1))
            log.append("ready")

        @handles(Hold)
        def hold(self, message: Hold) -> str:
            log.append(message.who)
            return ""

    class Helper(Actor[Add]):
        @handles(Add)
        async def add(self, message: Add) -> int:
            await system.get_actor("early").tell(Hold("from the helper"))
            return 0

    async with ActorSystem() as system:
        helper = await system.spawn(Helper)
        await system.spawn(Early, name="early")
        await settle()
    assert log[0] == "ready"
    assert sorted(log[1:]) == ["from the helper", "to myself"]


async def test_A3_a_flood_does_not_starve_other_tasks() -> None:
    turns = 0
    async with ActorSystem() as system:
        ref = await system.spawn(Counter, mailbox=10_000)
        for _ in range(10_000):
            ref.tell_nowait(Add(1))

        async with trio.open_nursery() as nursery:

            async def other() -> None:
                nonlocal turns
                while True:
                    await trio.lowlevel.checkpoint()
                    turns += 1

            nursery.start_soon(other)
            assert await ref.ask(Total()) == 10_000
            nursery.cancel_scope.cancel()
    assert turns > 100


async def test_A11_dead_letters_can_be_subscribed_to() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter, name="c")
        await ref.stop()
        with system.dead_letters.subscribe(buffer=2) as feed:
            for number in range(3):
                await ref.tell(Add(number))
            with pytest.raises(ActorEnded, match="/c.*Total"):
                await ref.ask(Total())
            first = await anext(feed)
        assert (first.path, first.message) == ("/c", Add(0))
        assert "no new messages" in first.why
        assert [letter.message async for letter in feed] == [Add(1)]
        assert feed.dropped == 2
        assert system.dead_letters.count == 4


async def test_A11_messages_between_stop_and_gone_are_dead_letters() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        await ref.tell(Hold("a"))
        await settle()
        ref.stop_nowait()
        await ref.tell(Hold("late"))
        with pytest.raises(ActorEnded, match="Hold"):
            await ref.ask(Hold("later"))
        assert system.dead_letters.count == 2
        gate.open.set()


async def test_A11_ledger_accounts_for_every_fate(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, mailbox=2)
        await ref.tell(Hold("handled, by being cancelled"))
        await settle()
        await ref.tell(Hold("dead"))
        with trio.move_on_after(1):
            await ref.ask(Hold("expired"))
        await ref.tell(Hold("dead"))
        with pytest.raises(MailboxFull):
            ref.tell_nowait(Hold("rejected"))
        await ref.kill()
        await ref.tell(Hold("late and dead"))
    ledger = system.ledger
    assert (ledger.sent, ledger.handled, ledger.rejected, ledger.expired, ledger.dead) == (
        6,
        1,
        1,
        1,
        3,
    )


async def test_A11_a_lost_message_is_found_when_the_system_closes() -> None:
    """Lose one on purpose: the ledger must notice."""
    with pytest.raises(LedgerMismatch, match=r"/h.*sent 2 .*handled 1"):
        async with ActorSystem() as system:
            ref = await system.spawn(Holder, Gate(), name="h")
            await ref.tell(Hold("a"))
            await settle()
            await ref.tell(Hold("b"))
            ref.cell.mailbox.clear()
            ref.kill_nowait()
