"""The engine of one process: runs fragments on DuckDB, several at once on threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns
from typing import Final, Protocol

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.engine.faults import Faults
from ffq.engine.fragment_run import FragmentRun, FragmentSpec
from ffq.engine.operators import REGISTRY, OperatorRegistry
from ffq.engine.scans import confirm_files
from ffq.errors import FfqError, FileChanged, StartupError
from ffq.messages import AttemptUsage

ENGINE_FAMILY: Final = "ffq-duckdb-3"
"""Engines of one family can share a query: same hash, same partial states (R31)."""


@attrs.frozen
class EngineSettings:
    """threads: of DuckDB, shared by all fragments. memory_limit: in DuckDB's words, as "4GB"."""

    threads: int | None = None
    memory_limit: str | None = None
    temp_directory: Path | None = None


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
    """Runs fragments. Thread-safe: one DuckDB instance, one connection per fragment and part.

    Args:
        settings: bounds for all fragments together.
        registry: the custom operators.

    Raises:
        StartupError: DuckDB refuses a setting.
    """

    def __init__(
        self, settings: EngineSettings | None = None, *, registry: OperatorRegistry = REGISTRY
    ) -> None:
        self._registry = registry
        try:
            self._connection = duckdb.connect(":memory:", config=_config(settings))
            for statement in _STATEMENTS:
                self._connection.execute(statement)
        except duckdb.Error as error:
            raise StartupError(f"DuckDB cannot start: {error}") from error
        registry.instances.open()

    def close(self) -> None:
        """No fragment may be running."""
        self._connection.close()
        self._registry.instances.close()

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
        faults = Faults()
        rows = size = batches = writing = 0
        began = perf_counter_ns()
        try:
            with ExitStack() as closing:
                run = FragmentRun(self._connection, spec, self._registry, cancel, faults, closing)
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
                if changed := _changed(spec):
                    raise changed
                profile = run.profile()
        except (FfqError, duckdb.Error, pa.ArrowException, OSError) as error:
            cause = faults.translate(error, cancel)
            if not cancel.canceled:
                cause = _changed(spec) or cause  # then that is why, whatever came of it
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
    # A batch may hold more text than 32-bit offsets reach (see ffq.engine.batches).
    "SET GLOBAL arrow_large_buffer_size = true",
)


def _config(settings: EngineSettings | None) -> dict[str, str | bool | int | float | list[str]]:
    config: dict[str, str | bool | int | float | list[str]] = {}
    if settings is None:
        return config
    if settings.threads is not None:
        config["threads"] = settings.threads
    if settings.memory_limit is not None:
        config["memory_limit"] = settings.memory_limit
    if settings.temp_directory is not None:
        config["temp_directory"] = str(settings.temp_directory)
    return config


def _changed(spec: FragmentSpec) -> FileChanged | None:
    try:
        confirm_files(split for splits in spec.scans.values() for split in splits)
    except FileChanged as error:
        return error
    return None
