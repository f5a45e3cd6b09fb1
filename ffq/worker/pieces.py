"""A task's share of a scan in pieces, where its rows may be more than its memory holds.

A coordinator cuts shares by slots: it does not know what memory each worker has. What a stage that
shares scans out may do with each share alone it may do with each part of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from typing import Final

import attrs

from ffq.catalog import columns_read
from ffq.catalog.ranges import shares_beside
from ffq.catalog.shares import cut_share
from ffq.errors import StorageError
from ffq.messages import ScanInput, ScanSplit
from ffq.plan import model
from ffq.plan.ranges import Following
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

    Each row of what is shared out is in one piece; what each task reads whole, each piece has, too;
    of what follows a share, what may meet the piece.

    Args:
        scans: of a task, by leaf.
        memory_bytes: that the engine has for it.
    """
    most = max(1, memory_bytes // _PART_OF_MEMORY)
    shared = [source.leaf for source in stage.scans if source.split]
    beside = {leaf: [leaf, *_following(stage, leaf)] for leaf in shared}
    sizes = {leaf: sum(_bytes(scans[each]) for each in beside[leaf]) for leaf in shared}
    if (
        sum(sizes.values()) <= most
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
        own = max(1, most * _bytes(one) // max(1, sizes[leaf]))
        for splits in cut_share(one.table, one.splits, own, one.format, columns_read(nodes[leaf])):
            piece = _evolved(one, splits)
            yield {**scans, **nothing, **_beside(piece, stage, scans), leaf: piece}


def _following(stage: StagePlan, leads: int) -> Mapping[int, Following]:
    """How scans follow the share of another one, by their leaves."""
    follows = {source.leaf: source.follows for source in stage.scans if source.follows}
    return {leaf: each for leaf, each in follows.items() if each.leads == leads}


def _bytes(scan: ScanInput) -> int:
    return sum(split.bytes for split in scan.splits)


def _beside(
    piece: ScanInput, stage: StagePlan, scans: Mapping[int, ScanInput]
) -> Mapping[int, ScanInput]:
    """What may meet a piece, of the scans that follow its share."""
    found = {}
    for leaf, follows in _following(stage, piece.leaf).items():
        with suppress(StorageError):  # whoever reads it says what is wrong
            (splits,) = shares_beside(scans[leaf], [piece], follows)
            found[leaf] = _evolved(scans[leaf], splits)
    return found


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
