"""A partition that is far larger than the others of its stage is shared out to several tasks.

One key with half of the rows lies in one partition, and one task would have most of the work. Where
the stage's plan allows it (`splittable_reads`), several tasks have that partition: each reads the
outputs of a range of the map tasks of one stage that it reads, of which each range has about as
many bytes, and those of the others whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ffq.core.records import MapRange, SkewedPartition, TaskShare
from ffq.core.settings import CoordinatorSettings
from ffq.ids import StageId
from ffq.plan.distribution import splittable_reads
from ffq.plan.stages import StagePlan

MapSizes = Mapping[StageId, Sequence[Mapping[int, int]]]
"""Bytes of each partition that has rows, by the stage that wrote it and its map task."""


def find_skewed(
    stage: StagePlan, totals: Sequence[int], sizes: MapSizes, settings: CoordinatorSettings
) -> tuple[SkewedPartition, ...]:
    """The partitions to be shared out, in their order; at most as many tasks more as partitions.

    Large is one of at least `adaptive_skew_bytes` and of a third more than an even share.
    """
    even = sum(totals) / max(1, len(totals))
    large = [
        partition
        for partition, size in enumerate(totals)
        if size >= settings.adaptive_skew_bytes and 3 * size >= 4 * even
    ]
    if not large:
        return ()
    sources = _splittable(stage)
    found = []
    room = len(totals)
    for partition in large:
        largest = max(
            sources, key=lambda each: sum(_of_partition(sizes[each], partition)), default=None
        )
        if largest is None:
            break
        divided = _of_partition(sizes[largest], partition)
        if 2 * sum(divided) < totals[partition]:
            continue  # each of its tasks would read most of it
        # Half of an even share: what is left over when others are done is small.
        wanted = min(room + 1, -(-2 * totals[partition] // max(1, int(even))))
        ranges = _ranges(largest, divided, wanted)
        if len(ranges) > 1:
            found.append(SkewedPartition(partition, totals[partition], ranges))
            room -= len(ranges) - 1
    return tuple(found)


def _splittable(stage: StagePlan) -> list[StageId]:
    """Stages whose outputs may be divided; a stage that is read twice is never one."""
    read = [source.stage_id for source in stage.parents]
    leaves = splittable_reads(stage.fragment)
    return [
        source.stage_id
        for source in stage.parents
        if source.leaf in leaves and not source.whole and read.count(source.stage_id) == 1
    ]


def _of_partition(sizes: Sequence[Mapping[int, int]], partition: int) -> list[int]:
    return [of_task.get(partition, 0) for of_task in sizes]


def _ranges(stage_id: StageId, sizes: Sequence[int], wanted: int) -> tuple[MapRange, ...]:
    """Ranges of all the map tasks, of about as many bytes each, and none without any."""
    target = max(1, -(-sum(sizes) // max(1, wanted)))
    begins = [0]
    filled = 0
    for map_task, size in enumerate(sizes):
        if size and filled and filled + size / 2 > target and len(begins) < wanted:
            begins.append(map_task)
            filled = 0
        filled += size
    ends = [*begins[1:], len(sizes)]
    return tuple(MapRange(stage_id, begin, end) for begin, end in zip(begins, ends, strict=True))


def share_out(
    groups: Sequence[tuple[int, ...]], skewed: Sequence[SkewedPartition]
) -> tuple[TaskShare, ...]:
    """The tasks of a stage: of each group one, and of each skewed partition one for each range.

    The others of its group, as a rule empty, have a task of their own.
    """
    apart = {each.partition: each for each in skewed}
    shares: list[TaskShare] = []
    for group in groups:
        rest = tuple(partition for partition in group if partition not in apart)
        if rest:
            shares.append(TaskShare(rest))
        for partition in group:
            if partition in apart:
                shares += [TaskShare((partition,), maps=each) for each in apart[partition].ranges]
    return tuple(shares)
