"""Every line marked `# bad` must be an error for `mypy --strict`, and no other line."""

from __future__ import annotations

import attrs

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, handles


@attrs.frozen
class Add(Request[int]):
    n: int


@attrs.frozen
class Name(Request[str]):
    pass


@attrs.frozen
class Foreign(Request[None]):
    pass


class Counter(Actor[Add | Name]):
    def __init__(self, start: int) -> None:
        self.total = start

    @handles(Add)
    async def add(self, message: Add) -> int:
        return message.n

    @handles(Name)
    def name(self, message: Name) -> str:
        return ""


class Wrong(Actor[Add]):
    @handles(Add)  # bad
    async def returns_str(self, message: Add) -> str:
        return ""

    @handles(Name)  # bad
    def takes_add(self, message: Add) -> str:
        return ""

    @handles(int)  # bad
    def not_a_message(self, message: int) -> int:
        return message


async def main(system: ActorSystem) -> None:
    counter = await system.spawn(Counter, 0)
    text: str = await counter.ask(Add(5))  # bad
    await counter.ask(Foreign())  # bad
    await counter.tell(Foreign())  # bad
    counter.tell_nowait(Foreign())  # bad
    await counter.ask(5)  # bad
    await system.spawn(Counter, "0")  # bad
    await system.spawn(Counter)  # bad
    wider: ActorRef[Add | Foreign] = counter  # bad
    print(text, wider)
