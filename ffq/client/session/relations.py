"""Relations of a session: what programs build, and how they ask for the rows."""

from __future__ import annotations

import html
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

import pyarrow as pa

from ffq.client.session.core import RunOptions
from ffq.client.session.frames import to_pandas, to_polars
from ffq.client.session.tables import Place, absolute
from ffq.client.watching import Progress
from ffq.display.results import html_of, text_of
from ffq.errors import FfqError, InvalidRequest, words
from ffq.messages import NO_TIMEOUTS, Timeouts
from ffq.plan.builder import WriteHow
from ffq.relation.builder import LazyRelation
from ffq.relation.copies import Copy, OptionValue, copy_to
from ffq.relation.steps import Cut, Step

SHOWN_ROWS: Final = 20

N_co = TypeVar("N_co", covariant=True)


class Writes(ABC, Generic[N_co]):
    """Has the workers write rows to files; `N_co`: how many, or what gives that when awaited."""

    def write_parquet(
        self,
        path: Place,
        *,
        partition_by: str | Iterable[str] = (),
        mode: WriteHow = "create",
        timeouts: Timeouts = NO_TIMEOUTS,
        **options: OptionValue,
    ) -> N_co:
        """Have the workers write the rows to Parquet files; how many.

        None of them passes through this process. All files become visible at once, when the query
        succeeds (docs/writing.md).

        Args:
            path: as the workers see it, or a URI (`s3://lake/out`); a relative one is meant from
                this process's folder. With a suffix (`.parquet`) and no `partition_by` it is one
                file, else a folder.
            partition_by: columns that become folders `name=value`.
            mode: "create": nothing may be there. "append": to a folder. "replace": what is there.
            options: of the format, as those of COPY, in lower case: `compression="zstd"`.

        Returns:
            The number of rows.

        Raises:
            InvalidRequest: a path, mode or option that cannot be one.
            QueryFailed: something is there already, or cannot be written; nothing is left then.
        """
        return self._write(_copy("parquet", path, partition_by, mode, options), timeouts)

    def write_csv(
        self,
        path: Place,
        *,
        partition_by: str | Iterable[str] = (),
        mode: WriteHow = "create",
        timeouts: Timeouts = NO_TIMEOUTS,
        **options: OptionValue,
    ) -> N_co:
        """As `write_parquet`, to CSV files."""
        return self._write(_copy("csv", path, partition_by, mode, options), timeouts)

    def write_json(
        self,
        path: Place,
        *,
        partition_by: str | Iterable[str] = (),
        mode: WriteHow = "create",
        timeouts: Timeouts = NO_TIMEOUTS,
        **options: OptionValue,
    ) -> N_co:
        """As `write_parquet`, to files with a JSON object on each line."""
        return self._write(_copy("json", path, partition_by, mode, options), timeouts)

    @abstractmethod
    def _write(self, copy: Copy, timeouts: Timeouts) -> N_co: ...


class Batches(Protocol):
    """Batches as they come: an iterator, which `close` ends early."""

    @property
    def schema(self) -> pa.Schema:
        """It is waited for. Raises what the query failed with."""
        ...

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...

    def __next__(self) -> pa.RecordBatch: ...

    def close(self) -> None:
        """No more of them are wanted; the query is canceled."""


class BlockingRunner(Protocol):
    """Runs steps, and waits for what comes of them."""

    def collect_step(self, step: Step, options: RunOptions) -> pa.Table: ...

    def write_step(self, step: Step, copy: Copy, options: RunOptions) -> int: ...

    def stream_step(self, step: Step, options: RunOptions) -> Batches: ...

    def describe_step(self, step: Step) -> tuple[tuple[str, str], ...]: ...

    def explain_step(self, step: Step) -> str: ...


class Relation(LazyRelation[BlockingRunner], Writes[int]):
    """Rows that a query would give, in a program that waits for them.

    Whatever asks for rows raises what planning and running the query raise: InvalidPlan,
    PlanningError, UnsupportedPlan, StorageError, QueryFailed, QueryCanceled, Unavailable.
    """

    _columns: tuple[tuple[str, str], ...] | None = None

    def collect(
        self, *, timeouts: Timeouts = NO_TIMEOUTS, progress: Progress | None = None
    ) -> pa.Table:
        """All rows.

        Args:
            timeouts: of the query, and of each attempt of its tasks, in ms; the coordinator keeps
                them.
            progress: told each status that differs from the one before, on the session's thread.

        Raises:
            QueryFailed: also past a timeout.
            QueryCanceled: by somebody else.
        """
        return self._session.collect_step(self._step, _options(timeouts, progress))

    def stream(
        self, *, timeouts: Timeouts = NO_TIMEOUTS, progress: Progress | None = None
    ) -> Batches:
        """The rows batch by batch, as they come: few of them are in memory at a time.

        What the query fails with is raised where batches are taken.
        """
        return self._session.stream_step(self._step, _options(timeouts, progress))

    def _write(self, copy: Copy, timeouts: Timeouts) -> int:
        return self._session.write_step(self._step, copy, _options(timeouts, None))

    def to_pandas(self, *, timeouts: Timeouts = NO_TIMEOUTS) -> Any:
        """All rows, a pandas.DataFrame. Raises StartupError: pandas is not installed."""
        return to_pandas(self.collect(timeouts=timeouts))

    def to_polars(self, *, timeouts: Timeouts = NO_TIMEOUTS) -> Any:
        """All rows, a polars.DataFrame. Raises StartupError: Polars is not installed."""
        return to_polars(self.collect(timeouts=timeouts))

    def show(self, rows: int = SHOWN_ROWS) -> None:
        """Print the first rows, aligned. Raises InvalidRequest: no number of rows."""
        shown, more = self._first(rows)
        sys.stdout.write(text_of(shown, max_rows=rows, more=more) + "\n")

    def collect_schema(self) -> dict[str, str]:
        """The types of its columns, in SQL's words, by their names."""
        if self._columns is None:
            self._columns = self._session.describe_step(self._step)
        return dict(self._columns)

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.collect_schema())

    def explain(self) -> str:
        """The plan: stages, and the nodes that their tasks run."""
        return self._session.explain_step(self._step)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """For whatever takes Arrow streams: pandas, Polars, DuckDB, pyarrow."""
        batches = self.stream()
        reader = pa.RecordBatchReader.from_batches(batches.schema, batches)
        return reader.__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        """What notebooks show: the first rows."""
        try:
            shown, more = self._first(SHOWN_ROWS)
            return html_of(shown, max_rows=SHOWN_ROWS, more=more)
        except FfqError as error:
            return f"<pre>{html.escape(error.message)}</pre>"

    def _first(self, rows: int) -> tuple[pa.Table, bool]:
        """So many rows, and whether there are more."""
        self.limit(rows)  # says what is no number of rows
        found = self._session.collect_step(Cut(self._step, rows + 1, 0), RunOptions())
        return found.slice(0, rows), found.num_rows > rows


class AsyncBatches(Protocol):
    """Batches as they come. Leaving the `async with` ends them early."""

    async def schema(self) -> pa.Schema:
        """Raises what the query failed with."""
        ...

    def __aiter__(self) -> AsyncBatches: ...

    async def __anext__(self) -> pa.RecordBatch: ...

    async def __aenter__(self) -> AsyncBatches: ...

    async def __aexit__(self, *_: object) -> None: ...


class AsyncRunner(Protocol):
    """As `BlockingRunner`, for programs of Trio or of asyncio."""

    async def collect_step(self, step: Step, options: RunOptions) -> pa.Table: ...

    async def write_step(self, step: Step, copy: Copy, options: RunOptions) -> int: ...

    def stream_step(self, step: Step, options: RunOptions) -> AsyncBatches: ...

    async def describe_step(self, step: Step) -> tuple[tuple[str, str], ...]: ...

    async def explain_step(self, step: Step) -> str: ...


class AsyncRelation(LazyRelation[AsyncRunner], Writes[Coroutine[Any, Any, int]]):
    """As `Relation`, for programs of Trio or of asyncio: what asks for rows is awaited."""

    async def collect(
        self, *, timeouts: Timeouts = NO_TIMEOUTS, progress: Progress | None = None
    ) -> pa.Table:
        """As `Relation.collect`. Cancelled, it cancels the query."""
        return await self._session.collect_step(self._step, _options(timeouts, progress))

    def stream(
        self, *, timeouts: Timeouts = NO_TIMEOUTS, progress: Progress | None = None
    ) -> AsyncBatches:
        """`async with relation.stream() as batches: async for batch in batches: …`"""
        return self._session.stream_step(self._step, _options(timeouts, progress))

    async def _write(self, copy: Copy, timeouts: Timeouts) -> int:
        return await self._session.write_step(self._step, copy, _options(timeouts, None))

    async def to_pandas(self, *, timeouts: Timeouts = NO_TIMEOUTS) -> Any:
        """All rows, a pandas.DataFrame. Raises StartupError: pandas is not installed."""
        return to_pandas(await self.collect(timeouts=timeouts))

    async def to_polars(self, *, timeouts: Timeouts = NO_TIMEOUTS) -> Any:
        """All rows, a polars.DataFrame. Raises StartupError: Polars is not installed."""
        return to_polars(await self.collect(timeouts=timeouts))

    async def collect_schema(self) -> dict[str, str]:
        """The types of its columns, in SQL's words, by their names."""
        return dict(await self._session.describe_step(self._step))

    async def explain(self) -> str:
        """The plan: stages, and the nodes that their tasks run."""
        return await self._session.explain_step(self._step)


def _options(timeouts: Timeouts, progress: Progress | None) -> RunOptions:
    if not isinstance(timeouts, Timeouts):
        raise InvalidRequest(
            f"timeouts: {words(timeouts, 40)}; right would be ffq.Timeouts(query_ms=60_000)"
        )
    return RunOptions(timeouts, progress)


def _copy(
    format_: str,
    path: Place,
    partition_by: str | Iterable[str],
    mode: WriteHow,
    options: Mapping[str, OptionValue],
) -> Copy:
    place = os.fspath(path) if isinstance(path, os.PathLike) else path
    target = absolute(f"write_{format_}", place)
    return copy_to(target, format_, partition_by, mode, options)
