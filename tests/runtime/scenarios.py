"""Scenarios that each check one mechanism of the runtime; test_runtime_ablation.py breaks it.

They run in a simulation, so that one that hangs raises Deadlock.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import (
    Actor,
    ActorFailed,
    ActorRef,
    ActorSystem,
    MailboxFull,
    Request,
    WaitCycle,
    handles,
)
from ffq.runtime.errors import ActorEnded, LedgerMismatch, MissingHandler
from ffq.testing import Deadlock, Simulation, simulate
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, HoldDetached, Holder, Total, settle

# A1: nothing outlives the system


class Resident(Actor[Total]):
    """Has a child and a task; marks who is alive."""

    def __init__(self, alive: set[str], depth: int) -> None:
        self.alive = alive
        self.depth = depth

    async def on_start(self) -> None:
        self.alive.add(self.ctx.path)
        if self.depth:
            await self.ctx.spawn(Resident, self.alive, self.depth - 1, name="child")

    async def on_stop(self) -> None:
        self.alive.remove(self.ctx.path)

    @handles(Total)
    def total(self, message: Total) -> int:
        return self.depth


def no_orphans(end: str) -> None:
    """Everybody is gone when the block has been left."""

    async def scenario(sim: Simulation) -> None:
        alive: set[str] = set()
        expected: Any = nullcontext()
        if end == "raise":
            expected = pytest.raises(KeyError)
        elif end == "crash":
            expected = pytest.raises(ActorFailed)
        with trio.CancelScope() as scope, expected:
            async with sim.system() as system:
                await system.spawn(Resident, alive, 3, name="top")
                counter = await system.spawn(Counter)
                assert len(alive) == 4
                if end == "raise":
                    raise KeyError
                if end == "cancel":
                    scope.cancel()
                if end == "crash":
                    await counter.tell(Fail())
                if end != "leave":
                    await trio.sleep_forever()
        assert alive == set()

    simulate(scenario, seed=0)


# A2: a protocol is checked when the class is defined


def definition_is_checked() -> None:
    with pytest.raises(MissingHandler):

        class Half(Actor[Add | Total]):
            @handles(Add)
            def add(self, message: Add) -> int:
                return 0


# A3: mailboxes are bounded, senders wait


def senders_wait() -> None:
    async def scenario(sim: Simulation) -> None:
        gate = Gate()
        sent: list[int] = []
        async with sim.system() as system, trio.open_nursery() as nursery:
            ref = await system.spawn(Holder, gate, mailbox=2)

            async def send() -> None:
                for number in range(100):
                    await ref.tell(Hold(str(number)))
                    sent.append(number)

            nursery.start_soon(send)
            await settle()
            assert len(sent) == 3  # one is handled, two wait
            with pytest.raises(MailboxFull):
                ref.tell_nowait(Hold("x"))
            gate.open.set()

    simulate(scenario, seed=0)


# A5: deadlines are inherited, and who gives up takes the handler along


class Middle(Actor[Hold]):
    def __init__(self, following: ActorRef[Hold], seen: list[float]) -> None:
        self.following = following
        self.seen = seen

    @handles(Hold)
    async def hold(self, message: Hold) -> str:
        self.seen.append(trio.current_effective_deadline())
        return await self.following.ask(message)


def deadlines_are_inherited() -> None:
    async def scenario(sim: Simulation) -> None:
        seen: list[float] = []
        gate = Gate()
        async with sim.system() as system:
            holder = await system.spawn(Holder, gate)
            middle = await system.spawn(Middle, holder, seen)
            first = await system.spawn(Middle, middle, seen)
            with trio.move_on_after(7):
                await first.ask(Hold("a"))
            assert seen == [7, 7]
            gate.open.set()

    simulate(scenario, seed=0)


def handlers_are_cancelled_with_their_askers() -> None:
    async def scenario(sim: Simulation) -> None:
        gate = Gate()
        async with sim.system() as system:
            ref = await system.spawn(Holder, gate)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ref.ask, Hold("a"))
                await settle()
                nursery.cancel_scope.cancel()
            await settle()
            assert gate.log == ["a waits", "a cancelled"]
            gate.open.set()

    simulate(scenario, seed=0)


def late_replies_go_nowhere() -> None:
    """The asker has gone on to wait for something else; the reply must not wake it there."""

    class Stubborn(Actor[Add]):
        @handles(Add)
        async def add(self, message: Add) -> int:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            return message.n

    async def scenario(sim: Simulation) -> None:
        async with sim.system() as system:
            ref = await system.spawn(Stubborn)
            with trio.move_on_after(1):
                await ref.ask(Add(1))
            await trio.sleep(10)
            assert trio.current_time() == 11

    simulate(scenario, seed=0)


def expired_mail_is_skipped_and_counted() -> None:
    async def scenario(sim: Simulation) -> None:
        gate = Gate()
        async with sim.system() as system:
            ref = await system.spawn(Holder, gate)
            await ref.tell(Hold("a"))
            await ref.tell(Hold("b"), deadline=1)
            await trio.sleep(2)
            gate.open.set()
        assert gate.log == ["a waits", "a done"]
        assert system.ledger.expired == 1

    simulate(scenario, seed=0)


def detached_handlers_finish() -> None:
    async def scenario(sim: Simulation) -> None:
        gate = Gate()
        async with sim.system() as system:
            ref = await system.spawn(Holder, gate)
            with trio.move_on_after(1):
                await ref.ask(HoldDetached("a"))
            gate.open.set()
        assert gate.log == ["a waits", "a done"]

    simulate(scenario, seed=0)


# A8: a ring of asks is refused


@attrs.frozen
class Pass(Request[None]):
    names: tuple[str, ...]


class Passer(Actor[Pass]):
    @handles(Pass)
    async def passes(self, message: Pass) -> None:
        if message.names:
            following = self.ctx.system.get_actor(message.names[0], Passer)
            await following.ask(Pass(message.names[1:]))


def rings_are_refused() -> None:
    async def scenario(sim: Simulation) -> None:
        async with sim.system() as system:
            for name in "abc":
                await system.spawn(Passer, name=name)
            with pytest.raises(WaitCycle, match="/c → /a → /b → /c"):
                await system.get_actor("a", Passer).ask(Pass(("b", "c", "a")))

    simulate(scenario, seed=0)


def full_mailboxes_in_a_ring_are_refused() -> None:
    class Chatty(Actor[Pass]):
        @handles(Pass)
        async def chat(self, message: Pass) -> None:
            for _ in message.names:
                await self.ctx.ref.tell(Pass(()))

    async def scenario(sim: Simulation) -> None:
        async with sim.system() as system:
            ref = await system.spawn(Chatty, mailbox=2)
            with pytest.raises(WaitCycle):
                await ref.ask(Pass(("x", "y", "z")))

    simulate(scenario, seed=0)


# A11: the ledger


def every_fate() -> None:
    """A message of each fate; the close of the system must find the books in order."""

    async def scenario(sim: Simulation) -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Holder, Gate(), mailbox=2)
            await ref.tell(Hold("handled"))
            await settle()
            await ref.tell(Hold("dead"))
            with trio.move_on_after(1):
                await ref.ask(Hold("expired"))
            await ref.tell(Hold("dead"))
            with pytest.raises(MailboxFull):
                ref.tell_nowait(Hold("rejected"))
            await ref.kill()
            with pytest.raises(ActorEnded):
                await ref.ask(Hold("late and dead"))

    simulate(scenario, seed=0)


def a_lost_message_is_noticed() -> None:
    async def scenario(sim: Simulation) -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Holder, Gate())
            await ref.tell(Hold("a"))
            await settle()
            await ref.tell(Hold("b"))
            ref.cell.mailbox.clear()
            ref.kill_nowait()

    with pytest.raises(LedgerMismatch):
        simulate(scenario, seed=0)


# A14: a seed decides the schedule, a deadlock is reported


async def ask_often(counter: ActorRef[Add], number: int) -> None:
    for _ in range(5):
        await counter.ask(Add(number))


async def race(sim: Simulation) -> None:
    async with sim.system() as system:
        counter = await system.spawn(Counter)
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(ask_often, counter, number)


def seeds_decide() -> None:
    for seed in range(10):
        assert simulate(race, seed=seed).trace == simulate(race, seed=seed).trace


def time_is_virtual() -> None:
    async def scenario(sim: Simulation) -> float:
        return trio.current_time()

    assert {simulate(scenario, seed=seed).value for seed in range(3)} == {0.0}


def deadlocks_are_reported() -> None:
    """A thread cancels the program if nothing else does within a second: it would hang for ever."""
    hung: list[str] = []

    async def scenario(sim: Simulation) -> None:
        with trio.CancelScope() as scope:
            token = trio.lowlevel.current_trio_token()

            def watch() -> None:
                if not done.wait(1):
                    hung.append("hung")
                    token.run_sync_soon(scope.cancel)

            watcher.append(threading.Thread(target=watch))
            watcher[0].start()
            async with sim.system() as system:
                ref = await system.spawn(Holder, Gate(), name="holder")
                await ref.ask(Hold("me"))

    done = threading.Event()
    watcher: list[threading.Thread] = []
    try:
        with pytest.raises(Deadlock, match="waits for /holder to reply to Hold"):
            simulate(scenario, seed=0)
    finally:
        done.set()
        watcher[0].join()
    assert hung == []
