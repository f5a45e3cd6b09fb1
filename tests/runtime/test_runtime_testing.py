"""A14: probes, seeded schedules, and deadlocks reported instead of hanging."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, Supervision, handles
from ffq.testing import Deadlock, Probe, Simulation, simulate
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total


class Client(Actor[Add]):
    """Passes Add on to a server."""

    def __init__(self, server: ActorRef[Add]) -> None:
        self.server = server

    @handles(Add)
    async def add(self, message: Add) -> int:
        return 10 * await self.server.ask(message)


async def test_A14_a_probe_is_an_ordinary_ref_the_test_answers_for() -> None:
    replies: list[int] = []
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        probe = await Probe.spawn(system, name="server")
        client = await system.spawn(Client, probe.ref)

        async def ask() -> None:
            replies.append(await client.ask(Add(1)))

        nursery.start_soon(ask)
        received = await probe.receive(Add)
        assert received.message == Add(1)
        assert replies == []
        received.reply(7)
    assert replies == [70]


async def test_A14_a_probe_can_fail_its_asker() -> None:
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        probe = await Probe.spawn(system, name="server")
        probe.expect_nothing()

        async def ask() -> None:
            with pytest.raises(OSError, match="no route"):
                await probe.ref.ask(Add(1))

        nursery.start_soon(ask)
        (await probe.receive(Add)).fail(OSError("no route"))


async def test_A14_a_quiet_probe_answers_at_once_and_says_what_was_not_expected() -> None:
    async with ActorSystem() as system:
        quiet = await Probe.spawn(system, name="quiet", answers=False)
        assert await quiet.ref.ask(Add(1)) is None
        assert (await quiet.receive(Request)).message == Add(1)
        await quiet.ref.ask(Total())
        with pytest.raises(AssertionError, match="/quiet expected nothing and got Total"):
            quiet.expect_nothing()
        await quiet.ref.ask(Total())
        with pytest.raises(AssertionError, match="/quiet expected Add and got Total"):
            await quiet.receive(Add)


async def race(sim: Simulation) -> list[int]:
    """Ten tasks ask three actors; who is first is up to the schedule."""
    order: list[int] = []
    async with sim.system(supervision=Supervision(max_restarts=5)) as system:
        counter = await system.spawn(Counter)
        clients = [await system.spawn(Client, counter) for _ in range(3)]

        async def ask(number: int) -> None:
            await clients[number % 3].ask(Add(number))
            await trio.sleep(0.5)
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(ask, number)
        await counter.tell(Fail())
        await trio.sleep(3600)
    return order


def test_A14_the_same_seed_gives_the_same_trace() -> None:
    for seed in range(10):
        first, second = simulate(race, seed=seed), simulate(race, seed=seed)
        assert first == second
        assert first.seconds == pytest.approx(3600.5)
        assert len([line for line in first.trace if " handled Add" in line]) == 20


def test_A14_other_seeds_give_other_traces() -> None:
    assert len({simulate(race, seed=seed).trace for seed in range(10)}) > 5


ORDERS = """
import trio
from ffq.testing import simulate

async def start_order(sim):
    order = []

    async def note(name):
        await trio.lowlevel.checkpoint()
        order.append(name)

    async with trio.open_nursery() as nursery:
        for name in "abcdef":
            nursery.start_soon(note, name)
    return "".join(order)

print(*(simulate(start_order, seed=seed).value for seed in range(30)))
"""


def test_A14_seeds_reach_many_orders_and_the_same_in_every_process() -> None:
    """In processes of their own: under pytest Trio's deterministic switch may be on already."""
    command = [sys.executable, "-c", ORDERS]
    first, second = (
        subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in "ab"
    )
    assert len(set(first.split())) > 20
    assert first == second


def test_A14_the_schedule_outside_stays_as_it_was() -> None:
    from trio._core import _run

    before = (_run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING)
    simulate(race, seed=1)
    assert (_run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING) == before


async def hang(sim: Simulation) -> None:
    async with sim.system() as system:
        holder = await system.spawn(Holder, Gate(), name="holder")
        client = await system.spawn(Front, holder, name="front")
        await client.ask(Hold("me"))


class Front(Actor[Hold]):
    def __init__(self, back: ActorRef[Hold]) -> None:
        self.back = back

    @handles(Hold)
    async def hold(self, message: Hold) -> str:
        return await self.back.ask(message)


def test_A14_a_deadlock_is_reported_with_the_asks_that_hang() -> None:
    with pytest.raises(Deadlock) as caught:
        simulate(hang, seed=0)
    text = str(caught.value)
    assert "/front waits for /holder to reply to Hold(who='me')" in text
    assert "waits for /front to reply to Hold(who='me')" in text
    assert "Gate.wait" in text or "wait:" in text


def test_A14_waiting_for_a_thread_or_a_timer_is_no_deadlock() -> None:
    async def busy(sim: Simulation) -> int:
        async with sim.system() as system:
            counter = await system.spawn(Counter)
            await trio.sleep(10**6)
            await trio.testing.wait_all_tasks_blocked()
            gate = Gate()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(gate.wait, "thread")
                number = await trio.to_thread.run_sync(sum, [1, 2, 3])
                gate.open.set()
            return await counter.ask(Add(number))

    assert simulate(busy, seed=3).value == 6


@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("mine")])
def test_A14_the_scenarios_own_error_comes_out(error: Exception) -> None:
    async def failing(sim: Simulation) -> None:
        async with sim.system() as system:
            await system.spawn(Counter)
            raise error

    with pytest.raises(type(error), match="mine"):
        simulate(failing, seed=0)


def test_A14_a_cycle_the_framework_cannot_see_is_a_deadlock() -> None:
    """Through a background task no chain of handlers leads: A8 is blind there, A14 is not."""

    class Indirect(Actor[Total]):
        @handles(Total)
        async def total(self, message: Total) -> int:
            done = trio.Event()

            async def ask_myself(found: Callable[[], None]) -> None:
                await self.ctx.ref.ask(Total())
                found()

            self.ctx.start_task(ask_myself, done.set)
            await done.wait()
            return 1

    async def scenario(sim: Simulation) -> None:
        async with sim.system() as system:
            await (await system.spawn(Indirect)).ask(Total())

    with pytest.raises(Deadlock, match="Indirect-1 to reply to Total"):
        simulate(scenario, seed=0)


def test_A14_a_deadlock_is_reported_whatever_becomes_of_the_cancellation() -> None:
    """Swallowed, turned into an error, or shielded against: it is a Deadlock all the same."""

    async def swallows(sim: Simulation) -> str:
        try:
            await trio.sleep_forever()
        except BaseException:  # noqa: BLE001
            return "fine"

    async def breaks(sim: Simulation) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("only follows")

    async def shields(sim: Simulation) -> None:
        class Shielded(Actor[Total]):
            async def on_stop(self) -> None:
                with trio.CancelScope(shield=True):
                    await trio.sleep_forever()

            @handles(Total)
            def total(self, message: Total) -> int:
                return 0

        async with sim.system() as system:
            await system.spawn(Shielded, name="shielded")

    for scenario in (swallows, breaks, shields):
        with pytest.raises(Deadlock, match="no task can run any more") as caught:
            simulate(scenario, seed=0)
        if scenario is breaks:
            assert isinstance(caught.value.__cause__, ValueError)
        if scenario is shields:
            assert "/shielded" in str(caught.value)


async def test_A14_a_told_probe_owes_no_answer_and_an_ended_one_keeps_no_test_waiting(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with ActorSystem() as system:
        probe = await Probe.spawn(system, name="p")
        await probe.ref.tell(Add(1))
        await probe.ref.tell(Add(2))
        assert (await probe.receive(Add)).message == Add(1)
        await probe.ref.stop()
        assert (await probe.receive(Add)).message == Add(2)  # it came before the end
        with pytest.raises(AssertionError, match="/p expected Add and has ended"):
            await probe.receive(Add)

        async def stop_later(ref: ActorRef[Add]) -> None:
            await trio.sleep(1)
            await ref.kill()

        other = await Probe.spawn(system, name="q")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_later, other.ref)
            with pytest.raises(AssertionError, match="/q expected Add and has ended"):
                await other.receive(Add)
