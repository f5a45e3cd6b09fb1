"""What who watches a query is told: its statuses, and at its end its result, if that is small."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs

from ffq.actors.watches import Watch
from ffq.errors import FfqError
from ffq.gateway.results import ResultChunks
from ffq.messages import FetchQueryResults, QueryState, QueryUpdate, WatchQuery

INLINE_BYTES: Final = 64 << 10
"""Of a result that needs no call of its own."""


@attrs.frozen
class QueryUpdates:
    """`results`: how a result becomes one stream."""

    results: ResultChunks

    @asynccontextmanager
    async def __call__(
        self, message: WatchQuery, watch: Watch
    ) -> AsyncIterator[AsyncIterator[QueryUpdate]]:
        yield _Updates(message, watch, self.results)


@attrs.frozen
class _Updates:
    message: WatchQuery
    watch: Watch
    results: ResultChunks

    def __aiter__(self) -> _Updates:
        return self

    async def __anext__(self) -> QueryUpdate:
        status = await anext(self.watch)
        wanted = self.message.result and status.state is QueryState.SUCCEEDED
        return QueryUpdate(status, await self._small() if wanted else None)

    async def _small(self) -> bytes | None:
        """All of the result. None: it is large, or cannot be read, which who fetches it is told."""
        result = await self.watch.result()
        if result is None or sum(len(piece) for part in result.parts for piece in part) > (
            INLINE_BYTES
        ):
            return None
        try:
            async with self.results(FetchQueryResults(self.message.query_id), result) as chunks:
                return b"".join([chunk async for chunk in chunks])
        except FfqError:
            return None
