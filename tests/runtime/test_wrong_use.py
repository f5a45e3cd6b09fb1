"""A wrong use is refused before anything changes, and the actor stays well (A13, A1, A6)."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.runtime import (
    Actor,
    ActorRef,
    ActorSystem,
    Backoff,
    Ended,
    EndReason,
    Hooks,
    Request,
    Strategy,
    Supervision,
    Terminated,
    WaitCycle,
    handles,
)
from ffq.runtime.errors import (
    ActorError,
    InvalidOption,
    ProtocolError,
    SystemClosed,
    UnfrozenMessage,
    UnsendableRef,
    WrongThread,
)
from ffq.runtime.pool import RoundRobin, Routing
from ffq.runtime.portal import Portal
from tests.runtime.stock import Add, Counter, Gate, Hold, Holder, Total, settle

Context = Any


@attrs.frozen
class Reveal(Request[Any]):
    """Gives away its context: nothing keeps an actor from that."""


@attrs.frozen
class Use(Request[str]):
    """Do something with the context, and say what came of it."""

    use: Callable[[Any], object] = attrs.field(eq=False)


class Open(Actor[Add | Total | Reveal | Use]):
    def __init__(self) -> None:
        self.total = 0

    @handles(Add)
    def add(self, message: Add) -> int:
        self.total += message.n
        return self.total

    @handles(Total)
    def get(self, message: Total) -> int:
        return self.total

    @handles(Reveal)
    def reveal(self, message: Reveal) -> Any:
        return self.ctx

    @handles(Use)
    async def use(self, message: Use) -> str:
        try:
            outcome = message.use(self.ctx)
            if isinstance(outcome, Awaitable):
                await outcome
        except ActorError as error:
            return f"{type(error).__name__}: {error}"
        return "taken"

    @handles(Terminated)
    def gone(self, message: Terminated) -> None:
        raise AssertionError("nothing was watched")


# --- threads ---------------------------------------------------------------------------------

REF_USES: dict[str, Callable[[ActorRef[Any]], object]] = {
    "tell_nowait": lambda ref: ref.tell_nowait(Add(1)),
    "stop_nowait": lambda ref: ref.stop_nowait(),
    "kill_nowait": lambda ref: ref.kill_nowait(),
}
ASYNC_REF_USES: dict[str, Callable[[ActorRef[Any]], Awaitable[object]]] = {
    "ask": lambda ref: ref.ask(Add(1)),
    "tell": lambda ref: ref.tell(Add(1)),
    "stop": lambda ref: ref.stop(),
    "kill": lambda ref: ref.kill(),
    "wait_ended": lambda ref: ref.wait_ended(),
}
CONTEXT_USES: dict[str, Callable[[Context], object]] = {
    "stop": lambda ctx: ctx.stop(),
    "kill": lambda ctx: ctx.kill(),
    "watch": lambda ctx: ctx.watch(ctx.ref),
    "unwatch": lambda ctx: ctx.unwatch(ctx.ref),
    "after": lambda ctx: ctx.after(0, Total()),
    "every": lambda ctx: ctx.every(1, Total()),
    "start_task": lambda ctx: ctx.start_task(trio.sleep_forever),
    "fail": lambda ctx: ctx.fail(ValueError()),
    "unstash_all": lambda ctx: ctx.unstash_all(),
    "portal": lambda ctx: ctx.system.portal(),
}


async def refused_in_a_thread(function: Callable[..., object], *args: object) -> None:
    with pytest.raises(WrongThread, match=r"system\.portal\(\).*portal\.ask\(ref, message\)"):
        await trio.to_thread.run_sync(function, *args)


async def still_well(system: ActorSystem, ref: ActorRef[Any]) -> None:
    with trio.fail_after(60):
        assert await ref.ask(Add(1)) == 1
        assert ref.alive
    assert system.ledger.in_flight == 0


@pytest.mark.parametrize("use", REF_USES.values(), ids=REF_USES.keys())
async def test_A13_a_ref_used_in_another_thread_names_the_portal(
    use: Callable[[ActorRef[Any]], object],
) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Open)
        await settle()
        await refused_in_a_thread(use, ref)
        await still_well(system, ref)


@pytest.mark.parametrize("use", ASYNC_REF_USES.values(), ids=ASYNC_REF_USES.keys())
async def test_A13_a_ref_used_in_another_trio_run_names_the_portal(
    use: Callable[[ActorRef[Any]], Awaitable[object]],
) -> None:
    async def other_run(ref: ActorRef[Any]) -> None:
        await use(ref)

    async with ActorSystem() as system:
        ref = await system.spawn(Open)
        await settle()
        await refused_in_a_thread(trio.run, other_run, ref)
        await still_well(system, ref)


@pytest.mark.parametrize("use", CONTEXT_USES.values(), ids=CONTEXT_USES.keys())
async def test_A13_a_context_used_in_another_thread_names_the_portal(
    use: Callable[[Context], object],
) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Open)
        context = await ref.ask(Reveal())
        assert context.path == "/Open-1"
        await refused_in_a_thread(use, context)
        await still_well(system, ref)


async def test_A13_a_spawn_in_another_trio_run_names_the_portal() -> None:
    async with ActorSystem() as system:
        await refused_in_a_thread(trio.run, system.spawn, Counter)
        assert system.tree() == ()


# --- a handler that reaches itself through a thread ------------------------------------------


class Around(Actor[Add | Total | Use]):
    """Asks itself, or one that asks it, from a thread that it waits for."""

    def __init__(self, portal: Portal, other: str) -> None:
        self.portal = portal
        self.other = other

    @handles(Add)
    def add(self, message: Add) -> int:
        return message.n

    @handles(Total)
    def get(self, message: Total) -> int:
        return 0

    @handles(Use)
    async def use(self, message: Use) -> str:
        ref = self.ctx.system.get_actor(self.other)
        try:
            await trio.to_thread.run_sync(self.portal.ask, ref, Total())
        except WaitCycle as error:
            return " ".join(error.path)
        return "answered"


class Backwards(Actor[Total]):
    @handles(Total)
    async def total(self, message: Total) -> int:
        return await self.ctx.system.get_actor("around").ask(Add(1))


async def test_A8_a_handler_that_reaches_itself_through_a_portal_is_a_wait_cycle() -> None:
    async with ActorSystem() as system:
        portal = system.portal()
        await system.spawn(Backwards, name="backwards")
        await system.spawn(Counter, name="counter")
        for other, expected in (
            ("around", "/around /around"),
            ("backwards", "/around /backwards /around"),
            ("counter", "answered"),
        ):
            around = await system.spawn(Around, portal, other, name="around")
            with trio.fail_after(60):
                try:
                    said = await around.ask(Use(print))
                except WaitCycle as error:  # seen by the second on the way round
                    said = " ".join(error.path)
            assert sorted(set(said.split())) == sorted(set(expected.split()))
            await around.stop()


# --- options ---------------------------------------------------------------------------------

HUGE = 10**5000
"""Too large for a float, and of more digits than Python writes."""

WRONG_POLICIES: dict[str, Callable[[], object]] = {
    "a text for a strategy": lambda: Supervision("one_for_one"),  # type: ignore[arg-type]
    "a number for a backoff": lambda: Supervision(backoff=0.1),  # type: ignore[arg-type]
    "the class Backoff": lambda: Supervision(backoff=Backoff),  # type: ignore[arg-type]
    "a text for a duration": lambda: Supervision(within="60"),  # type: ignore[arg-type]
    "a bool for a count": lambda: Supervision(max_restarts=True),
    "no number": lambda: Supervision(within=float("nan")),
    "a text in a backoff": lambda: Backoff(initial="1"),  # type: ignore[arg-type]
    "a strategy for a policy": lambda: ActorSystem(supervision=Strategy.ONE_FOR_ONE),  # type: ignore[arg-type]
    "the class for a policy": lambda: ActorSystem(supervision=Supervision),  # type: ignore[arg-type]
    "an object for hooks": lambda: ActorSystem(hooks=object()),  # type: ignore[arg-type]
    "a number for a name": lambda: ActorSystem(5),  # type: ignore[arg-type]
    "a text for a stop timeout": lambda: ActorSystem(stop_timeout="5"),  # type: ignore[arg-type]
    "a stop timeout beyond a float": lambda: ActorSystem(stop_timeout=HUGE),
    "a duration beyond a float": lambda: Supervision(within=HUGE),
    "a backoff beyond a float": lambda: Backoff(maximum=HUGE),
}


@pytest.mark.parametrize("make", WRONG_POLICIES.values(), ids=WRONG_POLICIES.keys())
def test_A6_a_policy_that_cannot_be_is_refused_where_it_is_given(
    make: Callable[[], object],
) -> None:
    with pytest.raises(InvalidOption):
        make()


async def never() -> None:
    raise AssertionError("it was started")


WRONG_CALLS: dict[str, Callable[[ActorSystem, ActorRef[Any]], Awaitable[object]]] = {
    "an object for a class": lambda system, _: system.spawn(Counter()),  # type: ignore[arg-type]
    "a text for a class": lambda system, _: system.spawn("Counter"),  # type: ignore[arg-type]
    "a coroutine for a class": lambda system, _: system.spawn(never()),  # type: ignore[arg-type]
    "a strategy for a policy": lambda system, _: system.spawn(
        Counter,
        supervision=Strategy.ONE_FOR_ALL,  # type: ignore[arg-type]
    ),
    "a class for a routing": lambda system, _: system.spawn_pool(
        Counter,
        size=1,
        routing=RoundRobin,  # type: ignore[arg-type]
    ),
    "a text for a routing": lambda system, _: system.spawn_pool(
        Counter,
        size=1,
        routing="round robin",  # type: ignore[arg-type]
    ),
    "a policy of a pool": lambda system, _: system.spawn_pool(Counter, size=1, supervision=3),  # type: ignore[arg-type]
    "a mailbox of a pool": lambda system, _: system.spawn_pool(Counter, size=1, mailbox=0),
    "a text for a deadline": lambda _, ref: ref.tell(Add(1), deadline="soon"),  # type: ignore[arg-type]
    "a text for a timeout": lambda _, ref: ref.stop(timeout="5"),  # type: ignore[arg-type]
    "a negative timeout": lambda _, ref: ref.stop(timeout=-1),
    "a timeout beyond a float": lambda _, ref: ref.stop(timeout=HUGE),
    "a deadline beyond a float": lambda _, ref: ref.tell(Add(1), deadline=HUGE),
    "a mailbox below all": lambda system, _: system.spawn(Counter, mailbox=-HUGE),
}


@pytest.mark.parametrize("call", WRONG_CALLS.values(), ids=WRONG_CALLS.keys())
async def test_A1_a_wrong_use_of_a_system_is_refused_at_the_call(
    call: Callable[[ActorSystem, ActorRef[Any]], Awaitable[object]],
) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        with pytest.raises(InvalidOption):
            await call(system, ref)
        await still_well(system, ref)
        assert len(system.tree()) == 1


WRONG_CONTEXT_CALLS: dict[str, Callable[[Context], object]] = {
    "a text for a delay": lambda ctx: ctx.after("1", Total()),
    "a text for a period": lambda ctx: ctx.every("1", Total()),
    "a text for a first tick": lambda ctx: ctx.every(1, Total(), first="1"),
    "a delay beyond a float": lambda ctx: ctx.after(HUGE, Total()),
    "a period beyond a float": lambda ctx: ctx.every(HUGE, Total()),
    "a first tick beyond a float": lambda ctx: ctx.every(1, Total(), first=HUGE),
    "a bool for a delay": lambda ctx: ctx.after(True, Total()),
    "a coroutine for a function": lambda ctx: ctx.start_task(never()),
    "an object for a function": lambda ctx: ctx.start_task(5),
    "a path for a ref": lambda ctx: ctx.watch("/Counter-1"),
    "a path to unwatch": lambda ctx: ctx.unwatch("/Counter-1"),
}


@pytest.mark.parametrize("use", WRONG_CONTEXT_CALLS.values(), ids=WRONG_CONTEXT_CALLS.keys())
async def test_A10_a_wrong_use_of_a_context_is_refused_at_the_call(
    use: Callable[[Context], object], autojump_clock: MockClock
) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Open)
        assert (await ref.ask(Use(use))).startswith("InvalidOption: /Open-1")
        await trio.sleep(5)
        assert await ref.ask(Total()) == 0


@pytest.mark.parametrize("period", [5e-324, 1e-320, 1e-30, 0.001])
async def test_A10_a_period_however_short_ticks_on(period: float) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Open)
        assert await ref.ask(Use(lambda ctx: ctx.every(period, Add(1)))) == "taken"
        with trio.move_on_after(10):
            while await ref.ask(Total()) < 5:  # noqa: ASYNC110  # the actor's own count
                await trio.sleep(0.001)
        assert await ref.ask(Total()) >= 5


async def test_A2_a_class_that_was_sent_and_a_handler_of_no_class_are_named() -> None:
    with pytest.raises(UnfrozenMessage, match="'Add'"):
        handles("Add")  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="decorates a method"):
        handles(Add)(5)  # type: ignore[call-overload]
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        with pytest.raises(UnfrozenMessage, match="a class was sent"):
            await ActorRef(ref.cell).ask(Total)  # type: ignore[arg-type]


@pytest.mark.parametrize("do", [copy.copy, copy.deepcopy, pickle.dumps])
async def test_A13_a_ref_that_is_pickled_or_copied_is_refused(do: Callable[[Any], object]) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        pool = await system.spawn_pool(Counter, size=1)
        for each in (ref, pool, [ref], {"to": ref}):
            if do is copy.copy and not isinstance(each, ActorRef):
                continue
            with pytest.raises(UnsendableRef, match=r"system\.get_actor\(path\)"):
                do(each)


# --- a stop has a time limit -----------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 5])
async def test_A4_an_actor_that_does_not_stop_in_time_is_killed(
    limit: float, autojump_clock: MockClock
) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, Gate())
        await ref.tell(Hold("for ever"))
        await settle()
        began = trio.current_time()
        ended = await ref.stop(timeout=limit)
        assert ended.reason is EndReason.KILLED
        assert trio.current_time() - began == limit


async def test_A4_a_stop_within_its_limit_is_a_stop(autojump_clock: MockClock) -> None:
    async with ActorSystem() as system:
        gate = Gate()
        ref = await system.spawn(Holder, gate)
        await ref.tell(Hold("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(ref.stop, timeout=5))
            await trio.sleep(4)
            gate.open.set()
        assert (await ref.wait_ended()).reason is EndReason.STOPPED
        assert gate.log == ["a waits", "a done"]


async def test_A4_a_system_that_does_not_stop_in_time_kills_its_actors(
    autojump_clock: MockClock,
) -> None:
    class Ends(Hooks):
        def actor_ended(self, ended: Ended) -> None:
            reasons.append(ended.reason)

    gate = Gate()
    reasons: list[EndReason] = []
    async with ActorSystem(stop_timeout=5, hooks=Ends()) as system:
        ref = await system.spawn(Holder, gate)
        await ref.tell(Hold("for ever"))
        await ref.tell(Hold("never"))
        await settle()
    assert trio.current_time() == 5
    assert reasons == [EndReason.KILLED]
    assert gate.log == ["for ever waits", "for ever cancelled"]
    assert (system.ledger.handled, system.ledger.dead) == (1, 1)


# --- accounts --------------------------------------------------------------------------------


async def test_A11_the_ledger_is_live() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        child = await system.spawn(Counter)
        await child.ask(Add(1))
        await ref.tell(Hold("a"))
        await ref.tell(Hold("b"))
        await settle()
        ledger = system.ledger
        assert (ledger.sent, ledger.handled, ledger.in_flight) == (3, 1, 2)
        ledger.check()
        await child.stop()
        gate.open.set()
        await settle()
        assert (ledger.sent, ledger.handled, ledger.in_flight) == (3, 1, 2)  # as it was
        ledger = system.ledger
        assert (ledger.sent, ledger.handled, ledger.in_flight) == (3, 3, 0)


# Pools


async def test_A13_a_pool_used_in_another_thread_picks_nobody() -> None:
    async with ActorSystem() as system:
        pool = await system.spawn_pool(Counter, size=3, routing=RoundRobin(), name="pool")

        def use() -> None:
            with pytest.raises(WrongThread, match="/pool was used in another thread"):
                pool.tell_nowait(Add(1))

        await trio.to_thread.run_sync(use)
        assert await pool.ask(Add(5)) == 5
        assert [await member.ask(Total()) for member in pool.members] == [5, 0, 0]
        await pool.stop()
        before = str(system.ledger)
        await trio.to_thread.run_sync(use)
        assert str(system.ledger) == before


@pytest.mark.parametrize("picked", [-1, 3, 1.0, None, "x"])
async def test_A10_a_routing_that_picks_nobody_is_named(picked: Any) -> None:
    class Odd(Routing):
        def pick(self, loads: Sequence[int], message: Any) -> int:
            number: int = picked
            return number

    async with ActorSystem() as system:
        pool = await system.spawn_pool(Counter, size=3, routing=Odd(), name="pool")
        with pytest.raises(InvalidOption, match=r"/pool: its routing, a .*Odd, picked .* of 3 mem"):
            await pool.ask(Add(1))
        assert len(pool.members) == 3


# Names and paths


@pytest.mark.parametrize("path", [None, 5, b"x"])
async def test_A9_a_path_that_is_no_text_is_refused(path: Any) -> None:
    async with ActorSystem() as system:
        for find in (system.find_actor, system.get_actor):
            with pytest.raises(InvalidOption, match="an actor's path=.* must be a str"):
                find(path)
        for exists in (True, False):
            if path is not None:
                with pytest.raises(InvalidOption, match="name=.* must be a str"):
                    await system.spawn(Counter, name=path, get_if_exists=exists)
        with pytest.raises(InvalidOption, match="the class of an actor=5 must be a type"):
            system.find_actor("x", 5)  # type: ignore[arg-type]


async def test_A13_a_portal_of_a_system_that_is_not_open_says_so() -> None:
    with pytest.raises(SystemClosed, match="not open: use `async with`"):
        ActorSystem().portal()


@attrs.frozen
class Stash(Request[None]):
    pass


async def test_A13_stash_in_another_thread_names_the_portal() -> None:
    class Puts(Actor[Stash]):
        @handles(Stash)
        async def put(self, message: Stash) -> None:
            await trio.to_thread.run_sync(self.ctx.stash)

    async with ActorSystem() as system:
        puts = await system.spawn(Puts)
        with pytest.raises(WrongThread, match="portal"):
            await puts.ask(Stash())


def test_A1_a_plain_start_or_stop_is_refused_where_its_class_is_made() -> None:
    with pytest.raises(ProtocolError, match="Plain.on_start must be a coroutine: async def"):

        class Plain(Counter):
            def on_start(self) -> None:  # type: ignore[override]
                """It would have run before anybody told."""

    def wrapped(self: Any) -> Any:
        return Counter.on_stop(self)

    functools.update_wrapper(wrapped, Counter.on_stop)
    type("Wrapped", (Counter,), {"on_stop": wrapped})


async def test_A7_a_plain_handler_that_raises_StopIteration_is_named() -> None:
    @attrs.frozen
    class Take(Request[int]):
        """The first of none."""

    class Empty(Actor[Take]):
        @handles(Take)
        def take(self, _: Take) -> int:
            return next(iter(()))

    async with ActorSystem() as system:
        empty = await system.spawn(Empty, name="empty")
        with pytest.raises(RuntimeError, match="a handler raised StopIteration") as caught:
            await empty.ask(Take())
    (told,) = caught.value.__notes__
    assert told.startswith("raised by the actor /empty while handling ")
    assert isinstance(caught.value.__cause__, StopIteration)
