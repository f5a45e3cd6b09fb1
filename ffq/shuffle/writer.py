"""Writing one attempt's map output: partitioned, buffered under a bound, visible when whole."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias

import attrs
import pyarrow as pa
import pyarrow.ipc

from ffq.errors import DiskError
from ffq.ids import AttemptKey
from ffq.messages import OutputPartition
from ffq.plan.model import HashPartitioning, KeyedPartitioning, Partitioning
from ffq.plan.names import PlainColumn, find_column
from ffq.shuffle.hashing import partition_batch
from ffq.shuffle.held import SMALL_OUTPUT_BYTES, PackedOutput, SmallOutput, SmallOutputs
from ffq.shuffle.ipc import empty_stream
from ffq.shuffle.keys import distinct
from ffq.shuffle.layout import (
    SCHEMA_FILE,
    TEMPORARY_PREFIX,
    attempt_folder,
    packed_file,
    part_file,
    task_folder,
)
from ffq.shuffle.mark import marked
from ffq.shuffle.packing import pays, sampled

Compression: TypeAlias = Literal["lz4", "zstd"]

DEFAULT_BUFFER_BYTES: Final = 24 * 1024 * 1024
"""Of each task that writes: one that reads a large share fills it."""
# A batch on the wire is decoded whole by its reader, so it stays small.
_MAX_BATCH_ROWS: Final = 64 * 1024
_SMALL_BYTES: Final = 64 * 1024
"""Of a partition at its first write: below it there is nothing to gain by compression."""
_FILE_BUFFER_BYTES: Final = 1024 * 1024
"""What of many small partitions goes to a file at once."""
_LARGE_BYTES: Final = 1024 * 1024
"""From here on compression on several threads gains more than handing over to them costs."""


class _Chunks:
    """A file object for Arrow that keeps what is written until `drain_to` appends it to a file.

    No file stays open between flushes: an output may have more partitions than a process may
    have open files.
    """

    closed = False

    def __init__(self) -> None:
        self._chunks: list[bytes | pa.Buffer] = []

    def write(self, data: bytes) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def add(self, data: pa.Buffer) -> None:
        """Keep it as it is: nobody writes to it any more."""
        self._chunks.append(data)

    def flush(self) -> None:
        """Arrow calls it; there is nothing below to flush to."""

    def close(self) -> None:
        """Arrow calls it; what was written is kept."""

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(map(len, self._chunks))

    def joined(self) -> bytes:
        """What is kept."""
        return b"".join(self._chunks)

    def drain_to(self, path: Path) -> int:
        """Append to the file and forget. Returns bytes written; raises OSError."""
        if not self._chunks:
            return 0
        with path.open("ab") as file:
            return self.drain(file)

    def drain(self, file: BinaryIO) -> int:
        """Write to an open file and forget. Returns bytes written; raises OSError."""
        chunks, self._chunks = self._chunks, []
        file.writelines(chunks)
        return sum(map(len, chunks))


@attrs.define
class _Part:
    """One reduce partition being written. `sink` holds bytes of the stream not yet in its file.

    schema: of its batches, as they are marked. distinct: of its rows those that are alike once, as
    far as they are met together.
    """

    path: Path
    schema: pa.Schema
    distinct: bool = False
    pending: list[pa.RecordBatch] = attrs.field(factory=list)
    sink: _Chunks = attrs.field(factory=_Chunks)
    stream: pa.ipc.RecordBatchStreamWriter | None = None
    rows: int = 0
    batches: int = 0
    bytes: int = 0

    @property
    def holds(self) -> bool:
        """Whether its stream is begun, or will be."""
        return bool(self.pending or self.stream is not None)

    def close(self) -> None:
        """End the stream; once."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None


class MapOutputWriter:
    """Writes one attempt's output, one Arrow IPC stream per reduce partition (R22, R23).

    Not thread-safe. Ends with `finish` or `abort`; as a context manager it aborts unless finished.

    Args:
        root: the worker's shuffle folder.
        key: the attempt; an output that already stands under it is replaced.
        partitioning: hash of the named columns, or everything to partition 0. Where it says so, the
            columns hashed are written alone as well, into the partition behind the others: that one
            is there without rows, too.
        schema: of every batch.
        family: the engine's, which every stream is marked with (R31).
        compression: of the Arrow buffers, where it pays; None writes them plain. What is small
            stays plain.
        link_bytes_per_s: at which bytes go to who reads them, for `ffq.shuffle.packing.pays`; inf:
            they lie where they are read; 0: it pays wherever it saves a byte.
        buffer_bytes: rows held back, over all partitions, before they are written out.
        small: where a small output goes that has room there, and none of it to disk; and where is
            kept where one lies that is in one file. None: each partition has a file.

    Raises:
        PlanningError: a key that is no column of `schema`, or may be several.
        DiskError: the disk is full or not writable (from `write` and `finish` too).
    """

    def __init__(
        self,
        root: Path,
        key: AttemptKey,
        partitioning: Partitioning,
        schema: pa.Schema,
        *,
        family: str,
        compression: Compression | None = "lz4",
        link_bytes_per_s: float = 0,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        small: SmallOutputs | None = None,
    ) -> None:
        self._family = family
        self._marked = marked(schema, family)
        self._keys, self._partitions = _layout(partitioning, schema)
        self._keyed: pa.Schema | None = None
        if isinstance(partitioning, KeyedPartitioning):
            # Each once by its name, which is how whoever reads them finds them.
            self._apart = list(dict(zip(partitioning.keys, self._keys, strict=True)).values())
            self._keyed = pa.schema([schema.field(at) for at in self._apart])
        self._compression: Compression | None = compression
        self._link_bytes_per_s = link_bytes_per_s
        self._pays: bool | None = None
        self._buffer_bytes = buffer_bytes
        self._buffered = 0
        self._parts: dict[int, _Part] = {}
        self._root = root
        self._key = key
        self._small = small
        self._begun = False
        self._final = attempt_folder(root, key)
        self._folder = (
            task_folder(root, key) / f"{TEMPORARY_PREFIX}{key.attempt}-{uuid.uuid4().hex}"
        )
        self._open = True
        if small is None:
            self._begin()

    def __enter__(self) -> MapOutputWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch in. Raises DiskError, UnsupportedPlan (a key type without a hash)."""
        for partition, rows in partition_batch(batch, self._keys, self._partitions):
            self._part(partition).pending.append(rows)
        self._buffered += batch.nbytes
        if self._keyed is not None:
            keys = distinct(pa.Table.from_batches([batch.select(self._apart)]))
            self._key_part().pending += keys.to_batches()
            self._buffered += keys.nbytes
        if self._buffered >= self._buffer_bytes:
            self._begin()
            self._flush()

    def finish(self) -> tuple[OutputPartition, ...]:
        """Write the rest and make the output visible. Returns its non-empty partitions, in order.

        Raises:
            DiskError: and the output is gone.
        """
        if self._keyed is not None and not self._key_part().holds:
            self._key_part().pending.append(pa.RecordBatch.from_pylist([], self._keyed))
        if not (self._keep_small() or self._pack()):
            self._begin()
            self._flush()
            try:
                for part in self._parts.values():
                    part.close()
                    part.bytes += part.sink.drain_to(part.path)
                if self._final.exists():
                    shutil.rmtree(self._final)
                self._folder.rename(self._final)
            except OSError as error:
                self.abort()
                raise _disk_error(self._folder, error) from error
            if self._small is not None:
                self._small.forget(self._key)
        self._open = False
        return tuple(
            OutputPartition(
                reduce_partition=number,
                bytes=part.bytes,
                rows=part.rows,
                batches=part.batches,
                committed_offset=part.bytes,
            )
            for number, part in sorted(self._parts.items())
            if part.rows
        )

    def abort(self) -> None:
        """Remove everything written. Does nothing after `finish`, nor when called again."""
        if self._open:
            self._open = False
            self._parts.clear()
            if not self._begun:
                return
            shutil.rmtree(self._folder, ignore_errors=True)

    def _part(self, number: int) -> _Part:
        part = self._parts.get(number)
        if part is None:
            part = self._parts[number] = _Part(self._folder / part_file(number), self._marked)
        return part

    def _key_part(self) -> _Part:
        """That of the keys alone."""
        part = self._parts.get(self._partitions)
        if part is None:
            assert self._keyed is not None
            path = self._folder / part_file(self._partitions)
            part = _Part(path, marked(self._keyed, self._family), distinct=True)
            self._parts[self._partitions] = part
        return part

    def _stream(
        self, part: _Part, sink: pa.NativeFile, first: Sequence[pa.RecordBatch]
    ) -> pa.ipc.RecordBatchStreamWriter:
        """A stream that begins with these batches."""
        first_bytes = sum(batch.nbytes for batch in first)
        small = first_bytes < _SMALL_BYTES
        options = pa.ipc.IpcWriteOptions(
            compression=None if small else self._compression_of(first),
            use_threads=first_bytes >= _LARGE_BYTES,
        )
        return pa.ipc.new_stream(sink, part.schema, options=options)

    def _compression_of(self, first: Sequence[pa.RecordBatch]) -> Compression | None:
        """Decided once for the output, by the first rows of what is not small."""
        compression = self._compression
        if compression is None or self._link_bytes_per_s == inf:
            return None
        if self._pays is None:
            sample = sampled(first, compression)
            self._pays = pays(sample.ratio, sample.bytes_per_s, self._link_bytes_per_s)
        return compression if self._pays else None

    def _begin(self) -> None:
        """The folder; made when it is clear that there will be files. Raises DiskError."""
        if self._begun:
            return
        self._begun = True
        try:
            self._folder.mkdir(parents=True)
            (self._folder / SCHEMA_FILE).write_bytes(empty_stream(self._marked))
        except OSError as error:
            self.abort()
            raise _disk_error(self._folder, error) from error

    def _keep_small(self) -> bool:
        """Whether the output, of which nothing is on disk, stays in memory."""
        if self._small is None or self._begun or self._buffered > SMALL_OUTPUT_BYTES:
            return False
        if self._final.exists():
            return False
        encoded = 0
        for part in self._parts.values():
            self._encode(part, last=True)
            encoded += part.sink.size
            if encoded > self._small.most:
                return False  # on disk, where one part at a time is held
        parts = {number: part.sink.joined() for number, part in self._parts.items()}
        kept = self._small.keep(self._key, SmallOutput(empty_stream(self._marked), parts))
        if kept:
            self._small.packed.drop(self._key)
            for number, part in self._parts.items():
                part.bytes = len(parts[number])
        return kept

    def _pack(self) -> bool:
        """Whether the output, of which nothing is on disk, is there in one file."""
        if self._small is None or self._begun or self._final.exists():
            return False
        if not self._small.packed.has_room(1 + len(self._parts)):
            return False
        path = packed_file(self._root, self._key)
        begun = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{uuid.uuid4().hex}")
        extents: dict[int, tuple[int, int]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with begun.open("wb", buffering=_FILE_BUFFER_BYTES) as file:
                for number, part in sorted(self._parts.items()):
                    self._encode(part, last=True)
                    at = file.tell()
                    part.bytes = part.sink.drain(file)
                    extents[number] = (at, part.bytes)
            begun.rename(path)
        except OSError as error:
            begun.unlink(missing_ok=True)
            self.abort()
            raise _disk_error(path, error) from error
        self._small.drop(self._key)
        packed = PackedOutput(path, empty_stream(self._marked), extents)
        if not self._small.packed.keep(self._key, packed):
            path.unlink(missing_ok=True)
            self.abort()
            raise DiskError(f"no room to keep where map output {self._key} lies")
        return True

    def _flush(self) -> None:
        """Each part to its file, so that one at a time is held twice."""
        for part in self._parts.values():
            self._encode(part)
            try:
                part.bytes += part.sink.drain_to(part.path)
            except OSError as error:
                self.abort()
                raise _disk_error(part.path, error) from error
        self._buffered = 0

    def _encode(self, part: _Part, *, last: bool = False) -> None:
        """What is pending into the part's sink. last: and its stream is at its end."""
        pending, part.pending = part.pending, []
        if pending and last and part.stream is None:
            # All in one stretch of memory: Arrow writes there by itself.
            whole = pa.BufferOutputStream()
            with self._stream(part, whole, pending) as stream:
                self._write(part, stream, pending)
            part.sink.add(whole.getvalue())
            return
        if pending:
            if part.stream is None:
                sink = pa.PythonFile(part.sink, mode="w")
                part.stream = self._stream(part, sink, pending)
            self._write(part, part.stream, pending)
        if last:
            part.close()

    def _write(
        self,
        part: _Part,
        stream: pa.ipc.RecordBatchStreamWriter,
        pending: Sequence[pa.RecordBatch],
    ) -> None:
        if len(pending) == 1 and pending[0].num_rows <= _MAX_BATCH_ROWS:
            batches = pending
        else:
            # One stretch of memory per column, so that small slices become large batches.
            table = pa.Table.from_batches(pending)
            if part.distinct:
                table = distinct(table)
            batches = table.combine_chunks().to_batches(max_chunksize=_MAX_BATCH_ROWS)
        for batch in batches:
            stream.write_batch(batch)
            part.rows += batch.num_rows
            part.batches += 1


def _layout(partitioning: Partitioning, schema: pa.Schema) -> tuple[tuple[int, ...], int]:
    """Positions of the key columns, and the number of partitions."""
    if not isinstance(partitioning, HashPartitioning):
        return (), 1
    columns = [PlainColumn.marked(field.name, field.metadata) for field in schema]
    positions = (find_column(key, columns, "the hash keys") for key in partitioning.keys)
    return tuple(positions), partitioning.partitions


def _disk_error(path: Path, error: OSError) -> DiskError:
    return DiskError(f"cannot write map output {path}: {error.strerror or error}")
