"""`ctx.fail`, and timers whose messages may fail."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
import trio.testing

from ffq.runtime import (
    Actor,
    ActorContext,
    ActorEnded,
    ActorFailed,
    ActorRef,
    ActorSystem,
    EndReason,
    Hooks,
    Request,
    Supervision,
    handles,
)
from ffq.runtime.errors import ProtocolError
from tests.runtime.stock import settle


class Broken(Exception):
    """What the actor holds can no longer be trusted."""


class Refused(Exception):
    """What the asker did was wrong."""


@attrs.frozen
class Break(Request[str]):
    """Fail the actor, then do what is said: "return", "wait", "raise", "raise another"."""

    then: str


@attrs.frozen
class Wait(Request[None]):
    """Wait for ever."""


@attrs.frozen
class Tick(Request[None]):
    """Sent by timers."""


class Glass(Actor[Break | Wait]):
    """Fails itself; logs what its parts went through."""

    def __init__(self, log: list[str], contexts: list[ActorContext] | None = None) -> None:
        self.log = log
        self.contexts = [] if contexts is None else contexts

    async def on_start(self) -> None:
        self.log.append(f"start {self.ctx.restarts}")
        self.contexts.append(self.ctx)

    async def on_stop(self) -> None:
        self.log.append("stop")

    @handles(Break)
    async def break_it(self, message: Break) -> str:
        error = Broken("in pieces")
        self.ctx.fail(error)
        self.log.append("failed")
        if message.then == "wait":
            await trio.lowlevel.checkpoint()
            self.log.append("went on")
        elif message.then == "raise":
            raise error
        elif message.then == "raise another":
            raise Refused("no")
        return "reply"

    @handles(Wait)
    async def wait(self, message: Wait) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("cancelled")


class Seen(Hooks):
    """What failed, and what became of messages."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.handled: list[BaseException | None] = []

    def actor_failed(self, path: str, error: Exception) -> None:
        self.failures.append(error)

    def message_handled(self, path: str, message: Any, error: BaseException | None) -> None:
        self.handled.append(error)


ONCE = Supervision(max_restarts=1)
RESTARTED = ["start 0", "failed", "stop", "start 1", "stop"]


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("then", ["return", "wait", "raise", "raise another"])
async def test_A7_fail_fails_the_actor_and_its_handler_says_what_the_asker_gets(
    then: str, concurrency: int
) -> None:
    log: list[str] = []
    seen = Seen()
    got: object = None
    async with ActorSystem(supervision=ONCE, hooks=seen) as system:
        ref = await system.spawn(Glass, log, max_concurrency=concurrency)
        try:
            got = await ref.ask(Break(then))
        except (Broken, Refused, ActorEnded) as error:
            got = error
        await settle()
    assert log == RESTARTED
    (failure,) = seen.failures
    assert isinstance(failure, Broken)
    assert failure.__notes__ == ["raised by the actor /Glass-1 while handling Break"]
    if then == "return":
        assert got == "reply"
    elif then == "wait":
        assert isinstance(got, ActorEnded)
    elif then == "raise":
        assert got is failure
    else:
        assert isinstance(got, Refused)
    assert (system.ledger.sent, system.ledger.handled) == (1, 1)


@pytest.mark.parametrize("then", ["return", "wait", "raise", "raise another"])
async def test_A7_fail_while_a_tell_is_handled_counts_each_error_once(then: str) -> None:
    log: list[str] = []
    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem() as system:
            ref = await system.spawn(Glass, log)
            await ref.tell(Break(then))
            await trio.sleep_forever()
    cause = caught.value.__cause__
    if then == "raise another":
        assert isinstance(cause, ExceptionGroup)
        assert [type(error) for error in cause.exceptions] == [Broken, Refused]
    else:
        assert isinstance(cause, Broken)
    assert log == RESTARTED[:3]


async def test_A7_fail_cancels_whatever_else_the_actor_does() -> None:
    log: list[str] = []
    ended: list[str] = []

    async def ask(ref: ActorRef[Wait]) -> None:
        with pytest.raises(ActorEnded):
            await ref.ask(Wait())
        ended.append("asker")

    async with ActorSystem(supervision=ONCE) as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Glass, log, max_concurrency=2)
        nursery.start_soon(ask, ref)
        await settle()
        assert await ref.ask(Break("return")) == "reply"
        await settle()
        assert log == ["start 0", "failed", "cancelled", "stop", "start 1"]
        assert ended == ["asker"]


async def test_A7_fail_in_a_task_is_its_actors_failure_at_once() -> None:
    class Watchful(Glass):
        async def on_start(self) -> None:
            await super().on_start()
            if not self.ctx.restarts:
                self.ctx.start_task(self.look)

        async def look(self) -> None:
            await trio.sleep(1)
            self.ctx.fail(Broken("seen"))
            self.log.append("failed")
            await trio.lowlevel.checkpoint()
            self.log.append("went on")

    log: list[str] = []
    seen = Seen()
    async with ActorSystem(supervision=ONCE, hooks=seen) as system:
        await system.spawn(Watchful, log)
        await trio.sleep(2)
    assert log == RESTARTED
    (failure,) = seen.failures
    assert failure.__notes__ == ["raised by the actor /Watchful-1 while calling ctx.fail()"]


async def test_A7_fail_in_a_cleanup_counts_as_a_failure_of_the_cleanup() -> None:
    class Untidy(Glass):
        async def on_stop(self) -> None:
            self.ctx.fail(Broken("left open"))
            await trio.lowlevel.checkpoint()
            self.log.append("went on")

    log: list[str] = []
    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem() as system:
            ref = await system.spawn(Untidy, log)
            assert (await ref.stop()).reason is EndReason.FAILED
    assert isinstance(caught.value.__cause__, Broken)
    assert log == ["start 0"]


async def test_A7_fail_of_an_incarnation_that_is_over_is_refused() -> None:
    contexts: list[ActorContext] = []
    async with ActorSystem(supervision=ONCE) as system:
        ref = await system.spawn(Glass, [], contexts)
        with pytest.raises(ProtocolError, match="takes an Exception"):
            contexts[0].fail(KeyboardInterrupt())  # type: ignore[arg-type]
        await ref.stop()
        with pytest.raises(ActorEnded, match=r"/Glass-1: this incarnation, number 0, is over"):
            contexts[0].fail(Broken())


# Timers


@attrs.frozen
class Ticks(Request[int]):
    """How many ticks were handled, also without success."""


class Clock(Actor[Ticks]):
    """Fails at every second tick."""

    def __init__(self, may_fail: bool, once: bool = False, ends: bool = False) -> None:
        self.may_fail = may_fail
        self.once = once
        self.ends = ends
        self.ticks = 0

    async def on_start(self) -> None:
        if self.once:
            self.ctx.after(1, Tick(), may_fail=self.may_fail)
            self.ctx.after(2, Tick(), may_fail=self.may_fail)
        else:
            self.ctx.every(1, Tick(), may_fail=self.may_fail)

    @handles(Tick)
    async def tick(self, message: Tick) -> None:
        self.ticks += 1
        if self.ticks % 2 == 0:
            if self.ends:
                self.ctx.fail(Broken())
            async with trio.open_nursery():  # so what leaves the handler is a group
                raise Refused(f"tick {self.ticks}")

    @handles(Ticks)
    def get(self, message: Ticks) -> int:
        return self.ticks


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_A10_a_tick_that_may_fail_leaves_actor_and_timer_as_they_are(
    concurrency: int, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    seen = Seen()
    async with ActorSystem(hooks=seen) as system:
        ref = await system.spawn(Clock, True, name="clock", max_concurrency=concurrency)
        await trio.sleep(6.5)
        assert await ref.ask(Ticks()) == 6
        assert system.tree()[0].restarts == 0
    assert seen.failures == []
    assert [type(error) for error in seen.handled[:6]] == [type(None), ExceptionGroup] * 3
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "/clock goes on after a failure while handling Tick"
    ] * 3
    assert [record.exc_info and record.exc_info[1] for record in warnings] == seen.handled[1:6:2]
    assert system.ledger.handled == system.ledger.sent == 7


async def test_A10_after_may_fail_too(autojump_clock: trio.testing.MockClock) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Clock, True, True)
        await trio.sleep(3)
        assert await ref.ask(Ticks()) == 2


@pytest.mark.parametrize("once", [False, True])
async def test_A10_a_tick_that_may_not_fail_fails_the_actor(
    once: bool, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(ActorFailed):
        async with ActorSystem() as system:
            await system.spawn(Clock, False, once)
            await trio.sleep(3)
            raise AssertionError("not reached")


async def test_A10_a_tick_that_may_fail_can_still_fail_the_actor_on_purpose(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem() as system:
            await system.spawn(Clock, True, False, True)
            await trio.sleep(3)
    assert isinstance(caught.value.__cause__, Broken)


@attrs.frozen
class Stamped(Request[None]):
    """When it was sent, in seconds of Trio's clock."""

    at: float


class Stamping(Actor[Stamped]):
    """Writes the time into each tick when it is sent; `broken` calls for one fail."""

    def __init__(self, seen: list[tuple[float, float]], broken: int, may_fail: bool) -> None:
        self.seen = seen
        self.broken = broken
        self.may_fail = may_fail

    async def on_start(self) -> None:
        self.ctx.every(1, self.make, may_fail=self.may_fail)

    def make(self) -> Stamped:
        if self.broken:
            self.broken -= 1
            raise Broken("no stamp")
        return Stamped(trio.current_time())

    @handles(Stamped)
    async def tick(self, msg: Stamped) -> None:
        self.seen.append((msg.at, trio.current_time()))
        await trio.sleep(1.5)


async def test_A10_a_tick_may_be_made_when_it_is_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen: list[tuple[float, float]] = []
    async with ActorSystem() as system:
        start = trio.current_time()
        await system.spawn(Stamping, seen, 2, True)
        await trio.sleep(7.1)
    sent = [round(at - start, 3) for at, _ in seen]
    assert sent[:3] == [3, 4, 5]  # two could not be made; those that waited keep their stamp
    assert all(at <= handled for at, handled in seen)


async def test_A10_one_that_cannot_be_made_is_the_actors_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem() as system:
            await system.spawn(Stamping, [], 99, False)
            await trio.sleep(60)
    assert isinstance(caught.value.__cause__, Broken)
