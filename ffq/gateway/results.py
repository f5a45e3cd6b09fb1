"""Results as one Arrow IPC stream, in chunks (R26)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import pyarrow as pa
import trio

from ffq.messages import ResultParts
from ffq.shuffle.ipc import decode_stream, empty_stream, encode_stream, merge_streams, with_rows

SendBytes = Callable[[bytes], Awaitable[None]]
Pieces = tuple[bytes, ...]


class ResultStreams:
    """Sends results; several parts are merged into one stream on a thread.

    Args:
        chunk_bytes: largest chunk.
        threads: merges at a time; further ones wait.
    """

    def __init__(self, chunk_bytes: int, threads: int = 4) -> None:
        self._chunk_bytes = chunk_bytes
        self._threads = trio.CapacityLimiter(threads)

    async def send(self, result: ResultParts, send: SendBytes) -> None:
        """Send all of it. A single part goes out as it came in, whatever its bytes are.

        Raises:
            ExecutionError: parts that are no IPC streams, or of different types.
        """
        parts = [part for part in result.parts if any(part)]
        if not parts:
            await send(empty_stream(pa.schema([])))
        elif len(parts) == 1:
            for chunk in self._chunks(iter(parts[0])):
                await send(chunk)
        else:
            await trio.to_thread.run_sync(self._merge, parts, send, limiter=self._threads)

    def _merge(self, parts: list[Pieces], send: SendBytes) -> None:
        openers = with_rows([_opener(part) for part in parts])
        merged = merge_streams(openers, (opener().schema for opener in openers[1:]))
        for chunk in self._chunks(encode_stream(merged.schema, merged)):
            trio.from_thread.run(send, chunk)

    def _chunks(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        size = self._chunk_bytes
        for piece in pieces:
            for start in range(0, len(piece), size):
                yield piece[start : start + size] if len(piece) > size else piece


def _opener(part: Pieces) -> Callable[[], pa.RecordBatchReader]:
    return lambda: decode_stream(part)
