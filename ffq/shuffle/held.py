"""Small map outputs, kept in the memory of the process that made them.

An output of a few rows on disk is five files and folders, of a third of a millisecond each: more
than its task computes. What a process that dies loses here it would lose with its folder too.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import attrs

from ffq.ids import AttemptKey, QueryId

SMALL_OUTPUT_BYTES = 64 * 1024
"""Of the rows of one output, all its partitions together."""
_MOST_OF_ALL = 8
"""No output takes more than one of so many parts of the room. A few rows might: each partition that
has any has the whole schema too."""
_ENTRY_BYTES = 1024
"""What the keys and objects of an entry take, and those of a partition, generously."""


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


class SmallOutputs:
    """Outputs by attempt. Thread-safe.

    Args:
        room: bytes that all may take together.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._lock = threading.Lock()
        self._queries: dict[QueryId, dict[AttemptKey, SmallOutput]] = {}

    @property
    def most(self) -> int:
        """Bytes that one output may have."""
        return self._room // _MOST_OF_ALL

    @property
    def used(self) -> int:
        """Bytes taken."""
        return self._used

    def keep(self, key: AttemptKey, output: SmallOutput) -> bool:
        """In place of what stands under the key. False: there is no room, and none stands there."""
        self.drop(key)
        with self._lock:
            if self._used + output.weight > self._room:
                return False
            self._queries.setdefault(key.query_id, {})[key] = output
            self._used += output.weight
            return True

    def get(self, key: AttemptKey) -> SmallOutput | None:
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
