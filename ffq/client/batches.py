"""A result's batches, read from its bytes as they are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import pyarrow as pa
import trio

from ffq.errors import ExecutionError, ShuffleInputError
from ffq.shuffle.ipc import decode_stream, empty_stream

Chunks: TypeAlias = AsyncIterator[bytes]


class ResultBatches:
    """In a thread of Trio's, in which the bytes are waited for.

    Raises, at any time:
        ExecutionError: they are no Arrow IPC stream.
        FfqError: what the stream of bytes failed with.
    """

    def __init__(self, chunks: Chunks) -> None:
        self._source = _Source(chunks)
        with self._failures():
            self._reader = decode_stream(self._source)

    @property
    def schema(self) -> pa.Schema:
        return self._reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while True:
            with self._failures():
                batch = next(self._reader, None)
            if batch is None:
                return
            yield batch

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (ShuffleInputError, pa.ArrowException, OSError) as error:
            if self._source.failure is not None:
                raise self._source.failure from error
            raise ExecutionError(f"the result is no Arrow IPC stream: {error}") from error


class _Source:
    """The chunks; an empty result is one without columns (R26)."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        empty = True
        while (chunk := trio.from_thread.run(self._following)) is not None:
            empty = empty and not chunk
            yield chunk
        if empty:
            yield empty_stream(pa.schema([]))

    async def _following(self) -> bytes | None:
        try:
            return await anext(self._chunks, None)
        except Exception as error:  # Arrow wraps it
            self.failure = error
            raise
