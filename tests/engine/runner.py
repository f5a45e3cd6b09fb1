"""Runs whole plans with the real engine and map outputs on disk, task by task in one process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.catalog.ranges import shares_beside
from ffq.engine import CancelToken, Engine, FragmentSpec
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.messages import Bytes, OutputPartition, ScanInput, ScanSplit
from ffq.plan.inlining import inlined
from ffq.plan.model import Node, ParquetScan, Project, ShuffleRead, SinglePartitioning
from ffq.plan.ranges import Following
from ffq.plan.reducing import reduced
from ffq.plan.stages import Parallelism, ScanSource, StageGraph, StagePlan, cut
from ffq.plan.terms import Expr, Literal, LiteralType
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream, merge_streams

_QUERY = itertools.count(1)


class TableSink:
    """Collects a fragment's output."""

    def __init__(self) -> None:
        self.schema: pa.Schema | None = None
        self.batches: list[pa.RecordBatch] = []

    def open(self, schema: pa.Schema) -> TableSink:
        self.schema = schema
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.batches, self.schema)


def run_fragment(engine: Engine, spec: FragmentSpec, cancel: CancelToken | None = None) -> pa.Table:
    """One fragment's whole output."""
    sink = TableSink()
    engine.run(spec, sink.open, cancel or CancelToken())
    return sink.table()


def whole_files(paths: Sequence[Path]) -> list[ScanSplit]:
    return [ScanSplit(str(path), 0, pq.read_metadata(path).num_row_groups) for path in paths]


@attrs.define
class LocalRunner:
    """tables: files by name. scan_tasks: into how many tasks a scan stage is divided at most.

    inlines: what sizes decide is decided as if all of them were small.
    reduces: as if rows were many and keys few.
    """

    engine: Engine
    root: Path
    tables: dict[str, list[Path]]
    scan_tasks: int = 3
    inlines: bool = False
    reduces: bool = False
    outputs: dict[AttemptKey, tuple[OutputPartition, ...]] = attrs.field(factory=dict)

    def run(self, plan: Node) -> pa.Table:
        graph = cut(plan)
        query = QueryId(str(next(_QUERY)))
        done: dict[int, list[AttemptKey]] = {}
        sink, *stages = self._decided(graph)
        for stage in _in_order(stages):
            done[stage.stage_id] = self._run_stage(query, graph, stage, done)
        results = [
            run_fragment(self.engine, self._attempt(graph, sink, _key(query, sink, task), done))
            for task in range(self._task_count(sink))
        ]
        return pa.concat_tables(results)

    def _decided(self, graph: StageGraph) -> list[StagePlan]:
        """The stages that are run, the sink first."""
        stages = {stage.stage_id: stage for stage in graph.stages}
        into: dict[int, StageId] = {}
        for choice in graph.joins if self.inlines or self.reduces else ():
            if choice.reduction is not None and (self.reduces or not choice.inlines):
                stages[choice.probe] = reduced(stages[choice.probe], choice)
                continue
            if self.reduces:
                continue
            at = choice.stage_id
            while at in into:
                at = into[at]
            plan = inlined(stages[at], stages[choice.probe])
            if plan.parallelism is not Parallelism.SINGLE:
                stages[at], into[choice.probe] = plan, at
                del stages[choice.probe]
        for gather in graph.gathers if self.inlines else ():
            below, at = stages.get(gather.below), gather.stage_id
            while at in into:
                at = into[at]
            if below is not None and below.parallelism is Parallelism.HASH:
                stages[at], into[gather.below] = inlined(stages[at], below), at
                del stages[gather.below]
        return list(stages.values())

    def _run_stage(
        self, query: QueryId, graph: StageGraph, stage: StagePlan, done: dict[int, list[AttemptKey]]
    ) -> list[AttemptKey]:
        keys = []
        for task in range(self._task_count(stage)):
            key = _key(query, stage, task)
            writers: list[MapOutputWriter] = []

            def open_writer(
                schema: pa.Schema,
                key: AttemptKey = key,
                writers: list[MapOutputWriter] = writers,
            ) -> MapOutputWriter:
                assert stage.output is not None
                writers.append(
                    MapOutputWriter(
                        self.root, key, stage.output, schema, family="test", buffer_bytes=1 << 20
                    )
                )
                return writers[0]

            self.engine.run(self._attempt(graph, stage, key, done), open_writer, CancelToken())
            self.outputs[key] = writers[0].finish()
            keys.append(key)
        return keys

    def _attempt(
        self,
        graph: StageGraph,
        stage: StagePlan,
        key: AttemptKey,
        done: dict[int, list[AttemptKey]],
    ) -> FragmentSpec:
        return attrs.evolve(self._spec(graph, stage, key.task_id, done), key=key)

    def _task_count(self, stage: StagePlan) -> int:
        match stage.parallelism:
            case Parallelism.SINGLE:
                return 1
            case Parallelism.HASH:
                return min(3, stage.reduce_partitions)
            case Parallelism.SCAN:
                return self.scan_tasks

    def _spec(
        self, graph: StageGraph, stage: StagePlan, task: int, done: dict[int, list[AttemptKey]]
    ) -> FragmentSpec:
        count = self._task_count(stage)
        scans: dict[int, list[ScanSplit]] = {}
        for scan in stage.scans:
            splits = self._row_groups(scan.table)
            share = splits[task::count] if scan.split else splits
            scans[scan.leaf] = share or [attrs.evolve(splits[0], row_group_end=0)]
        for scan in stage.scans:
            if scan.follows is not None:
                scans[scan.leaf] = self._beside(scan, scan.follows, scans[scan.follows.leads])
        shuffles = {}
        for source in stage.parents:
            partitions = range(source.partitions)
            if source.keys:
                partitions = range(source.partitions, source.partitions + 1)
            mine = partitions if source.whole else partitions[task::count]
            shuffles[source.leaf] = partial(self._read, done[source.stage_id], list(mine))
        return FragmentSpec(stage.fragment, scans, shuffles, inline=stage.inline)

    def _beside(
        self, scan: ScanSource, follows: Following, led: Sequence[ScanSplit]
    ) -> list[ScanSplit]:
        """What may meet a share of the scan that leads: whatever each task has of that."""
        whole = ScanInput(scan.leaf, scan.table, tuple(self._row_groups(scan.table)))
        (beside,) = shares_beside(whole, [ScanInput(follows.leads, "led", tuple(led))], follows)
        return list(beside)

    def _row_groups(self, table: str) -> list[ScanSplit]:
        splits = []
        for path in self.tables[table]:
            groups = pq.read_metadata(path).num_row_groups
            splits += [ScanSplit(str(path), at, at + 1) for at in range(groups)]
            if groups == 0:
                splits.append(ScanSplit(str(path), 0, 0))
        return splits

    def _read(self, keys: list[AttemptKey], partitions: list[int]) -> pa.RecordBatchReader:
        store = ShuffleStore(self.root)

        def stream(key: AttemptKey, partition: int) -> pa.RecordBatchReader:
            return decode_stream(_payloads(store, key, partition))

        openers = [partial(stream, key, one) for key in keys for one in partitions]
        return merge_streams(openers, (opener().schema for opener in openers[1:]))


def _payloads(store: ShuffleStore, key: AttemptKey, partition: int) -> Iterator[Bytes]:
    """Also where no more than the schema is read, the file is closed."""
    with closing(store.read_range(key, partition, chunk_bytes=1000)) as chunks:
        for chunk in chunks:
            yield chunk.payload


def _in_order(stages: Sequence[StagePlan]) -> Iterator[StagePlan]:
    """Each behind those that it reads, of which others may read some as well."""
    left = {stage.stage_id: stage for stage in stages}
    while left:
        for stage_id, stage in list(left.items()):
            if not any(source.stage_id in left for source in stage.parents):
                yield left.pop(stage_id)


def _key(query: QueryId, stage: StagePlan, task: int) -> AttemptKey:
    return AttemptKey(query, stage.stage_id, TaskId(task), Attempt(1))


# --- fragments over tables in memory ---------------------------------------------------------


def leaf() -> ShuffleRead:
    """A ShuffleRead: `run_over` feeds the tables to a fragment's ShuffleReads in walk order."""
    return ShuffleRead(ParquetScan("unused", None, None, ()), SinglePartitioning())


def run_over(
    engine: Engine, fragment: Node, *tables: pa.Table, cancel: CancelToken | None = None
) -> pa.Table:
    """A fragment's output over tables."""
    shuffles = {at: table.to_reader for at, table in enumerate(tables)}
    return run_fragment(engine, FragmentSpec(fragment, shuffles=shuffles), cancel)


def value_of(engine: Engine, expr: Expr, table: pa.Table) -> pa.ChunkedArray:
    """An expression over each row of a table."""
    return run_over(engine, Project(((expr, "value"),), leaf()), table)["value"]


def integer(value: int) -> Literal:
    return Literal(LiteralType.INT64, value)


def text(value: str) -> Literal:
    return Literal(LiteralType.UTF8, value)


NULL = Literal(LiteralType.NULL, None)
