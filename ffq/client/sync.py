"""The client for code without Trio: it runs a Trio of its own on a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar, TypeVarTuple, Unpack

import pyarrow as pa
import trio

from ffq.client.client import Client, Progress
from ffq.client.connecting import connect
from ffq.client.conversions import PlanLike
from ffq.errors import Unavailable
from ffq.messages import AttemptStatus, QueryState, QueryStatus, WorkerStatus

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SyncClient:
    """Blocking counterpart of `Client`, as a context manager; may be shared by threads.

        with ffq.SyncClient("127.0.0.1:50051") as client:
            table = client.run(plan)

    Queries are named by their ids. Errors are those of `Client`.
    """

    def __init__(self, endpoint: str, *, timeout_ms: int = 30_000) -> None:
        self._endpoint = endpoint
        self._timeout_ms = timeout_ms
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._client: Client | None = None
        self._stop: trio.Event | None = None

    def __enter__(self) -> SyncClient:
        started: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=trio.run, args=(self._serve, started), name="ffq-sync-client", daemon=True
        )
        self._thread.start()
        error = started.get()
        if error is not None:
            self._thread.join()
            raise error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the calls under way (they raise Unavailable) and the thread."""
        if self._token is not None and self._stop is not None and self._thread is not None:
            self._token.run_sync_soon(self._stop.set)
            self._thread.join()
        self._token = None

    def submit(self, plan: PlanLike, query_id: str | None = None) -> str:
        """The query's id."""
        return str(self._call(self._open.submit, plan, query_id))

    def run(self, plan: PlanLike, progress: Progress | None = None) -> pa.Table:
        return self._call(self._open.run, plan, progress)

    def status(self, query_id: str) -> QueryStatus:
        return self._call(self._open.status, query_id)

    def wait(self, query_id: str, progress: Progress | None = None) -> QueryStatus:
        """`progress` is called on the client's own thread."""
        return self._call(self._open.wait, query_id, progress)

    def fetch(self, query_id: str) -> pa.Table:
        return self._call(self._open.fetch, query_id)

    def cancel(self, query_id: str, reason: str = "canceled by the client") -> QueryState:
        return self._call(self._open.cancel, query_id, reason)

    def attempts(self, query_id: str) -> tuple[AttemptStatus, ...]:
        return self._call(self._open.attempts, query_id)

    def queries(self, limit: int = 100) -> tuple[QueryStatus, ...]:
        return self._call(self._open.queries, limit)

    def workers(self) -> tuple[WorkerStatus, ...]:
        return self._call(self._open.workers)

    def drain(self, worker_id: str) -> None:
        self._call(self._open.drain, worker_id)

    @property
    def _open(self) -> Client:
        if self._client is None or self._token is None:
            raise Unavailable("this SyncClient is not open: use it in a with block")
        return self._client

    def _call(self, method: Callable[[Unpack[Ts]], Awaitable[T]], *args: *Ts) -> T:
        try:
            return trio.from_thread.run(method, *args, trio_token=self._token)
        except (trio.Cancelled, trio.RunFinishedError):
            raise Unavailable("this SyncClient was closed while the call was under way") from None

    async def _serve(self, started: queue.SimpleQueue[Exception | None]) -> None:
        try:
            async with connect(self._endpoint, timeout_ms=self._timeout_ms) as client:
                self._client = client
                self._token = trio.lowlevel.current_trio_token()
                self._stop = trio.Event()
                started.put(None)
                await self._stop.wait()
        except Exception as error:  # noqa: BLE001 - raised in the thread that opened the client
            started.put(error)
