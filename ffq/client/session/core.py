"""A session on Trio: what the sessions of other programs are made of too."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import attrs
import pyarrow as pa
import trio

from ffq.client.client import Client, QueryHandle
from ffq.client.connecting import require_trio
from ffq.client.conversions import PlanLike, TableLike, plan_bytes
from ffq.client.operators import check_somebody_has, may_call_operators, wanted_operators
from ffq.client.session import inline
from ffq.client.session.embedded import EmbeddedCluster, open_embedded
from ffq.client.session.faulty import PLAN_FAULTS, of_step
from ffq.client.session.settings import SessionSettings
from ffq.client.session.streams import BatchFeed
from ffq.client.session.tables import (
    TableDefinition,
    arrow_reader,
    checked_name,
    defined,
    is_places,
    key_of,
    write_parquet_file,
)
from ffq.client.ungrouped import ungrouped
from ffq.client.watching import Progress
from ffq.display.progress import seen
from ffq.errors import InvalidQuery, InvalidRequest
from ffq.messages import NO_TIMEOUTS, PlanSql, SqlPlan, Timeouts
from ffq.plan.codec import parse_plan
from ffq.plan.explain import Estimate, explain_stages
from ffq.plan.inline import InlineTable
from ffq.plan.stages import cut
from ffq.relation.copies import Copy
from ffq.relation.steps import Leaf, Mapped, Query, Step, Table, leaves, with_leaves
from ffq.relation.writing import statement
from ffq.rpc.client import open_channel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.options import DEFAULT_OPTIONS
from ffq.service import Coordinator
from ffq.sql.constants import with_constants
from ffq.sql.kinds import StatementKind, statement_kind
from ffq.sql.parameters import Parameters, load_parameters
from ffq.sql.pivots import unlisted_pivots
from ffq.sql.text import placeless
from ffq.threads import run_blocking

CoreT = TypeVar("CoreT", bound="SessionCore")
T = TypeVar("T")
Registered: TypeAlias = TableDefinition | InlineTable
UseText: TypeAlias = Callable[[str, "Parameters | None", "Iterable[Registered]"], Awaitable[T]]


@attrs.frozen
class RunOptions:
    """How one query is run.

    Attributes:
        progress: told each status that differs from the one before.
    """

    timeouts: Timeouts = NO_TIMEOUTS
    progress: Progress | None = None


class SessionCore(Client):
    """A client that has tables and knows SQL. Made by `open_session`."""

    def __init__(
        self,
        coordinator: Coordinator,
        settings: SessionSettings,
        endpoint: str,
        cluster: EmbeddedCluster | None,
        tasks: trio.Nursery,
    ) -> None:
        super().__init__(
            coordinator,
            timeout_ms=settings.timeout_ms,
            poll_ms=settings.poll_ms,
            endpoint=endpoint,
            one_call=True,
        )
        self.endpoint = endpoint
        self._settings = settings
        self._cluster = cluster
        self._tasks = tasks
        self._definitions: dict[str, Registered] = {}
        self._numbers = itertools.count(1)
        self._queries = 0
        self._unused: list[Path] = []

    async def submit(
        self, plan: PlanLike, query_id: str | None = None, *, timeouts: Timeouts = NO_TIMEOUTS
    ) -> QueryHandle:
        """As `Client.submit`. Raises PlanningError: nobody here has one of the plan's operators."""
        data = plan_bytes(plan)
        if self._cluster is not None and (wanted := wanted_operators(data)):
            workers = await self.workers()
            if missing := wanted.difference(*(worker.capabilities for worker in workers)):
                await self._cluster.need(missing)
                check_somebody_has(missing, workers, "session")
        return await super().submit(data, query_id, timeouts=timeouts)

    def _goes_in_one_call(self, work: PlanSql | bytes) -> bool:
        """An operator may need a worker here before its query is submitted."""
        if self._cluster is None:
            return super()._goes_in_one_call(work)
        if isinstance(work, PlanSql):
            return not may_call_operators(work.sql)
        return not wanted_operators(work)

    def processes(self) -> dict[str, int]:
        """Ids of the embedded cluster's worker processes, by the names of the workers."""
        return {} if self._cluster is None else self._cluster.processes()

    # Tables.

    async def register(
        self, name: str, what: Any, *, format: str | None = None, **options: object
    ) -> None:
        """Give a table its rows, in place of those that it had.

        Args:
            what: paths, folders, globs, as text, `Path` or a list of these; or data: anything of
                Arrow's, a pandas or Polars DataFrame, a dict of columns. Data is copied; over a
                coordinator somewhere else it goes with each query that reads it, and may have up
                to 2 MiB as Parquet.
            format: of the files: parquet, csv or json; None: what their names say.
            options: of the files' format.

        Raises:
            InvalidRequest: no name, no place, no data, or too much of it.
            StorageError: the disk.
        """
        checked_name(name)
        definition: Registered
        if is_places(what):
            definition = defined(name, what, format, options)
        elif format is not None or options:
            raise InvalidRequest(f"table {name!r}: format and options are of files, not of data")
        else:
            definition = await self._copied(name, what)
        self._replace(key_of(name), definition)

    async def unregister(self, name: str) -> None:
        """Raises InvalidRequest: no such table."""
        if key_of(checked_name(name)) not in self._definitions:
            listed = ", ".join(await self.tables()) or "none"
            raise InvalidRequest(f"no table {name!r} is registered; there are: {listed}")
        self._replace(key_of(name), None)

    async def tables(self) -> tuple[str, ...]:
        """The names of those that are registered, in their order, then the coordinator's."""
        own = tuple(each.name for each in self._definitions.values())
        return own + tuple(
            name for name in await super().tables() if key_of(name) not in self._definitions
        )

    async def _copied(self, name: str, data: Any) -> Registered:
        if self._cluster is None:
            return await run_blocking(inline.inline_table, name, data)
        folder = self._cluster.folder / "tables"
        path = folder / f"{next(self._numbers)}.parquet"

        def write() -> None:
            folder.mkdir(exist_ok=True)
            write_parquet_file(name, arrow_reader(name, data), path)

        await run_blocking(write)
        return TableDefinition(name, (str(path),), "parquet")

    def _replace(self, key: str, definition: Registered | None) -> None:
        old = self._definitions.pop(key, None)
        if definition is not None:
            self._definitions[key] = definition
        if isinstance(old, TableDefinition) and self._cluster is not None:
            own = (Path(path) for path in old.paths)
            self._unused += (path for path in own if path.is_relative_to(self._cluster.folder))
            self._remove_unused()

    def _remove_unused(self) -> None:
        """What queries read that began before stays for them."""
        if self._queries == 0:
            while self._unused:
                self._unused.pop().unlink(missing_ok=True)

    # Queries.

    async def plan_step(self, step: Step, copy: Copy | None = None) -> SqlPlan:
        """
        Args:
            copy: where its rows go; None: they are the result.

        Raises:
            InvalidQuery, PlanningError, UnsupportedPlan: of one step of several it is named.
            PlanningLimit, StorageError.
        """
        async with self._faults_named(step, copy):
            return await self._planned(step, copy)

    @asynccontextmanager
    async def _faults_named(self, step: Step, copy: Copy | None) -> AsyncIterator[None]:
        """What is raised of a step's plan says which step it is of."""
        try:
            yield
        except PLAN_FAULTS as error:
            if copy is not None and not await self._fails(step):
                raise
            raise await of_step(error, step, self._fails) from None

    async def _fails(self, step: Step) -> bool:
        try:
            await self._planned(step, None)
        except PLAN_FAULTS:
            return True
        return False

    async def _planned(self, step: Step, copy: Copy | None) -> SqlPlan:
        return await self._with_text(step, copy, self._planned_text)

    async def _with_text(self, step: Step, copy: Copy | None, use: UseText[T]) -> T:
        """What `use` makes of its text, the values in that, and the tables that it may read."""
        tables = dict(self._definitions)
        for leaf in leaves(step):
            if isinstance(leaf, Table) and isinstance(leaf.source, TableDefinition):
                tables[key_of(leaf.name)] = leaf.source
        parameters = None
        if isinstance(step, Query):
            text, parameters = step.text, load_parameters(step.parameters)
        else:
            text = await self._text_of(step, tables.values())
        if copy is not None:
            if isinstance(step, Query):
                await run_blocking(_check_has_rows, text)
            text = copy.statement(text)
        own = isinstance(step, Query) and copy is None
        with nullcontext() if own else placeless():
            return await use(text, parameters, tables.values())

    async def _planned_text(
        self, text: str, parameters: Parameters | None, tables: Iterable[Registered]
    ) -> SqlPlan:
        files, brought = _brought(tables, text)
        return await self.plan_sql(text, parameters, tables=files, inline=brought)

    async def describe_step(self, step: Step) -> tuple[tuple[str, str], ...]:
        """Names and types of its columns. Raises as `plan_step`."""
        columns = (await self.plan_step(step)).columns
        return tuple((column.name, column.type) for column in columns)

    async def explain_step(self, step: Step) -> str:
        """Raises as `plan_step`."""
        planned = await self.plan_step(step)
        sizes = {one.name: Estimate(one.rows, one.bytes) for one in planned.sizes}
        stages = explain_stages(cut(parse_plan(planned.plan_bytes)), sizes)
        return "\n\n".join([stages, *(["\n".join(planned.choices)] if planned.choices else [])])

    async def collect_step(self, step: Step, options: RunOptions) -> pa.Table:
        """Raises as `plan_step` and `Client.run`."""
        with self._counted(), self._progress(options) as progress:

            async def run(
                text: str, parameters: Parameters | None, tables: Iterable[Registered]
            ) -> pa.Table:
                brought = _brought(tables, text)
                return await self._run_sql(text, parameters, *brought, progress, options.timeouts)

            async with self._faults_named(step, None):
                return await self._with_text(step, None, run)

    async def write_step(self, step: Step, copy: Copy, options: RunOptions) -> int:
        """Its rows into files; how many. Raises as `plan_step` and `Client.run`."""
        with self._counted(), self._progress(options) as progress:
            planned = await self.plan_step(step, copy)
            result = await self.run(planned.plan_bytes, progress, timeouts=options.timeouts)
        count: int = result["Count"][0].as_py()
        return count

    async def feed_step(self, step: Step, options: RunOptions) -> BatchFeed:
        """Its batches, as they come. Errors are raised where they are taken."""
        feed = BatchFeed()
        self._tasks.start_soon(feed.run, partial(self._feed, step, options))
        return feed

    async def _feed(self, step: Step, options: RunOptions, pump: Any) -> None:
        async def read(handle: QueryHandle) -> None:
            async with self.chunks(handle) as chunks:
                await pump(chunks)

        with self._counted(), self._progress(options) as progress:
            planned = await self.plan_step(step)
            await self.run_using(planned.plan_bytes, read, progress, timeouts=options.timeouts)

    async def _text_of(self, step: Step, tables: Collection[Registered]) -> str:
        """Its columns are asked for where its tables and queries are: of these alone."""
        bound: dict[Leaf, Leaf] = {}
        known: dict[Leaf, tuple[str, ...]] = {}
        for leaf in leaves(step):
            plain: Leaf = leaf
            if isinstance(leaf, Query):
                await run_blocking(_check_has_rows, leaf.text)
            if isinstance(leaf, Mapped):
                plain = attrs.evolve(leaf, input=with_leaves(leaf.input, bound))
            elif isinstance(leaf, Query) and leaf.parameters:
                plain = Query(await run_blocking(with_constants, leaf.text, leaf.parameters))
            text = statement(plain, {**known, plain: ()})
            with nullcontext() if isinstance(leaf, Query) else placeless():
                planned = await self._planned_text(text, None, tables)
            bound[leaf] = plain
            known[plain] = tuple(column.name for column in planned.columns)
        return statement(with_leaves(step, bound), known)

    @contextmanager
    def _progress(self, options: RunOptions) -> Iterator[Progress | None]:
        """The query's own, or the session's."""
        if options.progress is not None:
            yield options.progress
        else:
            with seen(self._settings.progress) as report:
                yield report

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._queries += 1
        try:
            yield
        finally:
            self._queries -= 1
            self._remove_unused()


def _brought(
    tables: Iterable[Registered], text: str
) -> tuple[dict[str, TableLike], tuple[InlineTable, ...]]:
    """What goes with a query of this text: the tables of files, and those of rows."""
    given = tuple(tables)
    files: dict[str, TableLike] = {
        each.name: each.entry() for each in given if isinstance(each, TableDefinition)
    }
    return files, inline.brought((t for t in given if isinstance(t, InlineTable)), text)


def _check_has_rows(sql: str) -> None:
    """Raises InvalidQuery: a statement that writes, of which nothing can be made."""
    if unlisted_pivots(sql) is not None:
        return  # a query, of which the engine makes several statements
    kind = statement_kind(sql)
    if kind in {StatementKind.COPY, StatementKind.INSERT}:
        raise InvalidQuery(
            f"{kind.value} writes rows and gives none to go on with; right would be collect(), "
            "which runs it and tells how many"
        )


@asynccontextmanager
async def open_core(settings: SessionSettings, make: Callable[..., CoreT]) -> AsyncIterator[CoreT]:
    """A session of the class `make`, over the coordinator or the cluster that the settings say.

    Raises:
        InvalidRequest: this is not Trio.
        StartupError: the embedded cluster does not start.
    """
    require_trio("ffq.connect")
    async with ungrouped(_opened(settings, make), "session") as core:
        yield core


@asynccontextmanager
async def _opened(settings: SessionSettings, make: Callable[..., CoreT]) -> AsyncIterator[CoreT]:
    if settings.endpoint is not None:
        async with (
            open_channel(settings.endpoint, DEFAULT_OPTIONS) as channel,
            _made(make, RemoteCoordinator(channel), settings, channel.endpoint, None) as core,
        ):
            yield core
        return
    async with (
        open_embedded(settings.embedded) as cluster,
        _made(make, cluster.coordinator, settings, cluster.endpoint, cluster) as core,
    ):
        yield core


@asynccontextmanager
async def _made(
    make: Callable[..., CoreT],
    coordinator: Coordinator,
    settings: SessionSettings,
    endpoint: str,
    cluster: EmbeddedCluster | None,
) -> AsyncIterator[CoreT]:
    async with trio.open_nursery() as tasks:
        yield make(coordinator, settings, endpoint, cluster, tasks)
        tasks.cancel_scope.cancel()
