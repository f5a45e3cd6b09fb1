"""What a server serves: one route per RPC, made from the rows of `ffq.proto.rows`."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

import attrs
import trio
from google.protobuf.message import Message

from ffq.proto.rows import ROWS, Streamed, Wire
from ffq.service import Coordinator, OnReply, Posted, Posting

C = TypeVar("C")
M = TypeVar("M")
T = TypeVar("T")
Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
R_contra = TypeVar("R_contra", bound=Message, contravariant=True)


class Send(Protocol[R_contra]):
    """Sends the next message of a stream; waits while the receiver is behind."""

    async def __call__(self, message: R_contra, /) -> None: ...

    async def at_hand(self, take: Callable[[], R_contra | None], /) -> None:
        """Sends what `take` gives until that is None; raises what it raises.

        It is called on the thread that sends, which saves handing messages over, and must not
        block. No more is taken before what it gave last has been copied.
        """
        ...


Post = Callable[[Q, OnReply, float], Posted]


@attrs.frozen
class Unary(Generic[Q, R]):
    """One request, one reply. `handle` runs in Trio; what it raises becomes the status.

    A request of more than `max_request_bytes` is refused before it is read. `post` does the same as
    `handle` where no task need wait: called in Trio with the request, a function for the reply or
    the error, and the deadline on Trio's clock.
    """

    service: str
    method: str
    request_type: type[Q]
    handle: Callable[[Q], Awaitable[R]]
    max_request_bytes: int | None = None
    post: Post[Q] | None = None


@attrs.frozen
class ServerStream(Generic[Q, R]):
    """One request, a stream of replies. `handle` runs in Trio and ends the stream by returning.

    `counted`: against the bound of open streams.
    """

    service: str
    method: str
    request_type: type[Q]
    handle: Callable[[Q, Send[R]], Awaitable[None]]
    max_request_bytes: int | None = None
    counted: bool = True


@attrs.frozen
class Duplex(Generic[Q, R]):
    """A stream each way. `handle` runs in Trio and ends both by returning.

    The bound is that of one message.
    """

    service: str
    method: str
    request_type: type[Q]
    handle: Callable[[AsyncIterator[Q], Send[R]], Awaitable[None]]
    max_request_bytes: int | None = None


Route = Unary[Any, Any] | ServerStream[Any, Any]
Routes = tuple[Route, ...]
AllRoutes = tuple[Route | Duplex[Any, Any], ...]


def coordinator_routes(coordinator: Coordinator, posting: Posting | None = None) -> Routes:
    """Every RPC: decoded once, asked of the coordinator, and its reply encoded.

    `posting` is the same coordinator where it is in this process: what it posts takes no task.
    """
    return tuple(
        stream_route(row.message, coordinator.stream)
        if row.streams
        else _unary_route(row, coordinator, posting)
        for row in ROWS.values()
    )


def _unary_route(
    row: Wire[Any, Any, Any, Any], coordinator: Coordinator, posting: Posting | None
) -> Route:
    async def handle(request: Message) -> Message:
        reply: Message = row.encode_reply(await coordinator.ask(row.decode(request)))
        return reply

    post = _post(row, posting) if posting is not None and posting.posts(row.message) else None
    return Unary(row.service, row.method, row.request_type, handle, row.max_request_bytes, post)


def _post(row: Wire[Any, Any, Any, Any], posting: Posting) -> Post[Any]:
    def post(request: Message, on_reply: OnReply, deadline: float) -> Posted:
        def answer(reply: Any, error: BaseException | None) -> None:
            encoded: Message | None = None
            if error is None:
                try:
                    encoded = row.encode_reply(reply)
                except Exception as failure:  # noqa: BLE001  # becomes the status
                    error = failure
            on_reply(encoded, error)

        return posting.post(row.decode(request), answer, deadline)

    return post


def stream_route(
    message: type[Streamed[M, C]],
    open_stream: Callable[[M], AbstractAsyncContextManager[AsyncIterator[C]]],
) -> Route:
    """One streaming RPC: `open_stream` gives at least one chunk, or raises what the caller sees."""
    row = ROWS[message]

    async def handle(request: Message, send: Send[Any]) -> None:
        async with open_stream(row.decode(request)) as chunks:
            async for chunk in chunks:
                await send(row.encode_reply(chunk))
                if isinstance(chunks, OnThreads) and chunks.goes_on:
                    await send.at_hand(partial(_taken, row, chunks))

    return ServerStream(row.service, row.method, row.request_type, handle, row.max_request_bytes)


def _taken(row: Wire[Any, Any, Any, Any], chunks: OnThreads[Any]) -> Message | None:
    chunk = chunks.now()
    return None if chunk is None else row.encode_reply(chunk)


AHEAD: Final = 2
"""Items that one step on a thread makes: to go there and back costs as much as to read one."""


class OnThreads(Generic[T]):
    """Iterates over what blocks: each step on a thread of `limiter`, none held between steps.

    A step makes up to `AHEAD` items, which wait here.

    Args:
        now: the next item if nothing must be waited for, else None; raises StopIteration: there is
            none. An item holds until the next is asked for.
    """

    def __init__(
        self,
        items: Iterator[T],
        limiter: trio.CapacityLimiter,
        now: Callable[[], T | None] | None = None,
    ) -> None:
        self._items = items
        self._limiter = limiter
        self._now = now
        self._made: deque[T] = deque()
        self._over = False
        self._error: Exception | None = None

    def __aiter__(self) -> OnThreads[T]:
        return self

    async def __anext__(self) -> T:
        if not (self._made or self._over):
            await trio.to_thread.run_sync(self._make, limiter=self._limiter)
        if self._made:
            return self._made.popleft()
        error, self._error = self._error, None
        if error is None:
            raise StopAsyncIteration
        raise error

    @property
    def goes_on(self) -> bool:
        """Whether `now` may find something."""
        return bool(self._made) or not (self._over or self._now is None)

    def now(self) -> T | None:
        """The next item, which holds until the next is asked for; None: iterating tells.

        On any thread, while nobody iterates.
        """
        if self._made:
            return self._made.popleft()
        if self._over or self._now is None:
            return None
        try:
            return self._now()
        except StopIteration:
            self._over = True
            return None

    def _make(self) -> None:
        """On a thread. What is raised after some items is raised after them."""
        try:
            self._made.extend(islice(self._items, AHEAD))
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            self._error = error
            self._over = True
        else:
            self._over = len(self._made) < AHEAD
