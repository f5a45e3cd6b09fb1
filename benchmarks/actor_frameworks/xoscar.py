"""xoscar: actors on asyncio, in one process."""

from __future__ import annotations

import asyncio
import json
import socket

import xoscar

from benchmarks.actor_frameworks._measure import (
    ASKS,
    AT_ONCE,
    SPAWNS,
    TELLS,
    Stopwatch,
    resident_bytes,
)


class Counter(xoscar.Actor):  # type: ignore[misc]
    def __init__(self) -> None:
        self.total = 0

    async def add(self, n: int) -> int:
        self.total += n
        return self.total


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def figures() -> dict[str, float]:
    address = free_address()
    pool = await xoscar.create_actor_pool(address, n_process=0)
    async with pool:
        ref = await xoscar.create_actor(Counter, address=address)
        with Stopwatch(ASKS) as one:
            for _ in range(ASKS):
                await ref.add(1)

        async def some() -> None:
            for _ in range(ASKS // AT_ONCE):
                await ref.add(1)

        with Stopwatch(ASKS) as at_once:
            await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        with Stopwatch(TELLS) as tell:
            for _ in range(TELLS):
                await ref.add.tell(1)
            await ref.add(1)
        with Stopwatch(SPAWNS) as spawn:
            for _ in range(SPAWNS):
                await xoscar.destroy_actor(await xoscar.create_actor(Counter, address=address))
        count, before = 10_000, resident_bytes()
        for _ in range(count):
            await (await xoscar.create_actor(Counter, address=address)).add(1)
        idle = (resident_bytes() - before) / count
    return {
        "ask": one.rate,
        "ask100": at_once.rate,
        "tell": tell.rate,
        "spawn": spawn.rate,
        "idle_bytes": idle,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(figures())))
