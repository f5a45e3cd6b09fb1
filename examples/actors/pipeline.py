"""A pipeline with backpressure: a fast reader, a slow writer, and never more than a few lines held.

Each stage tells the next one. When a mailbox is full, `tell` waits, so the slowest stage sets the
pace of all, and memory stays where it is however long the input is.
"""

from __future__ import annotations

import attrs
import trio

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, handles


@attrs.frozen
class Line(Request[None]):
    """One line of text on its way."""

    text: str


class Shout(Actor[Line]):
    """Passes each line on in capitals."""

    def __init__(self, following: ActorRef[Line]) -> None:
        self.following = following

    @handles(Line)
    async def line(self, message: Line) -> None:
        """Waits when the next stage is behind."""
        await self.following.tell(Line(message.text.upper()))


class Writer(Actor[Line]):
    """Writes a line every 10 ms."""

    def __init__(self, output: list[str]) -> None:
        self.output = output

    @handles(Line)
    async def line(self, message: Line) -> None:
        """Slow on purpose."""
        await trio.sleep(0.01)
        self.output.append(message.text)


async def main(lines: int = 200) -> tuple[list[str], int]:
    """Push lines through; returns what came out and the most lines that were ever held."""
    output: list[str] = []
    most = 0
    async with ActorSystem("pipeline") as system:
        writer = await system.spawn(Writer, output, name="writer", mailbox=8)
        shout = await system.spawn(Shout, writer, name="shout", mailbox=8)
        for number in range(lines):
            await shout.tell(Line(f"line {number}"))
            most = max(most, sum(actor.mailbox for actor in system.tree()))
        await shout.stop()  # finishes its mailbox before it ends; so does the writer, at the end
    print(f"{len(output)} lines out, at most {most} waiting in mailboxes")
    return output, most


if __name__ == "__main__":
    trio.run(main)
