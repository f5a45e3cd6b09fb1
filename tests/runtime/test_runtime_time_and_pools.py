"""A10: timers, pools, max_concurrency, stash."""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, Supervision, handles
from ffq.runtime.errors import ActorEnded, InvalidOption, ProtocolError, StashFull, SystemClosed
from ffq.runtime.pool import ByKey, LeastLoaded, Routing
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total, settle


@attrs.frozen
class Tick(Request[None]):
    pass


class Clock(Actor[Total]):
    """Ticks; each tick takes `busy` seconds."""

    def __init__(self, ticks: list[float], period: float = 0, busy: float = 0) -> None:
        self.ticks = ticks
        self.period = period
        self.busy = busy

    async def on_start(self) -> None:
        if self.period:
            self.timer = self.ctx.every(self.period, Tick())
        else:
            self.timer = self.ctx.after(3, Tick())

    @handles(Tick)
    async def tick(self, message: Tick) -> None:
        self.ticks.append(trio.current_time())
        await trio.sleep(self.busy)

    @handles(Total)
    def cancel(self, message: Total) -> int:
        self.timer.cancel()
        return len(self.ticks)


async def test_A10_after_sends_once(autojump_clock: trio.testing.MockClock) -> None:
    ticks: list[float] = []
    async with ActorSystem() as system:
        await system.spawn(Clock, ticks)
        await trio.sleep(20)
    assert ticks == pytest.approx([3])


async def test_A10_every_keeps_its_rhythm_until_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ticks: list[float] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Clock, ticks, 2, 0.5)
        await trio.sleep(9)
        assert await ref.ask(Total()) == 4
        await trio.sleep(9)
    assert ticks == pytest.approx([2, 4, 6, 8])


async def test_A10_a_slow_actor_gets_fewer_ticks_not_a_heap_of_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ticks: list[float] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Clock, ticks, 1, 10)
        await trio.sleep(45.5)
        assert system.tree()[0].mailbox == 1
        await ref.kill()
    assert ticks == pytest.approx([1, 11, 21, 31, 41])


async def test_A10_a_timer_that_waited_for_room_does_not_catch_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ticks: list[float] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Clock, ticks, 1, 0, mailbox=1)
        ref.cell.actor.busy = 10.5  # type: ignore[union-attr]
        await trio.sleep(1.5)  # the first tick is being handled: make the mailbox full
        ref.cell.actor.busy = 0  # type: ignore[union-attr]
        await ActorRef(ref.cell).tell(Tick())
        await trio.sleep(12)
    assert ticks == pytest.approx([1, 11.5, 11.5, 12, 13])


async def test_A10_timers_end_with_the_incarnation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ticks: list[float] = []

    class Fragile(Clock):
        @handles(Fail)
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Fragile, ticks, 10)
        await trio.sleep(5)
        ActorRef(ref.cell).tell_nowait(Fail())
        await trio.sleep(12)
    assert ticks == pytest.approx([15])


async def test_A10_impossible_timers_are_refused() -> None:
    class Wrong(Actor[Total]):
        @handles(Total)
        def total(self, message: Total) -> int:
            for seconds in (0.0, -1.0, math.inf, math.nan):
                with pytest.raises(InvalidOption, match="/w"):
                    self.ctx.every(seconds, Total())
            with pytest.raises(InvalidOption, match="/w"):
                self.ctx.after(-1, Total())
            with pytest.raises(ProtocolError, match="Tick"):
                self.ctx.after(1, Tick())
            return 1

    async with ActorSystem() as system:
        assert await (await system.spawn(Wrong, name="w")).ask(Total()) == 1


@attrs.frozen
class Work(Request[str]):
    key: int


class Member(Actor[Work | Hold | Fail]):
    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @handles(Work)
    def work(self, message: Work) -> str:
        return self.ctx.name

    @handles(Hold)
    async def hold(self, message: Hold) -> str:
        await self.gate.wait(message.who)
        return self.ctx.name

    @handles(Fail)
    def fail(self, message: Fail) -> None:
        raise ValueError(message.why)


async def test_A10_pool_goes_round_robin() -> None:
    async with ActorSystem() as system:
        pool = await system.spawn_pool(Member, Gate(), size=3, name="pool")
        assert [await pool.ask(Work(0)) for _ in range(6)] == ["0", "1", "2"] * 2
        assert [ref.path for ref in pool.members] == ["/pool/0", "/pool/1", "/pool/2"]
        await pool.stop()
        with pytest.raises(ActorEnded, match=r"/pool takes no messages now \(ended\); Work"):
            await pool.ask(Work(0))


async def test_A10_pool_picks_the_least_loaded() -> None:
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        pool = await system.spawn_pool(Member, gate, size=3, routing=LeastLoaded())
        for _ in range(4):
            nursery.start_soon(pool.ask, Hold("x"))
            await settle()
        loads = [info.mailbox for info in system.tree()[0].children]
        assert loads == [1, 0, 0]
        gate.open.set()


async def test_A10_a_routing_of_ones_own_sees_each_members_load() -> None:
    seen: list[object] = []

    class Quietest(Routing):
        def pick(self, loads: Sequence[int], message: object) -> int:
            seen.append((list(loads), loads[1:], loads[-1], len(loads), repr(loads)))
            return loads.index(min(loads))

    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        pool = await system.spawn_pool(Member, gate, size=2, routing=Quietest())
        for _ in range(4):
            nursery.start_soon(pool.ask, Hold("x"))
            await settle()
        assert seen == [
            (loads, loads[1:], loads[1], 2, str(loads))
            for loads in ([0, 0], [1, 0], [1, 1], [2, 1])
        ]
        gate.open.set()


async def test_A10_pool_by_key_keeps_keys_together() -> None:
    def key(message: Work | Hold | Fail) -> int:
        assert isinstance(message, Work)
        return message.key

    async with ActorSystem() as system:
        pool = await system.spawn_pool(Member, Gate(), size=4, routing=ByKey(key))
        owners = {(n, await pool.ask(Work(n))) for _ in range(3) for n in range(40)}
        assert len(owners) == 40
        assert len(Tally(owner for _, owner in owners)) == 4


async def test_A10_a_pool_that_restarts_or_ends_takes_no_message_for_another_member(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """By key, what is sent while only some members are there would go to the wrong one."""

    class Slow(Member):
        async def on_start(self) -> None:
            await trio.sleep(1)

        async def on_stop(self) -> None:
            await trio.sleep(1)

    async with ActorSystem("s", supervision=Supervision(max_restarts=1)) as system:
        pool = await system.spawn_pool(
            Slow, Gate(), size=3, routing=ByKey(lambda message: message.key), name="pool"
        )
        owners = [await pool.ask(Work(n)) for n in range(20)]
        await pool.members[0].tell(Fail())  # no restarts: the pool fails with its member
        refused = 0
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                nonlocal refused
                while True:
                    await trio.sleep(0.3)
                    for n in range(20):
                        try:
                            assert await pool.ask(Work(n)) == owners[n]
                        except ActorEnded as error:
                            refused += "takes no messages" in str(error)

            nursery.start_soon(send)
            await trio.sleep(10)
            assert refused > 20
            assert [await pool.ask(Work(n)) for n in range(20)] == owners
            pool.stop_nowait()
            await trio.sleep(1.5)  # the last member has gone, the others have not
            with pytest.raises(ActorEnded, match=r"/pool takes no messages now \(stopping\); Work"):
                await pool.tell(Work(1))
            await pool.wait_ended()
            nursery.cancel_scope.cancel()
    assert system.ledger.rejected == refused + 1
    with pytest.raises(SystemClosed, match="/pool .*its system is closed.*Work"):
        await pool.ask(Work(1))


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None])
async def test_bad_input_pool_size(size: object) -> None:
    async with ActorSystem() as system:
        with pytest.raises(InvalidOption, match="/p: a pool of size="):
            await system.spawn_pool(Member, Gate(), size=size, name="p")  # type: ignore[arg-type]


async def test_A10_pool_restarts_its_members() -> None:
    policy = Supervision(max_restarts=2)
    async with ActorSystem() as system:
        pool = await system.spawn_pool(Member, Gate(), size=2, supervision=policy)
        await pool.tell(Fail())
        await settle()
        assert [info.restarts for info in system.tree()[0].children] == [1, 0]


async def test_A10_max_concurrency_bounds_the_handlers_that_run() -> None:
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate, max_concurrency=3)
        for who in "abcde":
            nursery.start_soon(ref.ask, Hold(who))
        await settle()
        assert len(gate.log) == 3
        gate.open.set()
    assert len(gate.log) == 10


async def test_A10_concurrent_actor_stops_after_its_handlers() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, max_concurrency=2)
        for who in "abc":
            await ref.tell(Hold(who))
        await settle()
        ref.stop_nowait()
        await settle()
        assert ref.alive
        gate.open.set()
        await ref.wait_ended()
    assert len([line for line in gate.log if line.endswith("done")]) == 3
    assert system.ledger.handled == 3


async def test_A10_concurrent_handler_failure_fails_the_actor() -> None:
    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Counter, max_concurrency=4)
        await ref.tell(Add(4))
        await ref.tell(Fail())
        await settle()
        assert await ref.ask(Total()) == 0
        assert system.tree()[0].restarts == 1


class Door(Actor[Hold | Total]):
    """Stashes what comes while it is closed. Total opens it."""

    def __init__(self) -> None:
        self.is_open = False
        self.order: list[str] = []

    @handles(Hold)
    def enter(self, message: Hold) -> str:
        if not self.is_open:
            self.ctx.stash()
        self.order.append(message.who)
        return ",".join(self.order)

    @handles(Total)
    def open(self, message: Total) -> int:
        self.is_open = True
        self.ctx.unstash_all()
        return 0


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_A10_stashed_messages_come_back_first_and_in_order(concurrency: int) -> None:
    replies: dict[str, str] = {}
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        door = await system.spawn(Door, max_concurrency=concurrency)

        async def enter(who: str) -> None:
            replies[who] = await door.ask(Hold(who))

        for who in "abc":
            nursery.start_soon(enter, who)
            await settle()
        assert replies == {}
        door.tell_nowait(Total())
        door.tell_nowait(Hold("d"))
        await door.stop()
    assert set(replies) == {"a", "b", "c"}
    if concurrency == 1:  # handlers that run side by side keep no order
        assert replies["c"] == "a,b,c"


async def test_A10_the_stash_is_bounded() -> None:
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        door = await system.spawn(Door, stash=2, name="door")
        nursery.start_soon(door.ask, Hold("a"))
        nursery.start_soon(door.ask, Hold("b"))
        await settle()
        with pytest.raises(StashFull, match=r"/door.*2 messages"):
            await door.ask(Hold("c"))
        await door.ask(Total())


async def test_A10_what_is_stashed_at_the_end_is_a_dead_letter() -> None:
    async with ActorSystem() as system:
        door = await system.spawn(Door)
        await door.tell(Hold("a"))
        await door.stop()
        assert system.dead_letters.count == 1
