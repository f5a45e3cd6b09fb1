"""A pool for CPU work: each member runs its work on a thread, the least loaded one gets the next.

The work here is hashing, which releases the interpreter lock, so the members use all cores. While
a thread works, the Trio thread stays free for everybody else.
"""

from __future__ import annotations

import hashlib

import attrs
import trio

from ffq.runtime import Actor, ActorSystem, Request, handles
from ffq.runtime.pool import LeastLoaded


@attrs.frozen
class Digest(Request[str]):
    """The SHA-256 of `data`, `rounds` times over, in hex."""

    data: bytes
    rounds: int = 1


def digest(data: bytes, rounds: int) -> str:
    """Plain, slow, synchronous code."""
    for _ in range(rounds):
        data = hashlib.sha256(data).digest()
    return data.hex()


class Hasher(Actor[Digest]):
    """Hashes on a thread."""

    @handles(Digest)
    async def digest(self, message: Digest) -> str:
        """The thread cannot be interrupted, so a cancelled asker leaves it to finish alone."""
        return await trio.to_thread.run_sync(
            digest, message.data, message.rounds, abandon_on_cancel=True
        )


async def main(jobs: int = 16, size: int = 4) -> dict[bytes, str]:
    """Hash some blocks on `size` threads; returns the digests by block."""
    digests: dict[bytes, str] = {}
    async with ActorSystem("hashing") as system:
        pool = await system.spawn_pool(Hasher, size=size, routing=LeastLoaded(), name="pool")

        async def work(data: bytes) -> None:
            digests[data] = await pool.ask(Digest(data, rounds=1000))

        async with trio.open_nursery() as nursery:
            for number in range(jobs):
                nursery.start_soon(work, number.to_bytes(4) * 1024)
        print(system.render_tree())
    return digests


if __name__ == "__main__":
    trio.run(main)
