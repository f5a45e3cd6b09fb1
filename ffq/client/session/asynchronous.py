"""Sessions for programs of Trio, and of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pyarrow as pa

from ffq.client.session.core import RunOptions, SessionCore, open_core
from ffq.client.session.relations import AsyncRelation
from ffq.client.session.settings import SessionSettings, session_settings
from ffq.client.session.sources import Sources
from ffq.client.session.streams import BatchFeed
from ffq.client.thread import ThreadWords, TrioThread
from ffq.relation.copies import Copy
from ffq.relation.steps import Step

Call = Callable[..., Awaitable[Any]]

_WORDS = ThreadWords(
    kind="aio.Session",
    thread="ffq-aio-session",
    use="use it in an async with block",
    instead="ffq.connect",
)


class FeedBatches:
    """Batches that `call` brings from a feed, which it opens when the first is asked for.

    Args:
        call: awaits a coroutine function with its arguments, where feeds live.
        open_feed: gives the feed.
        close_feed: closes it there, and waits for nothing.
    """

    def __init__(
        self,
        call: Call,
        open_feed: Callable[[], Awaitable[BatchFeed]],
        close_feed: Callable[[BatchFeed], None],
    ) -> None:
        self._call = call
        self._open_feed = open_feed
        self._close_feed = close_feed
        self._feed: BatchFeed | None = None

    async def schema(self) -> pa.Schema:
        """Raises what the query failed with."""
        return await self._call((await self._opened()).schema)

    def __aiter__(self) -> FeedBatches:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        batch = await self._call((await self._opened()).next)
        if batch is None:
            raise StopAsyncIteration
        return batch

    async def __aenter__(self) -> FeedBatches:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._feed is not None:
            self._close_feed(self._feed)

    async def _opened(self) -> BatchFeed:
        feed = self._feed
        if feed is None:
            opened: BatchFeed = await self._call(self._open_feed)
            self._feed = feed = opened
        return feed


class TrioSession(SessionCore, Sources[AsyncRelation]):
    """A session of a Trio program; a `Client` too. See `ffq.connect`."""

    def stream_step(self, step: Step, options: RunOptions) -> FeedBatches:
        return FeedBatches(_directly, partial(self.feed_step, step, options), BatchFeed.close)

    def _relation(self, step: Step) -> AsyncRelation:
        return AsyncRelation(self, step)


async def _directly(method: Call, *args: Any) -> Any:
    return await method(*args)


class AioSession(Sources[AsyncRelation]):
    """A session of an asyncio program. See `ffq.aio.connect`.

    It lives on a thread of its own. A task that is cancelled while it waits for a query cancels it.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._thread = TrioThread(partial(open_core, settings, SessionCore), _WORDS)

    async def __aenter__(self) -> AioSession:
        """Raises InvalidRequest: it is open already; StartupError: the cluster does not start."""
        future, abandon = self._thread.opening()
        try:
            await asyncio.wrap_future(future)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(abandon))
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the calls under way, cancel their queries, and stop the embedded cluster."""
        await asyncio.shield(asyncio.to_thread(self._thread.close))

    async def register(
        self, name: str, what: Any, *, format: str | None = None, **options: object
    ) -> None:
        """As `Session.register`."""
        core = self._thread.value
        await self._call(partial(core.register, name, what, format=format, **options))

    async def unregister(self, name: str) -> None:
        """Raises InvalidRequest: no such table."""
        await self._call(self._thread.value.unregister, name)

    async def tables(self) -> tuple[str, ...]:
        """The names of those that are registered, then the coordinator's."""
        found: tuple[str, ...] = await self._call(self._thread.value.tables)
        return found

    async def collect_step(self, step: Step, options: RunOptions) -> pa.Table:
        return await self._call(self._thread.value.collect_step, step, options)

    async def write_step(self, step: Step, copy: Copy, options: RunOptions) -> int:
        count: int = await self._call(self._thread.value.write_step, step, copy, options)
        return count

    def stream_step(self, step: Step, options: RunOptions) -> FeedBatches:
        open_feed = partial(self._thread.value.feed_step, step, options)
        return FeedBatches(self._call, open_feed, self._close_feed)

    async def describe_step(self, step: Step) -> tuple[tuple[str, str], ...]:
        found: tuple[tuple[str, str], ...] = await self._call(
            self._thread.value.describe_step, step
        )
        return found

    async def explain_step(self, step: Step) -> str:
        found: str = await self._call(self._thread.value.explain_step, step)
        return found

    def _relation(self, step: Step) -> AsyncRelation:
        return AsyncRelation(self, step)

    async def _call(self, method: Call, *args: Any) -> Any:
        future, cancel = self._thread.begin(method, *args)
        try:
            return await asyncio.wrap_future(future)
        finally:
            if not future.done():
                cancel()

    def _close_feed(self, feed: BatchFeed) -> None:
        self._thread.soon(feed.close)


def connect(
    endpoint: str | None = None,
    *,
    workers: int | None = None,
    slots: int = 2,
    operators: str = "",
    timeout_ms: int = 30_000,
    poll_ms: int = 50,
    progress: bool | None = None,
) -> AioSession:
    """As `ffq.connect`, for asyncio: `async with ffq.aio.connect() as session:`."""
    return AioSession(
        session_settings(endpoint, workers, slots, operators, timeout_ms, poll_ms, progress)
    )
