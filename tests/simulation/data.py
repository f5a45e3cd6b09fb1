"""What simulated queries compute: rows that can be told apart flow from the scans to the sink.

Every scan leaf of every stage has rows of its own, so a row that is lost, read twice, or read from
two runs of one task shows in the result. Operators pass rows on; an exchange partitions them by a
hash. A stage that need not give the same rows twice (a Limit, an operator) partitions them
otherwise in each attempt: whoever mixes two runs of it loses rows and doubles others.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence

from ffq.ids import StageId
from ffq.messages import ScanSplit, StageScan
from ffq.plan.stages import StageGraph

ROWS_PER_GROUP = 3
_DIGEST_BYTES = 8
_TABLES = "tu"


def rows_of(stage_id: int, leaf: int, table: str, splits: Iterable[ScanSplit]) -> list[int]:
    """The rows that a scan leaf reads from these splits."""
    base = ((stage_id * 8 + leaf) * len(_TABLES) + _TABLES.index(table)) * 256
    return [
        (base + group) * ROWS_PER_GROUP + number
        for split in splits
        for group in range(split.row_group_start, split.row_group_end)
        for number in range(ROWS_PER_GROUP)
    ]


def oracle(graph: StageGraph, scans: Sequence[StageScan]) -> list[int]:
    """The result as one process would have it, sorted: every row of every scan, as often as it is
    read: once, but for what stages give out that several read. The last share of a scan that
    follows another one is all of it."""
    leaves = {(scan.stage_id, scan.leaf): scan for scan in scans}
    rows: list[int] = []
    for stage in graph.stages:
        for source in stage.scans:
            scan = leaves[stage.stage_id, source.leaf]
            shares = scan.shares if source.follows is None else scan.shares[-1:]
            splits = [split for share in shares for split in share]
            found = rows_of(stage.stage_id, source.leaf, source.table, splits)
            rows.extend(found * _times_read(graph, stage.stage_id))
    return sorted(rows)


def _times_read(graph: StageGraph, stage_id: StageId) -> int:
    """On how many ways its rows come to the sink."""
    if stage_id == 0:
        return 1
    return sum(
        _times_read(graph, stage.stage_id)
        for stage in graph.stages
        for source in stage.parents
        if source.stage_id == stage_id
    )


def partition_of(row: int, partitions: int, salt: int, *, skews: bool = False) -> int:
    """Which reduce partition a row belongs to. `skews`: of most rows it is the first one."""
    mixed = (row + salt * 7919) * 2654435761 >> 7
    return 0 if skews and mixed // partitions % 4 else mixed % partitions


def encode(rows: Sequence[int]) -> bytes:
    """Rows as bytes that tell when they were damaged."""
    payload = array("Q", rows).tobytes()
    return hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest() + payload


def decode(data: bytes) -> list[int]:
    """The rows of `encode`. Raises ValueError: the bytes are damaged."""
    digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest() != digest:
        raise ValueError(f"{len(data)} bytes that do not match their digest")
    rows = array("Q")
    rows.frombytes(payload)
    return rows.tolist()
