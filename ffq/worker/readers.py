"""From fetched parts to the Arrow reader that a fragment's ShuffleRead scans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, cast

import pyarrow as pa

from ffq.errors import FfqError, ShuffleInputError
from ffq.shuffle.ipc import decode_stream, merge_streams
from ffq.worker.ports import Fetched
from ffq.worker.wanted import InputPart


class _Chunked(Protocol):
    @property
    def size(self) -> int: ...

    def chunks(self) -> Iterator[bytes]: ...


def input_reader(items: Sequence[Fetched]) -> Callable[[], pa.RecordBatchReader]:
    """Opens the rows of all parts, one after the other; at least one part.

    Reading raises ShuffleInputError naming the map attempt whose bytes are no Arrow IPC stream.
    """
    parts = [(item.part, cast(_Chunked, item.spool)) for item in items]
    # A coordinator on the fixed wire has no bytes for a partition that was never named.
    filled = [(part, spool) for part, spool in parts if spool.size] or parts[:1]

    def open_all() -> pa.RecordBatchReader:
        # All partitions of one attempt have one schema: one of each is looked at.
        attempts = {part.key: (part, spool) for part, spool in filled}
        attempts.pop(filled[0][0].key)
        schemas = (_part_reader(*one).schema for one in attempts.values())
        return merge_streams([partial(_part_reader, *one) for one in filled], schemas)

    return open_all


def _part_reader(part: InputPart, spool: _Chunked) -> pa.RecordBatchReader:
    try:
        reader = decode_stream(spool.chunks())
    except (ShuffleInputError, pa.ArrowException, OSError) as error:
        raise _corrupt(part, error) from error
    return pa.RecordBatchReader.from_batches(reader.schema, _batches(part, reader))


def _batches(part: InputPart, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except (pa.ArrowException, OSError) as error:
        raise _corrupt(part, error) from error


def _corrupt(part: InputPart, error: Exception) -> ShuffleInputError:
    text = error.message if isinstance(error, FfqError) else str(error)
    return ShuffleInputError(
        f"{part}: {' '.join(text.split())}",
        inputs=((part.key.stage_id, part.key.task_id, part.key.attempt),),
    )
