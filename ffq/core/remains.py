"""Freeing what a query holds that has ended, or is forgotten: a slice at a time.

Nobody reads what is freed here. But to free a million records takes as long as to make them, and
that in one go keeps all others waiting.
"""

from __future__ import annotations

import attrs

from ffq.core.pieces import ByAttempt
from ffq.core.records import StageRecord, TaskRecord
from ffq.core.state import SchedulingState


@attrs.define(eq=False)
class Release:
    """A query has ended: of its outputs the counts are kept, but not the partitions (R5).

    `served`: the keys of those that workers had to serve. `_stage` and `_task`: where it goes on.
    """

    stages: list[StageRecord]
    served: list[ByAttempt[None]]
    _stage: int = 0
    _task: int = 0

    def go_on(self, state: SchedulingState, _now_ms: int) -> bool:
        left = _drop_keys(self.served, state.slice)
        while left > 0 and self._stage < len(self.stages):
            tasks = self.stages[self._stage].tasks
            if self._task < len(tasks):
                left -= _drop_partitions(tasks[self._task])
                self._task += 1
            else:
                self._stage += 1
                self._task = 0
        return left > 0


@attrs.define(eq=False)
class Discard:
    """A query is forgotten (R27): nobody finds the records of its tasks any more."""

    stages: list[StageRecord]

    def go_on(self, state: SchedulingState, _now_ms: int) -> bool:
        left = state.slice
        while left > 0 and self.stages:
            tasks = self.stages[-1].tasks
            if tasks:
                left -= _drop_partitions(tasks.pop())
            else:
                self.stages.pop()
        return left > 0


def _drop_keys(served: list[ByAttempt[None]], most: int) -> int:
    """Drop at most so many; how many more could be dropped."""
    while most > 0 and served:
        if served[-1]:
            served[-1].popitem()
            most -= 1
        else:
            served.pop()
    return most


def _drop_partitions(task: TaskRecord) -> int:
    """How many records that was, or nearly."""
    dropped = 1
    for attempt in task.attempts:
        dropped += 1
        if attempt.output is not None:
            dropped += len(attempt.output.partitions)
            attempt.output.partitions = {}
    return dropped
