"""Waiting for the end of a query: the coordinator tells, or it is asked time and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from ffq.errors import FfqError, UnknownId, UnknownMethod
from ffq.ids import QueryId
from ffq.messages import QueryStatus, QueryUpdate, WatchQuery
from ffq.service import Coordinator

LONGEST_SILENCE_S: Final = 5.0
"""Coordinators tell where a query stands each second: one that is silent for longer is asked."""


@attrs.define
class Follower:
    """Follows queries of one coordinator.

    A watch that breaks, that is refused or falls silent is no news of the query. The coordinator is
    asked for its status then, which says what is wrong, and watched again `poll_s` later. One that
    knows no watches is asked each time.

    Attributes:
        ask: asks for a status, as often as there is patience for.
        silence_s: what of a watch counts as broken.
    """

    coordinator: Coordinator
    ask: Callable[[QueryId], Awaitable[QueryStatus]]
    poll_s: float
    silence_s: float
    _watches: bool = True

    async def to_its_end(
        self, query_id: QueryId, tell: Callable[[QueryStatus], None], *, result: bool = False
    ) -> QueryUpdate:
        """The last that is said of it, which `tell` has been told as all before it.

        Args:
            result: whether a small one is to come along.

        Raises:
            UnknownId: there is no such query (any more).
            Unavailable: the coordinator was asked in vain.
        """
        message = WatchQuery(query_id, result)
        while True:
            last = await self._watched(message, tell) if self._watches else None
            if last is not None:
                return last
            status = await self.ask(query_id)
            tell(status)
            if status.state.terminal:
                return QueryUpdate(status)
            await trio.sleep(self.poll_s)

    async def _watched(
        self, message: WatchQuery, tell: Callable[[QueryStatus], None]
    ) -> QueryUpdate | None:
        """The last update; None: the watch broke before it.

        Raises UnknownId, and what `tell` raises.
        """
        telling = False
        try:
            async with self.coordinator.stream(message) as updates:
                while True:
                    update: QueryUpdate | None = None
                    with trio.move_on_after(self.silence_s):
                        update = await anext(updates, None)
                    if update is None:
                        return None
                    telling = True
                    tell(update.status)
                    telling = False
                    if update.status.state.terminal:
                        return update
        except FfqError as error:
            if telling or isinstance(error, UnknownId):
                raise
            if isinstance(error, UnknownMethod):
                self._watches = False
        return None  # else: whoever asks is told what it is
