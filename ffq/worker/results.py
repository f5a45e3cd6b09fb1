"""A sink attempt's result while it is written and uploaded: memory first, then a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

import attrs
import pyarrow as pa
import pyarrow.ipc

from ffq.errors import DiskError
from ffq.messages import NO_USAGE, AttemptUsage
from ffq.threads import run_blocking

IN_MEMORY_BYTES = 4 << 20


class _Spooled(tempfile.SpooledTemporaryFile[bytes]):
    """Its folder is made when it needs one: a small result leaves nothing to be removed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(IN_MEMORY_BYTES, dir=str(folder))
        self._folder = folder

    def rollover(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        super().rollover()


class ResultSpool:
    """One Arrow IPC stream, schema first (R26). Written on the fragment's thread, then read.

    `folder`: for what is larger than IN_MEMORY_BYTES; it is made then.

    Raises DiskError when the disk is full or cannot be read.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._file: IO[bytes] = _Spooled(folder)
        self._sink = pa.PythonFile(self._file, mode="w")
        self._stream = pa.ipc.new_stream(self._sink, schema)
        self._size = 0
        self.usage = NO_USAGE

    @property
    def size(self) -> int:
        """Bytes; known once finished."""
        return self._size

    def write(self, batch: pa.RecordBatch) -> None:
        try:
            self._stream.write_batch(batch)
        except OSError as error:
            raise DiskError(f"cannot write the result: {error.strerror or error}") from error

    def finish(self, usage: AttemptUsage) -> None:
        """End the stream, which took this; nothing is written after it."""
        try:
            self._stream.close()
            self._size = self._file.seek(0, 2)
            self.usage = attrs.evolve(usage, output_bytes=self._size)
        except OSError as error:
            raise DiskError(f"cannot write the result: {error.strerror or error}") from error

    async def read(self, offset: int, max_bytes: int) -> bytes:
        if self._size <= IN_MEMORY_BYTES:  # it never left memory: a thread would take longer
            return self._read(offset, max_bytes)
        return await run_blocking(self._read, offset, max_bytes)

    def close(self) -> None:
        """Remove it."""
        self._file.close()

    def _read(self, offset: int, max_bytes: int) -> bytes:
        try:
            self._file.seek(offset)
            return self._file.read(max_bytes)
        except OSError as error:
            raise DiskError(f"cannot read the result: {error.strerror or error}") from error
