"""Serving map output from disk and memory by byte ranges, and removing it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from ffq.errors import StorageError, UnknownId
from ffq.ids import Attempt, AttemptKey, QueryId, is_valid_id
from ffq.messages import FilePlace, ShuffleChunk, ShufflePart
from ffq.shuffle.held import SmallOutputs
from ffq.shuffle.layout import (
    SCHEMA_FILE,
    attempt_folder,
    part_file,
    query_folder,
    reduce_partition_of,
    task_folder,
)
from ffq.shuffle.pieces import Piece, PieceChunks, read_pieces
from ffq.shuffle.places import places_of

# The largest throughput of a gRPC stream was measured at messages of about this size.
DEFAULT_CHUNK_BYTES: Final = 1024 * 1024
_ATTEMPT: Final = re.compile("[1-9][0-9]{0,8}")


class ShuffleStore:
    """Map output under one root folder. Thread-safe: it keeps no state but the files, and small
    outputs where it is given memory for them.

    Args:
        memory_bytes: for small outputs. 0 where others than this process look into the folder.
    """

    def __init__(self, root: Path, *, memory_bytes: int = 0) -> None:
        self._root = root
        self._small = SmallOutputs(memory_bytes)

    @property
    def root(self) -> Path:
        return self._root

    @property
    def small(self) -> SmallOutputs:
        """The outputs in memory."""
        return self._small

    def holds(self, key: AttemptKey) -> bool:
        """Whether a finished output of exactly this attempt stands here. Raises InvalidRequest."""
        found = (attempt_folder(self._root, key) / SCHEMA_FILE).is_file()
        return found or self._small.find(key) is not None

    def newest(self, key: AttemptKey) -> AttemptKey | None:
        """The attempt of `key`'s task that has the highest number here; None: there is none.

        Whoever wrote it, and in whatever framing. Raises StorageError, InvalidRequest.
        """
        numbers = [
            int(path.name)
            for path in _entries(task_folder(self._root, key))
            if _ATTEMPT.fullmatch(path.name) and path.is_dir()
        ]
        return attrs.evolve(key, attempt=Attempt(max(numbers))) if numbers else None

    def sizes(self, key: AttemptKey) -> Mapping[int, int]:
        """Bytes of each reduce partition that has a file. Raises StorageError, InvalidRequest."""
        folder = attempt_folder(self._root, key)
        sizes = {}
        try:
            for path in _entries(folder):
                partition = reduce_partition_of(path.name)
                if partition is not None:
                    sizes[partition] = path.stat().st_size
        except OSError as error:
            raise StorageError(f"cannot list map output {folder}: {error.strerror}") from error
        return sizes

    def read_range(
        self,
        key: AttemptKey,
        partition: int,
        start: int = 0,
        max_bytes: int = 0,
        chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    ) -> StoredChunks:
        """Bytes of a partition's stream as contiguous chunks (R23, R24).

        Args:
            key: the exact attempt.
            partition: reduce partition; one without rows yields a stream of the schema only.
            start: first byte wanted. At or past the watermark: one empty chunk at the watermark.
            max_bytes: at most so many bytes; 0 means to the end.
            chunk_bytes: largest payload.

        Yields:
            at least one chunk; at most one of them is held at a time.

        Raises:
            UnknownId: no such finished attempt here.
            StorageError: reading failed.
            InvalidRequest: an id that must not become a file name.
        """
        return self.read_parts((ShufflePart(key, partition),), start, max_bytes, chunk_bytes)

    def read_parts(
        self,
        parts: Sequence[ShufflePart],
        start: int = 0,
        max_bytes: int = 0,
        chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    ) -> StoredChunks:
        """As `read_range`, of several partitions, one after the other, as if they were one."""

        def find() -> PieceChunks:
            pieces = [self.piece(part.key, part.reduce_partition) for part in parts]
            return read_pieces(pieces, start, max_bytes, chunk_bytes)

        return StoredChunks(find)

    def places(self, parts: Sequence[ShufflePart]) -> tuple[FilePlace, ...] | None:
        """Where the streams of all lie; None: not in files. Raises as `read_range`."""
        try:
            return places_of([self.piece(part.key, part.reduce_partition) for part in parts])
        except OSError as error:
            raise _unreadable(error.filename, error) from error

    def piece(self, key: AttemptKey, partition: int) -> Piece:
        """Where a partition's stream lies. Raises as `read_range`."""
        if (held := self._small.find(key)) is not None:
            return held.piece(partition)
        if not self.holds(key):
            raise UnknownId(f"no map output of attempt {key} here", reason="UNKNOWN_ATTEMPT")
        folder = attempt_folder(self._root, key)
        path = folder / part_file(partition)
        if not path.is_file():
            path = folder / SCHEMA_FILE
        try:
            return Piece.file(path)
        except OSError as error:
            raise _unreadable(path, error) from error

    def delete_query(self, query_id: QueryId) -> None:
        """Remove all outputs of a query, also those being written. Raises InvalidRequest."""
        folder = query_folder(self._root, query_id)
        self._small.forget_query(query_id)
        shutil.rmtree(folder, ignore_errors=True)

    def held_queries(self) -> tuple[QueryId, ...]:
        """Queries with anything on disk, sorted."""
        if not self._root.is_dir():
            return ()
        return tuple(
            sorted(
                QueryId(entry.name)
                for entry in self._root.iterdir()
                if entry.is_dir() and is_valid_id(entry.name)
            )
        )


class StoredChunks:
    """An iterator over what `read_range` describes; for one thread at a time.

    Args:
        find: looks for the pieces when the first chunk is asked for. It blocks.
    """

    def __init__(self, find: Callable[[], PieceChunks]) -> None:
        self._find = find
        self._found: PieceChunks | None = None

    def __iter__(self) -> StoredChunks:
        return self

    def __next__(self) -> ShuffleChunk:
        if self._found is None:
            self._found = self._find()
        try:
            return next(self._found)
        except OSError as error:
            raise _unreadable(error.filename, error) from error

    def now(self) -> ShuffleChunk | None:
        """As `PieceChunks.now`; None before the first chunk."""
        return None if self._found is None else self._found.now()

    def close(self) -> None:
        """Close the files; there are no more chunks."""
        if self._found is not None:
            self._found.close()


def _entries(folder: Path) -> list[Path]:
    """What a folder holds; nothing where there is none. Raises StorageError."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot list map outputs in {folder}: {error.strerror}") from error


def _unreadable(path: object, error: OSError) -> StorageError:
    return StorageError(f"cannot read map output {path}: {error.strerror}")
