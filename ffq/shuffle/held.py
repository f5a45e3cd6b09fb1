"""What a worker keeps in memory of its map outputs: the small ones, and where others lie.

An output of a few rows on disk is five files and folders, of a third of a millisecond each: more
than its task computes. So one that is small stays in memory, and one that is not is a single file
if it was never too large for its writer's memory. What a process that dies loses here it would lose
with its folder too.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import attrs

from ffq.ids import AttemptKey, QueryId
from ffq.shuffle.pieces import Piece

SMALL_OUTPUT_BYTES = 64 * 1024
"""Of the rows of one output, all its partitions together."""
_MOST_OF_ALL = 8
"""No output takes more than one of so many parts of the room. A few rows might: each partition that
has any has the whole schema too."""
_ENTRY_BYTES = 1024
"""What the keys and objects of an entry take, and those of a partition, generously."""

_PACKED_PARTITIONS: Final = 64 * 1024
"""Of all outputs of one file each: an entry of some 200 bytes for each."""


@attrs.frozen
class SmallOutput:
    """A finished output. schema: a stream of no rows; parts: a stream for each partition of any."""

    schema: bytes
    parts: Mapping[int, bytes]

    @property
    def weight(self) -> int:
        """Bytes of memory that it counts for."""
        size = len(self.schema) + sum(map(len, self.parts.values()))
        return size + _ENTRY_BYTES * (1 + len(self.parts))

    def piece(self, partition: int) -> Piece:
        """The stream of a partition, also of one without rows."""
        return Piece.of(self.parts.get(partition, self.schema))


@attrs.frozen
class PackedOutput:
    """A finished output whose partitions lie in one file, back to back.

    schema: a stream of no rows; extents: offset and bytes of the stream of each partition of any.
    """

    path: Path
    schema: bytes
    extents: Mapping[int, tuple[int, int]]

    @property
    def weight(self) -> int:
        """Entries."""
        return 1 + len(self.extents)

    def piece(self, partition: int) -> Piece:
        """As `SmallOutput.piece`."""
        extent = self.extents.get(partition)
        if extent is None:
            return Piece.of(self.schema)
        offset, size = extent
        return Piece(size, path=self.path, offset=offset)


class _Weighed(Protocol):
    @property
    def weight(self) -> int: ...


O = TypeVar("O", bound=_Weighed)  # noqa: E741


class Outputs(Generic[O]):
    """Outputs by attempt. Thread-safe.

    Args:
        room: what the weights of all may add up to.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._lock = threading.Lock()
        self._queries: dict[QueryId, dict[AttemptKey, O]] = {}

    @property
    def used(self) -> int:
        """The sum of the weights."""
        return self._used

    def has_room(self, weight: int) -> bool:
        """For one more of that weight, if nobody takes it before."""
        return self._used + weight <= self._room

    def keep(self, key: AttemptKey, output: O) -> bool:
        """In place of what stands under the key. False: there is no room, and none stands there."""
        self.drop(key)
        with self._lock:
            if not self.has_room(output.weight):
                return False
            self._queries.setdefault(key.query_id, {})[key] = output
            self._used += output.weight
            return True

    def get(self, key: AttemptKey) -> O | None:
        return self._queries.get(key.query_id, {}).get(key)

    def drop(self, key: AttemptKey) -> None:
        """Forget one; nothing where there is none."""
        with self._lock:
            outputs = self._queries.get(key.query_id, {})
            dropped = outputs.pop(key, None)
            if dropped is not None:
                self._used -= dropped.weight
                if not outputs:
                    del self._queries[key.query_id]

    def drop_query(self, query_id: QueryId) -> None:
        """Forget all of a query."""
        with self._lock:
            for output in self._queries.pop(query_id, {}).values():
                self._used -= output.weight


class SmallOutputs(Outputs[SmallOutput]):
    """Outputs in memory.

    Args:
        room: bytes that all may take together. 0: whoever looks for an output looks at the disk
            alone, and finds it in its usual layout.
    """

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self.packed: Outputs[PackedOutput] = Outputs(_PACKED_PARTITIONS if room else 0)

    @property
    def most(self) -> int:
        """Bytes that one output may have."""
        return self._room // _MOST_OF_ALL

    def find(self, key: AttemptKey) -> SmallOutput | PackedOutput | None:
        """An output in memory, or where it lies in its file."""
        return self.get(key) or self.packed.get(key)

    def forget(self, key: AttemptKey) -> None:
        """Either."""
        self.drop(key)
        self.packed.drop(key)

    def forget_query(self, query_id: QueryId) -> None:
        """All of a query."""
        self.drop_query(query_id)
        self.packed.drop_query(query_id)
