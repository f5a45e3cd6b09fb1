"""A coordinator in this process, asked without gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Generic, TypeVar

import attrs

from ffq.errors import ConnectionClosed
from ffq.messages import Rpc, StreamRpc
from ffq.rpc.status import as_told
from ffq.service import Coordinator

C = TypeVar("C")
R = TypeVar("R")


class DirectCoordinator:
    """`ffq.service.Coordinator` whose errors are those that its callers over gRPC see.

    Args:
        endpoint: where those reach it; errors name it.
    """

    def __init__(self, inner: Coordinator, endpoint: str) -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._closed = False

    def close(self) -> None:
        """Nobody may ask any more: what it asked is about to end."""
        self._closed = True

    async def ask(self, message: Rpc[R]) -> R:
        """Raises ConnectionClosed after `close`."""
        with self._told():
            return await self._inner.ask(message)

    @asynccontextmanager
    async def stream(self, message: StreamRpc[C, R]) -> AsyncIterator[AsyncIterator[C]]:
        """Raises ConnectionClosed after `close`."""
        async with AsyncExitStack() as stack:
            with self._told():  # not what the block raises
                chunks = await stack.enter_async_context(self._inner.stream(message))
            yield _Chunks(chunks, self._told)

    @contextmanager
    def _told(self) -> Iterator[None]:
        if self._closed:
            raise ConnectionClosed(
                f"{self._endpoint}: this client is not open: use it in an async with block"
            )
        try:
            yield
        except Exception as error:  # noqa: BLE001  # each becomes a status, and that an error
            raise as_told(error, self._endpoint) from None


@attrs.frozen
class _Chunks(Generic[C]):
    """The same chunks; their errors are told."""

    chunks: AsyncIterator[C]
    told: Callable[[], AbstractContextManager[None]]

    def __aiter__(self) -> _Chunks[C]:
        return self

    async def __anext__(self) -> C:
        with self.told():
            async for chunk in self.chunks:
                return chunk
        raise StopAsyncIteration
