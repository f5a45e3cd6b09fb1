"""`ffq.worker.ports.Executor` in virtual time: moves rows from inputs to outputs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import attrs
import trio

from ffq.errors import ShuffleInputError
from ffq.ids import AttemptKey, QueryId, StageId, TaskId
from ffq.messages import NO_USAGE, AttemptUsage, Bytes, ScanSplit
from ffq.plan.model import KeyedPartitioning
from ffq.plan.properties import is_repeatable
from ffq.worker.ports import Fetched, MapOutput, TaskOutput, Work
from ffq.worker.wanted import InputPart, SharedOutput
from tests.simulation.data import decode, encode, partition_of, rows_of
from tests.simulation.disk import Disk
from tests.simulation.faults import FaultKind
from tests.simulation.injector import FaultInjector
from tests.simulation.queries import POISON

SLOWER = 100
_READ_PAUSE_S = 0.4
KEY = 1 << 62
"""Marks what lies in a partition of keys."""


class Process(Protocol):
    """The worker process that an executor belongs to."""

    @property
    def name(self) -> str: ...

    async def gate(self) -> None: ...

    async def crash_at(self, point: FaultKind) -> None:
        """Crash here if the faults say so."""

    async def die(self, kind: FaultKind, down_ms: int) -> None:
        """Crash here."""


@attrs.define
class SimSpool:
    """One fetched part; a slow consumer takes its time for each piece."""

    _process: Process
    _faults: FaultInjector
    data: bytes = b""

    async def write(self, data: Bytes) -> None:
        if self._faults.slows(FaultKind.SLOW_CONSUMER, self._process.name):
            await trio.sleep(_READ_PAUSE_S)
        self.data += data


@attrs.frozen
class SimResult:
    """A sink attempt's result."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def usage(self) -> AttemptUsage:
        return NO_USAGE

    async def read(self, offset: int, max_bytes: int) -> bytes:
        return self.data[offset : offset + max_bytes]


@attrs.define
class SimExecutor:
    """`running`: attempts whose fragment runs now. `skews`: as `Scenario.skews`."""

    process: Process
    disk: Disk
    faults: FaultInjector
    chance: random.Random
    skews: bool = False
    stuck: int = 0
    running: set[AttemptKey] = attrs.field(factory=set)

    def spool(self, reader: AttemptKey, part: InputPart) -> SimSpool:
        del reader, part
        return SimSpool(self.process, self.faults)

    def local(self, part: InputPart) -> SimSpool | None:
        """As `Executor.local`."""
        data = self.disk.outputs.get(part.key, {}).get(part.reduce_partition, b"")
        if not part.bytes or len(data) != part.bytes:
            return None
        return SimSpool(self.process, self.faults, data)

    async def newest_output(self, key: AttemptKey) -> SharedOutput | None:
        raise AssertionError(f"no folder is shared here, but {key} was looked for in it")

    async def run(self, work: Work) -> TaskOutput:
        """Raises ShuffleInputError: an input is damaged; DiskError: no room for the output."""
        key = work.assignment.key
        self.running.add(key)
        try:
            await self.process.crash_at(FaultKind.CRASH_BEFORE_RUN)
            if POISON in work.stage.operators:
                await self.process.die(FaultKind.POISON, 500)
            slow = self.faults.slows(FaultKind.STRAGGLER, self.process.name)
            await trio.sleep(self.chance.uniform(0.01, 0.3) * (SLOWER if slow else 1))
            await self.process.gate()
            later = _later_part_of(work)
            if later is not None:
                self.faults.trace.note(f"{key} reads a part of what stage {later} gave out")
            rows = _rows(work, later)
            if work.stage.output is None:
                return SimResult(encode(rows))
            parts = self._partitioned(work, rows)
            output = MapOutput(self.disk.write(key, parts))
            await self.process.crash_at(FaultKind.CRASH_AFTER_WRITE)
            return output
        finally:
            self.running.discard(key)

    def _partitioned(self, work: Work, rows: Sequence[int]) -> list[list[int]]:
        salt = 0 if is_repeatable(work.stage) else work.assignment.key.attempt
        output, written = work.stage.output, work.stage.output_partitions
        keyed = isinstance(output, KeyedPartitioning)
        count = written - keyed
        parts: list[list[int]] = [[] for _ in range(written)]
        for row in rows:
            parts[partition_of(row, count, salt, skews=self.skews)].append(row)
        if keyed:
            parts[-1] = [row | KEY for row in rows]
        return parts

    async def release(self, key: AttemptKey, *, keep_output: bool) -> None:
        if not keep_output:
            self.disk.remove(key)

    def held_queries(self) -> Sequence[QueryId]:
        return self.disk.queries()

    def writes(self, query_id: QueryId) -> bool:
        return False

    async def forget(self, query_id: QueryId, *, succeeded: bool | None = None) -> None:
        self.disk.forget(query_id)


def _later_part_of(work: Work) -> StageId | None:
    """The stage that it reads from some map task on: another task has the same partition before."""
    first: dict[StageId, TaskId] = {}
    for each in work.assignment.inputs:
        first[each.stage_id] = min(each.map_task, first.get(each.stage_id, each.map_task))
    return next((stage_id for stage_id, map_task in first.items() if map_task), None)


def _rows(work: Work, later: StageId | None) -> list[int]:
    """What the fragment reads; of what every task reads whole, task 0 passes the rows on.

    Of a divided partition the first of its tasks passes on what all of them read, and each its part
    of the rest. A stage that is read to leave out rows has a partner for each here, and gives none
    itself.
    """
    assignment, stage = work.assignment, work.stage
    first = assignment.key.task_id == 0
    rows: list[int] = []
    sources = {source.leaf: source for source in stage.scans}
    read_by = {scan.leaf: scan.splits for scan in assignment.scans}
    for scan in assignment.scans:
        source = sources[scan.leaf]
        splits: Sequence[ScanSplit] = scan.splits
        if source.follows is not None:
            splits = _with_partners(splits, read_by[source.follows.leads])
        if source.split or source.follows is not None or first:
            rows.extend(rows_of(*source.home, scan.table, splits))
    for parent in stage.parents:
        read = [row for item in work.inputs[parent.leaf] for row in _read(item)]
        keyed = any(each.keys and each.stage_id == parent.stage_id for each in stage.parents)
        assert all(bool(row & KEY) is parent.keys for row in read), "keys are no rows"
        reduces = parent.keys or (parent.stage_id in assignment.inlined and not keyed)
        passes = first if parent.whole else later in (None, parent.stage_id)
        if passes and not reduces:
            rows.extend(read)
    return rows


def _with_partners(splits: Sequence[ScanSplit], led: Sequence[ScanSplit]) -> list[ScanSplit]:
    """Those row groups whose rows meet rows of the other table: here the ones of the same number.
    What else is read beside them finds no partner.
    """
    partners = {each for split in led for each in range(split.row_group_start, split.row_group_end)}
    return [
        attrs.evolve(split, row_group_start=each, row_group_end=each + 1)
        for split in splits
        for each in range(split.row_group_start, split.row_group_end)
        if each in partners
    ]


def _read(item: Fetched) -> list[int]:
    assert isinstance(item.spool, SimSpool)
    try:
        return decode(item.spool.data)
    except ValueError as error:
        key = item.part.key
        raise ShuffleInputError(
            f"{item.part}: {error}", inputs=((key.stage_id, key.task_id, key.attempt),)
        ) from None
