"""Everything here must pass `mypy --strict`; the revealed types are checked by the test."""

from __future__ import annotations

from functools import partial
from typing import assert_type

import attrs

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, handles
from ffq.runtime.pool import PoolRef
from ffq.runtime.portal import Portal


@attrs.frozen
class Add(Request[int]):
    n: int


@attrs.frozen
class Name(Request[str]):
    pass


@attrs.frozen
class Reset(Request[None]):
    pass


class Counter(Actor[Add | Name | Reset]):
    def __init__(self, start: int, step: int = 1) -> None:
        self.total = start * step

    @handles(Add)
    async def add(self, message: Add) -> int:
        assert_type(message, Add)
        return self.total + message.n

    @handles(Name)
    def name(self, message: Name) -> str:
        return self.ctx.name

    @handles(Reset)
    async def reset(self, message: Reset) -> None:
        self.total = 0


class Undeclared(Actor):
    @handles(Add)
    def add(self, message: Add) -> int:
        return message.n


async def main(system: ActorSystem, portal: Portal) -> None:
    counter = await system.spawn(Counter, 0, name="counter")
    assert_type(counter, ActorRef[Add | Name | Reset])
    assert_type(await counter.ask(Add(5)), int)
    assert_type(await counter.ask(Name()), str)
    await counter.tell(Reset())
    narrower: ActorRef[Add] = counter
    assert_type(await narrower.ask(Add(1)), int)
    await system.spawn(Counter, 0, 2)
    await system.spawn(partial(Counter, 0, step=3), name="keyword")
    await system.spawn(lambda: Counter(0))
    pool = await system.spawn_pool(Counter, 0, size=3)
    assert_type(pool, PoolRef[Add | Name | Reset])
    assert_type(await pool.ask(Add(1)), int)
    assert_type(portal.ask(counter, Add(1)), int)
    assert_type(await portal.ask_asyncio(counter, Name()), str)
    found = system.get_actor("counter", Counter)
    assert_type(await found.ask(Add(1)), int)
    loose = await system.spawn(Undeclared)
    assert_type(await loose.ask(Add(1)), int)
