"""Messages and actors that the tests of the runtime share."""

from __future__ import annotations

from typing import ClassVar

import attrs
import trio
import trio.testing

from ffq.runtime import Actor, Request, handles


@attrs.frozen
class Add(Request[int]):
    n: int


@attrs.frozen
class Total(Request[int]):
    pass


@attrs.frozen
class Fail(Request[None]):
    why: str = "boom"


class Counter(Actor[Add | Total | Fail]):
    def __init__(self, start: int = 0) -> None:
        self.total = start

    @handles(Add)
    async def add(self, message: Add) -> int:
        self.total += message.n
        return self.total

    @handles(Total)
    def get(self, message: Total) -> int:
        return self.total

    @handles(Fail)
    def fail(self, message: Fail) -> None:
        raise ValueError(message.why)


class Gate:
    """A handler waits in it until a test opens it; it logs what happened to whom."""

    def __init__(self) -> None:
        self.open = trio.Event()
        self.log: list[str] = []

    async def wait(self, who: str) -> None:
        self.log.append(f"{who} waits")
        try:
            await self.open.wait()
        except trio.Cancelled:
            self.log.append(f"{who} cancelled")
            raise
        self.log.append(f"{who} done")


@attrs.frozen
class Hold(Request[str]):
    """Wait in the gate."""

    who: str


@attrs.frozen
class HoldDetached(Request[str]):
    """Wait in the gate, also when the asker has gone."""

    who: str
    detached: ClassVar[bool] = True


class Holder(Actor[Hold | HoldDetached | Total]):
    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.held = 0

    @handles(Hold)
    async def hold(self, message: Hold) -> str:
        await self.gate.wait(message.who)
        self.held += 1
        return message.who

    @handles(HoldDetached)
    async def hold_detached(self, message: HoldDetached) -> str:
        await self.gate.wait(message.who)
        self.held += 1
        return message.who

    @handles(Total)
    def total(self, message: Total) -> int:
        return self.held


async def settle() -> None:
    """Let everything happen that can happen without the clock."""
    await trio.testing.wait_all_tasks_blocked()
