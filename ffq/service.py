"""What a coordinator is, wherever it stands: two verbs, typed by the message.

`ffq.actors.ActorCoordinator` answers in this process, `ffq.rpc.coordinator.RemoteCoordinator` asks
over gRPC. Worker, client and gateway are written against this protocol; what differs by message
stands in tables: who answers it (`ffq.core.walks`), how it travels (`ffq.proto.rows`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

from ffq.messages import FromWorker, Rpc, StreamRpc, ToWorker
from ffq.runtime.message import Request

C = TypeVar("C")
R = TypeVar("R")


class Coordinator(Protocol):
    """May raise any FfqError that docs/protocol.md names for the message."""

    async def ask(self, message: Rpc[R], /) -> R:
        """The reply to one message of the outer world."""
        ...

    def stream(self, message: StreamRpc[C, R], /) -> AbstractAsyncContextManager[AsyncIterator[C]]:
        """The chunks of an answer, while the block is open. Raises on entry or while iterated."""
        ...


OnReply: TypeAlias = Callable[[Any, BaseException | None], None]
"""Called once, with a reply and None, or with None and the error; quick, and raises nothing."""


class Posted(Protocol):
    """A message whose reply goes to a function."""

    @property
    def awaited(self) -> bool:
        """Whether the function is still to be called."""
        ...

    def give_up(self) -> None:
        """As the cancellation of an `ask`: the function is not called any more."""
        ...


class Posting(Protocol):
    """What a coordinator in this process can do besides: answer without a task that waits."""

    def posts(self, message: type, /) -> bool:
        """Whether messages of this class can be posted; the others are asked."""
        ...

    def post(self, message: Rpc[Any], on_reply: OnReply, deadline: float, /) -> Posted:
        """As `ask`, with the reply or error for `on_reply`: within this call or later.

        What has not been handled by the `deadline` (seconds of Trio's clock) is MessageExpired
        when its turn comes. Raises what is known at once.
        """
        ...


class Exchange(Protocol):
    """A worker's end of a stream that it holds open with its coordinator."""

    async def send(self, message: FromWorker, /) -> None:
        """Waits while the coordinator is behind. Raises as `receive`."""
        ...

    async def receive(self) -> ToWorker | None:
        """What the coordinator says next; None: it has said all, in order.

        Raises:
            UnknownMethod: it knows no such stream.
            Unavailable: the stream broke.
            FfqError: the coordinator ended it with this error.
        """
        ...

    def finish(self) -> None:
        """The worker says no more: the coordinator ends the stream with what is under way."""
        ...


OpenExchange: TypeAlias = Callable[[], AbstractAsyncContextManager[Exchange]]
"""Opens a worker's stream. Raises Unavailable, on entry or when it is first used."""


class ServesExchange(Protocol):
    """The other end of such streams."""

    async def serve_exchange(
        self, incoming: AsyncIterator[FromWorker], send: Callable[[ToWorker], Awaitable[None]], /
    ) -> None:
        """One stream, from its first message to its last. Raises what is to end it."""
        ...


class LocalCoordinator(Coordinator, Posting, ServesExchange, Protocol):
    """One in this process: it can be asked, posted to, and holds workers' streams."""


class Planner(Protocol):
    """Reads plans for a coordinator, off its thread."""

    async def ask(self, message: Request[R], /) -> R:
        """Answers `ReadPlan`, `DigestPlan`, and texts in SQL where it plans any."""
        ...


Chunks: TypeAlias = Callable[[Any, Any], AbstractAsyncContextManager[AsyncIterator[Any]]]
"""From a `StreamRpc` and the value behind it to its chunks: one for each that is served."""
