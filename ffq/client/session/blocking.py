"""Sessions for programs that wait: scripts, notebooks, threads."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, TypeVarTuple

import pyarrow as pa

from ffq.client.session.asynchronous import TrioSession
from ffq.client.session.core import RunOptions, SessionCore, open_core
from ffq.client.session.relations import Relation
from ffq.client.session.settings import SessionSettings, session_settings
from ffq.client.session.sources import Sources
from ffq.client.session.streams import BatchFeed
from ffq.client.thread import ThreadWords, TrioThread
from ffq.errors import Unavailable
from ffq.relation.copies import Copy
from ffq.relation.steps import Step

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_WORDS = ThreadWords(
    kind="Session",
    thread="ffq-session",
    use="it was closed; make another one with ffq.connect()",
    instead="`async with ffq.connect()`",
)


class Session(Sources[Relation]):
    """Tables, SQL and relations, over an embedded cluster or a coordinator. Made by `ffq.connect`.

    It opens when it is first used, or entered, and is open until it is closed, left or collected,
    or its program ends. Threads may share it. Ctrl-C in a call cancels its query, raises
    KeyboardInterrupt, and leaves the session usable. In a Trio program, `async with` gives a
    `TrioSession` instead.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._thread = TrioThread(partial(open_core, settings, SessionCore), _WORDS)
        self._opening = threading.Lock()
        self._closed = False
        self._of_trio: AbstractAsyncContextManager[TrioSession] | None = None
        # Whoever collects it may be its own thread, and waits for nothing.
        weakref.finalize(self, self._thread.request_end).atexit = False

    def __enter__(self) -> Session:
        """Raises StartupError: the cluster does not start; InvalidRequest: in a Trio program."""
        self._core()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> TrioSession:
        """Raises StartupError: the cluster does not start; InvalidRequest: not in Trio."""
        self._of_trio = open_core(self._settings, TrioSession)
        return await self._of_trio.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._of_trio is not None
        return await self._of_trio.__aexit__(kind, error, trace)

    @property
    def endpoint(self) -> str:
        """`host:port` of the coordinator, for other clients and workers on this machine."""
        return self._core().endpoint

    def close(self) -> None:
        """End the calls under way (they raise Unavailable, their queries are canceled), and stop
        the embedded cluster.
        """
        self._closed = True
        self._thread.close()

    def register(
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
        core = self._core()
        self._thread.call(partial(core.register, name, what, format=format, **options))

    def unregister(self, name: str) -> None:
        """Raises InvalidRequest: no such table."""
        self._thread.call(self._core().unregister, name)

    def tables(self) -> tuple[str, ...]:
        """The names of those that are registered, then the coordinator's."""
        return self._thread.call(self._core().tables)

    def collect_step(self, step: Step, options: RunOptions) -> pa.Table:
        return self._thread.call(self._core().collect_step, step, options)

    def write_step(self, step: Step, copy: Copy, options: RunOptions) -> int:
        return self._thread.call(self._core().write_step, step, copy, options)

    def stream_step(self, step: Step, options: RunOptions) -> SessionBatches:
        feed = self._thread.call(self._core().feed_step, step, options)
        return SessionBatches(self._thread, feed)

    def describe_step(self, step: Step) -> tuple[tuple[str, str], ...]:
        return self._thread.call(self._core().describe_step, step)

    def explain_step(self, step: Step) -> str:
        return self._thread.call(self._core().explain_step, step)

    def _core(self) -> SessionCore:
        with self._opening:
            if self._closed:
                raise Unavailable(_WORDS.not_open)
            if not self._thread.is_open:
                self._thread.open()
        return self._thread.value

    def _relation(self, step: Step) -> Relation:
        return Relation(self, step)


class SessionBatches:
    """Batches of a feed on a session's thread, as an iterator."""

    def __init__(self, thread: TrioThread[SessionCore], feed: BatchFeed) -> None:
        self._thread = thread
        self._feed = feed
        weakref.finalize(self, thread.soon, feed.close).atexit = False

    @property
    def schema(self) -> pa.Schema:
        """Raises what the query failed with."""
        return self._thread.call(self._feed.schema)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        batch = self._thread.call(self._feed.next)
        if batch is None:
            raise StopIteration
        return batch

    def __enter__(self) -> SessionBatches:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No more of them are wanted; the query is canceled."""
        self._thread.soon(self._feed.close)


def connect(
    endpoint: str | None = None,
    *,
    workers: int | None = None,
    slots: int = 2,
    operators: str = "",
    timeout_ms: int = 30_000,
    poll_ms: int = 50,
    progress: bool | None = None,
) -> Session:
    """A session: over the coordinator at `host:port`, or else a cluster of its own.

        with ffq.connect() as session:
            session.register("orders", "orders/*.parquet")
            table = session.sql("SELECT count(*) FROM orders").collect()

    `with` and plain calls are for programs that wait. In a Trio program, `async with` gives a
    `TrioSession`, which is a `Client` too; asyncio has `ffq.aio.connect`.

    Args:
        endpoint: `host:port` of a coordinator; None: a cluster of its own.
        workers: worker processes of the embedded cluster; None: one for each processor.
        slots: tasks at once of each.
        operators: modules with custom operators that these processes import, with commas between.
            Other operators that are registered in this process run in this process.
        timeout_ms: patience with a coordinator that cannot be reached.
        poll_ms: between two looks at a query that is waited for, where the coordinator does not
            tell by itself how it stands.
        progress: show it on stderr, or in the notebook; None: where somebody sees it.

    Raises:
        InvalidRequest: what cannot be one of these; it is named.
    """
    return Session(
        session_settings(endpoint, workers, slots, operators, timeout_ms, poll_ms, progress)
    )
