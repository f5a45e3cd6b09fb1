"""Which pieces of shuffled data a task reads: pure, from its assignment and its stage."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence

import attrs

from ffq.errors import InvalidPlan, UnsupportedPlan
from ffq.ids import Attempt, AttemptKey, StageId, TaskId
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
        bytes: its size as registered, or as the shared folder has it; 0 when it is not known, or
            read for its schema only.
        fixed_wire: the coordinator that serves it sets no extension field: where it knows of no
            such partition, its answer is one empty chunk that is not finalized.
        content: all of it, where it came with the assignment; else empty.
    """

    key: AttemptKey
    reduce_partition: int
    endpoint: str
    bytes: int = 0
    fixed_wire: bool = False
    content: builtins.bytes = attrs.field(default=b"", repr=False, eq=False)

    def __str__(self) -> str:
        where = self.endpoint or "the coordinator"
        return f"map output {self.key}, partition {self.reduce_partition}, from {where}"


@attrs.frozen
class SharedOutput:
    """The newest attempt of a map task in the folder that all share.

    Attributes:
        sizes: bytes of each reduce partition that has a file.
    """

    key: AttemptKey
    sizes: Mapping[int, int]


def committed_output(assignment: Assignment, stage_id: StageId) -> AttemptKey:
    """What stage `stage_id` gives out under a coordinator on the fixed wire: its only task's."""
    return AttemptKey(assignment.key.query_id, stage_id, TaskId(0), COMMITTED)


def wanted_parts(
    assignment: Assignment, stage: StagePlan, shared: Mapping[StageId, SharedOutput] | None = None
) -> dict[int, tuple[InputPart, ...]]:
    """The parts to fetch for each shuffle leaf of the stage, in map task and partition order.

    Empty partitions are left out, but a leaf never has no part at all: when every partition is
    empty one of them is read, for its schema. A coordinator on the fixed wire names no inputs: a
    parent is one map task, 0, and its exact attempt is the newest in the folder that all share.
    Where there is none, the coordinator is asked for the committed one (R23).

    Args:
        shared: of each parent, what was found in that folder.

    Raises:
        InvalidPlan: the assignment names partitions that the stage's parents do not write.
        UnsupportedPlan: a coordinator on the fixed wire shares the stage out to several tasks.
    """
    found = shared or {}
    if assignment.fixed_wire:
        _check_only_task(assignment, stage, found)
    return {
        source.leaf: _of_source(assignment, source, found.get(source.stage_id))
        for source in stage.parents
    }


def _check_only_task(
    assignment: Assignment, stage: StagePlan, shared: Mapping[StageId, SharedOutput]
) -> None:
    """R31: there each stage is one task. With a share of it, rows would be doubled or missing."""
    problem = ""
    if assignment.key.task_id != 0:
        problem = f"gave it task {assignment.key.task_id}"
    elif assignment.split_count > 1:
        problem = f"shared its partitions out to {assignment.split_count} tasks each"
    elif left_out := _left_out(assignment, stage, shared):
        problem = f"left reduce partition {min(left_out)} of {stage.reduce_partitions} out"
    if problem:
        raise UnsupportedPlan(
            f"task {assignment.key}: a coordinator that sets no extension fields must run stage "
            f"{stage.stage_id} as one task, task 0, that reads everything, but {problem}"
        )


def _left_out(
    assignment: Assignment, stage: StagePlan, shared: Mapping[StageId, SharedOutput]
) -> set[int]:
    """Partitions to be shared out that are not assigned, and are not known to be empty."""
    rows: set[int] = set()
    for source in stage.parents:
        if not source.whole:
            output = shared.get(source.stage_id)
            rows.update(range(source.partitions) if output is None else output.sizes)
    return rows.difference(assignment.reduce_partitions)


def _of_source(
    assignment: Assignment, source: ShuffleSource, shared: SharedOutput | None
) -> tuple[InputPart, ...]:
    if assignment.fixed_wire:
        key = committed_output(assignment, source.stage_id) if shared is None else shared.key
        sizes = {} if shared is None else shared.sizes
        return tuple(
            InputPart(key, partition, "", sizes.get(partition, 0), fixed_wire=True)
            for partition in range(source.partitions)
        )
    reads = _partitions(assignment, source)
    inputs = [item for item in assignment.inputs if item.stage_id == source.stage_id]
    if not inputs:
        key = committed_output(assignment, source.stage_id)
        return tuple(InputPart(key, partition, "") for partition in reads)
    inputs.sort(key=lambda item: item.map_task)
    wanted = frozenset(reads)
    parts = tuple(
        InputPart(
            _key(assignment, item),
            size.reduce_partition,
            item.endpoint,
            size.bytes,
            content=size.content if len(size.content) == size.bytes else b"",
        )
        for item in inputs
        for size in sorted(item.partitions, key=lambda size: size.reduce_partition)
        if size.reduce_partition in wanted
    )
    if parts or not reads:
        return parts
    return (InputPart(_key(assignment, inputs[0]), reads[0], inputs[0].endpoint),)


def _partitions(assignment: Assignment, source: ShuffleSource) -> Sequence[int]:
    if source.keys:
        return (source.partitions,)
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
