"""Every operation cancelled at a random checkpoint: nothing is lost, left over, or hangs."""

from __future__ import annotations

import random
from contextlib import suppress

import attrs
import pytest
import trio

from ffq.runtime import Actor, ActorError, ActorSystem, Request, Strategy, Supervision, handles
from ffq.testing import Simulation, simulate

NAMES = "abc"


@attrs.frozen
class Work(Request[int]):
    """Takes some checkpoints; spawns, stops, fails or asks on at random, `depth` levels deep."""

    depth: int = 0


@attrs.frozen
class Note(Request[None]):
    """Stashed at times; never asked for."""


async def checkpoints(dice: random.Random, most: int) -> None:
    for _ in range(dice.randrange(most)):
        await trio.lowlevel.checkpoint()


class Worker(Actor[Work | Note]):
    supervision = Supervision(Strategy.ONE_FOR_ALL, max_restarts=10**6)

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    async def on_start(self) -> None:
        await checkpoints(self.dice, 4)
        if self.dice.random() < 0.1:
            raise OSError("start")

    async def on_stop(self) -> None:
        await checkpoints(self.dice, 4)

    @handles(Work)
    async def work(self, message: Work) -> int:
        await checkpoints(self.dice, 5)
        what = self.dice.random()
        if what < 0.1:
            raise OSError("handler")
        if what < 0.2 and self.ctx.path.count("/") < 3:
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(self.hire)
        elif what < 0.3:
            self.ctx.unstash_all()
        if not self.ctx.children:
            return 1
        child = self.dice.choice(self.ctx.children)
        if what < 0.35:
            await child.stop()
        elif what < 0.4:
            await child.tell(Work())
        elif message.depth:
            return int(await child.ask(Work(message.depth - 1)))
        return 1

    @handles(Note)
    async def note(self, message: Note) -> None:
        await trio.lowlevel.checkpoint()
        if self.dice.random() < 0.5:
            self.ctx.stash()

    async def hire(self) -> None:
        with suppress(OSError, ActorError):
            concurrency = self.dice.choice([1, 2])
            await self.ctx.spawn(Worker, self.dice, max_concurrency=concurrency, mailbox=2)


async def operate(system: ActorSystem, dice: random.Random) -> None:
    """One operation of a user, whatever the dice say."""
    what = dice.random()
    ref = system.find_actor(dice.choice(NAMES), Worker)
    if what < 0.3 or ref is None:
        name = dice.choice(NAMES)
        most = dice.choice([1, 3])
        exists = dice.random() < 0.5
        await system.spawn(
            Worker, dice, name=name, mailbox=2, max_concurrency=most, get_if_exists=exists
        )
    elif what < 0.7:
        await ref.ask(Work(2))
    elif what < 0.8:
        await ref.tell(dice.choice([Work(1), Note()]))
    elif what < 0.85:
        await ref.stop()
    elif what < 0.9:
        await ref.kill()
    else:
        await ref.wait_ended()


async def user(system: ActorSystem, dice: random.Random) -> None:
    for _ in range(60):
        async with trio.open_nursery() as nursery:

            async def cancel(scope: trio.CancelScope) -> None:
                await checkpoints(dice, 12)
                scope.cancel()

            nursery.start_soon(cancel, nursery.cancel_scope)
            with suppress(OSError, ActorError):
                await operate(system, dice)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(30))
def test_A11_cancels_at_any_checkpoint_lose_nothing_and_leave_nobody(seed: int) -> None:
    async def scenario(sim: Simulation) -> int:
        policy = Supervision(Strategy.REST_FOR_ONE, max_restarts=10**6)
        async with sim.system(supervision=policy) as system, trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(user, system, random.Random(f"{seed}-{number}"))
        assert system.tree() == ()
        return system.ledger.sent

    assert simulate(scenario, seed=seed).value > 10
