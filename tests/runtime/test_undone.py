"""What was undone, or belonged to an incarnation that is over, reaches nobody (A9, A10)."""

from __future__ import annotations

from contextvars import ContextVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.runtime import (
    Actor,
    ActorRef,
    ActorSystem,
    Request,
    Supervision,
    Terminated,
    Timer,
    handles,
)
from tests.runtime.stock import Add, Counter, settle


@attrs.frozen
class Tick(Request[None]):
    pass


@attrs.frozen
class Do(Request[None]):
    """Takes a while, and does what it is told at the end."""

    what: str


@attrs.frozen
class Seen(Request[tuple[str, ...]]):
    pass


class Nurse(Actor[Do | Seen]):
    def __init__(self, patient: ActorRef[Add], log: list[str]) -> None:
        self.patient = patient
        self.log = log
        self.timers: list[Timer] = []

    @handles(Do)
    async def do(self, message: Do) -> None:
        for what in message.what.split():
            match what:
                case "watch":
                    self.ctx.watch(self.patient)
                case "unwatch":
                    self.ctx.unwatch(self.patient)
                case "kill":
                    await self.patient.kill()
                case "after":
                    self.timers.append(self.ctx.after(1, Tick()))
                case "every":
                    self.timers.append(self.ctx.every(1, Tick(), may_fail=True))
                case "wait":
                    await trio.sleep(5)
                case "cancel":
                    for timer in self.timers:
                        timer.cancel()
                case "fail":
                    raise ValueError("on purpose")

    @handles(Tick)
    def tick(self, message: Tick) -> None:
        self.log.append("tick")

    @handles(Terminated)
    def gone(self, message: Terminated) -> None:
        self.log.append("gone")

    @handles(Seen)
    def seen(self, message: Seen) -> tuple[str, ...]:
        return tuple(self.log)


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("watch kill", ("gone",)),
        ("watch kill unwatch", ()),
        ("watch kill unwatch watch", ("gone",)),
        ("kill watch", ("gone",)),
        ("kill watch watch watch", ("gone",)),
        ("watch watch kill watch", ("gone",)),
        ("kill watch unwatch", ()),
        ("watch kill fail", ()),
        ("kill watch fail", ()),
        ("after wait", ("tick",)),
        ("after wait cancel", ()),
        ("after after wait", ("tick", "tick")),
        ("after wait fail", ()),
        ("after fail", ()),
        ("every wait cancel", ()),
        ("every wait fail", ()),
    ],
)
async def test_A10_notices_and_ticks_go_with_what_asked_for_them(
    what: str, seen: tuple[str, ...], concurrency: int, autojump_clock: MockClock
) -> None:
    log: list[str] = []
    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        patient = await system.spawn(Counter)
        nurse = await system.spawn(Nurse, patient, log, max_concurrency=concurrency)
        await nurse.tell(Do(what))
        await trio.sleep(6 if concurrency == 1 else 0.5)
        if concurrency == 1 or "wait" not in what:
            assert await nurse.ask(Seen()) == seen
    ledger = system.ledger
    assert ledger.sent == ledger.handled + ledger.expired + ledger.dead


async def test_A10_a_timer_cancelled_while_its_tick_waits_for_room(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    async with ActorSystem() as system:
        nurse = await system.spawn(Nurse, await system.spawn(Counter), log, mailbox=1)
        await nurse.tell(Do("every wait cancel"))
        await settle()
        await nurse.tell(Do("nothing"))
        assert await nurse.ask(Seen()) == ()
        await trio.sleep(10)
    assert log == []


# --- context variables -----------------------------------------------------------------------

user: ContextVar[str] = ContextVar("user", default="nobody")


@attrs.frozen
class Login(Request[None]):
    name: str
    then: str = ""


@attrs.frozen
class Who(Request[str]):
    pass


class Session(Actor[Login | Who]):
    def __init__(self, at_start: str) -> None:
        self.at_start = at_start

    async def on_start(self) -> None:
        if self.at_start and not self.ctx.restarts:
            user.set(self.at_start)

    @handles(Login)
    async def login(self, message: Login) -> None:
        user.set(message.name)
        if message.then == "fail":
            raise ValueError(message.name)
        if message.then == "wait":
            await trio.sleep_forever()

    @handles(Who)
    def who(self, message: Who) -> str:
        return user.get()


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("at_start", ["", "root"])
async def test_A10_a_context_variable_set_in_one_message_is_not_seen_by_the_next(
    concurrency: int, at_start: str, autojump_clock: MockClock
) -> None:
    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Session, at_start, max_concurrency=concurrency)
        expected = at_start or "nobody"
        await ref.ask(Login("ann"))
        assert await ref.ask(Who()) == expected
        with pytest.raises(ValueError, match="bob"):
            await ref.ask(Login("bob", "fail"))
        assert await ref.ask(Who()) == expected
        with trio.move_on_after(1):
            await ref.ask(Login("eve", "wait"))
        assert await ref.ask(Who()) == expected
        await ref.tell(Login("ann"))
        await ref.tell(Login("bob", "fail"))  # and the actor starts anew
        assert await ref.ask(Who()) == "nobody"


class Odd:
    """Equal to nothing, and cannot be asked."""

    def __eq__(self, other: object) -> bool:
        raise TypeError("not comparable")

    __hash__ = None  # type: ignore[assignment]


odd: ContextVar[Odd | None] = ContextVar("odd", default=None)


async def test_A10_a_context_variable_may_hold_what_cannot_be_compared() -> None:
    class Sets(Actor[Add]):
        async def on_start(self) -> None:
            odd.set(Odd())

        @handles(Add)
        def add(self, message: Add) -> int:
            seen.append(odd.get())
            odd.set(Odd())
            return message.n

    seen: list[Odd | None] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Sets)
        for n in range(3):
            assert await ref.ask(Add(n)) == n
    assert seen[0] is not None
    assert all(each is seen[0] for each in seen)
