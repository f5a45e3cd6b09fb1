"""Runs fragments with the engine, each on a thread, and keeps their outputs on disk."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from time import perf_counter_ns

import attrs
import pyarrow as pa
import trio

from ffq.catalog import Catalog
from ffq.engine import ENGINE_FAMILY, CancelToken, Engine, FragmentSpec
from ffq.engine.engine import BatchSink
from ffq.engine.writes import discard_attempt, settle
from ffq.errors import ExecutionError, FfqError, PlanningError, StorageError, UnknownId
from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    MAX_CARRIED_BYTES,
    NO_USAGE,
    AttemptUsage,
    OutputPartition,
    ScanInput,
)
from ffq.plan.model import Partitioning
from ffq.plan.stages import ScanSource
from ffq.plan.terms import WriteTarget
from ffq.plan.writes import targets_of
from ffq.shuffle import MapOutputWriter, ShuffleStore
from ffq.shuffle.layout import attempt_folder, packed_file
from ffq.threads import run_blocking
from ffq.worker.failures import describe
from ffq.worker.folders import WorkerFolders
from ffq.worker.link import logger
from ffq.worker.network import Network
from ffq.worker.pieces import pieces_of
from ffq.worker.ports import MapOutput, TaskOutput, Work
from ffq.worker.readers import input_reader
from ffq.worker.results import ResultSpool
from ffq.worker.spool import FragmentSpool, MemoryBudget
from ffq.worker.wanted import InputPart, SharedOutput


@attrs.define
class _Scratch:
    """What one attempt uses besides its output.

    outputs: where that goes; None: nowhere yet. targets: what it writes to. link_bytes_per_s: to
    those who will read its output.
    """

    folder: Path
    outputs: ShuffleStore | None = None
    spools: list[FragmentSpool] = attrs.field(factory=list)
    result: ResultSpool | None = None
    targets: tuple[WriteTarget, ...] = ()
    link_bytes_per_s: float = inf


class EngineExecutor:
    """`Executor` on DuckDB and disk.

    Args:
        catalog: for tables that an assignment brings no splits of.
        spool_bytes: memory for fetched parts of all attempts; beyond it they go to disk.
        shared: map outputs in the folder that all share; None: this worker was given none.
        network: is told what is read here, and says how fast others read from here.
        stop_grace_ms: how long a fragment told to stop is waited for before it counts as stuck.
    """

    def __init__(
        self,
        engine: Engine,
        store: ShuffleStore,
        folders: WorkerFolders,
        catalog: Catalog,
        *,
        spool_bytes: int,
        stop_grace_ms: int,
        shared: ShuffleStore | None = None,
        network: Network | None = None,
    ) -> None:
        self._engine = engine
        self._network = Network() if network is None else network
        self._store = store
        self._shared = shared
        self._folders = folders
        self._catalog = catalog
        self._budget = MemoryBudget(spool_bytes)
        self._stop_grace_s = stop_grace_ms / 1000
        self._threads = trio.CapacityLimiter(inf)  # the loop's slots are the bound
        self._scratch: dict[AttemptKey, _Scratch] = {}
        self._held: dict[QueryId, set[WriteTarget]] = {}
        self._stuck = 0

    @property
    def stuck(self) -> int:
        """As `Executor.stuck`."""
        return self._stuck

    def spool(self, reader: AttemptKey, part: InputPart) -> FragmentSpool:
        """As `Executor.spool`."""
        scratch = self._scratch_of(reader)
        spool = FragmentSpool(scratch.folder / f"input-{len(scratch.spools)}", self._budget)
        scratch.spools.append(spool)
        return spool

    def local(self, part: InputPart) -> FragmentSpool | None:
        """As `Executor.local`."""
        if not part.bytes:
            return None
        try:
            piece = self._store.piece(part.key, part.reduce_partition)
        except (UnknownId, StorageError):
            return None
        if piece.size != part.bytes:
            return None
        self._network.near(piece.size)
        return FragmentSpool.ours(piece)

    async def newest_output(self, key: AttemptKey) -> SharedOutput | None:
        """As `Executor.newest_output`."""
        if self._shared is None:
            return None
        return await run_blocking(_newest_output, self._shared, key)

    async def run(self, work: Work) -> TaskOutput:
        """As `Executor.run`.

        Cancelled, it interrupts the fragment and waits for its thread. A thread that ignores that
        (an operator that never looks up) is left behind, and counts as stuck until it ends.
        """
        scratch = self._scratch_of(work.assignment.key)
        scratch.outputs = self._shared if work.assignment.fixed_wire else self._store
        scratch.link_bytes_per_s = self._network.to_readers_bytes_per_s()
        self._note_targets(work, scratch)
        job = _Job(self._engine, self._catalog, scratch, work)
        ended = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def on_thread() -> TaskOutput:
            try:
                return job.run()
            except Exception:
                raise
            except BaseException as error:
                # On this thread it is no signal: some code beneath the engine raised it.
                raise ExecutionError(describe(error)) from error
            finally:
                with suppress(trio.RunFinishedError):
                    token.run_sync_soon(ended.set)

        try:
            output = await trio.to_thread.run_sync(
                on_thread, abandon_on_cancel=True, limiter=self._threads
            )
        except trio.Cancelled:
            if job.cancel():
                with trio.move_on_after(self._stop_grace_s, shield=True):
                    await ended.wait()
                if not ended.is_set():
                    self._leave_behind(work.assignment.key, ended)
            raise
        if isinstance(output, MapOutput) and not work.assignment.fixed_wire:
            self._held.setdefault(work.assignment.key.query_id, set())
        return output

    async def release(self, key: AttemptKey, *, keep_output: bool) -> None:
        """As `Executor.release`."""
        scratch = self._scratch.pop(key, None)
        if scratch is not None:
            for spool in scratch.spools:
                spool.forget()
            if scratch.result is not None:
                scratch.result.close()
        unwanted = [] if scratch is None else [scratch.folder]
        outputs = None if scratch is None else scratch.outputs
        if not keep_output:
            store = outputs or self._store
            store.small.forget(key)
            unwanted += [attempt_folder(store.root, key), packed_file(store.root, key)]
        for path in unwanted:
            if path.exists():
                await run_blocking(_remove, path)
        if scratch is not None and not keep_output:
            for target in scratch.targets:
                try:
                    await run_blocking(discard_attempt, target, key)
                except FfqError as error:  # they are removed at the end of the query
                    logger.warning("what attempt %s has staged stays: %s", key, error.message)

    def held_queries(self) -> Sequence[QueryId]:
        """As `Executor.held_queries`."""
        return tuple(self._held)

    def writes(self, query_id: QueryId) -> bool:
        """As `Executor.writes`."""
        return bool(self._held.get(query_id))

    async def forget(self, query_id: QueryId, *, succeeded: bool | None = None) -> None:
        """As `Executor.forget`."""
        # Taken first: an output that is finished meanwhile is held anew.
        targets = self._held.pop(query_id, set())
        # Before what was written is settled, which may fail: the outputs' room is others'.
        await run_blocking(self._store.delete_query, query_id)
        for target in targets:
            await run_blocking(partial(settle, target, succeeded=succeeded))

    def _note_targets(self, work: Work, scratch: _Scratch) -> None:
        """Before it begins: what a killed or canceled attempt leaves must be known."""
        scratch.targets = targets_of(work.stage.fragment)
        if scratch.targets:
            held = self._held.setdefault(work.assignment.key.query_id, set())
            held.update(scratch.targets)

    def _scratch_of(self, key: AttemptKey) -> _Scratch:
        scratch = self._scratch.get(key)
        if scratch is None:
            name = f"{key.query_id}-{key.stage_id}-{key.task_id}-{key.attempt}"
            scratch = self._scratch[key] = _Scratch(self._folders.attempts / name)
        return scratch

    def _leave_behind(self, key: AttemptKey, ended: trio.Event) -> None:
        logger.warning("attempt %s does not stop; it keeps its slot until it ends", key)
        self._stuck += 1

        async def count_down() -> None:
            await ended.wait()
            self._stuck -= 1

        trio.lowlevel.spawn_system_task(count_down)


@attrs.define
class _OneSink:
    """The first piece of a share opens it; the others write to it, too."""

    open: Callable[[pa.Schema], BatchSink]
    _opened: tuple[pa.Schema, BatchSink] | None = None

    def opened(self, schema: pa.Schema) -> BatchSink:
        if self._opened is None:
            self._opened = schema, self.open(schema)
        first, sink = self._opened
        if not schema.equals(first):
            raise ExecutionError(
                f"pieces of a share do not agree on its columns: {schema.to_string()}, and before "
                f"{first.to_string()}"
            )
        return sink


class _Job:
    """One fragment on its thread. `cancel` may come before it starts, while it runs, or after."""

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        scratch: _Scratch,
        work: Work,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._scratch = scratch
        self._work = work
        self._cancel = CancelToken()
        self._lock = threading.Lock()
        self._begun = False

    def cancel(self) -> bool:
        """Stop it; False when it has not begun, and now never does anything."""
        with self._lock:
            self._cancel.cancel()
            return self._begun

    def run(self) -> TaskOutput:
        """Run to the end; raises as `Engine.run`."""
        with self._lock:
            self._cancel.check()
            self._begun = True
        output = self._work.stage.output
        if output is None:
            return self._run_sink()
        return self._run_map(output)

    def _run_map(self, output: Partitioning) -> MapOutput:
        writers: list[MapOutputWriter] = []
        key, outputs = self._work.assignment.key, self._scratch.outputs
        if outputs is None:
            raise StorageError(
                f"the map output of {key} has no place: this coordinator sets no extension fields, "
                f"and serves partitions only from a folder that all share; right would be its "
                f"folder as this worker's --shuffle-root (FFQ_SHUFFLE_ROOT)"
            )

        def open_sink(schema: pa.Schema) -> MapOutputWriter:
            small = None if self._work.assignment.fixed_wire else outputs.small
            writers.append(
                MapOutputWriter(
                    outputs.root,
                    key,
                    output,
                    schema,
                    family=ENGINE_FAMILY,
                    link_bytes_per_s=self._scratch.link_bytes_per_s,
                    small=small,
                )
            )
            return writers[-1]

        try:
            usage = self._run_pieces(open_sink)
            self._cancel.check()
            before = perf_counter_ns()
            partitions = writers[0].finish()
            finishing = (perf_counter_ns() - before) // 1000
            usage = attrs.evolve(usage, write_us=usage.write_us + finishing)
            return MapOutput(partitions, usage, _contents(outputs, key, partitions))
        except BaseException:
            for writer in writers:
                writer.abort()
            raise

    def _run_sink(self) -> ResultSpool:
        def open_sink(schema: pa.Schema) -> ResultSpool:
            self._scratch.result = ResultSpool(self._scratch.folder, schema)
            return self._scratch.result

        usage = self._run_pieces(open_sink)
        assert self._scratch.result is not None
        self._scratch.result.finish(usage)
        return self._scratch.result

    def _run_pieces(self, open_sink: Callable[[pa.Schema], BatchSink]) -> AttemptUsage:
        """The fragment over all that the task reads, into one sink."""
        sink = _OneSink(open_sink)
        usage = NO_USAGE
        for scans in pieces_of(self._work.stage, self._scans(), self._engine.memory_bytes):
            ran = self._engine.run(self._spec(scans), sink.opened, self._cancel)
            usage = usage.then(ran.usage)
        return usage

    def _spec(self, scans: Mapping[int, ScanInput]) -> FragmentSpec:
        inputs = self._work.inputs
        return FragmentSpec(
            fragment=self._work.stage.fragment,
            scans={leaf: scan.splits for leaf, scan in scans.items()},
            formats={leaf: scan.format for leaf, scan in scans.items() if scan.format is not None},
            shuffles={
                leaf: input_reader(items, ENGINE_FAMILY, self._scratch.outputs)
                for leaf, items in inputs.items()
                if items
            },
            key=self._work.assignment.key,
            inline=self._work.stage.inline,
            alone=self._work.assignment.task_count == 1,
            input_bytes=self._input_bytes(),
        )

    def _input_bytes(self) -> int | None:
        """None on the fixed wire, where sizes may be unknown."""
        if self._work.assignment.fixed_wire:
            return None
        return sum(each.part.bytes for items in self._work.inputs.values() for each in items)

    def _scans(self) -> Mapping[int, ScanInput]:
        """The assignment's splits; of tables it brings none of, all files that our catalog has."""
        scans = {scan.leaf: scan for scan in self._work.assignment.scans}
        for source in self._work.stage.scans:
            if source.leaf not in scans:
                if source.table not in self._catalog:
                    raise PlanningError(
                        f"table {source.table!r} is in neither the coordinator's catalog nor "
                        f"this worker's (--catalog)"
                    )
                scans[source.leaf] = self._bind(source)
        return scans

    def _bind(self, source: ScanSource) -> ScanInput:
        try:
            found = self._catalog.scan_shares(source.table, 1, 1)
        except StorageError as error:
            # No other attempt would find other files: the plan names a table that cannot be bound.
            raise PlanningError(f"this worker's catalog (--catalog): {error.message}") from error
        (splits,) = found.shares
        return ScanInput(source.leaf, source.table, splits, found.format)


def _contents(
    outputs: ShuffleStore, key: AttemptKey, partitions: Sequence[OutputPartition]
) -> tuple[bytes, ...]:
    """Of an output that is small enough to go along with its report."""
    found = outputs.small.get(key)
    if found is None or sum(each.bytes for each in partitions) > MAX_CARRIED_BYTES:
        return ()
    return tuple(found.parts[each.reduce_partition] for each in partitions)


def _newest_output(outputs: ShuffleStore, key: AttemptKey) -> SharedOutput | None:
    newest = outputs.newest(key)
    return None if newest is None else SharedOutput(newest, outputs.sizes(newest))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
