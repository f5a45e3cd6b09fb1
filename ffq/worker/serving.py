"""The worker's ShuffleService: serves the map outputs on its disk by byte ranges (R23, R24)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from functools import partial

import attrs
import trio

from ffq.errors import InvalidRequest, NotReady
from ffq.messages import FetchShufflePartition, ShuffleChunk, ShufflePart
from ffq.rpc.routes import OnThreads
from ffq.shuffle.store import ShuffleStore

MAX_READS = 16
"""Threads that read for other workers at a time."""
MAX_PARTS = 1024
"""Partitions of one request."""
OUR_EPOCH = 0
"""Our outputs are written once: there is no later epoch to wait for."""


@attrs.frozen
class ShuffleServer:
    """Answers FetchShufflePartition from a store; chunks of at most `chunk_bytes`."""

    store: ShuffleStore
    chunk_bytes: int
    _reads: trio.CapacityLimiter = attrs.field(factory=partial(trio.CapacityLimiter, MAX_READS))

    @asynccontextmanager
    async def stream(
        self, request: FetchShufflePartition
    ) -> AsyncIterator[AsyncIterator[ShuffleChunk]]:
        """The range asked for, at least one chunk; or, to one who may open files, where it lies.

        Every chunk says `finalized`: an attempt's folder appears only when it is complete.

        Raises, on entry or while iterated:
            UnknownId: no finished output of exactly this attempt is here.
            NotReady: an epoch is asked for that will not come.
            InvalidRequest: no exact attempt, or too many partitions.
        """
        for key in (request.key, *(part.key for part in request.also)):
            if key.attempt == 0:
                raise InvalidRequest(
                    f"map output {key}: attempt 0, the committed one, is known to the "
                    f"coordinator only; a worker serves exact attempts from 1 up"
                )
        if len(request.also) >= MAX_PARTS:
            raise InvalidRequest(
                f"{len(request.also) + 1} partitions asked for at once; at most are {MAX_PARTS}"
            )
        if request.min_stream_epoch > OUR_EPOCH:
            raise NotReady(
                f"map output {request.key} is complete at stream epoch {OUR_EPOCH}, "
                f"asked for was {request.min_stream_epoch} or later"
            )
        parts = (ShufflePart(request.key, request.reduce_partition), *request.also)
        if request.opens and not request.start_offset and not request.max_bytes:
            places = await trio.to_thread.run_sync(self.store.places, parts, limiter=self._reads)
            if places is not None:
                size = sum(place.bytes for place in places)
                only = ShuffleChunk(b"", 0, 0, size, finalized=True, places=places)
                yield _AtHand(iter((only,)))
                return
        chunks = self.store.read_parts(
            parts, request.start_offset, request.max_bytes, self.chunk_bytes
        )
        at_hand = all(self.store.small.get(part.key) is not None for part in parts)
        with closing(chunks):
            yield _AtHand(chunks) if at_hand else OnThreads(chunks, self._reads, chunks.now)


@attrs.frozen
class _AtHand:
    """Chunks from memory: a thread would take longer."""

    _chunks: Iterator[ShuffleChunk]

    def __aiter__(self) -> _AtHand:
        return self

    async def __anext__(self) -> ShuffleChunk:
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None
