"""The messages of one stream, from its handler in Trio to gRPC's loop, which writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import grpc
import trio
from google.protobuf.message import Message

from ffq.rpc.handover import Puts


@attrs.define(eq=False)
class _Stretch:
    """Messages that the loop takes by itself. `ended`, in Trio: it takes no more of them."""

    take: Callable[[], Message | None]
    ended: trio.Event = attrs.field(factory=trio.Event)
    stopped: bool = False
    error: Exception | None = None


class Outgoing:
    """`ffq.rpc.routes.Send` of one stream. Made on the loop's thread.

    Args:
        window: messages that may wait to be written.
    """

    def __init__(self, to_trio: Puts, to_loop: Puts, window: int) -> None:
        self._to_trio = to_trio
        self._to_loop = to_loop
        self._outbox: asyncio.Queue[bytes | _Stretch | None] = asyncio.Queue()
        self._slots = trio.Semaphore(window)
        # Trio is woken for several: a wake-up costs as much as the rest of a message.
        self._at_once = max(1, window // 2)

    async def __call__(self, message: Message) -> None:
        """In Trio, as `Send`."""
        try:  # where there is room it takes no turn of the scheduler: there is room for few
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()
        self._to_loop.put(self._outbox.put_nowait, message.SerializeToString())

    async def at_hand(self, take: Callable[[], Message | None]) -> None:
        """In Trio, as `Send`. Also when it is cancelled `take` is called no more."""
        stretch = _Stretch(take)
        self._to_loop.put(self._outbox.put_nowait, stretch)
        try:
            await stretch.ended.wait()
        except trio.Cancelled:
            # The loop may be about to take one, of files that are closed next.
            self._to_loop.put(self._stop, stretch)
            with trio.CancelScope(shield=True):
                await stretch.ended.wait()
            raise
        if stretch.error is not None:
            raise stretch.error

    def end(self) -> None:
        """On the loop: there are no more."""
        self._outbox.put_nowait(None)

    async def write_to(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """On the loop: write all, in order, until the end."""
        written = 0
        while (item := await self._outbox.get()) is not None:
            if isinstance(item, _Stretch):
                await self._write_stretch(item, context)
                continue
            await context.write(item)
            written += 1
            if written >= self._at_once:
                self._to_trio.put(self._make_room, written)
                written = 0

    async def _write_stretch(
        self, stretch: _Stretch, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        while not stretch.stopped:
            try:
                message = stretch.take()
            except Exception as error:  # noqa: BLE001  # raised where it is waited for
                stretch.error = error
                break
            if message is None:
                break
            await context.write(message.SerializeToString())
        self._to_trio.put(stretch.ended.set)

    def _stop(self, stretch: _Stretch) -> None:
        stretch.stopped = True
        self._to_trio.put(stretch.ended.set)

    def _make_room(self, count: int) -> None:
        for _ in range(count):
            self._slots.release()
