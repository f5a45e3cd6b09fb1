"""Stretches of map output, wherever they lie, read as one."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import attrs

from ffq.messages import Bytes, ShuffleChunk


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

    @property
    def in_memory(self) -> bool:
        return self.descriptor is None and self.path is None

    @classmethod
    def of(cls, data: bytes) -> Piece:
        return cls(len(data), data)

    @classmethod
    def file(cls, path: Path) -> Piece:
        """All of it. Raises OSError."""
        return cls(path.stat().st_size, path=path)


def read_pieces(
    pieces: Sequence[Piece], start: int, max_bytes: int, chunk_bytes: int
) -> PieceChunks:
    """The bytes of all pieces, one after the other, as contiguous chunks, at least one (R24).

    Args:
        start: first byte wanted, counted over all. At or past the watermark: one empty chunk there.
        max_bytes: at most so many bytes; 0 means to the end.
        chunk_bytes: largest payload; one at a time is held.

    Each says `finalized`: the pieces are all there is. Files are closed after the last one, and by
    `close`.
    """
    watermark = sum(piece.size for piece in pieces)
    position = min(start, watermark)
    end = watermark if max_bytes == 0 else min(watermark, position + max_bytes)
    reader = _Reader(pieces)
    reader.skip(position)
    return PieceChunks(reader, position, end, watermark, chunk_bytes)


@attrs.define
class PieceChunks:
    """An iterator of chunks; blocks, but for `now`. For one thread at a time.

    Iterating raises OSError: reading failed, or a file is shorter than its piece.
    """

    _reader: _Reader
    _position: int
    _end: int
    _watermark: int
    _chunk_bytes: int
    _over: bool = attrs.field(default=False, init=False)
    _buffer: memoryview = attrs.field(factory=lambda: memoryview(b""), init=False, repr=False)

    def __iter__(self) -> PieceChunks:
        return self

    def __next__(self) -> ShuffleChunk:
        size = self._next_size()
        try:
            payload = self._reader.take(size)
        except OSError:
            self.close()
            raise
        return self._chunk(payload, size)

    def now(self) -> ShuffleChunk | None:
        """The next one, if nothing must be waited for. Its payload holds until the next is taken.

        Raises StopIteration: there is none.
        """
        size = self._next_size()
        if not self._buffer:
            self._buffer = memoryview(bytearray(min(self._chunk_bytes, self._end)))
        payload = self._buffer[:size]
        return self._chunk(payload, size) if self._reader.take_now(payload) else None

    def close(self) -> None:
        """Close the files; there are no more chunks."""
        self._over = True
        self._buffer = memoryview(b"")
        self._reader.close()

    def _next_size(self) -> int:
        if self._over:
            raise StopIteration
        return min(self._chunk_bytes, self._end - self._position)

    def _chunk(self, payload: Bytes, size: int) -> ShuffleChunk:
        began, self._position = self._position, self._position + size
        if self._position >= self._end:
            self.close()
        return ShuffleChunk(payload, began, self._position, self._watermark, finalized=True)


_NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)
"""Read what is in the system's cache, and nothing else; None: this system cannot."""


@attrs.define
class _Reader:
    """Where reading has come to; the file read last stays open."""

    _pieces: Sequence[Piece]
    _closing: ExitStack = attrs.field(factory=ExitStack, init=False)
    _at: int = attrs.field(default=0, init=False)
    _within: int = attrs.field(default=0, init=False)
    _path: Path | None = attrs.field(default=None, init=False)
    _descriptor: int = attrs.field(default=-1, init=False)

    def close(self) -> None:
        self._path = None
        self._closing.close()

    def skip(self, size: int) -> None:
        _, self._at, self._within = self._stretches(size)

    def take(self, size: int) -> bytes:
        """The next `size` bytes, which must be there. Raises OSError."""
        stretches, at, within = self._stretches(size)
        taken = [self._read(piece, begin, count) for piece, begin, count in stretches]
        self._at, self._within = at, within
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def take_now(self, into: memoryview) -> bool:
        """As many bytes as go there; False: some are not at hand, and none is taken."""
        stretches, at, within = self._stretches(len(into))
        done = 0
        for piece, begin, count in stretches:
            if not self._read_now(piece, begin, into[done : done + count]):
                return False
            done += count
        self._at, self._within = at, within
        return True

    def _stretches(self, size: int) -> tuple[list[tuple[Piece, int, int]], int, int]:
        """The parts of pieces that the next bytes are in; and where reading will have come to."""
        found, at, within = [], self._at, self._within
        while size:
            piece = self._pieces[at]
            count = min(size, piece.size - within)
            if count:
                found.append((piece, within, count))
            size -= count
            within += count
            if within == piece.size:
                at, within = at + 1, 0
        return found, at, within

    def _read(self, piece: Piece, begin: int, count: int) -> bytes:
        if piece.in_memory:
            return piece.data[begin : begin + count]
        descriptor = self._opened(piece)
        if descriptor is None:
            assert piece.path is not None
            self.close()
            file = self._closing.enter_context(piece.path.open("rb", buffering=0))
            self._path, self._descriptor = piece.path, file.fileno()
            descriptor = self._descriptor
        offset = piece.offset + begin
        found = os.pread(descriptor, count, offset)
        if len(found) < count:
            path = None if piece.path is None else str(piece.path)
            raise OSError(errno.EIO, f"it ends at byte {offset + len(found)}", path)
        return found

    def _read_now(self, piece: Piece, begin: int, into: memoryview) -> bool:
        if piece.in_memory:
            into[:] = piece.data[begin : begin + len(into)]
            return True
        descriptor = self._opened(piece)
        if descriptor is None or _NOWAIT is None:
            return False
        try:
            return os.preadv(descriptor, [into], piece.offset + begin, _NOWAIT) == len(into)
        except OSError:  # not in the cache, or a file system that does not tell
            return False

    def _opened(self, piece: Piece) -> int | None:
        """Its open file; None: it is not open."""
        if piece.descriptor is not None:
            return piece.descriptor
        return self._descriptor if piece.path == self._path else None
