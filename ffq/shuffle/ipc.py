"""Arrow IPC streams: empty ones, merged ones, and decoding of bytes that arrive in chunks."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.ipc

from ffq.errors import DataError, ShuffleInputError
from ffq.messages import Bytes
from ffq.shuffle.mark import NO_STREAM
from ffq.shuffle.widening import column_order, wider_schema, wider_type


def empty_stream(schema: pa.Schema) -> bytes:
    """A complete IPC stream with the schema and no rows."""
    return b"".join(encode_stream(schema, ()))


def encode_stream(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """One IPC stream, a piece per batch; schema first, even for no batches (R26).

    The pieces concatenated are the stream. Memory: one batch at a time.
    """
    sink = io.BytesIO()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def decode_stream(chunks: Iterable[Bytes]) -> pa.RecordBatchReader:
    """A reader over a stream that arrives in chunks cut anywhere; reads as it is consumed.

    Raises:
        ShuffleInputError: the bytes are no IPC stream. What the iterable raises passes through
            while the schema is read; later it comes wrapped by Arrow, as any reader's error.
    """
    return open_stream(pa.PythonFile(io.BufferedReader(_ChunkReader(chunks), 1 << 16), mode="r"))


def open_stream(source: pa.NativeFile) -> pa.RecordBatchReader:
    """A reader over a stream that is at hand; batches share the memory of one that is in memory.

    Raises:
        ShuffleInputError: the bytes are no IPC stream.
    """
    try:
        return pa.ipc.open_stream(source)
    except (pa.ArrowException, OSError) as error:
        raise ShuffleInputError(f"the bytes received are {NO_STREAM}: {error}") from error


Opener = Callable[[], pa.RecordBatchReader]


def with_rows(streams: Sequence[Opener]) -> list[Opener]:
    """Those of the streams that have rows; the first one where none has.

    A custom operator that is given no rows may give out nothing at all: then what its task's
    output would look like is not known, and its schema says nothing.
    """
    return [stream for stream in streams if _has_rows(stream())] or list(streams[:1])


def _has_rows(reader: pa.RecordBatchReader) -> bool:
    return any(batch.num_rows for batch in reader)


def merge_streams(
    streams: Sequence[Opener],
    schemas: Iterable[pa.Schema] = (),
) -> pa.RecordBatchReader:
    """The rows of several streams one after the other, under the first one's schema.

    Tasks that read files of one table may differ in the order of columns, and in their widths:
    columns are brought into the first one's order, and into the types that hold them all.

    Args:
        streams: at least one; each is opened when its turn comes, so one is open at a time.
        schemas: of the other streams, where types may differ: one of each task is enough.

    Raises:
        DataError: when read: a stream has other columns, or other types, than the first.
    """
    first = streams[0]()
    schema = wider_schema(first.schema.remove_metadata(), schemas)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from _conform(first, schema, 0)
        for number, stream in enumerate(streams[1:], 1):
            yield from _conform(stream(), schema, number)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _conform(
    reader: pa.RecordBatchReader, schema: pa.Schema, number: int
) -> Iterator[pa.RecordBatch]:
    order = column_order(reader.schema.names, schema.names)
    types = [] if order is None else [reader.schema.types[at] for at in order]
    if order is None or not all(map(_fits, types, schema.types)):
        raise DataError(
            f"stream {number} has columns {_columns(reader.schema)}, the first one "
            f"{_columns(schema)}: streams of one stage must have the same columns; of a custom "
            f"operator whose output varies with its rows, right would be to declare its schema"
        )
    for batch in reader:
        if order:
            columns = [
                batch.column(at) if kind == wanted else batch.column(at).cast(wanted)
                for at, kind, wanted in zip(order, types, schema.types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
        else:
            yield batch


def _fits(kind: pa.DataType, into: pa.DataType) -> bool:
    return bool(kind == into or wider_type(kind, into) == into)


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema) or "none"


class _ChunkReader(io.RawIOBase):
    """A file object over an iterable of bytes."""

    def __init__(self, chunks: Iterable[Bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer)  # type: ignore[arg-type]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
