"""Which pieces of shuffled data a task reads: pure, from its assignment and its stage."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ffq.errors import InvalidPlan
from ffq.ids import Attempt, AttemptKey, TaskId
from ffq.messages import Assignment, ShuffleInput
from ffq.plan.stages import ShuffleSource, StagePlan

COMMITTED = Attempt(0)
"""In a fetch: whichever attempt is committed (R23)."""


@attrs.frozen
class InputPart:
    """One reduce partition of one map attempt, to be read once (R25).

    Attributes:
        key: the map attempt; attempt 0 means the committed one.
        endpoint: where it is served; empty for the coordinator.
        bytes: its size as registered; 0 when it is not known, or read for its schema only.
    """

    key: AttemptKey
    reduce_partition: int
    endpoint: str
    bytes: int = 0

    def __str__(self) -> str:
        where = self.endpoint or "the coordinator"
        return f"map output {self.key}, partition {self.reduce_partition}, from {where}"


def wanted_parts(assignment: Assignment, stage: StagePlan) -> dict[int, tuple[InputPart, ...]]:
    """The parts to fetch for each shuffle leaf of the stage, in map task and partition order.

    Empty partitions are left out, but a leaf never has no part at all: when every partition is
    empty one of them is read, for its schema. Without inputs in the assignment (a coordinator on
    the fixed wire) the parent is one map task, 0, and the coordinator serves its committed attempt.

    Raises:
        InvalidPlan: the assignment names partitions that the stage's parents do not write.
    """
    return {source.leaf: _of_source(assignment, source) for source in stage.parents}


def _of_source(assignment: Assignment, source: ShuffleSource) -> tuple[InputPart, ...]:
    reads = _partitions(assignment, source)
    inputs = [item for item in assignment.inputs if item.stage_id == source.stage_id]
    if not inputs:
        key = AttemptKey(assignment.key.query_id, source.stage_id, TaskId(0), COMMITTED)
        return tuple(InputPart(key, partition, "") for partition in reads)
    inputs.sort(key=lambda item: item.map_task)
    wanted = frozenset(reads)
    parts = tuple(
        InputPart(_key(assignment, item), size.reduce_partition, item.endpoint, size.bytes)
        for item in inputs
        for size in sorted(item.partitions, key=lambda size: size.reduce_partition)
        if size.reduce_partition in wanted
    )
    if parts or not reads:
        return parts
    return (InputPart(_key(assignment, inputs[0]), reads[0], inputs[0].endpoint),)


def _partitions(assignment: Assignment, source: ShuffleSource) -> Sequence[int]:
    if source.whole:
        return range(source.partitions)
    for partition in assignment.reduce_partitions:
        if partition >= source.partitions:
            raise InvalidPlan(
                f"task {assignment.key} was assigned reduce partition {partition}, but stage "
                f"{source.stage_id} writes {source.partitions}"
            )
    return assignment.reduce_partitions


def _key(assignment: Assignment, item: ShuffleInput) -> AttemptKey:
    return AttemptKey(assignment.key.query_id, item.stage_id, item.map_task, item.attempt)
