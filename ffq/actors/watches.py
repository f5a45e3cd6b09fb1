"""Queries that are watched: who watches one is woken when it may have changed, and then looks.

A look is a message to scheduling like any other. The end of a query wakes its watches at once, and
nobody else's. Of all else that changes, a watch hears that something has, and looks at most every
PACE_S: so a watch costs no more than a client that looks by itself, and what is slow to take what
it tells gets the newest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import attrs
import trio

from ffq.core.machine import Notice
from ffq.errors import FfqError, QuotaExceeded
from ffq.ids import QueryId
from ffq.messages import DropQueryOutputs, QueryState, QueryStatus, ResultParts

PACE_S: Final = 0.05
STILL_THERE_S: Final = 1.0
"""A status that does not change is told again: silence means that nobody is there."""


class Watches:
    """Those of one coordinator. Bounded: each holds a stream open.

    Args:
        most: at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._ends: dict[QueryId, list[trio.Event]] = {}
        self._open = 0
        self._changes = 0
        self._changed = trio.Event()
        self._version = -1

    def __bool__(self) -> bool:
        """Whether anything is watched."""
        return self._open > 0

    @contextmanager
    def registered(self, query_id: QueryId) -> Iterator[trio.Event]:
        """From here on the event tells of the query's end. Raises QuotaExceeded."""
        if self._open >= self._most:
            raise QuotaExceeded(f"{self._most} queries are watched already")
        ended = trio.Event()
        self._open += 1
        self._ends.setdefault(query_id, []).append(ended)
        try:
            yield ended
        finally:
            self._open -= 1
            others = self._ends[query_id]
            others.remove(ended)
            if not others:
                del self._ends[query_id]

    def heard(self, version: int, notices: Sequence[Notice], *, time_passed: bool) -> None:
        """After each step of scheduling, while anything is watched.

        What a waiting query waits for may change with time alone.
        """
        for notice in notices:
            # Leaves scheduling when a query ends, and only then.
            if isinstance(notice, DropQueryOutputs):
                for ended in self._ends.get(notice.query_id, ()):
                    ended.set()
        if version != self._version or time_passed:
            self._version = version
            self._changes += 1
            self._changed.set()
            self._changed = trio.Event()

    @property
    def changes(self) -> int:
        """How many there were: for `change`."""
        return self._changes

    async def change(self, since: int) -> None:
        """Returns when there were more than `since`."""
        while self._changes == since:
            await self._changed.wait()


@attrs.define(eq=False)
class Watch:
    """The statuses of one query, until it has ended: an async iterator.

    Attributes:
        look: asks for its status.
        ask_result: asks for its result.
        patient: what ends within PACE_S is told of once, when it has.
    """

    look: Callable[[], Awaitable[QueryStatus]]
    ask_result: Callable[[], Awaitable[ResultParts]]
    _watches: Watches
    _ended: trio.Event
    _patient: bool = False
    _told: QueryStatus | None = None
    _told_at: float = 0.0
    _seen: int = -1

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> QueryStatus:
        """Raises UnknownId: it has ended so long ago that it is not kept; as any message, when the
        coordinator ends.
        """
        told = self._told
        if told is not None and told.state.terminal:
            raise StopAsyncIteration
        if told is None and self._patient:
            with trio.move_on_after(PACE_S):
                await self._ended.wait()
        late = self._told_at + STILL_THERE_S
        while True:
            if told is not None:
                await self._change(late)
            self._seen = self._watches.changes
            status = await self.look()
            now = trio.current_time()
            if status != told or now >= late:
                self._told, self._told_at = status, now
                return status

    async def result(self) -> ResultParts | None:
        """Of a query that has SUCCEEDED; None: it is no longer kept."""
        assert self._told is not None
        assert self._told.state is QueryState.SUCCEEDED
        try:
            return await self.ask_result()
        except FfqError:
            return None  # who fetches it is told why

    async def _change(self, late: float) -> None:
        """Until it has ended or, PACE_S from now, something has changed; at most until `late`."""
        with trio.move_on_after(PACE_S):
            await self._ended.wait()
            return
        with trio.move_on_at(late):
            await self._watches.change(self._seen)
