"""Fragments on the real engine and disk, without a network."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trio

from ffq.catalog import Catalog, Table
from ffq.engine import CancelToken, Engine, FragmentSpec, OperatorRegistry, operator
from ffq.engine.engine import RunStats
from ffq.errors import (
    ExecutionError,
    OperatorError,
    PlanningError,
    QueryCanceled,
    ShuffleInputError,
    StorageError,
    UnknownId,
)
from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    Assignment,
    ErrorKind,
    FetchShufflePartition,
    ScanInput,
    ScanSplit,
    ShuffleChunk,
)
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.model import (
    Broadcast,
    Custom,
    HashJoin,
    HashPartitioning,
    Node,
    ParquetScan,
    PartialHashAggregate,
    ShuffleRead,
    ShuffleWrite,
    SinglePartitioning,
)
from ffq.plan.stages import cut
from ffq.plan.terms import (
    AggregateExpr,
    AggregateFunction,
    BuildSide,
    Column,
    JoinStrategy,
    JoinType,
    WriteMode,
    WriteTarget,
)
from ffq.shuffle import MapOutputWriter, ShuffleStore
from ffq.worker.executor import EngineExecutor
from ffq.worker.failures import failure_of
from ffq.worker.folders import worker_folders
from ffq.worker.network import Network
from ffq.worker.ports import Fetched, MapOutput, TaskOutput, Work
from ffq.worker.results import ResultSpool
from ffq.worker.serving import ShuffleServer
from ffq.worker.wanted import InputPart
from tests.worker.fakes import LAYOUT, key

ROWS = 1_000
EXCHANGE = HashPartitioning(("k",), 4)
SCAN = ParquetScan("t", None, None, ())
EXCHANGED = ShuffleRead(ShuffleWrite(SCAN, EXCHANGE), EXCHANGE)
SINGLE = SinglePartitioning()
COUNT = ((AggregateExpr(AggregateFunction.COUNT, Column("k")), "n"),)
BROADCAST_JOIN = ShuffleRead(
    ShuffleWrite(
        PartialHashAggregate(
            (),
            COUNT,
            HashJoin(
                SCAN,
                Broadcast(ShuffleRead(ShuffleWrite(SCAN, SINGLE), SINGLE)),
                (("v", "v"),),
                JoinType.SEMI,
                JoinStrategy.BROADCAST_RIGHT,
                BuildSide.RIGHT,
            ),
        ),
        SINGLE,
    ),
    SINGLE,
)
"""Stage 2 gives out the table, stage 1 counts the rows of its share that are in it."""


IN_MEMORY_OR_ON_DISK = pytest.mark.parametrize(
    "memory_bytes", [1 << 20, 1, 0], ids=["memory", "one file", "a file for each partition"]
)


@attrs.frozen
class Rig:
    """An executor, its store, and the table `t` of ROWS rows: k 0..9, v 0..ROWS-1."""

    executor: EngineExecutor
    store: ShuffleStore
    split: ScanSplit
    registry: OperatorRegistry
    base: Path
    network: Network

    async def run(
        self,
        plan: Node,
        stage: int,
        *,
        known: bool = True,
        inputs: Mapping[int, tuple[Fetched, ...]] | None = None,
    ) -> TaskOutput:
        return await self.executor.run(self.work(plan, stage, known=known, inputs=inputs))

    def work(
        self,
        plan: Node,
        stage: int,
        *,
        known: bool = True,
        inputs: Mapping[int, tuple[Fetched, ...]] | None = None,
    ) -> Work:
        data = dump_plan(plan)
        scans = (ScanInput(0, "t", (self.split,)),) if known else ()
        assignment = Assignment(key(stage), data, tuple(range(4)), LAYOUT, scans)
        return Work(assignment, cut(parse_plan(data)).stages[stage], inputs or {})


@asynccontextmanager
async def rig(
    tmp_path: Path, *, tables: tuple[Table, ...] = (), memory_bytes: int = 0
) -> AsyncIterator[Rig]:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"k": [n % 10 for n in range(ROWS)], "v": range(ROWS)}), file)
    registry = OperatorRegistry()
    with worker_folders(tmp_path, "w1") as folders:  # type: ignore[arg-type]
        engine = Engine(registry=registry)
        store = ShuffleStore(folders.outputs, memory_bytes=memory_bytes)
        network = Network(1.0)
        executor = EngineExecutor(
            engine,
            store,
            folders,
            Catalog.of(tables),
            spool_bytes=100,
            stop_grace_ms=500,
            network=network,
        )
        yield Rig(executor, store, ScanSplit(str(file), 0, 1), registry, folders.base, network)
        engine.close()


async def served(store: ShuffleStore, request: FetchShufflePartition) -> list[ShuffleChunk]:
    async with ShuffleServer(store, chunk_bytes=512).stream(request) as chunks:
        return [chunk async for chunk in chunks]


@IN_MEMORY_OR_ON_DISK
async def test_map_output_is_written_served_and_read_again(
    tmp_path: Path, memory_bytes: int
) -> None:
    """R22 to R25: what a map attempt wrote is what a reducer's fragment sees, once."""
    async with rig(tmp_path, memory_bytes=memory_bytes) as it:
        output = await it.run(EXCHANGED, 1)
        assert isinstance(output, MapOutput)
        assert sum(part.rows for part in output.partitions) == ROWS
        fetched = []
        for partition in range(4):
            part = InputPart(key(1), partition, "w1:1")
            spool = it.executor.spool(key(0), part)
            for chunk in await served(it.store, FetchShufflePartition(key(1), partition)):
                await spool.write(chunk.payload)
            fetched.append(Fetched(part, spool))
        result = await it.run(EXCHANGED, 0, inputs={0: tuple(fetched)})
        assert isinstance(result, ResultSpool)
        data = await result.read(0, 1 << 30)
        assert len(data) == result.size
        table = pa.ipc.open_stream(data).read_all()
        assert sorted(table["v"].to_pylist()) == list(range(ROWS))
        await it.executor.release(key(0), keep_output=False)
        assert list((it.base / "attempts").iterdir()) == []


async def test_a_small_output_in_memory_goes_with_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, memory_bytes=1 << 20) as it:
        output = await it.run(EXCHANGED, 1)
        assert isinstance(output, MapOutput)
        numbers = [each.reduce_partition for each in output.partitions]
        parts = [await served(it.store, FetchShufflePartition(key(1), each)) for each in numbers]
        payloads = [b"".join(chunk.payload for chunk in part) for part in parts]
        assert list(output.contents) == payloads
        size = sum(map(len, payloads))
        monkeypatch.setattr("ffq.worker.executor.MAX_CARRIED_BYTES", size - 1)
        larger = await it.run(EXCHANGED, 1)
        assert isinstance(larger, MapOutput)
        assert larger.contents == ()


async def test_an_output_on_disk_does_not(tmp_path: Path) -> None:
    async with rig(tmp_path, memory_bytes=1) as it:
        output = await it.run(EXCHANGED, 1)
        assert isinstance(output, MapOutput)
        assert output.contents == ()


@IN_MEMORY_OR_ON_DISK
async def test_ranges_are_contiguous_and_resumable(tmp_path: Path, memory_bytes: int) -> None:
    """R24."""
    async with rig(tmp_path, memory_bytes=memory_bytes) as it:
        await it.run(EXCHANGED, 1)
        whole = await served(it.store, FetchShufflePartition(key(1), 0))
        data = b"".join(chunk.payload for chunk in whole)
        assert max(len(chunk.payload) for chunk in whole) == 512
        assert all(chunk.finalized and chunk.watermark_offset == len(data) for chunk in whole)
        assert whole[-1].end_offset == len(data)
        (piece,) = await served(it.store, FetchShufflePartition(key(1), 0, 100, 200))
        assert (piece.start_offset, piece.end_offset) == (100, 300)
        assert piece.payload == data[100:300]
        (beyond,) = await served(it.store, FetchShufflePartition(key(1), 0, len(data) + 5))
        assert (beyond.payload, beyond.finalized) == (b"", True)


@IN_MEMORY_OR_ON_DISK
async def test_own_output_is_read_in_place(tmp_path: Path, memory_bytes: int) -> None:
    """Only a whole part counts as there: of the size that was registered."""
    async with rig(tmp_path, memory_bytes=memory_bytes) as it:
        output = await it.run(EXCHANGED, 1)
        assert isinstance(output, MapOutput)
        fetched = []
        for size in output.partitions:
            part = InputPart(key(1), size.reduce_partition, "w1:1", size.bytes)
            spool = it.executor.local(part)
            assert spool is not None
            assert it.executor.local(attrs.evolve(part, bytes=size.bytes + 1)) is None
            assert it.executor.local(attrs.evolve(part, key=key(1, 1))) is None
            fetched.append(Fetched(part, spool))
        assert it.network.to_readers_bytes_per_s() == inf, "they read what is here"
        result = await it.run(EXCHANGED, 0, inputs={0: tuple(fetched)})
        assert isinstance(result, ResultSpool)
        table = pa.ipc.open_stream(await result.read(0, 1 << 30)).read_all()
        assert sorted(table["v"].to_pylist()) == list(range(ROWS))
        await it.executor.release(key(0), keep_output=False)
        assert it.store.holds(key(1))


async def test_an_attempt_that_is_not_here_is_an_explicit_error(tmp_path: Path) -> None:
    """R23."""
    async with rig(tmp_path) as it:
        await it.run(EXCHANGED, 1)
        with pytest.raises(UnknownId, match="no map output of attempt 7/1/0/2"):
            await served(it.store, FetchShufflePartition(key(1, attempt=2), 0))


@IN_MEMORY_OR_ON_DISK
async def test_an_output_nobody_wants_is_removed(tmp_path: Path, memory_bytes: int) -> None:
    async with rig(tmp_path, memory_bytes=memory_bytes) as it:
        await it.run(EXCHANGED, 1)
        await it.executor.release(key(1), keep_output=True)
        assert it.store.holds(key(1))
        assert it.executor.held_queries() == ("7",)
        await it.executor.release(key(1), keep_output=False)
        assert not it.store.holds(key(1))
        assert not [path for path in it.store.root.rglob("*") if path.is_file()]


@IN_MEMORY_OR_ON_DISK
async def test_a_querys_outputs_are_forgotten_together(tmp_path: Path, memory_bytes: int) -> None:
    async with rig(tmp_path, memory_bytes=memory_bytes) as it:
        await it.run(EXCHANGED, 1)
        await it.executor.forget(key(1).query_id)
        assert not it.store.holds(key(1))
        assert it.executor.held_queries() == ()


@IN_MEMORY_OR_ON_DISK
async def test_an_output_that_is_finished_while_its_query_is_forgotten_is_held_anew(
    tmp_path: Path, memory_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would be told of it, and it would stay."""
    deleting, finished = trio.Event(), threading.Event()
    delete = ShuffleStore.delete_query

    def slow(store: ShuffleStore, query_id: QueryId) -> None:
        delete(store, query_id)
        trio.from_thread.run_sync(deleting.set)
        finished.wait()

    async with rig(tmp_path, memory_bytes=memory_bytes) as it:
        await it.run(EXCHANGED, 1)
        monkeypatch.setattr(ShuffleStore, "delete_query", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.executor.forget, key(1).query_id)
            await deleting.wait()
            try:
                await it.run(EXCHANGED, 1)
            finally:
                finished.set()
        assert it.executor.held_queries() == ("7",)
        await it.executor.forget(key(1).query_id)
        assert not it.store.holds(key(1))
        assert it.store.small.used == 0


@IN_MEMORY_OR_ON_DISK
async def test_outputs_go_also_where_what_was_written_cannot_be_taken_back(
    tmp_path: Path, memory_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_target: WriteTarget, **_: object) -> None:
        raise StorageError("cannot take back")

    target = WriteTarget(str(tmp_path / "out"), WriteMode.CREATE, single_file=True, write_id="w")
    monkeypatch.setattr("ffq.worker.executor.targets_of", lambda _: {target})
    monkeypatch.setattr("ffq.worker.executor.settle", fails)
    async with rig(tmp_path, memory_bytes=memory_bytes) as it:
        await it.run(EXCHANGED, 1)
        await it.executor.release(key(1), keep_output=True)
        assert it.executor.writes(key(1).query_id)
        with pytest.raises(StorageError):
            await it.executor.forget(key(1).query_id)
        assert not it.store.holds(key(1))
        assert it.store.small.used == 0


async def test_a_table_may_be_in_the_workers_own_catalog(tmp_path: Path) -> None:
    async with rig(tmp_path, tables=(Table("t", (str(tmp_path / "t.parquet"),)),)) as it:
        result = await it.run(SCAN, 0, known=False)
        assert isinstance(result, ResultSpool)
        data = await result.read(0, 1 << 30)
        assert pa.ipc.open_stream(data).read_all().num_rows == ROWS
        await it.executor.release(key(0), keep_output=False)


async def test_a_table_that_nobody_knows_is_an_error_of_the_plan(tmp_path: Path) -> None:
    """R1, R17."""
    async with rig(tmp_path) as it:
        with pytest.raises(PlanningError, match="table 't' is in neither"):
            await it.run(SCAN, 0, known=False)


@pytest.mark.parametrize("content", [None, b"", b"no parquet at all"])
async def test_a_table_that_the_workers_catalog_cannot_bind_is_an_error_of_the_plan(
    tmp_path: Path, content: bytes | None
) -> None:
    """R1, R17: it fails the query at once, it is not tried again."""
    other = tmp_path / "other.parquet"
    if content is not None:
        other.write_bytes(content)
    async with rig(tmp_path, tables=(Table("t", (str(other),)),)) as it:
        complaint = r"--catalog\): table 't': .*other\.parquet"
        with pytest.raises(PlanningError, match=complaint) as info:
            await it.run(SCAN, 0, known=False)
        assert failure_of(info.value).kind is ErrorKind.PLAN


async def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        (tmp_path / "t.parquet").write_bytes(b"no parquet at all")
        with pytest.raises(StorageError, match=r"t\.parquet") as info:
            await it.run(SCAN, 0)
        assert failure_of(info.value).kind is ErrorKind.EXTERNAL


@pytest.mark.parametrize("cut_to", [50, -30])
async def test_a_corrupt_input_names_its_map_attempt(tmp_path: Path, cut_to: int) -> None:
    async with rig(tmp_path) as it:
        await it.run(EXCHANGED, 1)
        data = b"".join(
            chunk.payload for chunk in await served(it.store, FetchShufflePartition(key(1), 0))
        )
        part = InputPart(AttemptKey(*attrs.astuple(key(1, 3, 2))), 0, "w1:1")
        spool = it.executor.spool(key(0), part)
        await spool.write(data[:cut_to])
        with pytest.raises(ShuffleInputError, match="map output 7/1/3/2") as info:
            await it.run(EXCHANGED, 0, inputs={0: (Fetched(part, spool),)})
        assert info.value.inputs == ((1, 3, 2),)


async def test_an_operator_that_raises_is_told_apart(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:

        @operator("broken", registry=it.registry)
        def broken(
            batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
        ) -> Iterator[pa.RecordBatch]:
            yield from (1 / 0 for _ in batches)

        with pytest.raises(OperatorError, match="division by zero"):
            await it.run(Custom("broken", (), SCAN), 0)


class Disguised:
    """What it is cannot even be asked."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise SystemExit(3)


async def test_code_beneath_the_engine_that_exits_ends_no_process(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:

        @operator("disguised", registry=it.registry)
        def disguised(
            batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
        ) -> Iterator[pa.RecordBatch]:
            yield Disguised()

        with pytest.raises(ExecutionError, match="SystemExit: 3"):
            await it.run(Custom("disguised", (), SCAN), 0)


async def test_a_canceled_fragment_is_interrupted(tmp_path: Path) -> None:
    """The fragment stops, its thread is waited for, and nothing it wrote stays."""
    async with rig(tmp_path) as it:
        running = trio.Event()
        token = trio.lowlevel.current_trio_token()

        @operator("endless", registry=it.registry)
        def endless(
            batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
        ) -> Iterator[pa.RecordBatch]:
            batch = next(iter(batches))
            for number in itertools.count():
                if number == 100:  # by now its output is being written
                    token.run_sync_soon(running.set)
                yield batch

        plan = ShuffleRead(ShuffleWrite(Custom("endless", (), SCAN), EXCHANGE), EXCHANGE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.run, plan, 1)
            await running.wait()
            nursery.cancel_scope.cancel()
        assert it.executor.stuck == 0
        assert not it.store.holds(key(1))
        assert not list((it.base / "outputs").rglob("*.ipc"))


async def test_an_operator_that_never_looks_up_is_left_behind(tmp_path: Path) -> None:
    """It costs its slot until it ends, and nothing else."""
    async with rig(tmp_path) as it:
        running = trio.Event()
        token = trio.lowlevel.current_trio_token()
        release = threading.Event()

        @operator("deaf", registry=it.registry)
        def deaf(
            batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
        ) -> Iterator[pa.RecordBatch]:
            token.run_sync_soon(running.set)
            release.wait()
            yield from batches

        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.run, Custom("deaf", (), SCAN), 0)
            await running.wait()
            nursery.cancel_scope.cancel()
        assert it.executor.stuck == 1
        release.set()
        while it.executor.stuck:  # noqa: ASYNC110 - a thread ends it
            await trio.sleep(0.01)


async def test_a_task_that_is_all_of_its_stage_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    run = Engine.run

    def seeing(engine: Engine, spec: FragmentSpec, *more: Any) -> RunStats:
        seen.append(spec.alone)
        return run(engine, spec, *more)

    monkeypatch.setattr(Engine, "run", seeing)
    async with rig(tmp_path) as it:
        for count in (1, 2, 0):
            work = it.work(EXCHANGED, 1)
            assignment = attrs.evolve(work.assignment, task_count=count)
            await it.executor.run(attrs.evolve(work, assignment=assignment))
            await it.executor.release(key(1), keep_output=False)
    assert seen == [True, False, False]


@pytest.mark.parametrize(("task_count", "told"), [(1, 30), (0, None)], ids=["ours", "fixed wire"])
async def test_the_engine_is_told_how_much_a_task_reads_where_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task_count: int, told: int | None
) -> None:
    seen: list[int | None] = []

    def seeing(engine: Engine, spec: FragmentSpec, *more: Any) -> RunStats:
        seen.append(spec.input_bytes)
        raise PlanningError("seen")

    monkeypatch.setattr(Engine, "run", seeing)
    async with rig(tmp_path) as it:
        parts = (InputPart(key(1), 0, "w1:1", 10), InputPart(key(1), 1, "w1:1", 20))
        inputs = {0: tuple(Fetched(part, it.executor.spool(key(0), part)) for part in parts)}
        work = it.work(EXCHANGED, 0, inputs=inputs, known=False)
        assignment = attrs.evolve(work.assignment, task_count=task_count)
        with pytest.raises(PlanningError):
            await it.executor.run(attrs.evolve(work, assignment=assignment))
    assert seen == [told]


async def test_a_share_is_run_in_pieces_by_the_memory_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into one output, with what it reads of another stage in each, and counted together."""
    read: list[tuple[int, int]] = []
    told: list[RunStats] = []
    run = Engine.run

    def seeing(engine: Engine, spec: FragmentSpec, *more: Any) -> RunStats:
        (split,) = spec.scans[0]
        read.append((split.row_group_start, split.row_group_end))
        told.append(run(engine, spec, *more))
        return told[-1]

    monkeypatch.setattr(Engine, "run", seeing)
    async with rig(tmp_path) as it:
        table = await it.run(BROADCAST_JOIN, 2)
        assert isinstance(table, MapOutput)
        file = Path(it.split.path)
        pq.write_table(pq.read_table(file), file, row_group_size=ROWS // 5)
        ((split,),) = Catalog.of((Table("t", (str(file),)),)).scan_shares("t", 1 << 40, 1).shares
        part = InputPart(key(2), 0, "w1:1", table.partitions[0].bytes)
        spool = it.executor.local(part)
        assert spool is not None
        work = it.work(BROADCAST_JOIN, 1, inputs={0: (Fetched(part, spool),)})
        scans = (ScanInput(0, "t", (split,)),)
        work = attrs.evolve(work, assignment=attrs.evolve(work.assignment, scans=scans))
        outputs = []
        whole = FetchShufflePartition(key(1), 0)
        for memory in (1 << 40, 1):
            monkeypatch.setattr(Engine, "memory_bytes", memory)
            output = await it.executor.run(work)
            assert isinstance(output, MapOutput)
            (counts,) = [each.rows for each in output.partitions]
            data = [each.payload for each in await served(it.store, whole)]
            found = pa.ipc.open_stream(b"".join(data)).read_all()
            outputs.append((counts, sum(found.column(0).to_pylist()), output.usage.output_rows))
            ran = [stats.usage for stats in told[-counts:]]
            assert output.usage.scan_us == sum(each.scan_us for each in ran) > 0
            assert output.usage.peak_memory_bytes == max(each.peak_memory_bytes for each in ran)
            await it.executor.release(key(1), keep_output=False)
    assert outputs == [(1, ROWS, 1), (5, ROWS, 5)]
    assert read[1:] == [(0, 5), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


async def test_a_share_that_is_canceled_ends_after_the_piece_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves nothing of what the pieces before it have put out."""
    runs = 0
    run = Engine.run

    def canceled_after(
        engine: Engine, spec: FragmentSpec, open_sink: Any, cancel: CancelToken
    ) -> RunStats:
        nonlocal runs
        runs += 1
        stats = run(engine, spec, open_sink, cancel)
        cancel.cancel()
        return stats

    monkeypatch.setattr(Engine, "run", canceled_after)
    monkeypatch.setattr(Engine, "memory_bytes", 1)
    async with rig(tmp_path) as it:
        counted = PartialHashAggregate((), COUNT, SCAN)
        work = it.work(ShuffleRead(ShuffleWrite(counted, SINGLE), SINGLE), 1)
        splits = tuple(attrs.evolve(it.split, bytes=1 << 20) for _ in range(3))
        scans = (ScanInput(0, "t", splits),)
        work = attrs.evolve(work, assignment=attrs.evolve(work.assignment, scans=scans))
        with pytest.raises(QueryCanceled):
            await it.executor.run(work)
        await it.executor.release(key(1), keep_output=False)
        assert runs == 2, "the second one began, and was told so"
        assert not it.store.holds(key(1))


async def test_outputs_are_written_for_the_network_that_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = []

    def writer(*args: Any, link_bytes_per_s: float, **options: Any) -> MapOutputWriter:
        links.append(link_bytes_per_s)
        return MapOutputWriter(*args, link_bytes_per_s=link_bytes_per_s, **options)

    monkeypatch.setattr("ffq.worker.executor.MapOutputWriter", writer)
    async with rig(tmp_path) as it:
        await it.run(EXCHANGED, 1)
        await it.executor.release(key(1), keep_output=False)
        it.network.reached_at("127.0.0.1")
        await it.run(EXCHANGED, 1)
    assert links == [1.0, inf]
