"""A timeout is the asker's own matter (A5, A7): it ends his wait, and nothing else.

The event loop is often busy when a deadline passes. Here a handler makes the clock jump, so that
the mailbox sees the deadline before Trio does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, handles
from ffq.runtime.errors import InvalidOption, MailboxFull, MessageExpired, StashFull
from tests.runtime.stock import Add, Gate, Hold, Holder, Total, settle


@attrs.frozen
class Compute(Request[None]):
    """Keeps the event loop busy for that long."""

    seconds: float


@attrs.frozen
class Relay(Request[int]):
    pass


class Busy(Actor[Add | Total | Compute]):
    def __init__(self, clock: MockClock) -> None:
        self.clock = clock
        self.total = 0

    @handles(Add)
    def add(self, message: Add) -> int:
        self.total += message.n
        return self.total

    @handles(Total)
    def get(self, message: Total) -> int:
        return self.total

    @handles(Compute)
    async def compute(self, message: Compute) -> None:
        await trio.sleep(0.01)  # what is asked meanwhile stands in the mailbox
        self.clock.jump(message.seconds)


class Front(Actor[Relay]):
    def __init__(self, back: ActorRef[Add]) -> None:
        self.back = back

    @handles(Relay)
    async def relay(self, message: Relay) -> int:
        return await self.back.ask(Add(1))


@pytest.fixture
def clock(autojump_clock: MockClock) -> MockClock:
    return autojump_clock


Scope = Callable[[float], AbstractContextManager[trio.CancelScope]]


@pytest.mark.parametrize("scope", [trio.move_on_after, trio.fail_after])
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("through", [False, True])
async def test_A5_a_deadline_that_the_mailbox_sees_first_ends_in_its_scope(
    scope: Scope, concurrency: int, through: bool, clock: MockClock
) -> None:
    async with ActorSystem() as system:
        back = await system.spawn(Busy, clock)
        front = await system.spawn(Front, back, max_concurrency=concurrency)
        for _ in range(20):
            await back.tell(Compute(2))
            late = pytest.raises(trio.TooSlowError) if scope is trio.fail_after else nullcontext()
            with late, scope(1):
                await (front.ask(Relay()) if through else back.ask(Add(1)))
                pytest.fail("it was answered after its deadline")
        assert await front.ask(Relay()) == 1
        assert system.ledger.unheard == 0


async def test_A5_a_hundred_impatient_clients_hurt_nobody(clock: MockClock) -> None:
    async with ActorSystem() as system:
        back = await system.spawn(Busy, clock)
        front = await system.spawn(Front, back, max_concurrency=100)

        async def client() -> None:
            for _ in range(5):
                await back.tell(Compute(0.03))
                with trio.move_on_after(0.05):
                    await front.ask(Relay())

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(client)
        assert await back.ask(Total()) < 500
        assert [actor.restarts for actor in system.tree()] == [0, 0]


async def test_A5_a_handler_cancelled_at_a_deadline_moved_away_since_says_so(
    clock: MockClock,
) -> None:
    """It had begun, and cannot be sent again."""
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate)
        scope = trio.CancelScope(deadline=trio.current_time() + 1)

        async def ask() -> None:
            with scope, pytest.raises(MessageExpired, match="was not done by its deadline"):
                await ref.ask(Hold("a"))

        nursery.start_soon(ask)
        await settle()
        scope.deadline = float("inf")
    assert gate.log == ["a waits", "a cancelled"]
    assert not scope.cancelled_caught


# --- errors that nobody hears ----------------------------------------------------------------


@attrs.frozen
class Find(Request[str]):
    key: str


@attrs.frozen
class FindAll(Request[str]):
    key: str
    detached: ClassVar[bool] = True


class Table(Actor[Find | FindAll | Total]):
    """Works where it cannot be cancelled, and answers with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @handles(Find)
    async def find(self, message: Find) -> str:
        return await self.answer()

    @handles(FindAll)
    async def find_all(self, message: FindAll) -> str:
        return await self.answer()

    async def answer(self) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        raise self.error

    @handles(Total)
    def total(self, message: Total) -> int:
        return 7


@pytest.mark.parametrize("message", [Find("a"), FindAll("a")])
@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize(
    ("error", "level"),
    [
        (KeyError("no such row"), logging.WARNING),
        (InvalidOption("typed: an answer like any other"), logging.INFO),
        (ExceptionGroup("two", [OSError(), ValueError()]), logging.WARNING),
    ],
)
async def test_A7_an_error_that_answers_one_who_has_left_is_logged_and_counted(
    message: Find | FindAll,
    concurrency: int,
    error: Exception,
    level: int,
    clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "ffq.runtime")
    async with ActorSystem() as system:
        table = await system.spawn(Table, error, name="table", max_concurrency=concurrency)
        with pytest.raises(type(error)):
            await table.ask(message)
        assert system.ledger.unheard == 0
        with trio.move_on_after(1):
            await table.ask(message)
        await trio.sleep(10)
        assert await table.ask(Total()) == 7
        assert system.ledger.unheard == 1
    (record,) = caplog.records
    assert record.levelno == level
    assert "/table failed while handling Find" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_A7_a_log_that_cannot_be_written_ends_no_actor(clock: MockClock) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise OSError("the disk of the log is full")

    log = logging.getLogger("ffq.runtime")
    log.addFilter(refuse)
    try:
        async with ActorSystem() as system:
            table = await system.spawn(Table, KeyError("no such row"))
            with trio.move_on_after(1):
                await table.ask(Find("a"))
            await trio.sleep(10)
            assert await table.ask(Total()) == 7
            assert system.ledger.unheard == 1
    finally:
        log.removeFilter(refuse)


# --- room ------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_A5_an_ask_that_was_given_up_frees_its_room(concurrency: int) -> None:
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate, mailbox=2, max_concurrency=concurrency)
        for n in range(concurrency):
            await ref.tell(Hold(f"running {n}"))
        await settle()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as given_up:
                given_up.start_soon(ref.ask, Hold("a"))
                given_up.start_soon(ref.ask, Hold("b"))
                await settle()
                nursery.start_soon(ref.tell, Hold("waits for room"))
                await settle()
                (info,) = system.tree()
                assert (info.mailbox, info.waiting_senders) == (2, 1)
                scope.cancel()
        (info,) = system.tree()
        assert (info.mailbox, info.waiting_senders) == (1, 0)
        ref.tell_nowait(Hold("fits"))
        with pytest.raises(MailboxFull):
            ref.tell_nowait(Hold("does not"))
        assert (system.ledger.expired, system.ledger.in_flight) == (2, concurrency + 2)
        gate.open.set()
        await ref.stop()
        assert "fits done" in gate.log


async def test_A3_what_was_given_up_does_not_heap_up_in_the_mailbox() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, mailbox=8)
        await ref.tell(Hold("running"))
        await settle()
        for _ in range(1000):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ref.ask, Hold("given up"))
                    await settle()
                    scope.cancel()
            assert len(ref.cell.mailbox) <= 2 * 8
        gate.open.set()
    assert system.ledger.expired == 1000


async def test_A10_an_ask_that_was_given_up_frees_its_room_in_the_stash(
    clock: MockClock,
) -> None:
    class Shop(Actor[Hold]):
        @handles(Hold)
        def hold(self, message: Hold) -> str:
            self.ctx.stash()

    async with ActorSystem() as system, trio.open_nursery() as nursery:
        shop = await system.spawn(Shop, stash=2)
        for _ in range(5):
            with trio.move_on_after(1):
                await shop.ask(Hold("given up"))
        nursery.start_soon(shop.ask, Hold("a"))
        nursery.start_soon(shop.ask, Hold("b"))
        await settle()
        with pytest.raises(StashFull):
            await shop.ask(Hold("c"))
        nursery.cancel_scope.cancel()
    assert system.ledger.expired == 7
