"""A2, A3, A11: declarations that cannot work are refused; odd messages are accounted for."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from typing import Annotated, Any, ClassVar, Generic, TypedDict, TypeVar

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import (
    Actor,
    ActorFailed,
    ActorSystem,
    Hooks,
    MailboxFull,
    Request,
    Supervision,
    handles,
)
from ffq.runtime.errors import ActorEnded, InvalidOption, MissingHandler, ProtocolError, StashFull
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total, settle

V = TypeVar("V")
M = TypeVar("M")


def test_A2_a_handler_that_is_a_generator_is_refused_at_definition() -> None:
    with pytest.raises(ProtocolError, match=r"Yields.add handles Add and has a yield"):

        class Yields(Actor[Add]):
            @handles(Add)  # type: ignore[arg-type]
            def add(self, message: Add) -> Iterator[int]:
                yield 1

    with pytest.raises(ProtocolError, match=r"Streams.add handles Add and has a yield"):

        class Streams(Actor[Add]):
            @handles(Add)  # type: ignore[arg-type]
            async def add(self, message: Add) -> AsyncIterator[int]:
                yield 1


def test_A2_type_parameters_that_are_no_protocol_are_left_alone() -> None:
    class Cache(Actor[Add], Generic[V]):
        @handles(Add)
        def add(self, message: Add) -> int:
            return message.n

    class OfInts(Cache[int]):
        pass

    assert OfInts.__protocol__ == {Add}


def test_A2_a_protocol_bound_through_a_generic_base_still_binds() -> None:
    class Base(Actor[M | Add], Generic[V, M]):
        @handles(Add)
        def add(self, message: Add) -> int:
            return message.n

    class Sound(Base[str, Total]):
        @handles(Total)
        def total(self, message: Total) -> int:
            return 0

    assert Sound.__protocol__ == {Add, Total}
    with pytest.raises(MissingHandler, match="Lacking declares Total"):

        class Lacking(Base[str, Total]):
            pass


async def test_A2_a_subclass_of_a_declared_message_may_have_a_handler_of_its_own() -> None:
    @attrs.frozen
    class AddTwice(Add):
        pass

    class Precise(Counter):
        @handles(AddTwice)
        def add_twice(self, message: AddTwice) -> int:
            self.total += 2 * message.n
            return self.total

    async with ActorSystem() as system:
        ref = await system.spawn(Precise)
        assert await ref.ask(AddTwice(3)) == 6
        assert await ref.ask(Add(3)) == 9


async def test_A5_detached_is_said_of_the_class_and_not_of_each_message() -> None:
    @attrs.frozen
    class Confused(Request[None]):
        detached: bool = True  # type: ignore[misc]  # forgot ClassVar: a field

    with pytest.raises(ProtocolError, match=r"Takes: .*Confused.detached .*ClassVar"):

        class Takes(Actor[Confused]):
            @handles(Confused)
            def take(self, message: Confused) -> None: ...


async def test_A5_a_subclass_of_a_detached_message_is_detached() -> None:
    @attrs.frozen
    class Sure(Hold):
        detached: ClassVar[bool] = True

    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Sure("a"))
            await settle()
            nursery.cancel_scope.cancel()
        gate.open.set()
        assert await ref.ask(Total()) == 1
    assert gate.log == ["a waits", "a done"]


@pytest.mark.parametrize("deadline", [math.nan, "soon", None])
async def test_bad_input_a_deadline_that_is_no_time(deadline: Any) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter, name="c")
        with pytest.raises(InvalidOption, match=r"/c: deadline=.* of Add"):
            await ref.tell(Add(1), deadline=deadline)
        with pytest.raises(InvalidOption, match=r"/c: deadline=.* of Add"):
            ref.tell_nowait(Add(1), deadline=deadline)
        assert await ref.ask(Total()) == 0
    assert (system.ledger.rejected, system.ledger.handled) == (2, 1)


async def test_A5_deadlines_at_the_ends_of_time() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        await ref.tell(Add(1), deadline=-math.inf)
        await ref.tell(Add(10), deadline=math.inf)
        assert await ref.ask(Total()) == 10
    assert system.ledger.expired == 1


async def test_bad_input_reply_types_that_cannot_be_checked_are_let_through() -> None:
    class Row(TypedDict):
        n: int

    @attrs.frozen
    class Get(Request[Row]):
        pass

    @attrs.frozen
    class Marked(Request[Annotated[int, "cents"]]):
        pass

    class Rows(Actor[Get | Marked]):
        @handles(Get)
        def get(self, message: Get) -> Row:
            return {"n": 1}

        @handles(Marked)
        def marked(self, message: Marked) -> int:
            return 5

    async with ActorSystem(debug=True) as system:
        ref = await system.spawn(Rows)
        assert await ref.ask(Get()) == {"n": 1}
        assert await ref.ask(Marked()) == 5


class Stasher(Actor[Hold | Total]):
    """Stashes in the way it is told to, once."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.stashed = False

    @handles(Hold)
    async def hold(self, message: Hold) -> str:
        if not self.stashed:
            self.stashed = True
            if self.how == "swallow":
                try:
                    self.ctx.stash()
                except BaseException:  # noqa: BLE001
                    return "swallowed"
            async with trio.open_nursery() as nursery:
                if self.how == "task":
                    nursery.start_soon(self.stash_in_a_task)
                    await trio.sleep_forever()
                else:
                    nursery.start_soon(trio.sleep_forever)
                    self.ctx.stash()
        return message.who

    async def stash_in_a_task(self) -> None:
        self.ctx.stash()

    @handles(Total)
    def total(self, message: Total) -> int:
        self.ctx.unstash_all()
        return 0


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize(
    ("how", "reply"), [("nursery", "x"), ("task", "x"), ("swallow", "swallowed")]
)
async def test_A10_a_stash_inside_a_nursery_counts_its_message_once(
    how: str, reply: str, concurrency: int
) -> None:
    replies: list[str] = []
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Stasher, how, max_concurrency=concurrency)

        async def ask() -> None:
            replies.append(await ref.ask(Hold("x")))

        nursery.start_soon(ask)
        await settle()
        assert replies == ([] if reply == "x" else [reply])
        await ref.ask(Total())
        await settle()
        assert replies == [reply]
    assert system.ledger.handled == 2


async def test_A10_a_stash_that_fills_while_handlers_leave_is_still_bounded() -> None:
    class Slow(Actor[Hold]):
        @handles(Hold)
        async def hold(self, message: Hold) -> str:
            try:
                self.ctx.stash()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.lowlevel.checkpoint()

    full: list[str] = []
    async with trio.open_nursery() as nursery, ActorSystem() as system:
        ref = await system.spawn(Slow, stash=1, max_concurrency=2, name="slow")

        async def ask(who: str) -> None:
            try:
                await ref.ask(Hold(who))
            except StashFull as error:
                full.append(str(error))
            except ActorEnded:
                full.append("stashed until the end")

        for who in "ab":
            nursery.start_soon(ask, who)
        await settle()
        assert len(full) == 1
        assert "/slow: the stash holds 1 messages already; Hold" in full[0]
    assert full[1:] == ["stashed until the end"]


@pytest.mark.parametrize("end", ["cancel", "crash", "kill", "leave"])
async def test_A11_the_ledger_adds_up_with_mail_of_every_fate_however_it_ends(
    end: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Running, queued, waiting for room, stashed, expired and rejected mail at the same time."""

    class Mixed(Actor[Hold | Total | Fail]):
        @handles(Hold)
        async def hold(self, message: Hold) -> str:
            if message.who == "stash":
                self.ctx.stash()
            await gate.wait(message.who)
            return message.who

        @handles(Total)
        def total(self, message: Total) -> int:
            return 0

        @handles(Fail)
        def fail(self, message: Fail) -> None:
            raise ValueError

    gate = Gate()
    outcomes: list[str] = []

    async def send(who: str, deadline: float = math.inf) -> None:
        with trio.CancelScope(deadline=deadline):
            try:
                await ref.ask(Hold(who))
                outcomes.append("reply")
            except ActorEnded:
                outcomes.append("ended")

    async def all_kinds() -> None:
        for who in ("stash", "a", "b"):
            nursery.start_soon(send, who)
            await settle()
        nursery.start_soon(send, "expired", trio.current_time() + 1)
        await settle()
        for who in "cd":
            nursery.start_soon(send, who)
        await trio.sleep(2)
        with pytest.raises(MailboxFull):
            ref.tell_nowait(Hold("rejected"))

    crash = pytest.raises(ActorFailed, match="crash") if end == "crash" else nullcontext()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope, crash:
            async with ActorSystem() as system:
                ref = await system.spawn(Mixed, mailbox=2, max_concurrency=2)
                await all_kinds()
                if end == "cancel":
                    scope.cancel()
                if end == "crash":
                    ref.cell.fail(OSError("crash"), "being tested")
                if end == "kill":
                    await ref.kill()
                if end in ("cancel", "crash"):
                    await trio.sleep_forever()
                gate.open.set()
    ledger = system.ledger
    fates = (ledger.sent, ledger.handled, ledger.rejected, ledger.expired, ledger.dead)
    handled = 4 if end == "leave" else 2
    # Sent: the stashed one, a to d, the expired and the rejected one.
    assert fates == (7, handled, 1, 1, 7 - 2 - handled)
    assert len(outcomes) == 5


async def test_A11_a_subscriber_of_dead_letters_is_let_go_when_the_system_closes() -> None:
    system = ActorSystem()
    letters: list[Any] = []
    with system.dead_letters.subscribe(buffer=1) as feed:
        async with system:
            ref = await system.spawn(Counter)
            await ref.stop()
            await ref.tell(Add(1))
        with pytest.raises(Exception, match="is closed"):
            await ref.tell(Add(2))
        letters.extend([letter.message async for letter in feed])
    assert letters == [Add(1)]
    assert feed.dropped == 1
    with system.dead_letters.subscribe() as late:
        assert [letter async for letter in late] == []


@pytest.mark.parametrize("buffer", [-1, 1.5, math.inf, None, True])
async def test_bad_input_a_dead_letter_buffer_must_be_bounded(buffer: Any) -> None:
    with (
        pytest.raises(InvalidOption, match="buffer="),
        ActorSystem().dead_letters.subscribe(buffer),
    ):
        pass


@pytest.mark.parametrize(
    "hook", ["actor_started", "message_handled", "actor_failed", "dead_letter", "actor_ended"]
)
async def test_A12_a_hook_that_raises_fails_the_system_and_hangs_nobody(hook: str) -> None:
    class Bad(Hooks):
        pass

    def raises(*_: object) -> None:
        raise OSError(hook)

    setattr(Bad, hook, raises)
    outcomes: list[str] = []

    async def outside_asks() -> None:
        try:
            outcomes.append(str(await ref.ask(Add(1))))
        except ActorEnded:
            outcomes.append("ended")

    async with trio.open_nursery() as outside:
        with pytest.raises(OSError, match=hook) as caught:
            async with ActorSystem(hooks=Bad(), supervision=Supervision(max_restarts=5)) as system:
                ref = await system.spawn(Counter)
                outside.start_soon(outside_asks)
                await settle()
                await ref.tell(Fail())
                await ref.stop()
                await ref.tell(Add(1))
                if hook != "actor_ended":
                    await trio.sleep_forever()
        assert caught.value.__notes__ == [f"left the system actors while calling the hook {hook}"]
    assert len(outcomes) <= 1
    system.ledger.check()


@pytest.mark.parametrize("concurrency", [2, 3, 10])
async def test_A10_handlers_that_run_side_by_side_start_in_order(concurrency: int) -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, max_concurrency=concurrency)
        for _ in range(10):
            gate.log.clear()
            for who in range(10):
                await ref.tell(Hold(str(who)))
            await settle()
            gate.open.set()
            await settle()
            gate.open = trio.Event()
            started = [line.split()[0] for line in gate.log if line.endswith("waits")]
            assert started == [str(who) for who in range(10)]


@pytest.mark.parametrize("end", ["kill", "restart"])
async def test_A4_a_handler_that_has_not_started_does_not_after_a_kill_or_failure(
    end: str,
) -> None:
    """With free slots, so that only the scheduler has yet to start it."""
    seen: list[int] = []

    class Plain(Counter):
        @handles(Add)
        def add_one(self, message: Add) -> int:
            seen.append(self.ctx.restarts)
            return 0

    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Plain, max_concurrency=4)
        await settle()
        if end == "restart":
            await ref.tell(Fail())
        for _ in range(3):
            ref.tell_nowait(Add(1))
        if end == "kill":
            ref.kill_nowait()
        await settle()
    assert seen == ([] if end == "kill" else [1, 1, 1])
    assert system.ledger.dead == (3 if end == "kill" else 0)
