"""ffq.runtime: a counter actor."""

from __future__ import annotations

import argparse
import json

import attrs
import trio

from benchmarks.actor_frameworks._measure import (
    ASKS,
    AT_ONCE,
    MAILBOX,
    SPAWNS,
    TELLS,
    Stopwatch,
    resident_bytes,
)
from ffq.runtime import Actor, ActorRef, ActorSystem, Hooks, Request, handles


@attrs.frozen
class Add(Request[int]):
    n: int


class Counter(Actor[Add]):
    def __init__(self) -> None:
        self.total = 0

    @handles(Add)
    async def add(self, message: Add) -> int:
        self.total += message.n
        return self.total


class Relay(Actor[Add]):
    def __init__(self, following: ActorRef[Add]) -> None:
        self.following = following

    @handles(Add)
    async def add(self, message: Add) -> int:
        return await self.following.ask(message)


async def ask_rate(ref: ActorRef[Add], asks: int = ASKS) -> float:
    with Stopwatch(asks) as watch:
        for _ in range(asks):
            await ref.ask(Add(1))
    return watch.rate


async def figures() -> dict[str, float]:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter, mailbox=MAILBOX)
        ask = await ask_rate(ref)

        async def some() -> None:
            for _ in range(ASKS // AT_ONCE):
                await ref.ask(Add(1))

        with Stopwatch(ASKS) as at_once:
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(some)
        with Stopwatch(TELLS) as tell:
            for _ in range(TELLS):
                await ref.tell(Add(1))
            await ref.ask(Add(1))
        with Stopwatch(SPAWNS) as spawn:
            for _ in range(SPAWNS):
                await (await system.spawn(Counter)).stop()
    return {
        "ask": ask,
        "ask100": at_once.rate,
        "tell": tell.rate,
        "spawn": spawn.rate,
        "idle_bytes": (await idle(10_000))["idle_bytes"],
    }


async def features() -> dict[str, float]:
    """Asks per second with one feature in use at a time."""
    rates: dict[str, float] = {}
    async with ActorSystem() as system:
        plain = await system.spawn(Counter)
        rates["plain ask"] = await ask_rate(plain)
        with trio.fail_after(3600):
            rates["with a deadline"] = await ask_rate(plain)
        wide = await system.spawn(Counter, max_concurrency=8)
        rates["max_concurrency=8"] = await ask_rate(wide)
        pool = await system.spawn_pool(Counter, size=4)
        rates["through a pool of 4"] = await ask_rate(pool)
        relay = await system.spawn(Relay, plain)
        rates["through a relay (2 asks, cycle check)"] = await ask_rate(relay)
    async with ActorSystem(debug=True) as system:
        rates["debug=True"] = await ask_rate(await system.spawn(Counter))
    async with ActorSystem(hooks=Hooks()) as system:
        rates["with hooks"] = await ask_rate(await system.spawn(Counter))
    return rates


async def idle(count: int) -> dict[str, float]:
    """Memory of `count` actors that have handled a message each and wait."""
    before = resident_bytes()
    async with ActorSystem() as system:
        for _ in range(count):
            await (await system.spawn(Counter)).ask(Add(1))
        after = resident_bytes()
    return {"actors": count, "idle_bytes": (after - before) / count, "rss_mib": after / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--idle", type=int, default=0)
    options = parser.parse_args()
    if options.features:
        result = trio.run(features)
    elif options.idle:
        result = trio.run(idle, options.idle)
    else:
        result = trio.run(figures)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
