"""Fetched parts while they wait for their fragment: in memory while there is room, else on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pyarrow as pa

from ffq.errors import DiskError
from ffq.messages import Bytes
from ffq.shuffle.pieces import Piece
from ffq.threads import run_blocking

READ_BYTES = 1 << 20


@attrs.define
class MemoryBudget:
    """Bytes that all spools of a worker together may hold in memory. Used in the Trio thread."""

    limit: int
    used: int = 0

    def take(self, size: int) -> bool:
        """Whether there was room for `size` more bytes."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        self.used -= size


@attrs.define
class FragmentSpool:
    """One part's bytes: the first in memory, the others in a file once memory ran out.

    Written in the Trio thread, then read on the fragment's; never both at once. `size`: in bytes.
    """

    _file: Path
    _budget: MemoryBudget
    _chunks: list[Bytes] = attrs.field(factory=list, repr=False, alias="chunks")
    _held: int = 0
    _spilled: bool = attrs.field(default=False, alias="spilled")
    _is_ours: bool = attrs.field(default=False, alias="is_ours")
    _offset: int = attrs.field(default=0, alias="offset")
    """Of a file that is ours: where the part begins."""
    size: int = 0

    @classmethod
    def stored(cls, file: Path, size: int) -> FragmentSpool:
        """A part that is complete in a file already, `size` bytes."""
        return cls(file, MemoryBudget(0), spilled=True, size=size)

    @classmethod
    def ours(cls, piece: Piece) -> FragmentSpool:
        """A part that is complete already, and counts elsewhere. Nobody else writes to its file, so
        that it may be read where it lies.
        """
        if piece.path is None:
            return cls(Path(), MemoryBudget(0), chunks=[piece.data], size=piece.size)
        return cls(
            piece.path,
            MemoryBudget(0),
            spilled=True,
            is_ours=True,
            offset=piece.offset,
            size=piece.size,
        )

    def source(self) -> pa.NativeFile | None:
        """The bytes where they lie; None where they lie in several places.

        Raises:
            DiskError: the file cannot be read.
        """
        if not self._spilled and len(self._chunks) == 1:
            # Bytes of their own begin where numbers may; those of a view are wherever they came.
            self._chunks[0] = bytes(self._chunks[0])
            return pa.BufferReader(self._chunks[0])
        if not (self._is_ours and self.size):
            return None
        try:
            # Not mapped: pages of a map count as this process's memory until it is read through.
            file = pa.OSFile(str(self._file))
            file.seek(self._offset)
        except OSError as error:
            raise DiskError(f"cannot read {self._file}: {error.strerror}") from error
        return file

    async def write(self, data: Bytes) -> None:
        """Append. Raises DiskError: the disk is full or not writable."""
        self.size += len(data)
        if not self._spilled and self._budget.take(len(data)):
            self._chunks.append(data)
            self._held += len(data)
            return
        self._spilled = True
        await run_blocking(self._append, data)

    def chunks(self) -> Iterator[Bytes]:
        """All bytes in order; may be called more than once.

        Raises:
            DiskError: the spilled bytes cannot be read.
        """
        yield from self._chunks
        if not self._spilled:
            return
        try:
            with self._file.open("rb") as file:
                file.seek(self._offset)
                left = self.size - sum(map(len, self._chunks))
                while left > 0 and (data := file.read(min(READ_BYTES, left))):
                    left -= len(data)
                    yield data
        except OSError as error:
            raise DiskError(f"cannot read {self._file}: {error.strerror}") from error

    def forget(self) -> None:
        """Give its memory back; the file goes with its folder."""
        self._budget.give_back(self._held)
        self._held = 0
        self._chunks = []

    def _append(self, data: Bytes) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.write(data)
        except OSError as error:
            raise DiskError(f"cannot write {self._file}: {error.strerror}") from error
