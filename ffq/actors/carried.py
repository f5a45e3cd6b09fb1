"""Small map outputs that came up with the reports of their attempts, for those who read them.

A task that reads a few KiB waits longer for the answer of the worker that serves them than it
computes. So they go down to it with its assignment. They are a copy: where an output lies is as it
was registered, and who is sent no copy of it fetches it from there.

An assignment names committed attempts alone, and a copy is found by its attempt: of any other
attempt none is handed out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from ffq.core.assignment import encoded_bytes
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.messages import (
    MAX_CARRIED_BYTES,
    Assignment,
    AttemptEnd,
    RegisterMapOutput,
    ShuffleInput,
)

ROOM_BYTES: Final = 16 * 1024 * 1024
MAX_SENT_BYTES: Final = 1024 * 1024
"""Of one message to a worker, with what it says besides."""
_OUTPUT_BYTES: Final = 512
_PARTITION_BYTES: Final = 128
"""What an entry takes besides, generously."""

_Key = tuple[StageId, TaskId, Attempt]
_Contents = Mapping[int, bytes]


@attrs.define
class _OfQuery:
    outputs: dict[_Key, _Contents] = attrs.field(factory=dict)
    weight: int = 0


@attrs.define
class CarriedOutputs:
    """Those of queries that run. For more than there is room for, the oldest queries' go.

    Args:
        room: bytes that all may take.
        sent: bytes that a message to a worker may have, to which they are added.
    """

    _room: int = attrs.field(default=ROOM_BYTES, alias="room")
    _sent: int = attrs.field(default=MAX_SENT_BYTES, alias="sent")
    _used: int = attrs.field(default=0, init=False)
    _queries: OrderedDict[QueryId, _OfQuery] = attrs.field(factory=OrderedDict, init=False)

    @property
    def used(self) -> int:
        """Bytes."""
        return self._used

    def keep(self, end: AttemptEnd) -> AttemptKey | None:
        """What an end carries: the attempt. None: nothing of use, or there is one already."""
        made, contents = end.made, end.contents
        if not contents or not isinstance(made, RegisterMapOutput):
            return None
        sizes = [each.bytes for each in made.partitions]
        if sizes != list(map(len, contents)) or sum(sizes) > MAX_CARRIED_BYTES:
            return None
        numbers = (each.reduce_partition for each in made.partitions)
        key, parts = made.key, dict(zip(numbers, contents, strict=True))
        weight = _weight(parts)
        if _of(key) in self._of_query(key.query_id) or not self._make_room(weight, key.query_id):
            return None
        query = self._queries.setdefault(key.query_id, _OfQuery())
        query.outputs[_of(key)] = parts
        query.weight += weight
        self._used += weight
        return key

    def drop(self, key: AttemptKey) -> None:
        """One of an end that did not count. Nothing where there is none."""
        query = self._queries.get(key.query_id)
        parts = None if query is None else query.outputs.pop(_of(key), None)
        if query is None or parts is None:
            return
        query.weight -= _weight(parts)
        self._used -= _weight(parts)
        if not query.outputs:
            del self._queries[key.query_id]

    def drop_query(self, query_id: QueryId) -> None:
        """All of one that has ended."""
        query = self._queries.pop(query_id, None)
        self._used -= 0 if query is None else query.weight

    def filled(self, tasks: Sequence[Assignment], endpoint: str) -> tuple[Assignment, ...]:
        """The assignments, with what there is of what they read, as far as a message holds it.

        Args:
            endpoint: of the worker that they go to: what it serves itself, it has.
        """
        if not any(task.inputs and task.key.query_id in self._queries for task in tasks):
            return tuple(tasks)
        left = self._sent - sum(map(encoded_bytes, tasks))
        filled = []
        for task in tasks:
            outputs, inputs = self._of_query(task.key.query_id), []
            for source in task.inputs:
                found = outputs.get((source.stage_id, source.map_task, source.attempt))
                one = source
                if found is not None and source.endpoint != endpoint:
                    one, size = _with_contents(source, found)
                    one, left = (one, left - size) if size <= left else (source, left)
                inputs.append(one)
            filled.append(attrs.evolve(task, inputs=tuple(inputs)))
        return tuple(filled)

    def _of_query(self, query_id: QueryId) -> Mapping[_Key, _Contents]:
        query = self._queries.get(query_id)
        return {} if query is None else query.outputs

    def _make_room(self, weight: int, query_id: QueryId) -> bool:
        """Whether there is. Of whoever has been here longest nobody may have told the end."""
        while self._used + weight > self._room:
            oldest = next(iter(self._queries), query_id)
            if oldest == query_id:
                return False
            self.drop_query(oldest)
        return True


def _of(key: AttemptKey) -> _Key:
    return key.stage_id, key.task_id, key.attempt


def _weight(parts: _Contents) -> int:
    return _OUTPUT_BYTES + sum(len(each) + _PARTITION_BYTES for each in parts.values())


def _with_contents(source: ShuffleInput, found: _Contents) -> tuple[ShuffleInput, int]:
    """An input with the contents of what is read of it, and their bytes."""
    sizes = tuple(
        attrs.evolve(each, content=found.get(each.reduce_partition, b""))
        for each in source.partitions
    )
    return attrs.evolve(source, partitions=sizes), sum(len(each.content) for each in sizes)
