"""A worker's stream over calls, for where something on the way carries no streams.

What is said on it, and what that means, is the same (`ffq.rpc.exchange`). The worker's end makes a
call for each message that it says, and has one other call wait for what the coordinator says. A
call that fails ends the stream, as a broken connection ends one of gRPC's.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from math import inf
from typing import Final

import attrs
import trio

from ffq.errors import FfqError, InvalidRequest, QuotaExceeded, Unavailable
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec.values import bounded
from ffq.rpc.client import RpcChannel
from ffq.rpc.exchange import SERVICE, WINDOW, RemoteExchange, serve_stream
from ffq.rpc.nurseries import nursery_without_groups
from ffq.rpc.options import MIB, RpcOptions
from ffq.rpc.routes import Unary
from ffq.rpc.status import BUSY_RETRY_MS
from ffq.service import ServesExchange

_METHOD: Final = "Poll"
PATH: Final = f"/{SERVICE}/{_METHOD}"
NAME_BYTES: Final = 16
MAX_WAIT_MS: Final = 30_000
LAPSE_S: Final = 10.0
"""A stream of which no call is under way for so long is over: its worker has gone."""
_ANSWER_BYTES: Final = 4 * MIB
"""No further message goes with an answer that has as many."""


@attrs.define(eq=False)
class _Stream:
    """One stream at the gateway, between the calls that carry it and the task that serves it."""

    said: trio.MemorySendChannel[ext.WorkRequest]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    """Lapses while no call is under way."""
    over: bool = False
    failure: Exception | None = None
    told: trio.Event = attrs.field(factory=trio.Event)
    """The worker knows that it is over."""
    _calls: int = 0
    _heard_by: int = 0
    _down: deque[ext.WorkResponse] = attrs.field(factory=deque)
    _room: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(WINDOW))
    _news: trio.Event = attrs.field(factory=trio.Event)

    @contextmanager
    def call(self) -> Iterator[None]:
        """While the block is open it does not lapse."""
        self._calls += 1
        self.scope.deadline = inf
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self.scope.deadline = trio.current_time() + LAPSE_S

    async def send(self, message: ext.WorkResponse) -> None:
        """To the worker; waits while it is behind."""
        await self._room.acquire()
        self._down.append(message)
        self._news.set()

    def end(self, failure: Exception | None) -> None:
        """Nothing more is said; `failure` is told after what was."""
        self.over, self.failure = True, failure
        self._news.set()

    async def take(self, messages: Sequence[ext.WorkRequest], *, finished: bool) -> None:
        """What the worker says; waits while the coordinator is behind."""
        try:
            for each in messages:
                await self.said.send(each)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # it is over, and says so to who hears it
        if finished:
            self.said.close()

    async def hear(self, wait_s: float) -> ext.PollResponse:
        """What is said within that time. Raises what ended the stream."""
        if self._heard_by:
            raise InvalidRequest("Poll: another call waits on this stream already")
        self._heard_by += 1
        try:
            with trio.move_on_after(wait_s):
                while not (self._down or self.over):
                    self._news = trio.Event()
                    await self._news.wait()
            return self._next()
        finally:
            self._heard_by -= 1

    def _next(self) -> ext.PollResponse:
        answer = ext.PollResponse()
        size = 0
        while self._down:
            size += self._down[0].ByteSize()
            if answer.says and size > _ANSWER_BYTES:
                return answer
            answer.says.append(self._down.popleft())
            self._room.release()
        if self.over and not (self.failure and answer.says):
            self.told.set()
            if self.failure is not None:
                raise self.failure
            answer.ended = True
        return answer


@attrs.define
class Polls:
    """The streams over calls of one gateway; `open_polls` makes it."""

    coordinator: ServesExchange
    options: RpcOptions
    _nursery: trio.Nursery
    _open: dict[bytes, _Stream] = attrs.field(factory=dict)

    @property
    def route(self) -> Unary[ext.PollRequest, ext.PollResponse]:
        return Unary(SERVICE, _METHOD, ext.PollRequest, self._poll)

    async def _poll(self, request: ext.PollRequest) -> ext.PollResponse:
        """Raises InvalidRequest, QuotaExceeded, Unavailable: no such stream; what ended it."""
        if len(request.stream) != NAME_BYTES:
            raise InvalidRequest(
                f"Poll: the stream's name has {len(request.stream)} bytes, not {NAME_BYTES}"
            )
        says = bounded(request.says, "says")
        stream = self._begin(request.stream) if request.opens else self._open.get(request.stream)
        if stream is None:
            raise Unavailable("Poll: no such stream is open any more")
        with stream.call():
            await stream.take(says, finished=request.finished)
            if not request.wait_ms:
                return ext.PollResponse()
            return await stream.hear(min(request.wait_ms, MAX_WAIT_MS) / 1000)

    def _begin(self, name: bytes) -> _Stream:
        if name in self._open:
            raise InvalidRequest("Poll: a stream of this name is open already")
        bound = self.options.max_duplex
        if len(self._open) >= bound:
            raise QuotaExceeded(
                f"{bound} such streams are open already", retry_after_ms=10 * BUSY_RETRY_MS
            )
        said, incoming = trio.open_memory_channel[ext.WorkRequest](WINDOW)
        stream = self._open[name] = _Stream(said)
        self._nursery.start_soon(self._serve, name, stream, incoming)
        return stream

    async def _serve(
        self, name: bytes, stream: _Stream, incoming: trio.MemoryReceiveChannel[ext.WorkRequest]
    ) -> None:
        """Until its worker knows how it ended, or is gone."""
        failure: Exception | None = Unavailable("the coordinator is shutting down")
        try:
            with stream.scope:
                try:
                    with incoming:
                        await serve_stream(self.coordinator, incoming, stream.send)
                    failure = None
                except Exception as error:  # noqa: BLE001  # travels to the worker as a status
                    failure = error
                stream.end(failure)
                await stream.told.wait()
        finally:
            stream.end(failure)
            del self._open[name]


@asynccontextmanager
async def open_polls(coordinator: ServesExchange, options: RpcOptions) -> AsyncIterator[Polls]:
    """Serves streams over calls while the block is open; then it ends them."""
    async with nursery_without_groups() as nursery:
        yield Polls(coordinator, options, nursery)
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class _Line:
    """The worker's end of one stream over calls."""

    channel: RpcChannel
    nursery: trio.Nursery
    name: bytes
    _opened: trio.Event = attrs.field(factory=trio.Event)
    _saying: trio.Lock = attrs.field(factory=trio.Lock)
    _finished: bool = False
    _ended: bool = False
    _heard: deque[ext.WorkResponse] = attrs.field(factory=deque)

    async def send(self, message: ext.WorkRequest) -> None:
        """Raises as `receive`."""
        await self._say(ext.PollRequest(says=(message,)))

    async def receive(self) -> ext.WorkResponse | None:
        """None: the coordinator has said all. Raises Unavailable, or the coordinator's error."""
        await self._opened.wait()
        while not (self._heard or self._ended):
            answer = await self._call(ext.PollRequest(wait_ms=MAX_WAIT_MS), MAX_WAIT_MS / 1000)
            self._heard.extend(answer.says)
            self._ended = answer.ended
        return self._heard.popleft() if self._heard else None

    def finish(self) -> None:
        """Say no more."""
        if not self._finished:
            self._finished = True
            self.nursery.start_soon(self._say_last)

    async def _say_last(self) -> None:
        with suppress(FfqError):  # then `receive` says so
            await self._say(ext.PollRequest(finished=True))

    async def _say(self, request: ext.PollRequest) -> None:
        """One after the other: so they come in order."""
        async with self._saying:
            request.opens = not self._opened.is_set()
            await self._call(request)
            self._opened.set()

    async def _call(self, request: ext.PollRequest, wait_s: float = 0) -> ext.PollResponse:
        request.stream = self.name
        limit_s = self.channel.call_timeout_s + wait_s
        return await self.channel.unary(PATH, request, ext.PollResponse, timeout_s=limit_s)


@asynccontextmanager
async def open_polled(channel: RpcChannel) -> AsyncIterator[RemoteExchange]:
    """As `exchange.open_exchange`, over calls."""
    async with nursery_without_groups() as nursery:
        yield RemoteExchange(_Line(channel, nursery, secrets.token_bytes(NAME_BYTES)))
        nursery.cancel_scope.cancel()
