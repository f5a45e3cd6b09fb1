"""Results as one Arrow IPC stream, in chunks (R26)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pyarrow as pa
import trio

from ffq.messages import FetchQueryResults, Payload, ResultParts, loaded
from ffq.rpc.chunks import InMemory
from ffq.rpc.routes import OnThreads
from ffq.shuffle.ipc import decode_stream, empty_stream, encode_stream, merge_streams, with_rows

Pieces = tuple[Payload, ...]


class ResultChunks:
    """Several parts are merged into one stream on threads.

    Args:
        chunk_bytes: largest chunk.
        threads: merges that read at a time; further ones wait.
    """

    def __init__(self, chunk_bytes: int, threads: int = 4) -> None:
        self._chunk_bytes = chunk_bytes
        self._threads = trio.CapacityLimiter(threads)

    @asynccontextmanager
    async def __call__(
        self, _: FetchQueryResults, result: ResultParts
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """All of it. A single part goes out as it came in, whatever its bytes are.

        Raises, when iterated:
            ExecutionError: parts that are no IPC streams, or of different types.
        """
        parts = [part for part in result.parts if any(map(len, part))]
        if len(parts) > 1:
            yield OnThreads(self._merged(parts), self._threads)
            return
        pieces = parts[0] if parts else (empty_stream(pa.schema([])),)
        chunks = self._cut(map(loaded, pieces))
        if all(isinstance(piece, bytes) for piece in pieces):
            yield InMemory(chunks)
        else:
            yield OnThreads(chunks, self._threads)

    def _merged(self, parts: list[Pieces]) -> Iterator[bytes]:
        openers = with_rows([_opener(part) for part in parts])
        merged = merge_streams(openers, (opener().schema for opener in openers[1:]))
        yield from self._cut(encode_stream(merged.schema, merged))

    def _cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        size = self._chunk_bytes
        for piece in pieces:
            for start in range(0, len(piece), size):
                yield piece[start : start + size] if len(piece) > size else piece


def _opener(part: Pieces) -> Callable[[], pa.RecordBatchReader]:
    return lambda: decode_stream(map(loaded, part))
