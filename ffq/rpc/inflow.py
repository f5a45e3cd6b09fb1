"""The messages of a stream, from the thread that reads them in gRPC to the task that takes them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

import trio

from ffq.rpc.handover import Handover

R = TypeVar("R")


class Inflow(Generic[R]):
    """Messages on their way: the thread is ahead by at most `window` of them.

    It does not wait for Trio with each message, only for room. Make it in Trio.
    """

    def __init__(self, window: int) -> None:
        self._room = threading.Semaphore(window)
        self._closed = False
        self._to_trio = Handover(trio.lowlevel.current_trio_token().run_sync_soon)
        self._send, self._receive = trio.open_memory_channel[R](math.inf)  # `_room` bounds it

    def fill(self, messages: Iterable[R]) -> None:
        """On a thread: until there are no more, or it is closed. Raises what iterating raises."""
        for message in messages:
            self._room.acquire()
            if self._closed:
                return
            self._to_trio.put(self._deliver, message)

    def _deliver(self, message: R) -> None:
        with suppress(trio.BrokenResourceError):
            self._send.send_nowait(message)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """At its end no more messages come."""
        try:
            yield
        finally:
            self._to_trio.put(self._send.close)

    async def receive(self) -> R:
        """Raises trio.EndOfChannel: there are no more."""
        message = await self._receive.receive()
        self._room.release()
        return message

    def close(self) -> None:
        """In Trio: nobody takes messages any more."""
        self._closed = True
        self._receive.close()
        self._room.release()
