"""The client: submits queries, watches them, fetches their results."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import attrs
import pyarrow as pa
import trio

from ffq.client.batches import ResultBatches
from ffq.client.conversions import PlanLike, TableLike, plan_bytes, table_of
from ffq.client.pivots import PivotPlanner
from ffq.client.texts import place_shown, plan_message
from ffq.client.watching import LONGEST_SILENCE_S, Follower, Progress, Told
from ffq.core.settings import MAX_MS
from ffq.errors import (
    CallerError,
    FfqError,
    InvalidRequest,
    PlanConflict,
    QueryCanceled,
    QueryFailed,
    UnknownId,
    words,
)
from ffq.ids import QueryId, parse_query_id, parse_worker_id
from ffq.messages import (
    NO_TIMEOUTS,
    AttemptStatus,
    CancelQuery,
    DrainWorker,
    FetchQueryResults,
    GetQueryStatus,
    ListAttempts,
    ListQueries,
    ListTables,
    ListWorkers,
    PlanSql,
    QueryState,
    QueryStatus,
    QueryUpdate,
    Rpc,
    RunQuery,
    SqlPlan,
    StreamRpc,
    SubmitQuery,
    Timeouts,
    WorkerStatus,
)
from ffq.plan.inline import InlineTable
from ffq.proto.rows import row_of
from ffq.retry import RetryPolicy, until_answered
from ffq.rpc.chunks import InMemory
from ffq.service import Coordinator
from ffq.sql.parameters import Parameters
from ffq.sql.pivots import unlisted_pivots

R = TypeVar("R")
T = TypeVar("T")
_MAX_DEFAULT_ID = 2**64 - 1
_QUOTA_TRIES = 10
_CANCEL_GRACE_S = 1.0
_MIN_ANSWER_MS = 1_000
"""However little patience there is: a busy coordinator is not an absent one."""


@attrs.frozen
class QueryHandle:
    """One query at one coordinator. `str(handle)` is its id."""

    client: Client = attrs.field(repr=False)
    query_id: QueryId
    _result: bytes | None = attrs.field(default=None, repr=False, eq=False)

    def __str__(self) -> str:
        return self.query_id

    async def status(self) -> QueryStatus:
        """State, message, times in unix ms, stages. Raises UnknownId, Unavailable."""
        return await self.client.status(self)

    async def wait(self, progress: Progress | None = None) -> QueryStatus:
        """As `Client.wait`."""
        return await self.client.wait(self, progress)

    async def fetch(self) -> pa.Table:
        """As `Client.fetch`."""
        return await self.client.fetch(self)

    async def result(self, progress: Progress | None = None) -> pa.Table:
        """Wait, then fetch: all rows. Raises as `Client.wait` and `Client.fetch`."""
        return await self.client.fetch(await self.client.finished(self, progress))

    @property
    def small_result(self) -> bytes | None:
        """Its result as an Arrow IPC stream, where it came along when it was waited for."""
        return self._result

    async def cancel(self, reason: str = "canceled by the client") -> QueryState:
        """The state after that: CANCELED, or how it had ended. Raises UnknownId, Unavailable."""
        return await self.client.cancel(self, reason)

    async def attempts(self) -> tuple[AttemptStatus, ...]:
        """Of its tasks: worker, state, times in unix ms. Raises UnknownId, Unavailable."""
        return await self.client.attempts(self)


QueryLike: TypeAlias = str | QueryHandle


class Client:
    """Calls one coordinator.

    Every call waits up to `timeout_ms` for a coordinator that cannot be reached, trying again with
    backoff, and then raises Unavailable. One that was reached and does not answer counts as away
    after the same time (but for `submit` and `plan_sql`, which may take long, and `fetch`). Calls
    that change something may be repeated safely: a query keeps the id it was given before the
    first try (R1).

    Args:
        coordinator: whom to ask.
        timeout_ms: patience with an absent coordinator.
        poll_ms: between two looks at a query that `wait` waits for, where the coordinator does not
            tell by itself.
        endpoint: what errors call it.
        one_call: whether a query is planned, submitted and watched in one call, where the
            coordinator knows such calls.

    Raises:
        InvalidRequest: a time that is negative, or no number of ms at all.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        timeout_ms: int = 30_000,
        poll_ms: int = 50,
        endpoint: str = "",
        one_call: bool = False,
    ) -> None:
        for name, value in (("timeout_ms", timeout_ms), ("poll_ms", poll_ms)):
            if not isinstance(value, int | float) or not 0 <= value <= MAX_MS:
                raise InvalidRequest(f"{name}: {words(value, 40)} is not from 0 to {MAX_MS} ms")
        self._coordinator = coordinator
        self._timeout_ms = timeout_ms
        self._one_call = one_call
        silence_s = min(max(timeout_ms, _MIN_ANSWER_MS) / 1000, LONGEST_SILENCE_S)
        self._follower = Follower(coordinator, self.status, poll_ms / 1000, silence_s)
        self._name = f"{endpoint}: " if endpoint else ""

    def query(self, query_id: str) -> QueryHandle:
        """A handle for a query that was submitted before. Raises InvalidRequest."""
        return QueryHandle(self, parse_query_id(query_id))

    async def submit(
        self, plan: PlanLike, query_id: str | None = None, *, timeouts: Timeouts = NO_TIMEOUTS
    ) -> QueryHandle:
        """Submit a plan. Without an id the query gets a random decimal number below 2^64.

        The coordinator keeps the timeouts, also of a client that is gone.

        Raises:
            InvalidPlan, PlanningError: the plan is refused; the message says where.
            PlanConflict: the id is taken by another plan.
            QuotaExceeded: the coordinator has too many queries.
        """
        name = parse_query_id(_random_id() if query_id is None else query_id)
        data = plan_bytes(plan)
        reply = await self._ask(SubmitQuery(name, data, timeouts))
        return QueryHandle(self, reply.query_id)

    async def run(
        self,
        plan: PlanLike,
        progress: Progress | None = None,
        *,
        timeouts: Timeouts = NO_TIMEOUTS,
    ) -> pa.Table:
        """Submit, wait and fetch; a query that is not waited for any more is canceled.

        So is one whose submission was given up before its answer came, and one whose `progress`
        raises.

        Raises:
            QueryFailed, QueryCanceled: and what `submit`, `fetch` and `progress` raise.
        """
        return await self.run_using(plan, self.fetch, progress, timeouts=timeouts)

    async def run_using(
        self,
        plan: PlanLike,
        use: Callable[[QueryHandle], Awaitable[T]],
        progress: Progress | None = None,
        *,
        timeouts: Timeouts = NO_TIMEOUTS,
    ) -> T:
        """As `run`, with what `use` makes of the query when it has SUCCEEDED."""
        return await self._carry_through(plan_bytes(plan), use, progress, timeouts)

    async def _carry_through(
        self,
        work: PlanSql | bytes,
        use: Callable[[QueryHandle], Awaitable[T]],
        progress: Progress | None,
        timeouts: Timeouts,
    ) -> T:
        query_id, told = parse_query_id(_random_id()), Told.of(progress)
        try:
            last = await self._last_of(RunQuery(query_id, work, timeouts), told)
            _check_succeeded(last.status)
            return await use(QueryHandle(self, query_id, last.result))
        except BaseException as error:
            # There is no such query, or it has ended.
            over = (QueryFailed, QueryCanceled, UnknownId) if told.submitted else (CallerError,)
            if isinstance(error, over):
                raise
            message = CancelQuery(query_id, "the client stopped waiting")
            with trio.move_on_after(_CANCEL_GRACE_S, shield=True), suppress(FfqError):
                await self._coordinator.ask(message)
            raise

    async def _last_of(self, message: RunQuery, told: Told) -> QueryUpdate:
        """In one call; where that breaks or is not known, in as many as it takes."""
        if self._goes_in_one_call(message.work):
            last = await self._follower.run(message, told)
            if last is not None:
                return last
        if not told.submitted:
            await self._submit_work(message)
            told.submitted = True
        return await self._follower.to_its_end(message.query_id, told, result=True)

    def _goes_in_one_call(self, _work: PlanSql | bytes) -> bool:
        """Whether a text or plan may be submitted without a look at its plan."""
        return self._one_call

    async def _submit_work(self, message: RunQuery) -> None:
        plan = message.work
        if isinstance(plan, PlanSql):
            plan = (await self._ask(plan)).plan_bytes
        try:
            await self.submit(plan, message.query_id, timeouts=message.timeouts)
        except PlanConflict:
            if plan is message.work:
                raise
            # The call that broke arrived, and its text was planned otherwise.

    async def plan_sql(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        tables: Mapping[str, TableLike] | None = None,
        inline: Sequence[InlineTable] = (),
        partitions: int = 0,
    ) -> SqlPlan:
        """Have the coordinator plan a query in DuckDB's SQL. It is not run.

        A PIVOT without IN has columns that only the data says: a query for them is run first.

        Args:
            parameters: values for `?` and `$1` as a list, or for `$name` by name.
            tables: tables besides the coordinator's, at paths that it and its workers can read. So
                are files that FROM names; a relative path is meant from this process's folder.
            inline: tables whose rows go with the query, and are in its plan.
            partitions: how many an exchange has; 0: as the coordinator thinks right.

        Raises:
            InvalidQuery: what is wrong with the text, and where; a note shows the place.
            InvalidRequest: parameters or tables that are none.
            UnsupportedPlan: names what is not distributed.
            PlanningLimit: planning it took more time or memory than the coordinator allows.
            StorageError: a table without files, or one that cannot be read.
        """
        message = plan_message(sql, parameters, tables or {}, inline, partitions)
        with place_shown(sql):
            return await PivotPlanner(self._ask, self.run).planned(message)

    async def tables(self) -> tuple[str, ...]:
        """Names of the coordinator's tables; queries may read others that they bring.

        Raises Unavailable.
        """
        return await self._ask(ListTables())

    async def submit_sql(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        tables: Mapping[str, TableLike] | None = None,
        query_id: str | None = None,
    ) -> QueryHandle:
        """Plan and submit a query in DuckDB's SQL; as `plan_sql` and `submit`."""
        planned = await self.plan_sql(sql, parameters, tables=tables)
        return await self.submit(planned.plan_bytes, query_id)

    async def run_sql(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        tables: Mapping[str, TableLike] | None = None,
        progress: Progress | None = None,
    ) -> pa.Table:
        """Plan and run a query in DuckDB's SQL; as `plan_sql` and `run`."""
        return await self._run_sql(sql, parameters, tables or {}, (), progress, NO_TIMEOUTS)

    async def _run_sql(
        self,
        sql: str,
        parameters: Parameters | None,
        tables: Mapping[str, TableLike],
        inline: Sequence[InlineTable],
        progress: Progress | None,
        timeouts: Timeouts,
    ) -> pa.Table:
        message = plan_message(sql, parameters, tables, inline)
        with place_shown(sql):
            if self._one_call and unlisted_pivots(sql) is None:
                return await self._carry_through(message, self.fetch, progress, timeouts)
            planned = await PivotPlanner(self._ask, self.run).planned(message)
        return await self.run(planned.plan_bytes, progress, timeouts=timeouts)

    async def status(self, query: QueryLike) -> QueryStatus:
        """State, message, times in unix ms, stages. Raises UnknownId, Unavailable."""
        return await self._ask(GetQueryStatus(_id_of(query)))

    async def wait(self, query: QueryLike, progress: Progress | None = None) -> QueryStatus:
        """Wait until it has SUCCEEDED.

        Raises:
            QueryFailed, QueryCanceled: it ended otherwise, with the coordinator's message.
            UnknownId: there is no such query (any more).
        """
        return (await self._ended(query, progress, result=False)).status

    async def finished(self, query: QueryLike, progress: Progress | None = None) -> QueryHandle:
        """As `wait`, for who reads the result: `fetch`, `chunks` and `read` of what this gives ask
        for nothing that came along.
        """
        last = await self._ended(query, progress, result=True)
        return QueryHandle(self, last.status.query_id, last.result)

    async def _ended(
        self, query: QueryLike, progress: Progress | None, *, result: bool
    ) -> QueryUpdate:
        told = Told.of(progress)
        last = await self._follower.to_its_end(_id_of(query), told, result=result)
        _check_succeeded(last.status)
        return last

    async def fetch(self, query: QueryLike) -> pa.Table:
        """The result of a query that has SUCCEEDED.

        Raises:
            NotReady: it has not; QueryFailed, QueryCanceled: and never will.
            UnknownId: there is no such query, or its result is no longer kept.
            ExecutionError: the result is no Arrow IPC stream.
        """
        if (small := _small_result(query)) is not None:
            return table_of((small,))
        message = FetchQueryResults(_id_of(query))

        async def collect() -> tuple[bytes, ...]:
            async with self._coordinator.stream(message) as chunks:
                return tuple([chunk async for chunk in chunks])

        return table_of(await self._until_answered(message, collect))

    @asynccontextmanager
    async def chunks(self, query: QueryLike) -> AsyncIterator[AsyncIterator[bytes]]:
        """The result as an Arrow IPC stream in pieces cut anywhere, as they come. Tried once.

        Raises:
            Unavailable: the coordinator cannot be reached; and as `fetch`.
        """
        if (small := _small_result(query)) is not None:
            yield InMemory(iter((small,)))
            return
        async with self._coordinator.stream(FetchQueryResults(_id_of(query))) as chunks:
            yield chunks

    async def read(self, query: QueryLike, use: Callable[[ResultBatches], T]) -> T:
        """What `use` makes of the result's batches, in a thread. They come as it asks for them, so
        that few are in memory at a time.

        Raises as `fetch`, and what `use` raises.
        """
        if _small_result(query) is None:
            await self.status(query)  # the stream itself is tried once

        def read(chunks: AsyncIterator[bytes]) -> T:
            return use(ResultBatches(chunks))

        async with self.chunks(query) as chunks:
            limiter = trio.CapacityLimiter(1)  # a thread of its own, which waits for others
            return await trio.to_thread.run_sync(read, chunks, limiter=limiter)

    async def cancel(self, query: QueryLike, reason: str = "canceled by the client") -> QueryState:
        """Its state afterwards: CANCELED, or the terminal state it had already (R4, R5).

        Raises UnknownId, Unavailable.
        """
        if not isinstance(reason, str):
            raise InvalidRequest(f"reason: a {type(reason).__name__} is no text")
        try:
            reason.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"reason: {reason!r} is no text that UTF-8 has") from None
        return (await self._ask(CancelQuery(_id_of(query), reason))).state

    async def attempts(self, query: QueryLike) -> tuple[AttemptStatus, ...]:
        """Every attempt of its tasks, in key order: which worker ran what, when in unix ms.

        Raises UnknownId, Unavailable.
        """
        return await self._ask(ListAttempts(_id_of(query)))

    async def queries(self, limit: int = 100) -> tuple[QueryStatus, ...]:
        """The newest queries, at most `limit`, newest first, without their stages.

        Raises InvalidRequest: `limit` is not from 1 to 10,000; Unavailable.
        """
        return await self._ask(ListQueries(limit))

    async def workers(self) -> tuple[WorkerStatus, ...]:
        """The live workers. Raises Unavailable."""
        return await self._ask(ListWorkers())

    async def drain(self, worker_id: str) -> None:
        """No more tasks for a worker; what it runs may finish. Raises InvalidRequest, UnknownId."""
        await self._ask(DrainWorker(parse_worker_id(worker_id)))

    async def _ask(self, message: Rpc[R]) -> R:
        return await self._until_answered(message, lambda: self._coordinator.ask(message))

    async def _until_answered(
        self, message: Rpc[Any] | StreamRpc[Any, Any], call: Callable[[], Awaitable[T]]
    ) -> T:
        row = row_of(message)
        limit_ms = row.time_limit_ms
        if not isinstance(message, SubmitQuery | PlanSql | StreamRpc):
            limit_ms = min(limit_ms, max(self._timeout_ms, _MIN_ANSWER_MS))
        retry = RetryPolicy(timeout_ms=limit_ms, quota_tries=_QUOTA_TRIES, fault_tries=1)
        what = self._name + row.method
        return await until_answered(call, retry, what, patience_ms=self._timeout_ms)


def _check_succeeded(status: QueryStatus) -> None:
    """Raises QueryFailed, QueryCanceled: it has ended otherwise."""
    if status.state is QueryState.FAILED:
        raise QueryFailed(f"query {status.query_id} failed: {status.message}")
    if status.state is QueryState.CANCELED:
        raise QueryCanceled(f"query {status.query_id} was canceled: {status.message}")


def _random_id() -> str:
    return str(1 + secrets.randbelow(_MAX_DEFAULT_ID))


def _small_result(query: QueryLike) -> bytes | None:
    return query.small_result if isinstance(query, QueryHandle) else None


def _id_of(query: QueryLike) -> QueryId:
    return query.query_id if isinstance(query, QueryHandle) else parse_query_id(query)
