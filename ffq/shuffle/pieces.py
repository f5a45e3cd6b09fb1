"""Stretches of map output, wherever they lie, read as one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import attrs

from ffq.messages import ShuffleChunk


@attrs.frozen
class Piece:
    """Bytes in memory, or a stretch of a file where there is a path or a descriptor.

    Attributes:
        size: bytes.
        offset: of the first one in the file.
        descriptor: of the open file, which stays open.
    """

    size: int
    data: bytes = attrs.field(default=b"", repr=False)
    path: Path | None = None
    offset: int = 0
    descriptor: int | None = None

    @classmethod
    def of(cls, data: bytes) -> Piece:
        return cls(len(data), data)

    @classmethod
    def file(cls, path: Path) -> Piece:
        """All of it. Raises OSError."""
        return cls(path.stat().st_size, path=path)


def read_pieces(
    pieces: Sequence[Piece], start: int, max_bytes: int, chunk_bytes: int
) -> Iterator[ShuffleChunk]:
    """The bytes of all pieces, one after the other, as contiguous chunks, at least one (R24).

    Args:
        start: first byte wanted, counted over all. At or past the watermark: one empty chunk there.
        max_bytes: at most so many bytes; 0 means to the end.
        chunk_bytes: largest payload; one at a time is held.

    Each says `finalized`: the pieces are all there is.

    Raises:
        OSError: reading failed, or a file is shorter than its piece.
    """
    watermark = sum(piece.size for piece in pieces)
    position = min(start, watermark)
    end = watermark if max_bytes == 0 else min(watermark, position + max_bytes)
    with ExitStack() as closing:
        reader = _Reader(pieces, closing)
        reader.skip(position)
        while True:
            payload = reader.take(min(chunk_bytes, end - position))
            yield ShuffleChunk(
                payload, position, position + len(payload), watermark, finalized=True
            )
            position += len(payload)
            if position >= end:
                return


@attrs.define
class _Reader:
    """Where reading has come to; the file read last stays open."""

    _pieces: Sequence[Piece]
    _closing: ExitStack
    _at: int = 0
    _within: int = 0
    _path: Path | None = None
    _file: BinaryIO | None = None

    def skip(self, size: int) -> None:
        while size and size >= self._pieces[self._at].size:
            size -= self._pieces[self._at].size
            self._at += 1
        self._within = size

    def take(self, size: int) -> bytes:
        """The next `size` bytes, which must be there."""
        taken = []
        while size:
            piece = self._pieces[self._at]
            count = min(size, piece.size - self._within)
            taken.append(self._read(piece, count))
            size -= count
            self._within += count
            if self._within == piece.size:
                self._at, self._within = self._at + 1, 0
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _read(self, piece: Piece, count: int) -> bytes:
        if piece.descriptor is not None:
            found = os.pread(piece.descriptor, count, piece.offset + self._within)
            if len(found) < count:
                raise OSError(errno.EIO, "it ends before its last byte")
            return found
        if piece.path is None:
            return piece.data[self._within : self._within + count]
        if piece.path != self._path or self._file is None:
            self._closing.close()
            self._file = self._closing.enter_context(piece.path.open("rb", buffering=0))
            self._path = piece.path
        self._file.seek(piece.offset + self._within)
        found = self._file.read(count)
        if len(found) < count:
            raise OSError(errno.EIO, f"it ends at byte {self._file.tell()}", str(piece.path))
        return found
