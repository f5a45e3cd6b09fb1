"""A posted message: an ask whose reply goes to a function, so that no task waits for it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorEnded, ActorRef, ActorSystem, Request, handles
from ffq.runtime.errors import MessageExpired, SystemClosed, UnhandledMessage
from tests.runtime.stock import (
    Add,
    Counter,
    Fail,
    Gate,
    Hold,
    HoldDetached,
    Holder,
    Total,
    settle,
)


@attrs.frozen
class Plus(Request[int]):
    n: int


@attrs.frozen
class Later(Request[str]):
    """Handled by a plain function that gives something to wait for."""

    who: str


WORD: ContextVar[str] = ContextVar("word", default="")


class Plain(Actor[Plus | Later]):
    """Its handlers are plain functions. Of a Plus they do what the test wants."""

    def __init__(self, work: Callable[[], Any], gate: Gate) -> None:
        self.work = work
        self.gate = gate

    @handles(Plus)
    def plus(self, message: Plus) -> Any:
        return self.work()

    @handles(Later)
    def later(self, message: Later) -> Any:
        self.gate.log.append(f"{message.who} begins")
        return self._wait(message)

    async def _wait(self, message: Later) -> str:
        await self.gate.wait(message.who)
        return message.who


class Adder(Actor[Plus]):
    """Its handler is a plain function."""

    def __init__(self) -> None:
        self.total = 0

    @handles(Plus)
    def plus(self, message: Plus) -> int:
        self.total += message.n
        return self.total


@attrs.define
class Replies:
    """What came back, in its order."""

    got: list[Any] = attrs.field(factory=list)

    def __call__(self, reply: Any, error: BaseException | None) -> None:
        self.got.append(reply if error is None else error)


async def test_a_reply_goes_to_the_function() -> None:
    replies = Replies()
    async with ActorSystem() as system:
        ref = await system.spawn(Counter, 1)
        ref.post(Add(2), replies)
        ref.post(Total(), replies)
        await settle()
        assert replies.got == [3, 3]


async def test_posts_asks_and_tells_are_handled_in_the_order_in_which_they_were_sent() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate)
        ref.post(Hold("a"), replies)
        await settle()
        ref.post(Hold("b"), replies)
        nursery.start_soon(ref.ask, Hold("c"))
        await settle()
        ref.tell_nowait(Hold("d"))
        ref.post(Hold("e"), replies)
        gate.open.set()
    assert gate.log[::2] == [f"{who} waits" for who in "abcde"]
    assert replies.got == ["a", "b", "e"]


async def test_an_error_of_the_handler_goes_to_the_function_and_not_to_supervision() -> None:
    replies = Replies()
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        ref.post(Fail("mine"), replies)
        ref.post(Add(1), replies)
        await settle()
    failed, one = replies.got
    assert isinstance(failed, ValueError)
    assert one == 1


async def test_A3_with_a_full_mailbox_it_waits_for_room() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, mailbox=1)
        for who in "abcd":
            ref.post(Hold(who), replies)
            await settle()
        assert ref.cell.queued() == 1
        assert len(ref.cell.overflow or ()) == 2
        gate.open.set()
        await settle()
        assert replies.got == ["a", "b", "c", "d"]


async def test_A5_given_up_while_it_waits_it_is_never_handled_and_its_room_is_free() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, mailbox=1)
        _, queued, waits, _ = [await _post(ref, who, replies) for who in "abcd"]
        waits.give_up()
        queued.give_up()
        queued.give_up()
        assert len(ref.cell.overflow or ()) == 0
        gate.open.set()
        await settle()
        assert replies.got == ["a", "d"]
        assert gate.log == ["a waits", "a done", "d waits", "d done"]
        ref.cell.check_ledger()


async def _post(ref: ActorRef[Any], who: str, replies: Replies) -> Any:
    posted = ref.post(Hold(who), replies)
    await settle()
    return posted


async def test_A5_given_up_while_it_is_handled_its_handler_is_cancelled() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        (await _post(ref, "a", replies)).give_up()
        await settle()
        assert gate.log == ["a waits", "a cancelled"]
        assert replies.got == []


async def test_A5_a_detached_one_given_up_is_handled_to_its_end() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        posted = ref.post(HoldDetached("a"), replies)
        await settle()
        posted.give_up()
        gate.open.set()
        await settle()
        assert gate.log == ["a waits", "a done"]
        assert replies.got == []


async def test_A5_given_up_before_its_actor_has_had_its_turn_it_is_not_handled() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        ref.post(Hold("a"), replies).give_up()
        await settle()
        assert "a done" not in gate.log
        assert "a waits" not in gate.log or "a cancelled" in gate.log
        assert replies.got == []
        ref.cell.check_ledger()


async def test_A5_past_its_deadline_it_is_not_begun(autojump_clock: trio.testing.MockClock) -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        await _post(ref, "a", replies)
        ref.post(Hold("late"), replies, deadline=trio.current_time() + 1)
        ref.post(Hold("b"), replies, deadline=trio.current_time() + 3)
        await trio.sleep(2)
        gate.open.set()
        await settle()
        first, late, second = replies.got
        assert (first, second) == ("a", "b")
        assert type(late) is MessageExpired
        assert "late waits" not in gate.log
    assert autojump_clock.current_time() > 0


async def test_A5_at_its_deadline_its_handler_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        ref.post(Hold("a"), replies, deadline=trio.current_time() + 1)
        await trio.sleep(2)
        assert gate.log == ["a waits", "a cancelled"]
        assert [type(each) for each in replies.got] == [MessageExpired]
        ref.post(Total(), replies)
        await settle()
        assert replies.got[1:] == [0]
    assert autojump_clock.current_time() > 0


async def test_A4_what_an_ending_actor_has_not_handled_is_answered_once() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, mailbox=1)
        for who in "abc":
            await _post(ref, who, replies)
        await ref.kill()
        assert [type(each) for each in replies.got] == [ActorEnded] * 3
        with pytest.raises(ActorEnded):
            ref.post(Hold("d"), replies)
    assert len(replies.got) == 3
    with pytest.raises(SystemClosed):
        ref.post(Hold("e"), replies)
    assert len(replies.got) == 3


async def test_a_message_that_the_actor_does_not_take_is_refused_at_once() -> None:
    async with ActorSystem() as system:
        ref: ActorRef[Any] = await system.spawn(Counter)
        with pytest.raises(UnhandledMessage):
            ref.post(Hold("x"), Replies())


async def test_a_function_that_raises_fails_the_system_and_not_the_actor() -> None:
    def broken(_reply: Any, _error: BaseException | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with ActorSystem() as system:
            ref = await system.spawn(Counter)
            ref.post(Total(), broken)
            await trio.sleep_forever()


async def test_a_function_may_post_again_to_the_same_actor() -> None:
    seen: list[int] = []

    def again(reply: Any, error: BaseException | None) -> None:
        assert error is None
        seen.append(reply)
        if reply < 2000:  # deeper than Python's stack
            ref.post(Plus(1), again)

    async with ActorSystem() as system:
        ref = await system.spawn(Adder)
        ref.post(Plus(1), again)
        while len(seen) < 2000:
            await trio.lowlevel.checkpoint()
    assert seen == list(range(1, 2001))


async def test_who_looks_sees_that_a_reply_is_waited_for() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, name="h")
        await _post(ref, "a", Replies())
        posted = await _post(ref, "b", Replies())
        assert [(each.target, each.asker) for each in system.pending_asks()] == [
            ("/h", "posted"),
            ("/h", "posted"),
        ]
        posted.give_up()
        assert len(list(system.pending_asks())) == 1
        gate.open.set()


async def test_an_idle_actors_plain_handler_is_run_at_once() -> None:
    replies = Replies()
    async with ActorSystem() as system:
        ref = await system.spawn(Adder)
        await settle()
        assert not ref.post(Plus(2), replies).awaited
        assert replies.got == [2]
        ref.cell.check_ledger()
        assert ref.cell.handled == 1


async def test_one_with_mail_is_not_overtaken() -> None:
    seen: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Adder)
        await settle()
        ref.tell_nowait(Plus(1))
        ref.post(Plus(1), lambda reply, _: seen.append(f"second {reply}"))
        assert seen == []
        await settle()
        assert seen == ["second 2"]


async def test_what_a_handler_sends_to_itself_comes_after_it() -> None:
    replies = Replies()

    def work() -> int:
        if not replies.got:
            ref.post(Plus(0), replies)
            assert replies.got == []
            replies.got.append("outer")
        return len(replies.got)

    async with ActorSystem() as system:
        ref = await system.spawn(Plain, work, Gate())
        await settle()
        ref.post(Plus(0), replies)
        await settle()
    assert replies.got == ["outer", 1, 2]


async def test_what_turns_out_to_wait_goes_on_in_the_actors_task() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Plain, int, gate, name="p")
        await settle()
        ref.post(Later("a"), replies)
        assert gate.log == ["a begins"]
        ref.post(Later("b"), replies)  # the actor is not free for it
        await settle()
        assert gate.log == ["a begins", "a waits"]
        assert [each.target for each in system.pending_asks()] == ["/p", "/p"]
        gate.open.set()
        await settle()
        assert replies.got == ["a", "b"]
        ref.cell.check_ledger()


@pytest.mark.parametrize("settled", [True, False])
async def test_A5_given_up_when_it_has_begun_it_is_cancelled(settled: bool) -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Plain, int, gate)
        await settle()
        posted = ref.post(Later("a"), replies)
        if settled:
            await settle()
        posted.give_up()
        ref.post(Plus(0), replies)
        await settle()
        assert gate.log == ["a begins", "a waits", "a cancelled"]
        assert replies.got == [0]
        gate.open.set()
        ref.post(Later("b"), replies)
        await settle()
        assert replies.got == [0, "b"]
        ref.cell.check_ledger()


async def test_A5_past_its_deadline_what_has_begun_is_cancelled_and_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Plain, int, gate)
        await settle()
        ref.post(Later("a"), replies, deadline=trio.current_time() + 1)
        autojump_clock.jump(2)
        await settle()
        assert "a done" not in gate.log
        assert [type(each) for each in replies.got] == [MessageExpired]
        ref.cell.check_ledger()


async def test_A4_killed_when_it_has_begun_it_is_answered_once() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Plain, int, gate)
        await settle()
        ref.post(Later("a"), replies)
        await ref.kill()
        assert [type(each) for each in replies.got] == [ActorEnded]
    assert len(replies.got) == 1


async def test_what_a_plain_handler_raises_is_raised_in_the_actors_task() -> None:
    def leave() -> None:
        raise SystemExit(3)

    replies = Replies()
    with pytest.raises(SystemExit):
        async with ActorSystem() as system:
            ref = await system.spawn(Plain, leave, Gate())
            await settle()
            ref.post(Plus(1), replies)
            await trio.sleep_forever()


async def test_context_variables_of_a_handler_are_seen_by_nobody_else() -> None:
    replies = Replies()

    def work() -> str:
        before = WORD.get()
        WORD.set("theirs")
        return before

    async with ActorSystem() as system:
        WORD.set("born with")
        ref = await system.spawn(Plain, work, Gate())
        await settle()
        WORD.set("mine")
        for _ in range(2):
            ref.post(Plus(1), replies)
        await settle()
        assert await ref.ask(Plus(1)) == replies.got[0]
        assert WORD.get() == "mine"
    assert len(set(replies.got)) == 1
    assert "mine" not in replies.got


async def test_a_stopping_actor_takes_no_more() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Adder)
        await settle()
        ref.stop_nowait()
        with pytest.raises(ActorEnded):
            ref.post(Plus(1), Replies())


async def test_A10_an_actor_with_several_slots_handles_posts_side_by_side() -> None:
    replies, gate = Replies(), Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Plain, int, gate, max_concurrency=2)
        await settle()
        for who in "abc":
            ref.post(Later(who), replies)
        ref.post(Plus(0), replies)
        await settle()
        assert gate.log == ["a begins", "a waits", "b begins", "b waits"]
        gate.open.set()
        await settle()
        assert sorted(map(str, replies.got)) == ["0", "a", "b", "c"]
        ref.cell.check_ledger()
