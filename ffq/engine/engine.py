"""The engine of one process: runs fragments on DuckDB, several at once on threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter_ns
from typing import Final, Protocol

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.engine.culprits import by_table
from ffq.engine.faults import Faults
from ffq.engine.fragment_run import FragmentRun, FragmentSpec
from ffq.engine.kept import KeptCursor
from ffq.engine.operators import REGISTRY, OperatorRegistry
from ffq.engine.plain import is_plain
from ffq.engine.scans import confirm_files
from ffq.engine.translated import Translations
from ffq.errors import FfqError, FileChanged, OutOfMemory, StartupError
from ffq.messages import AttemptUsage, ScanSplit
from ffq.plan.bound import Match
from ffq.plan.model import Custom, Join, Node, RangeJoin, ShuffleRead
from ffq.plan.walk import walk_stage

ENGINE_FAMILY: Final = "ffq-duckdb-3"
"""Engines of one family can share a query: same hash, same partial states (R31)."""

_LIGHT_BYTES: Final = 256 * 1024
"""Of rows that come from other stages."""
_ORDER: Final = "join_order"
_SIDES: Final = "build_side_probe_side"


@attrs.frozen
class EngineSettings:
    """Bounds of one fragment; of several at a time each has as much.

    Attributes:
        threads: of DuckDB.
        lone_threads: of a fragment that is all that its stage has to run; None: `threads`.
        memory_limit: in DuckDB's words, as "4GB" or "10%" of all; beyond it DuckDB spills.
        temp_directory: what is spilled goes into folders of this one.
        spill_limit: bytes on disk, in DuckDB's words; beyond it the fragment fails.
        remedy: what errors say of more memory or disk: the settings by name.
    """

    threads: int | None = None
    memory_limit: str | None = None
    temp_directory: Path | None = None
    spill_limit: str | None = None
    remedy: str = ""
    lone_threads: int | None = None

    def threads_of(self, spec: FragmentSpec) -> int | None:
        """None: as many as DuckDB takes by itself, or those that it has: it makes no difference."""
        if _is_light(spec):
            return None
        return self.lone_threads if spec.alone and self.lone_threads else self.threads


@attrs.define(eq=False)
class _Instance:
    """threads, left_out: as they are set, the latter the passes that its optimizer leaves out."""

    connection: duckdb.DuckDBPyConnection
    threads: int | None
    left_out: str = ""
    kept: KeptCursor = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.kept = KeptCursor(self.connection)

    def close(self) -> None:
        self.kept.close()
        self.connection.close()

    def use(self, threads: int | None, *, left_out: str | None) -> None:
        """None is whatever it is: a change takes longer than a small fragment."""
        if left_out is not None and left_out != self.left_out:
            self.connection.execute(f"SET GLOBAL disabled_optimizers = '{left_out}'")
            self.left_out = left_out
        if threads is not None and threads != self.threads:
            self.connection.execute(f"SET GLOBAL threads = {threads}")
            self.threads = threads


@attrs.frozen
class RunStats:
    """What a fragment put out, and what that took. bytes: of Arrow memory.

    usage: of the run alone; what fetched its inputs is not its own.
    """

    rows: int
    bytes: int
    batches: int
    usage: AttemptUsage


class BatchSink(Protocol):
    """Takes a fragment's output; raises FfqError to stop it."""

    def write(self, batch: pa.RecordBatch, /) -> object: ...


class Engine:
    """Runs fragments. Thread-safe: one DuckDB instance for each that runs at a time, as a limit of
    memory is that of an instance; one connection per fragment and part.

    Args:
        settings: bounds of each fragment.
        registry: the custom operators.

    Raises:
        StartupError: DuckDB refuses a setting.
    """

    def __init__(
        self, settings: EngineSettings | None = None, *, registry: OperatorRegistry = REGISTRY
    ) -> None:
        self._registry = registry
        self._settings = EngineSettings() if settings is None else settings
        self._translations = Translations()
        self._lock = threading.Lock()
        self._opened = 0
        # What was used last is used next: few instances keep their memory.
        self._idle: list[_Instance] = []
        with self._instance() as instance:  # a setting that DuckDB refuses is told at the start
            self._memory_bytes = _memory_limit(instance.connection)
        registry.instances.open()

    @property
    def memory_bytes(self) -> int:
        """What each fragment may use, about: as DuckDB says it, who knows the machine."""
        return self._memory_bytes

    def close(self) -> None:
        """No fragment may be running."""
        for instance in self._idle:
            instance.close()
        self._idle.clear()
        self._registry.instances.close()

    @contextmanager
    def _instance(self) -> Iterator[_Instance]:
        """One that nobody else uses meanwhile. Raises StartupError."""
        with self._lock:
            instance = self._idle.pop() if self._idle else None
            number = self._opened
            self._opened += instance is None
        if instance is None:
            instance = _Instance(opened(self._settings, number), self._settings.threads)
        try:
            yield instance
        finally:
            with self._lock:
                self._idle.append(instance)

    def run(
        self,
        spec: FragmentSpec,
        open_sink: Callable[[pa.Schema], BatchSink],
        cancel: CancelToken,
    ) -> RunStats:
        """Run a fragment to its end; blocks the calling thread.

        Args:
            spec: what to run.
            open_sink: called once with the output's schema, before any batch, also for no rows.
                The caller finishes the sink after this returns, and aborts it if this raises.
            cancel: stops it from another thread.

        Raises:
            UnsupportedPlan, PlanningError: the plan cannot run here; names the node.
            StorageError: a file cannot be read; or what the sink raises.
            FileChanged: a file is another one than the query was planned on.
            ShuffleInputError: an input is not readable; or what its reader raises, if FfqError.
            OperatorError: a custom operator failed; names it.
            QueryCanceled: `cancel` was called.
            DataError: what the data does: overflow, division by zero, a cast that cannot be.
            OutOfMemory, DiskError: what this machine lacks.
            ExecutionError: anything else.
        """
        faults = Faults(fragment=spec.fragment)
        rows = size = batches = writing = 0
        began = perf_counter_ns()
        try:
            with self._instance() as instance, ExitStack() as closing:
                instance.use(self._settings.threads_of(spec), left_out=_left_out(spec.fragment))
                run = FragmentRun(
                    instance.connection,
                    instance.kept,
                    spec,
                    self._registry,
                    self._translations,
                    cancel,
                    faults,
                    closing,
                    counted=partial(instance.use, None, left_out=""),
                )
                stream = run.stream(spec.fragment)
                sink = open_sink(stream.schema)
                for batch in stream.batches:
                    cancel.check()
                    before = perf_counter_ns()
                    sink.write(batch)
                    writing += perf_counter_ns() - before
                    rows += batch.num_rows
                    size += batch.nbytes
                    batches += 1
                if changed := _changed(run.read):
                    raise changed
                profile = run.profile()
        except (FfqError, duckdb.Error, pa.ArrowException, OSError) as error:
            cause = self._cause(faults.translate(error, cancel), spec, cancel)
            if cause is error:
                raise
            raise cause from error
        finally:
            # Its traceback holds frames that hold this: a cycle would keep the connections until
            # Python's next full collection.
            faults.first = None
        took = (perf_counter_ns() - began - writing) // 1000
        usage = AttemptUsage(
            input_rows=profile.rows,
            input_bytes=profile.read_bytes,
            output_rows=rows,
            output_bytes=size,
            scan_us=profile.scan_us,
            compute_us=max(0, took - profile.scan_us),
            write_us=writing // 1000,
            spilled_bytes=profile.spilled_bytes,
            peak_memory_bytes=profile.peak_bytes,
        )
        return RunStats(rows, size, batches, usage)

    def _cause(self, error: FfqError, spec: FragmentSpec, cancel: CancelToken) -> FfqError:
        """Why a run failed, by what it was given and by what can be done."""
        if not cancel.canceled:
            given = chain.from_iterable(spec.scans.values())
            error = _changed(given) or error  # then that is why, whatever came of it
        cause = by_table(error, spec)
        if isinstance(cause, OutOfMemory) and self._settings.remedy:
            return OutOfMemory(f"{cause.message}; {self._settings.remedy}")
        return cause


# GLOBAL: a fragment runs on a connection of its own, which takes no settings from this one.
_STATEMENTS: Final = (
    "SET GLOBAL error_on_division_by_zero = true",
    # A constant score is an order that all rows share.
    "SET GLOBAL order_by_non_integer_literal = true",
    # Python variables and files must not answer for table names.
    "SET GLOBAL python_enable_replacements = false",
    # Nothing here relies on the order of rows, and keeping it would cost memory.
    "SET GLOBAL preserve_insertion_order = false",
    # What a timestamp with time zone means must not depend on where the process runs.
    "SET GLOBAL TimeZone = 'UTC'",
    # A fragment must not download code.
    "SET GLOBAL autoinstall_known_extensions = false",
    # A stream says not how many rows it has, and is taken for one of few: joins by < and ASOF joins
    # would compare each row of one side with each of the other.
    "SET GLOBAL asof_loop_join_threshold = 0",
    "SET GLOBAL merge_join_threshold = 0",
    "SET GLOBAL nested_loop_join_threshold = 0",
    # A batch may hold more text than 32-bit offsets reach (see ffq.engine.batches).
    "SET GLOBAL arrow_large_buffer_size = true",
)


def opened(settings: EngineSettings, number: int) -> duckdb.DuckDBPyConnection:
    """The instance of this number, as all of an engine are. Raises StartupError."""
    try:
        connection = duckdb.connect(":memory:", config=_config(settings, number))
        for statement in _STATEMENTS:
            connection.execute(statement)
    except duckdb.Error as error:
        raise StartupError(f"DuckDB cannot start: {error}") from error
    return connection


def _memory_limit(connection: duckdb.DuckDBPyConnection) -> int:
    found = connection.execute("SELECT parse_formatted_bytes(current_setting('memory_limit'))")
    (limit,) = found.fetchall()[0]
    return int(limit)


def _config(
    settings: EngineSettings, number: int
) -> dict[str, str | bool | int | float | list[str]]:
    config: dict[str, str | bool | int | float | list[str]] = {}
    if settings.threads is not None:
        config["threads"] = settings.threads
    if settings.memory_limit is not None:
        config["memory_limit"] = settings.memory_limit
    if settings.temp_directory is not None:
        # Instances name their files alike: each has a folder of its own.
        config["temp_directory"] = str(settings.temp_directory / str(number))
    if settings.spill_limit is not None:
        config["max_temp_directory_size"] = settings.spill_limit
    return config


def _left_out(fragment: Node) -> str | None:
    """Which passes are left out, where it joins streams: it does so in the order that the planner
    of its SQL found.

    The rows of a stream are not counted before they come, and it is taken for one of few: the
    largest tables could be joined first, by whatever key they share. What joins files alone knows
    as much of them as that planner, and finds orders that its own passes make better use of. None:
    nothing is joined in it. Streams of few rows may be counted after all (`FragmentRun`).

    Where files are joined beside streams, each side of that is taken to have all the rows of its
    files, or none: the right one is the one to look rows up in, as it stands.
    """
    if is_plain(fragment):
        return None
    nodes = list(walk_stage(fragment))
    joins = any(isinstance(node, Join) for node in nodes)
    if not (joins and any(isinstance(node, ShuffleRead | Custom) for node in nodes)):
        return ""
    ranged = any(isinstance(node, RangeJoin) and node.match is Match.INNER for node in nodes)
    return f"{_ORDER},{_SIDES}" if ranged else _ORDER


def _is_light(spec: FragmentSpec) -> bool:
    """Whether it is done by one thread before a second one would have started."""
    few = spec.input_bytes is not None and spec.input_bytes <= _LIGHT_BYTES
    return few and not spec.scans and is_plain(spec.fragment)


def _changed(splits: Iterable[ScanSplit]) -> FileChanged | None:
    try:
        confirm_files(splits)
    except FileChanged as error:
        return error
    return None
