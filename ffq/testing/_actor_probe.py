"""A probe: an actor that a test plays by hand, behind an ordinary ref."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import trio

from ffq.runtime import Actor, ActorRef, Request, handles
from ffq.runtime._envelope import handling
from ffq.runtime.spawner import Spawner

R = TypeVar("R")
Q = TypeVar("Q", bound=Request[Any])


class Received(Generic[Q]):
    """A message a probe got. Answer it with `reply` or `fail`; a tell takes no answer."""

    def __init__(self, message: Q) -> None:
        self.message = message
        self._answered = trio.Event()
        self._value: Any = None
        self._error: Exception | None = None

    def reply(self: Received[Any], value: Any = None) -> None:
        """Give the asker this reply."""
        self._value = value
        self._answered.set()

    def fail(self, error: Exception) -> None:
        """Raise this error in the asker."""
        self._error = error
        self._answered.set()

    async def answer(self) -> Any:
        """What the probe's handler waits for."""
        await self._answered.wait()
        if self._error is not None:
            raise self._error
        return self._value


class _ProbeActor(Actor[Any]):
    def __init__(self, sender: trio.MemorySendChannel[Received[Any]], answers: bool) -> None:
        self._sender = sender
        self._answers = answers

    @handles(Request)
    async def receive(self, message: Request[Any]) -> Any:
        received = Received(message)
        await self._sender.send(received)
        envelope = handling()
        asked = envelope is not None and envelope.asks
        return await received.answer() if self._answers and asked else None


class Probe:
    """Stands in for an actor in a test: `probe.ref` is a ref like any other.

    It takes every message. By default each ask waits for the test to answer it, so a test decides
    when and what an asker gets; with `answers=False` every ask gets None at once.
    """

    def __init__(self, ref: ActorRef[Any], inbox: trio.MemoryReceiveChannel[Received[Any]]) -> None:
        self.ref = ref
        self._inbox = inbox

    @classmethod
    async def spawn(
        cls, parent: Spawner, *, name: str | None = None, size: int = 64, answers: bool = True
    ) -> Probe:
        """Start a probe as a child of a system or of an actor's context.

        At most `size` messages wait for the test; further senders wait.
        """
        sender, inbox = trio.open_memory_channel[Received[Any]](size)
        ref = await parent.spawn(
            _ProbeActor, sender, answers, name=name, mailbox=size, max_concurrency=size
        )
        return cls(ref, inbox)

    async def receive(self, kind: type[Q]) -> Received[Q]:
        """Wait for the next message.

        Raises AssertionError when it is not a `kind`, or when the probe ends without one.
        """
        received = await self._next()
        if received is None:
            raise AssertionError(f"{self.ref.path} expected {kind.__qualname__} and has ended")
        if not isinstance(received.message, kind):
            raise AssertionError(  # noqa: TRY004  # a failed expectation of the test
                f"{self.ref.path} expected {kind.__qualname__} and got {received.message!r}"
            )
        return received

    async def _next(self) -> Received[Any] | None:
        received: Received[Any] | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._give_up_at_the_end, nursery.cancel_scope)
            received = await self._inbox.receive()
            nursery.cancel_scope.cancel()
        return received

    async def _give_up_at_the_end(self, scope: trio.CancelScope) -> None:
        await self.ref.wait_ended()
        scope.cancel()

    def expect_nothing(self) -> None:
        """Raise AssertionError when a message waits to be received."""
        try:
            received = self._inbox.receive_nowait()
        except trio.WouldBlock:
            return
        raise AssertionError(f"{self.ref.path} expected nothing and got {received.message!r}")
