"""Tasks that wait for their backoff to end, earliest first (R9, R14).

Entries of queries that ended are left in the heap and skipped; when they outnumber the living ones
the heap is built anew, so that it stays within twice what really waits. Where nothing waits it is
empty: then there is nothing that time alone would bring out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import inf

import attrs

from ffq.core.records import QueryRecord, StageRecord, TaskRecord

_REBUILD_FROM = 64


@attrs.define(eq=False)
class BackoffQueue:
    """A heap by (ready time, order of arrival)."""

    _heap: list[tuple[int, int, QueryRecord, StageRecord, TaskRecord]] = attrs.field(factory=list)
    _arrivals: int = 0
    _dead: int = 0

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def push(self, query: QueryRecord, stage: StageRecord, task: TaskRecord) -> None:
        """The task waits until its `ready_at_ms`."""
        self._arrivals += 1
        heapq.heappush(self._heap, (task.ready_at_ms, self._arrivals, query, stage, task))
        query.in_backoff += 1
        task.waiting = True

    @property
    def due_ms(self) -> float:
        """From when on `pop_ready` takes something out, if only what has ended; inf: never."""
        return self._heap[0][0] if self._heap else inf

    def is_due(self, now_ms: int) -> bool:
        """Whether `pop_ready` would take anything out, if only what has ended."""
        return bool(self._heap) and self._heap[0][0] <= now_ms

    def pop_ready(self, now_ms: int) -> Iterator[tuple[QueryRecord, StageRecord, TaskRecord]]:
        """Take out what is ready, in the order it became so."""
        while self.is_due(now_ms):
            _, _, query, stage, task = heapq.heappop(self._heap)
            if query.state.terminal:
                self._dead -= 1
                continue
            query.in_backoff -= 1
            task.waiting = False
            yield query, stage, task

    def forget(self, query: QueryRecord) -> None:
        """The query has ended: its entries are dead."""
        self._dead += query.in_backoff
        query.in_backoff = 0
        if self._dead and self._dead == len(self._heap):
            self._heap.clear()
            self._dead = 0
        elif self._dead > _REBUILD_FROM and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].state.terminal]
            heapq.heapify(self._heap)
            self._dead = 0

    def waiting(self) -> Iterator[tuple[QueryRecord, StageRecord, TaskRecord]]:
        """Every living entry, in no order."""
        for _, _, query, stage, task in self._heap:
            if not query.state.terminal:
                yield query, stage, task
