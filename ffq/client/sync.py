"""The client for code without Trio: it runs a Trio of its own on a thread."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pyarrow as pa

from ffq.client.connecting import open_client
from ffq.client.conversions import PlanLike, TableLike
from ffq.client.thread import ThreadWords, TrioThread
from ffq.client.watching import Progress
from ffq.messages import (
    NO_TIMEOUTS,
    AttemptStatus,
    QueryState,
    QueryStatus,
    Timeouts,
    WorkerStatus,
)
from ffq.sql.parameters import Parameters

_WORDS = ThreadWords(
    kind="SyncClient",
    thread="ffq-sync-client",
    use="use it in a with block",
    instead="ffq.connect",
)


class SyncClient:
    """Blocking counterpart of `Client`, as a context manager; may be shared by threads.

        with ffq.SyncClient("127.0.0.1:50051") as client:
            table = client.run(plan)

    Queries are named by their ids. Errors are those of `Client`; InvalidRequest in a Trio thread,
    such as its own, on which `progress` is called.
    """

    def __init__(self, endpoint: str, *, timeout_ms: int = 30_000) -> None:
        self._thread = TrioThread(partial(open_client, endpoint, timeout_ms=timeout_ms), _WORDS)

    def __enter__(self) -> SyncClient:
        self._thread.open()
        return self

    def __exit__(self, *_: object) -> None:
        """End the calls under way (they raise Unavailable, their queries are canceled) and the
        thread.
        """
        self._thread.close()

    def submit(
        self, plan: PlanLike, query_id: str | None = None, *, timeouts: Timeouts = NO_TIMEOUTS
    ) -> str:
        """The query's id. It goes on when the program is interrupted, as it was given away.

        Raises as `Client.submit`.
        """
        return str(
            self._thread.call(partial(self._thread.value.submit, timeouts=timeouts), plan, query_id)
        )

    def run(
        self,
        plan: PlanLike,
        progress: Progress | None = None,
        *,
        timeouts: Timeouts = NO_TIMEOUTS,
    ) -> pa.Table:
        """As `Client.run`: where Ctrl-C or the end of the block ends the call, its query too."""
        return self._thread.call(partial(self._thread.value.run, timeouts=timeouts), plan, progress)

    def run_sql(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        tables: Mapping[str, TableLike] | None = None,
        progress: Progress | None = None,
    ) -> pa.Table:
        """As `Client.run_sql`."""
        run_sql = partial(self._thread.value.run_sql, tables=tables, progress=progress)
        return self._thread.call(run_sql, sql, parameters)

    def status(self, query_id: str) -> QueryStatus:
        """As `Client.status`. Raises UnknownId, Unavailable."""
        return self._thread.call(self._thread.value.status, query_id)

    def wait(self, query_id: str, progress: Progress | None = None) -> QueryStatus:
        """As `Client.wait`. `progress` is called on the client's own thread, and cannot use it."""
        return self._thread.call(self._thread.value.wait, query_id, progress)

    def fetch(self, query_id: str) -> pa.Table:
        """The rows of a query that has succeeded. Raises UnknownId, NotReady, Unavailable."""
        return self._thread.call(self._thread.value.fetch, query_id)

    def cancel(self, query_id: str, reason: str = "canceled by the client") -> QueryState:
        """The state after that: CANCELED, or how it had ended. Raises UnknownId, Unavailable."""
        return self._thread.call(self._thread.value.cancel, query_id, reason)

    def attempts(self, query_id: str) -> tuple[AttemptStatus, ...]:
        """Each attempt of a query's tasks. Raises UnknownId, Unavailable."""
        return self._thread.call(self._thread.value.attempts, query_id)

    def queries(self, limit: int = 100) -> tuple[QueryStatus, ...]:
        """The newest queries, newest first, so many at most. Raises Unavailable."""
        return self._thread.call(self._thread.value.queries, limit)

    def workers(self) -> tuple[WorkerStatus, ...]:
        """The live workers. Raises Unavailable."""
        return self._thread.call(self._thread.value.workers)

    def drain(self, worker_id: str) -> None:
        """No more tasks for a worker; what it runs may finish. Raises InvalidRequest, UnknownId."""
        self._thread.call(self._thread.value.drain, worker_id)
