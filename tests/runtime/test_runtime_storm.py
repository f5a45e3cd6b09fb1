"""Random systems under random schedules: nothing hangs, nothing is lost, nothing is left over.

Every run ends with the ledger's check; a hang is reported as a Deadlock by the simulation.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import ClassVar

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import (
    Actor,
    ActorEnded,
    ActorSystem,
    Backoff,
    MailboxFull,
    Request,
    Strategy,
    Supervision,
    Terminated,
    WaitCycle,
    handles,
)
from ffq.runtime.errors import (
    ActorNotFound,
    MessageExpired,
    NameTaken,
    NotStarted,
    StashFull,
    SystemClosed,
)
from ffq.testing import Simulation, simulate

NAMES = tuple("abcdef")
EXPECTED = (
    ActorEnded,
    ActorNotFound,
    MailboxFull,
    MessageExpired,
    NameTaken,
    NotStarted,
    OSError,
    StashFull,
    SystemClosed,
    WaitCycle,
)


@attrs.frozen
class Step(Request[int]):
    """Do something random, `depth` levels deep."""

    depth: int


@attrs.frozen
class Sure(Request[int]):
    """The same, and finish even without an asker."""

    depth: int
    detached: ClassVar[bool] = True


@attrs.frozen
class Open(Request[None]):
    """Put back what is stashed."""


@attrs.frozen
class Note(Request[None]):
    """Stashed at times; never asked for, since who asks for what is stashed may wait for ever."""


class Mad(Actor[Step | Sure | Open | Note]):
    """Does at each message whatever its dice say."""

    supervision = Supervision(Strategy.REST_FOR_ONE, max_restarts=10**6)

    def __init__(self, dice: random.Random, living: list[str]) -> None:
        self.dice = dice
        self.living = living

    async def on_start(self) -> None:
        await trio.sleep(self.dice.choice([0, 0, 0.1]))
        if self.dice.random() < 0.3:
            self.ctx.every(0.7, Open())
        if self.ctx.path.count("/") < 3 and self.dice.random() < 0.3:
            await self.ctx.spawn(
                Mad, self.dice, self.living, name=self.dice.choice(NAMES), mailbox=1
            )
        if self.dice.random() < 0.2:
            await self.try_poke()
        if self.dice.random() < 0.3:
            other = self.ctx.system.find_actor(self.dice.choice(NAMES))
            if other is not None:
                self.ctx.watch(other)
        if self.ctx.restarts and self.dice.random() < 0.2:
            raise OSError("start")
        self.living.append(self.ctx.path)

    async def on_stop(self) -> None:
        self.living.remove(self.ctx.path)
        await trio.sleep(self.dice.choice([0, 0, 0.1]))
        if self.dice.random() < 0.2:
            await self.try_poke()

    async def try_poke(self) -> None:
        with suppress(*EXPECTED):
            await poke(self.ctx.system, self.dice, 1)

    @handles(Step)
    async def step(self, message: Step) -> int:
        return await self.act(message.depth)

    @handles(Sure)
    async def sure(self, message: Sure) -> int:
        return await self.act(message.depth)

    @handles(Open)
    def open(self, message: Open) -> None:
        self.ctx.unstash_all()

    @handles(Note)
    def note(self, message: Note) -> None:
        if self.dice.random() < 0.5:
            self.ctx.stash()

    @handles(Terminated)
    async def down(self, message: Terminated) -> None:
        await trio.sleep(0.01)

    async def act(self, depth: int) -> int:
        what = self.dice.random()
        if what < 0.05:
            raise OSError("handler")
        if what < 0.13:
            self.ctx.stop()
        if what < 0.15:
            self.ctx.kill()
        if what < 0.4:
            await trio.sleep(self.dice.random())
        if depth:
            try:
                return await poke(self.ctx.system, self.dice, depth - 1)
            except WaitCycle:
                return -1
        return 0


async def poke(system: ActorSystem, dice: random.Random, depth: int) -> int:
    """Send something to somebody."""
    ref = system.get_actor(dice.choice(NAMES), Mad)
    message: Step | Sure = dice.choice((Step(depth), Sure(depth)))
    what = dice.random()
    if what < 0.1:
        await ref.tell(Note())
    elif what < 0.2:
        await ref.tell(message)
    elif what < 0.3:
        ref.tell_nowait(message, deadline=trio.current_time() + dice.random())
    elif what < 0.6:
        with trio.move_on_after(dice.random()):
            return await ref.ask(message)
    else:
        return await ref.ask(message)
    return 0


async def user(system: ActorSystem, dice: random.Random, steps: int, living: list[str]) -> None:
    """Spawns, pokes, stops and kills."""
    for _ in range(steps):
        try:
            what = dice.random()
            name = dice.choice(NAMES)
            if what < 0.3:
                await system.spawn(
                    Mad,
                    dice,
                    living,
                    name=name,
                    mailbox=dice.choice([1, 2, 3]),
                    max_concurrency=dice.choice([1, 1, 2, 3]),
                    stash=2,
                    get_if_exists=dice.random() < 0.5,
                )
            elif what < 0.35:
                await system.get_actor(name).stop()
            elif what < 0.4:
                await system.get_actor(name).kill()
            else:
                await poke(system, dice, dice.randrange(5))
        except EXPECTED:
            await trio.sleep(0.01)


class Enough(Exception):
    """Ends a storm's block."""


def storm(seed: int, strategy: Strategy, end: str = "leave") -> tuple[int, tuple[str, ...]]:
    """Six users at random; then, at a random moment, the `end` of the system."""
    living: list[str] = []

    async def scenario(sim: Simulation) -> int:
        policy = Supervision(strategy, max_restarts=10**6, backoff=Backoff(0.05, maximum=0.2))
        system = sim.system(supervision=policy)
        moment = trio.current_time() + (60 if end == "leave" else random.Random(seed).uniform(0, 9))
        with suppress(Enough), trio.CancelScope() as outside:
            if end == "cancel":
                outside.deadline = moment
            async with system:
                async with trio.open_nursery() as nursery:
                    nursery.cancel_scope.deadline = moment
                    for number in range(6):
                        dice = random.Random(f"{seed}-{number}")
                        nursery.start_soon(user, system, dice, 40, living)
                if end == "raise":
                    raise Enough
        assert system.closed
        assert system.tree() == ()
        assert living == []
        return system.ledger.sent

    result = simulate(scenario, seed=seed)
    return result.value, result.trace


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("seed", range(12))
def test_A11_random_storms_lose_no_message_and_never_hang(seed: int, strategy: Strategy) -> None:
    sent, _ = storm(seed, strategy)
    assert sent > 50


@pytest.mark.parametrize("end", ["cancel", "raise"])
@pytest.mark.parametrize("seed", range(20))
def test_A1_a_storm_cut_off_at_any_moment_leaves_no_orphan(seed: int, end: str) -> None:
    """Every actor that had started has stopped, and the ledger adds up, wherever it was cut off."""
    storm(seed, Strategy.REST_FOR_ONE, end)


def test_A14_a_storm_repeats_itself_exactly() -> None:
    assert storm(5, Strategy.ONE_FOR_ONE) == storm(5, Strategy.ONE_FOR_ONE)
