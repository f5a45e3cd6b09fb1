"""The client for code without Trio: it runs a Trio of its own on a thread."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TypeVar, TypeVarTuple, Unpack

import pyarrow as pa
import trio

from ffq.client.client import Client, Progress
from ffq.client.connecting import connect
from ffq.client.conversions import PlanLike
from ffq.errors import InvalidRequest, Unavailable
from ffq.messages import NO_TIMEOUTS, AttemptStatus, QueryState, QueryStatus, Timeouts, WorkerStatus
from ffq.rpc.forks import check_process
from ffq.runtime._failures import only_cancelled, split_failure
from ffq.runtime.blocking import join_blocking, wait_blocking

_CLOSED = "this SyncClient was closed while the call was under way"

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SyncClient:
    """Blocking counterpart of `Client`, as a context manager; may be shared by threads.

        with ffq.SyncClient("127.0.0.1:50051") as client:
            table = client.run(plan)

    Queries are named by their ids. Errors are those of `Client`; InvalidRequest in a Trio thread,
    such as its own, on which `progress` is called.
    """

    def __init__(self, endpoint: str, *, timeout_ms: int = 30_000) -> None:
        self._endpoint = endpoint
        self._timeout_ms = timeout_ms
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._client: Client | None = None
        self._stop: trio.Event | None = None
        self._calls: trio.Nursery | None = None

    def __enter__(self) -> SyncClient:
        if trio.lowlevel.in_trio_run():
            raise InvalidRequest("ffq.SyncClient would block this Trio run: use ffq.connect in it")
        if self._thread is not None:
            raise InvalidRequest(
                "this SyncClient is open already: share it in its with block, or make another one"
            )
        opened: Future[None] = Future()
        scope = trio.CancelScope()
        try:
            self._thread = threading.Thread(
                target=trio.run,
                args=(self._serve, opened, scope),
                name="ffq-sync-client",
                daemon=True,
            )
            self._thread.start()
            wait_blocking(opened)
        except BaseException:  # Ctrl-C too: whoever is not let in does not close the block
            self._abandon(opened, scope)
            raise
        return self

    def _abandon(self, opened: Future[None], scope: trio.CancelScope) -> None:
        opened.cancel()
        if self._token is not None:
            with suppress(trio.RunFinishedError):  # it has ended by itself
                self._token.run_sync_soon(scope.cancel)
        if self._thread is not None and self._thread.ident is not None:
            join_blocking(self._thread)
        self._token = self._thread = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the calls under way (they raise Unavailable, their queries are canceled) and the
        thread.
        """
        check_process()
        token, stop, thread = self._token, self._stop, self._thread
        if threading.current_thread() is thread:
            raise InvalidRequest(
                "a SyncClient was closed on its own thread, on which progress callbacks run and "
                "which its end waits for: close it on the thread that opened it"
            )
        if token is not None and stop is not None and thread is not None:
            with suppress(trio.RunFinishedError):  # it has ended by itself
                token.run_sync_soon(stop.set)
            join_blocking(thread)
        self._token = self._thread = None

    def submit(
        self, plan: PlanLike, query_id: str | None = None, *, timeouts: Timeouts = NO_TIMEOUTS
    ) -> str:
        """The query's id. It goes on when the program is interrupted, as it was given away."""
        return str(self._call(partial(self._open.submit, timeouts=timeouts), plan, query_id))

    def run(
        self,
        plan: PlanLike,
        progress: Progress | None = None,
        *,
        timeouts: Timeouts = NO_TIMEOUTS,
    ) -> pa.Table:
        """As `Client.run`: where Ctrl-C or the end of the block ends the call, its query too."""
        return self._call(partial(self._open.run, timeouts=timeouts), plan, progress)

    def status(self, query_id: str) -> QueryStatus:
        return self._call(self._open.status, query_id)

    def wait(self, query_id: str, progress: Progress | None = None) -> QueryStatus:
        """`progress` is called on the client's own thread, where it cannot use this client."""
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
        """Run one call on the client's thread. Whatever ends the wait here ends the call there."""
        check_process()
        if trio.lowlevel.in_trio_run():
            raise InvalidRequest(
                "a SyncClient was used in a Trio thread, which it would block; its own is one, on "
                "which progress callbacks run, and finalizers may: use it on another thread, or "
                "ffq.connect in a Trio program"
            )
        token, calls = self._token, self._calls
        if token is None or calls is None:
            raise Unavailable(_CLOSED)
        future: Future[T] = Future()
        scope = trio.CancelScope()
        try:
            token.run_sync_soon(self._begin, method, args, scope, future)
            return wait_blocking(future)
        except trio.RunFinishedError:
            raise Unavailable(_CLOSED) from None
        finally:
            if not future.done():  # Ctrl-C, or the like
                with suppress(trio.RunFinishedError):
                    token.run_sync_soon(scope.cancel)

    def _begin(
        self,
        method: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
        scope: trio.CancelScope,
        future: Future[T],
    ) -> None:
        if self._calls is None or self._calls.cancel_scope.cancel_called:
            future.set_exception(Unavailable(_CLOSED))
        else:
            self._calls.start_soon(_answer, method, args, scope, future)

    async def _serve(self, opened: Future[None], scope: trio.CancelScope) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if not opened.set_running_or_notify_cancel():
            return
        try:
            # Calls end before the connection does: what they must still say goes through it.
            with scope:
                async with (
                    connect(self._endpoint, timeout_ms=self._timeout_ms) as client,
                    trio.open_nursery() as self._calls,
                ):
                    self._client = client
                    self._stop = trio.Event()
                    opened.set_result(None)
                    await self._stop.wait()
                    self._calls.cancel_scope.cancel()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)


async def _answer(
    method: Callable[..., Awaitable[T]],
    args: tuple[object, ...],
    scope: trio.CancelScope,
    future: Future[T],
) -> None:
    """Run one call, and give its caller what comes of it: SystemExit of a callback too."""
    try:
        with scope:
            future.set_result(await method(*args))
    except BaseException as error:  # noqa: BLE001  # raised in the thread that called
        failure, rest = split_failure(error)
        if only_cancelled(rest):  # the block has ended
            future.set_exception(failure or Unavailable(_CLOSED))
            raise rest from None
        future.set_exception(error)
    finally:
        if not future.done():
            future.set_exception(Unavailable(_CLOSED))
