"""A task's share of a scan in pieces, where its rows may be more than its memory holds.

A coordinator cuts shares by slots: it does not know what memory each worker has. What a stage that
shares scans out may do with each share alone it may do with each part of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Final

import attrs

from ffq.catalog import columns_read
from ffq.catalog.shares import cut_share
from ffq.messages import ScanInput, ScanSplit
from ffq.plan import model
from ffq.plan.stages import Parallelism, StagePlan
from ffq.plan.walk import stage_scans, walk_stage

_PART_OF_MEMORY: Final = 8
"""A piece has at most so small a part of the memory, as it is stored. Values in memory take several
times that, and what an aggregate of as many groups as rows puts on disk it does in parts, of which
several must fit."""

_STREAMED: Final = (
    model.Broadcast,
    model.CoalesceBatches,
    model.CteRef,
    model.Filter,
    model.Inline,
    model.ParquetScan,
    model.Project,
    model.RowsOf,
    model.Series,
    model.ShuffleRead,
    model.ShuffleWrite,
    model.UnionAll,
    model.Unnest,
    model.Values,
    model.WithTables,
)
"""Of these a batch at a time is in memory, however many rows there are."""
_WHOLE: Final = (model.Commit, model.Custom, model.Recursion, model.Write)
"""An operator is called once for a task's rows; files are staged once under an attempt's name."""


def pieces_of(
    stage: StagePlan, scans: Mapping[int, ScanInput], memory_bytes: int
) -> Iterator[Mapping[int, ScanInput]]:
    """What the fragment is run on, one after the other: `scans`, or parts of their shares.

    Each row of what is shared out is in one piece; what each task reads whole, each piece has, too.

    Args:
        scans: of a task, by leaf.
        memory_bytes: that the engine has for it.
    """
    most = max(1, memory_bytes // _PART_OF_MEMORY)
    shared = [source.leaf for source in stage.scans if source.split]
    size = sum(split.bytes for leaf in shared for split in scans[leaf].splits)
    if (
        size <= most
        or stage.parallelism is not Parallelism.SCAN
        or not all(scans[leaf].splits for leaf in shared)
        or not _gains(stage)
    ):
        yield scans
        return
    nothing = {leaf: _evolved(scans[leaf], _without_rows(scans[leaf])) for leaf in shared}
    nodes = stage_scans(stage.fragment)
    for leaf in shared:
        one = scans[leaf]
        if all(split.empty for split in one.splits):
            continue
        for splits in cut_share(one.table, one.splits, most, one.format, columns_read(nodes[leaf])):
            yield {**scans, **nothing, leaf: _evolved(one, splits)}


def _gains(stage: StagePlan) -> bool:
    nodes = list(walk_stage(stage.fragment))
    if any(isinstance(node, _WHOLE) for node in nodes):
        return False
    return not all(isinstance(node, _STREAMED) for node in nodes)


def _without_rows(scan: ScanInput) -> tuple[ScanSplit, ...]:
    """Ranges of the share's files that show the columns there are."""
    first, *rest = scan.splits
    return (first.without_rows(), *takewhile(lambda split: split.empty, rest))


def _evolved(scan: ScanInput, splits: tuple[ScanSplit, ...]) -> ScanInput:
    return attrs.evolve(scan, splits=splits)
