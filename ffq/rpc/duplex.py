"""Streams that go both ways, between Trio tasks: the server's handler and the client's call.

At the server one is a stream of answers, whose bridge is `ffq.rpc.bridge`'s, with an inbox that
fills on the loop's thread while the handler runs in Trio.
"""

from __future__ import annotations

import asyncio
import math
import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Generic, TypeVar, cast

import attrs
import grpc
import trio
from google.protobuf.message import DecodeError, Message

from ffq.errors import FfqError, InvalidRequest, QuotaExceeded, Unavailable
from ffq.rpc.bridge import CLOSING, Bridge, Context, parse, refuse
from ffq.rpc.client import RpcChannel
from ffq.rpc.handover import Puts
from ffq.rpc.options import RpcOptions
from ffq.rpc.routes import Duplex, Send, ServerStream
from ffq.rpc.status import BUSY_RETRY_MS

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


@attrs.define
class _Inbox(Generic[Q]):
    """The messages after the first: read on the loop's thread, iterated in Trio.

    At most `window` of them wait: the loop is told of every second that was taken.
    """

    route: Duplex[Q, Any]
    to_trio: Puts
    to_loop: Puts
    window: int
    _taken: int = 0
    _room: asyncio.Semaphore = attrs.field(init=False)
    _send: trio.MemorySendChannel[bytes] = attrs.field(init=False)
    _receive: trio.MemoryReceiveChannel[bytes] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._room = asyncio.Semaphore(self.window)
        self._send, self._receive = trio.open_memory_channel[bytes](math.inf)  # `_room` bounds it

    async def fill(self, requests: AsyncIterator[bytes]) -> None:
        """On the loop: until the caller says no more."""
        try:
            async for raw in requests:
                await self._room.acquire()
                self._in_trio(partial(self._send.send_nowait, raw))
        finally:
            self._in_trio(self._send.close)

    def _in_trio(self, action: Callable[[], object]) -> None:
        def act() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                action()

        self.to_trio.put(act)

    def __aiter__(self) -> _Inbox[Q]:
        return self

    async def __anext__(self) -> Q:
        """Raises InvalidRequest: too large, or not such a message."""
        try:
            raw = await self._next()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        self._taken += 1
        if self._taken >= max(1, self.window // 2):
            taken, self._taken = self._taken, 0
            with suppress(RuntimeError):  # the loop has ended, and with it the caller
                self.to_loop.put(self._make_room, taken)
        try:
            return cast("Q", parse(self.route, raw))
        except DecodeError:
            raise InvalidRequest(f"{self.route.method}: not a message of this method") from None

    async def _next(self) -> bytes:
        try:  # one that waits takes no turn of the scheduler: few may wait
            return self._receive.receive_nowait()
        except trio.WouldBlock:
            return await self._receive.receive()

    def _make_room(self, count: int) -> None:
        for _ in range(count):
            self._room.release()


@attrs.define
class _First(Generic[Q]):
    """One message, then those of another iterator."""

    first: Q | None
    others: AsyncIterator[Q]

    def __aiter__(self) -> _First[Q]:
        return self

    async def __anext__(self) -> Q:
        if self.first is not None:
            first, self.first = self.first, None
            return first
        return await anext(self.others)


@attrs.define
class DuplexServer:
    """Makes the handlers of one server's streams that go both ways, and bounds them together."""

    bridge: Bridge
    options: RpcOptions
    _open: int = 0
    _closing: bool = False
    _filling: set[asyncio.Future[None]] = attrs.field(factory=set)

    async def end_all(self) -> None:
        """On the loop: as if every caller had said that it says no more. New ones are refused.

        Such streams last as long as their callers: a server that ends must not wait for them.
        """
        self._closing = True
        for each in self._filling:
            each.cancel()

    def handler(self, route: Duplex[Any, Any]) -> Callable[[Any, Context], Awaitable[None]]:
        """The grpc.aio handler of such a route."""

        async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
            bound = self.options.max_duplex
            if self._closing:
                await refuse(context, Unavailable(CLOSING))
            if self._open >= bound:
                error = QuotaExceeded(
                    f"{bound} such streams are open already", retry_after_ms=10 * BUSY_RETRY_MS
                )
                await refuse(context, error)
            self._open += 1
            try:
                await self._serve(route, requests, context)
            finally:
                self._open -= 1

        return handle

    async def _serve(
        self, route: Duplex[Any, Any], requests: AsyncIterator[bytes], context: Context
    ) -> None:
        try:
            first = await asyncio.wait_for(anext(requests, None), self.options.call_timeout_s)
        except TimeoutError:
            first = None
        if first is None:
            await refuse(context, InvalidRequest(f"{route.method}: no message came"))
        inbox: _Inbox[Any] = _Inbox(
            route, self.bridge.to_trio, self.bridge.to_loop, self.options.stream_window
        )

        async def answer(request: Message, send: Send[Any]) -> None:
            await route.handle(_First(request, inbox), send)

        as_stream: ServerStream[Any, Any] = ServerStream(
            route.service,
            route.method,
            route.request_type,
            answer,
            route.max_request_bytes,
            counted=False,
        )
        filling = asyncio.ensure_future(inbox.fill(requests))
        self._filling.add(filling)
        if self._closing:
            filling.cancel()
        try:
            await self.bridge.stream(as_stream)(first, context)
        finally:
            self._filling.discard(filling)
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)


def duplex_handlers(
    server: DuplexServer, routes: Iterable[Duplex[Any, Any]]
) -> list[grpc.GenericRpcHandler]:
    """One generic handler for each. Bytes stay bytes: they are decoded in Trio."""
    return [
        grpc.method_handlers_generic_handler(
            route.service,
            {route.method: grpc.stream_stream_rpc_method_handler(server.handler(route))},
        )
        for route in routes
    ]


class Call(Generic[R]):
    """The client's end of one stream. Use it in one Trio task for each direction."""

    def __init__(self, window: int, what: str) -> None:
        self.failure: FfqError | None = None
        self._what = what
        self._up: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._room = trio.Semaphore(window)
        self._token = trio.lowlevel.current_trio_token()
        self._finished = False
        self.down_in, self._down = trio.open_memory_channel[R](window)

    async def send(self, message: Message) -> None:
        """Waits while the network is behind. A stream that broke says so at `receive`."""
        await self._room.acquire()
        self._up.put(message)

    async def receive(self) -> R | None:
        """None: the peer has said all. Raises Unavailable, or the peer's error."""
        try:
            return await self._down.receive()
        except trio.EndOfChannel:
            if self.failure is not None:
                raise self.failure from None
            return None
        except trio.ClosedResourceError:
            raise Unavailable(f"{self._what} is closed") from None

    def finish(self) -> None:
        """Say no more."""
        if not self._finished:
            self._finished = True
            self._up.put(None)

    def close(self) -> None:
        self.finish()
        self._down.close()

    def requests(self) -> Iterator[Message]:
        """On a thread of gRPC's: what is to be sent, until there is no more."""
        while (message := self._up.get()) is not None:
            yield message
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._room.release)


@asynccontextmanager
async def open_duplex(
    channel: RpcChannel, path: str, chunk_type: type[R], window: int
) -> AsyncIterator[Call[R]]:
    """A stream both ways; leaving the block ends it. Two threads serve it while it is open.

    Errors are the channel's, at `receive`.
    """
    call: Call[R] = Call(window, f"{channel.endpoint}: {path}")
    messages = channel.duplex(path, call.requests(), chunk_type)

    def read() -> None:
        # Blocks in gRPC for the next message, then until there is room for it in Trio.
        for message in messages:
            trio.from_thread.run(call.down_in.send, message)

    async def reader() -> None:
        with call.down_in:
            try:
                with (
                    channel.typed_errors(),
                    suppress(trio.BrokenResourceError, trio.ClosedResourceError),
                ):
                    await trio.to_thread.run_sync(read, limiter=trio.CapacityLimiter(1))
            except FfqError as error:
                call.failure = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        try:
            yield call
        finally:
            # Wakes both threads wherever they block; the nursery then waits for the reader's.
            call.close()
            messages.cancel()
