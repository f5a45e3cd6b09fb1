"""How many tasks a stage gets, and what each of them reads (R31).

A query whose family cannot take shares runs every stage as one task that reads everything. Else a
SCAN stage gets a task for each share of its tables, and a HASH stage one for each group of
neighbouring reduce partitions of about the target size. Every partition is in exactly one task, but
for those that are far larger than the others (`ffq.core.skew`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import takewhile

from ffq.core.records import TaskShare
from ffq.core.settings import CoordinatorSettings
from ffq.core.shares import PartitionShares, ScanShares
from ffq.ids import QueryId, StageId
from ffq.messages import Layout, ScanInput, StageScan
from ffq.plan.stages import Parallelism, StagePlan

LAYOUT_VERSION = 1
_EXACT = 16
"""How close to the best the largest group is: by this part of it."""


def lay_out(
    stage: StagePlan,
    scans: Mapping[int, StageScan],
    sizes: Sequence[int],
    *,
    splits: bool,
    settings: CoordinatorSettings,
) -> Sequence[TaskShare]:
    """The tasks of a stage, task 0 first.

    Args:
        stage: the stage.
        scans: the shares of its scan leaves, by leaf; a leaf whose table is not known is absent.
        sizes: bytes of each reduce partition that its tasks share out; only for a HASH stage.
        splits: whether the query's workers take shares.
        settings: targets.
    """
    if splits and _is_divisible_scan(stage, scans):
        split = [source.leaf for source in stage.scans if source.split]
        return ScanShares(tuple((leaf, len(scans[leaf].shares)) for leaf in split))
    if splits and stage.parallelism is Parallelism.HASH:
        return PartitionShares.of(group_partitions(sizes, settings))
    every = max((source.partitions for source in stage.parents), default=0)
    return (TaskShare(partitions=tuple(range(every))),)


def max_tasks(stage: StagePlan, scans: Mapping[int, StageScan]) -> int:
    """No layout of the stage has more tasks than this, before skewed partitions are shared out."""
    if _is_divisible_scan(stage, scans):
        return sum(len(scans[source.leaf].shares) for source in stage.scans if source.split)
    return max(1, stage.reduce_partitions)


def _is_divisible_scan(stage: StagePlan, scans: Mapping[int, StageScan]) -> bool:
    return stage.parallelism is Parallelism.SCAN and all(
        source.leaf in scans and scans[source.leaf].shares for source in stage.scans if source.split
    )


def group_partitions(
    sizes: Sequence[int], settings: CoordinatorSettings
) -> tuple[tuple[int, ...], ...]:
    """Group neighbouring partitions; at least one group.

    They are as many groups as the target size asks for, or adaptive_min_tasks if that is more, so
    that a small input is shared out too; the largest is about as small as it can be then. An empty
    partition never opens a group of its own.
    """
    most = settings.adaptive_target_bytes
    count = max(settings.adaptive_min_tasks, len(_grouped(sizes, most)))
    total = sum(sizes)
    low = min(most, max(1, -(-total // count)))
    groups = _grouped(sizes, low)
    if len(groups) <= count:
        return groups
    # One group more would be a task more, which begins when all slots are busy.
    high = min(most, low + max(sizes))
    while high - low > max(1, low // _EXACT):
        middle = (low + high) // 2
        low, high = (low, middle) if len(_grouped(sizes, middle)) <= count else (middle, high)
    return _grouped(sizes, high)


def _grouped(sizes: Sequence[int], target: int) -> tuple[tuple[int, ...], ...]:
    """Each group as large as it may be: up to the target, or one partition."""
    groups: list[list[int]] = [[]]
    filled = 0
    for partition, size in enumerate(sizes):
        if size > 0 and filled > 0 and filled + size > target:
            groups.append([])
            filled = 0
        groups[-1].append(partition)
        filled += size
    return tuple(tuple(group) for group in groups)


def fingerprint(
    query_id: QueryId,
    ordinal: int,
    stage_id: StageId,
    tasks: Sequence[TaskShare],
    plan_digest: bytes = b"",
    inlined: Sequence[StageId] = (),
) -> Layout:
    """The layout's identity, which reports must echo (R13).

    `ordinal` makes the layouts of two queries differ that had the same id one after the other. A
    coordinator that was started again counts anew: there the plan's digest tells an attempt, still
    run by a worker that outlived the restart, from one of another plan under the same id; and the
    stages that are inlined, from one that does not do their work.
    """
    text = hashlib.blake2b(plan_digest, digest_size=8)
    text.update(f"{query_id}/{ordinal}/{stage_id}/v{LAYOUT_VERSION}".encode())
    text.update(f"|{tasks}".encode())
    for each in inlined:
        text.update(f"+{each}".encode())
    return Layout(LAYOUT_VERSION, int.from_bytes(text.digest(), "big"))


def scan_inputs(
    stage: StagePlan, scans: Mapping[int, StageScan], task: TaskShare
) -> tuple[ScanInput, ...]:
    """What a task reads for each scan leaf whose table is known, by leaf.

    In a stage with several split leaves (a union) a task has a share of one of them. Of the others
    it gets empty ranges of the files that a share begins with: no rows, but their schema. A leaf
    that follows another one has a share beside each of that one's, and all that there is last.
    """
    inputs = []
    for source in stage.scans:
        scan = scans.get(source.leaf)
        if scan is None:
            continue
        shared = source.leaf if source.follows is None else source.follows.leads
        if task.scan is None or not (source.split or source.follows):
            whole = scan.shares[-1:] if source.follows else scan.shares
            splits = tuple(split for share in whole for split in share)
        elif task.scan[0] == shared:
            splits = scan.shares[task.scan[1]]
        else:
            first, *rest = scan.shares[0]
            splits = (first.without_rows(), *takewhile(lambda split: split.empty, rest))
        inputs.append(ScanInput(source.leaf, source.table, splits, scan.format))
    return tuple(inputs)
