"""The smallest useful actor: it counts, and nobody else touches its number."""

from __future__ import annotations

import attrs
import trio

from ffq.runtime import Actor, ActorSystem, Request, handles


@attrs.frozen
class Add(Request[int]):
    """Add `n`; the reply is the new total."""

    n: int


class Counter(Actor[Add]):
    """Adds up what it is told."""

    def __init__(self, start: int) -> None:
        self.total = start

    @handles(Add)
    async def add(self, message: Add) -> int:
        """No lock: messages come one at a time."""
        self.total += message.n
        return self.total


async def main() -> int:
    """A hundred tasks add to one counter; the total is exact."""
    async with ActorSystem("example") as system:
        counter = await system.spawn(Counter, 0, name="counter")
        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(counter.tell, Add(n))
        total = await counter.ask(Add(0))
        print(f"the total is {total}")
        return total


if __name__ == "__main__":
    trio.run(main)
