"""From fetched parts to the Arrow reader that a fragment's ShuffleRead scans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, cast

import pyarrow as pa

from ffq.errors import FfqError, ShuffleInputError
from ffq.messages import Bytes
from ffq.shuffle.ipc import decode_stream, merge_streams, open_stream
from ffq.shuffle.layout import SCHEMA_FILE, attempt_folder
from ffq.shuffle.mark import unmarked
from ffq.shuffle.store import ShuffleStore
from ffq.worker.ports import Fetched
from ffq.worker.spool import FragmentSpool
from ffq.worker.wanted import InputPart


class _Chunked(Protocol):
    @property
    def size(self) -> int: ...

    def chunks(self) -> Iterator[Bytes]: ...

    def source(self) -> pa.NativeFile | None: ...


def input_reader(
    items: Sequence[Fetched], family: str, shared: ShuffleStore | None = None
) -> Callable[[], pa.RecordBatchReader]:
    """Opens the rows of all parts, one after the other; at least one part.

    Reading raises ShuffleInputError naming the map attempt whose bytes are no Arrow IPC stream of
    this engine's family (R31).

    Args:
        shared: where a map output that has no byte in any part left its schema, if it came from a
            coordinator on the fixed wire.
    """
    parts = [(item.part, cast(_Chunked, item.spool)) for item in items]
    # A coordinator on the fixed wire has no bytes for a partition that was never named.
    filled = [(part, spool) for part, spool in parts if spool.size] or parts[:1]

    def reader_of(part: InputPart, spool: _Chunked) -> pa.RecordBatchReader:
        if part.fixed_wire and not spool.size:
            spool = _schema_of(part, family, shared)
        return _opened(part, spool, family)

    def open_all() -> pa.RecordBatchReader:
        # All partitions of one attempt have one schema: one of each is looked at.
        attempts = {part.key: (part, spool) for part, spool in filled}
        attempts.pop(filled[0][0].key)
        schemas = (reader_of(*one).schema for one in attempts.values())
        return merge_streams([partial(reader_of, *one) for one in filled], schemas)

    return open_all


def _schema_of(part: InputPart, family: str, shared: ShuffleStore | None) -> FragmentSpool:
    """What the writer of an output without rows left for its schema."""
    if shared is None or not shared.holds(part.key):
        missing = ShuffleInputError(
            f"no rows, and no {SCHEMA_FILE} in the folder that all share: another implementation "
            f"of FFQ wrote it, or nobody; right would be an output of engine family {family!r}. "
            f"All tasks of a query must run on workers of one family (R31)"
        )
        raise _corrupt(part, missing)
    path = attempt_folder(shared.root, part.key) / SCHEMA_FILE
    return FragmentSpool.stored(path, path.stat().st_size)


def _opened(part: InputPart, spool: _Chunked, family: str) -> pa.RecordBatchReader:
    try:
        source = spool.source()
        reader = decode_stream(spool.chunks()) if source is None else open_stream(source)
        schema = unmarked(reader.schema, family)
    except (ShuffleInputError, pa.ArrowException, OSError) as error:
        raise _corrupt(part, error) from error
    return pa.RecordBatchReader.from_batches(schema, _batches(part, reader))


def _batches(part: InputPart, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from (batch.replace_schema_metadata(None) for batch in reader)
    except (pa.ArrowException, OSError) as error:
        raise _corrupt(part, error) from error


def _corrupt(part: InputPart, error: Exception) -> ShuffleInputError:
    text = error.message if isinstance(error, FfqError) else str(error)
    return ShuffleInputError(
        f"{part}: {' '.join(text.split())}",
        inputs=((part.key.stage_id, part.key.task_id, part.key.attempt),),
    )
