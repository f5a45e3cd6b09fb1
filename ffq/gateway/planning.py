"""From plan bytes to a query that can be scheduled: read, cut, bound to the catalog (R1)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, TypeVar, cast

import attrs
import trio

from ffq.catalog import Catalog, ScanSettings, plan_scans
from ffq.core.planning import PLANNER, read_plan
from ffq.engine.stores import check_writable
from ffq.errors import InvalidPlan, InvalidRequest, PlanningError, QuotaExceeded
from ffq.gateway.sql import SqlPlanner
from ffq.messages import AcceptQuery, ListTables, PlanText, ReadPlan, ReadText, SqlPlan
from ffq.plan.casts import write_literal_casts
from ffq.plan.codec import dump_plan
from ffq.plan.codec.cursor import check_size
from ffq.plan.limits import PlanLimits
from ffq.plan.model import Commit, ParquetWrite, WithTables
from ffq.plan.recent import graph_of
from ffq.plan.stages import cut
from ffq.plan.vectors import with_exact_search
from ffq.plan.writes import accepted_write
from ffq.runtime.message import Request

R = TypeVar("R")
_INTEGER: Final = b'"Int64"'
_ASSUMED_SLOTS: Final = 8
"""Where no worker is there yet: more tasks than slots cost little, fewer leave slots idle."""


class QueryPlanner:
    """Plans queries on worker threads: a large plan holds up nobody's heartbeat.

    Args:
        catalog: the coordinator's tables; None leaves all tables to the workers.
        sql: plans texts; None: they are refused.
        client_tables: whether plans may bring tables of their own.
        threads: plans read at a time; further submissions wait.
        max_waiting: how many may wait, each with its plan in memory; more are refused (R30).
    """

    def __init__(
        self,
        catalog: Catalog | None,
        scans: ScanSettings,
        limits: PlanLimits,
        sql: SqlPlanner | None = None,
        *,
        client_tables: bool = True,
        threads: int = 2,
        max_waiting: int = 64,
    ) -> None:
        self._catalog = catalog
        self._sql = sql
        self._client_tables = client_tables
        self._scans = scans
        self._limits = limits
        self._work: dict[type, Callable[[Any], Any]] = {**PLANNER, ReadPlan: self._read}
        self._threads = trio.CapacityLimiter(threads)
        self._max_waiting = max_waiting

    async def ask(self, message: Request[R]) -> R:
        """As `Planner.ask`.

        Raises InvalidPlan, PlanningError, UnsupportedPlan, StorageError, QuotaExceeded.
        """
        asked: Any = message
        if self._sql is not None and isinstance(asked, PlanText):
            planned: Any = await self._sql.plan(asked.asked, asked.cluster)
            return cast("R", planned)
        if self._sql is not None and isinstance(asked, ReadText):
            read_of = partial(self._read_of, asked)
            read: Any = await self._sql.plan_then(read_of, asked.asked, asked.cluster)
            return cast("R", read)
        if isinstance(asked, ListTables):
            names: R = () if self._catalog is None else self._catalog.names()  # type: ignore[assignment]
            return names
        if self._threads.statistics().tasks_waiting >= self._max_waiting:
            raise QuotaExceeded(
                f"{self._max_waiting} plans wait to be read: submit {asked.query_id} again later"
            )
        work = self._work[type(message)]
        reply: R = await trio.to_thread.run_sync(
            work, asked, limiter=self._threads, abandon_on_cancel=True
        )
        return reply

    def _read_of(self, message: ReadText, planned: SqlPlan) -> AcceptQuery:
        return self._read(
            ReadPlan(message.query_id, planned.plan_bytes, message.timeouts, message.cluster)
        )

    def _read(self, message: ReadPlan) -> AcceptQuery:
        query = read_plan(message, self._limits)
        self._check_inline(query)
        catalog = self._tables_of(query)
        query = self._with_write_id(query, catalog)
        if catalog is None:
            return query
        query = self._with_exact_search(query, catalog)
        slots = message.cluster.slots or _ASSUMED_SLOTS
        scans = plan_scans(query.graph, catalog, self._scans, slots)
        return attrs.evolve(self._with_casts(query, catalog), scans=scans)

    def _tables_of(self, query: AcceptQuery) -> Catalog | None:
        """The coordinator's tables, and before them those that the plan brings.

        Raises PlanningError: it brings what is none, or may bring none at all.
        """
        root = query.graph.stages[0].fragment
        if not isinstance(root, WithTables) or not root.tables:
            return self._catalog
        try:
            brought = Catalog.of(()).over(root.tables)
        except InvalidRequest as error:
            raise PlanningError(f"plan.ffq.WithTables: {error.message}") from None
        if not self._client_tables:
            raise _takes_none(brought.names())
        return brought if self._catalog is None else self._catalog.over(root.tables)

    def _check_inline(self, query: AcceptQuery) -> None:
        """Raises PlanningError: it brings rows that cannot be read, or may bring none at all."""
        root = query.graph.stages[0].fragment
        brought = root.inline if isinstance(root, WithTables) else ()
        if brought and not self._client_tables:
            raise _takes_none(each.name for each in brought)
        if brought:
            from ffq.engine.inline import check_inline  # noqa: PLC0415  # DuckDB, for few plans

            for each in brought:
                check_inline(each)

    def _with_exact_search(self, query: AcceptQuery, catalog: Catalog) -> AcceptQuery:
        """Vector search as nodes that workers run. The digest stays, as with casts."""
        plan = query.graph.stages[0].fragment
        exact = with_exact_search(plan, catalog.vector_table)
        if exact is plan:
            return query
        try:
            written = dump_plan(exact, limits=self._limits)
            check_size(written, self._limits)
        except InvalidPlan as error:
            raise InvalidPlan(f"with its vector search as exact search {error.message}") from None
        graph = graph_of(written, self._limits)
        return attrs.evolve(query, plan_bytes=written, graph=graph)

    def _with_write_id(self, query: AcceptQuery, catalog: Catalog | None) -> AcceptQuery:
        """A write is told from all others by an id that it is given here, once (docs/writing.md).

        A ParquetWrite into a table that no catalog here knows is left to other implementations.
        """
        root = query.graph.stages[0].fragment
        plan = root.input if isinstance(root, WithTables) else root
        if isinstance(plan, ParquetWrite) and (catalog is None or plan.table not in catalog):
            return query
        accepted = accepted_write(plan, (catalog or Catalog.of(())).folder_of, _write_id())
        if isinstance(accepted, Commit) and "://" in accepted.target.path:
            check_writable(accepted.target.path)
        if isinstance(plan, Commit) and not self._client_tables:
            raise PlanningError(
                f"this coordinator writes to no path that a client names, and so not to "
                f"{plan.target.path!r}"
            )
        if accepted is plan:
            return query
        if isinstance(root, WithTables):
            accepted = attrs.evolve(root, input=accepted)
        written = dump_plan(accepted, limits=self._limits)
        check_size(written, self._limits)
        return attrs.evolve(query, plan_bytes=written, graph=cut(accepted, limits=self._limits))

    def _with_casts(self, query: AcceptQuery, catalog: Catalog) -> AcceptQuery:
        """What planners leave to analyzers: strict engines compute on operands of one type only.

        The digest stays that of the plan as it was submitted (R1).
        """
        if _INTEGER not in query.plan_bytes:
            return query
        plan = query.graph.stages[0].fragment
        written = write_literal_casts(
            query.plan_bytes, plan, catalog.schema_of, limits=self._limits
        )
        if written is query.plan_bytes:
            return query
        graph = graph_of(written, self._limits)
        return attrs.evolve(query, plan_bytes=written, graph=graph)


def _takes_none(names: Iterable[str]) -> PlanningError:
    return PlanningError(
        f"this coordinator takes no tables from clients, and so not {', '.join(names)}"
    )


def _write_id() -> str:
    return secrets.token_hex(8)
