"""A gRPC channel for Trio code: calls are awaited, streams are iterated, both can be cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Generic, Protocol, TypeVar, cast

import grpc
import trio
from google.protobuf.message import Message

from ffq.endpoint import parse_endpoint
from ffq.errors import ConnectionClosed, FfqError, Unavailable
from ffq.rpc.forks import check_process
from ffq.rpc.inflow import Inflow
from ffq.rpc.nurseries import nursery_without_groups
from ffq.rpc.options import DEFAULT_OPTIONS, RpcOptions, channel_arguments
from ffq.rpc.status import FailedCall, error_of
from ffq.rpc.waiting import wait_future

R = TypeVar("R", bound=Message)
R_co = TypeVar("R_co", bound=Message, covariant=True)
T = TypeVar("T")

# The wire's deadline only serves a peer that no longer hears us: Trio's own comes first.
DEADLINE_SLACK_S = 0.5


class DuplexCall(Protocol[R_co]):
    """What gRPC gives for such a call."""

    def __iter__(self) -> Iterator[R_co]: ...

    def cancel(self) -> bool: ...


class RpcChannel:
    """Calls to one endpoint. Reconnects by itself; use it in one Trio run.

    Errors of calls are FfqErrors as the peer raised them (`ffq.rpc.status`); Unavailable when the
    peer cannot be reached or does not answer in time, ConnectionClosed after `close`.
    """

    def __init__(self, endpoint: str, options: RpcOptions = DEFAULT_OPTIONS) -> None:
        """Does not connect yet.

        Raises InvalidRequest unless `endpoint` is host:port, StartupError in a forked process.
        """
        self.endpoint = parse_endpoint(endpoint)
        check_process()
        self._options = options
        self._channel = grpc.insecure_channel(self.endpoint, options=channel_arguments(options))
        self._threads = trio.CapacityLimiter(options.max_streams)
        self._closed = False

    @property
    def call_timeout_s(self) -> float:
        """How long a call waits for its answer if nothing else is said."""
        return self._options.call_timeout_s

    def close(self) -> None:
        """End the calls under way and the connection."""
        self._closed = True
        _uninterrupted(self._channel.close)

    async def unary(
        self, path: str, request: Message, reply_type: type[R], *, timeout_s: float | None = None
    ) -> R:
        """One call of the method `path` ("/package.Service/Method").

        `timeout_s` replaces the option call_timeout_s.
        """
        self._check_open()
        method = self._channel.unary_unary(
            path,
            request_serializer=_serialize,
            response_deserializer=reply_type.FromString,
        )
        limit_s = self._options.call_timeout_s if timeout_s is None else timeout_s
        with self.typed_errors(), trio.move_on_after(limit_s):
            begin = partial(method.future, request, timeout=_wire_timeout())
            return await wait_future(_uninterrupted(begin))
        raise Unavailable(f"{self.endpoint}: no answer to {path} within {limit_s:g} s")

    @asynccontextmanager
    async def stream(
        self, path: str, request: Message, chunk_type: type[R]
    ) -> AsyncIterator[Messages[R]]:
        """The messages of a server stream; leaving the block ends the call.

        A thread reads ahead by at most `stream_window` messages.
        """
        self._check_open()
        method = self._channel.unary_stream(
            path,
            request_serializer=_serialize,
            response_deserializer=chunk_type.FromString,
        )
        call = _uninterrupted(partial(method, request, timeout=_wire_timeout()))
        inflow: Inflow[R] = Inflow(self._options.stream_window)
        messages = Messages(inflow, f"{self.endpoint}: {path}", self._options.idle_timeout_s)

        async def reader() -> None:
            with inflow.ending():
                try:
                    with self.typed_errors():
                        await trio.to_thread.run_sync(inflow.fill, call, limiter=self._threads)
                except FfqError as error:
                    messages.failure = error

        async with nursery_without_groups() as nursery:
            nursery.start_soon(reader)
            try:
                yield messages
            finally:
                # Wakes the thread wherever it blocks; the nursery then waits for it.
                inflow.close()
                _uninterrupted(call.cancel)

    def duplex(self, path: str, requests: Iterator[Message], chunk_type: type[R]) -> DuplexCall[R]:
        """A stream both ways, for threads; `ffq.rpc.duplex` gives it to Trio.

        `requests` is iterated on a thread of gRPC's, the call on the caller's.
        """
        self._check_open()
        method = self._channel.stream_stream(
            path,
            request_serializer=_serialize,
            response_deserializer=chunk_type.FromString,
        )
        return cast("DuplexCall[R]", _uninterrupted(partial(method, requests)))

    def _check_open(self) -> None:
        check_process()
        if self._closed:
            raise ConnectionClosed(
                f"{self.endpoint}: this client is not open: use it in an async with block"
            )

    @contextmanager
    def typed_errors(self) -> Iterator[None]:
        """What a call raises, as FfqErrors."""
        try:
            yield
        except grpc.FutureCancelledError:
            raise Unavailable(f"{self.endpoint}: the call was cancelled") from None
        except grpc.RpcError as error:
            raise error_of(cast(FailedCall, error), self.endpoint) from None


class Messages(Generic[R]):
    """The messages of one stream, in order; then its end or its error.

    Iterating raises Unavailable when the peer sends nothing for `idle_timeout_s` seconds.
    """

    def __init__(self, inflow: Inflow[R], what: str, idle_timeout_s: float) -> None:
        self.failure: FfqError | None = None
        self._inflow = inflow
        self._what = what
        self._idle_timeout_s = idle_timeout_s

    def map(self, decode: Callable[[R], T]) -> Mapped[R, T]:
        """The same messages, each decoded."""
        return Mapped(self, decode)

    def __aiter__(self) -> Messages[R]:
        return self

    async def __anext__(self) -> R:
        with trio.move_on_after(self._idle_timeout_s):
            try:
                return await self._inflow.receive()
            except trio.EndOfChannel:
                if self.failure is not None:
                    raise self.failure from None
                raise StopAsyncIteration from None
        raise Unavailable(f"{self._what} sent nothing for {self._idle_timeout_s:g} s")


class Mapped(Generic[R, T]):
    """Messages, decoded one by one. (No async generator: those must be closed by their user.)"""

    def __init__(self, messages: Messages[R], decode: Callable[[R], T]) -> None:
        self._messages = messages
        self._decode = decode

    def __aiter__(self) -> Mapped[R, T]:
        return self

    async def __anext__(self) -> T:
        return self._decode(await anext(self._messages))


@asynccontextmanager
async def open_channel(
    endpoint: str, options: RpcOptions = DEFAULT_OPTIONS
) -> AsyncIterator[RpcChannel]:
    """A channel that is closed when the block is left. Raises InvalidRequest."""
    channel = RpcChannel(endpoint, options)
    try:
        yield channel
    finally:
        channel.close()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


@trio.lowlevel.enable_ki_protection
def _uninterrupted(work: Callable[[], T]) -> T:
    """Ctrl-C waits for the end of this. A call that gRPC has noted, and whose thread it has not
    started, has no end: closing its channel would wait for one for ever.
    """
    return work()


def _wire_timeout() -> float | None:
    """Seconds until Trio's effective deadline, a little later: for the peer to know."""
    deadline = trio.current_effective_deadline()
    if deadline == float("inf"):
        return None
    return max(0.0, deadline - trio.current_time()) + DEADLINE_SLACK_S
