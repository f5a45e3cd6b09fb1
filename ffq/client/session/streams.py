"""A result batch by batch, of which few are in memory at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import pyarrow as pa
import trio

from ffq.client.batches import Chunks, ResultBatches
from ffq.errors import ConnectionClosed

_WAITING_BATCHES: Final = 2
_CLOSED: Final = "this stream of batches was closed"


class BatchFeed:
    """What reads a result, in a task of its own, and who takes it, a batch at a time.

    The reader waits while `_WAITING_BATCHES` have not been taken.
    """

    def __init__(self) -> None:
        self._give, self._take = trio.open_memory_channel[pa.RecordBatch](_WAITING_BATCHES)
        self._scope = trio.CancelScope()
        self._begun = trio.Event()
        self._schema: pa.Schema | None = None
        self._failure: Exception | None = None
        self._closed = False

    async def run(
        self, read: Callable[[Callable[[Chunks], Awaitable[None]]], Awaitable[None]]
    ) -> None:
        """Args: read: calls what it is given with the result's bytes, once."""
        try:
            with self._scope:
                await read(self._pump)
        except Exception as error:  # noqa: BLE001  # raised where batches are taken
            self._failure = error
        finally:
            self._begun.set()
            self._give.close()

    async def schema(self) -> pa.Schema:
        """Raises what the query failed with."""
        await self._begun.wait()
        if self._schema is None:
            raise self._failure or ConnectionClosed(_CLOSED)
        return self._schema

    async def next(self) -> pa.RecordBatch | None:
        """The next batch; None at the end. Raises what the query failed with."""
        if self._closed:
            raise ConnectionClosed(_CLOSED)
        try:
            return await self._take.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            if self._closed:
                raise ConnectionClosed(_CLOSED) from None
            return None

    def close(self) -> None:
        """No more of it is wanted. On Trio's thread."""
        self._closed = True
        self._scope.cancel()

    async def _pump(self, chunks: Chunks) -> None:
        limiter = trio.CapacityLimiter(1)  # a thread of its own, which waits for others
        await trio.to_thread.run_sync(self._decode, chunks, limiter=limiter)

    def _decode(self, chunks: Chunks) -> None:
        batches = ResultBatches(chunks)
        trio.from_thread.run_sync(self._begin_with, batches.schema)
        for batch in batches:
            trio.from_thread.run(self._give.send, batch)

    def _begin_with(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._begun.set()
