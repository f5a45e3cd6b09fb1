"""Waiting for the end of a query: the coordinator tells, or it is asked time and again."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeAlias

import attrs
import trio

from ffq.errors import (
    ExecutionError,
    FfqError,
    InvalidRequest,
    QuotaExceeded,
    Unavailable,
    UnknownId,
    UnknownMethod,
    words,
)
from ffq.ids import QueryId
from ffq.messages import QueryStatus, QueryUpdate, RunQuery, WatchQuery
from ffq.service import Coordinator

LONGEST_SILENCE_S: Final = 5.0
"""Coordinators tell where a query stands each second: one that is silent for longer is asked."""
LONGEST_PLANNING_S: Final = 120.0
"""Until a query that is to be planned is submitted: others may be planned before it."""
_MAY_PASS: Final = (Unavailable, QuotaExceeded, ExecutionError)
"""What calls that are made again may get past."""


Progress: TypeAlias = Callable[[QueryStatus], None]
"""Called with each status that differs from the one before."""


@attrs.define
class Told:
    """What was said of a query goes to its progress, where that is news.

    Attributes:
        submitted: whether it is known to be.
    """

    _progress: Progress | None
    submitted: bool = False
    _last: QueryStatus | None = None

    @classmethod
    def of(cls, progress: Progress | None) -> Told:
        """Raises InvalidRequest: it is no function that can be called with a status."""
        if progress is not None and not callable(progress):
            raise InvalidRequest(
                f"progress: a {type(progress).__name__} is no function; right would be one that "
                "takes a QueryStatus"
            )
        if inspect.iscoroutinefunction(progress):
            raise InvalidRequest(
                f"progress: {words(progress)} is async; right would be a plain function that takes "
                "a QueryStatus"
            )
        return cls(progress)

    def __call__(self, status: QueryStatus) -> None:
        """Raises what the progress raises."""
        self.submitted = True
        if self._progress is not None and status != self._last:
            self._progress(status)
            self._last = status


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
    _runs: bool = True

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

    async def run(
        self, message: RunQuery, tell: Callable[[QueryStatus], None]
    ) -> QueryUpdate | None:
        """The last update of a query that is submitted by this. None: it broke, or nobody there
        knows such calls; where `tell` was told nothing, the query may not have been submitted.

        Raises what planning and submission raise, of what has not been submitted.
        """
        if not self._runs:
            return None
        hearing = _Hearing(tell)
        try:
            async with self.coordinator.stream(message) as updates:
                return await self._heard(updates, hearing, LONGEST_PLANNING_S)
        except FfqError as error:
            if hearing.telling:
                raise
            if isinstance(error, UnknownMethod):
                self._runs = False
            elif not hearing.began and not isinstance(error, _MAY_PASS):
                raise
        return None  # else: whoever asks is told what it is

    async def _watched(
        self, message: WatchQuery, tell: Callable[[QueryStatus], None]
    ) -> QueryUpdate | None:
        """The last update; None: the watch broke before it.

        Raises UnknownId, and what `tell` raises.
        """
        hearing = _Hearing(tell)
        try:
            async with self.coordinator.stream(message) as updates:
                return await self._heard(updates, hearing, self.silence_s)
        except FfqError as error:
            if hearing.telling or isinstance(error, UnknownId):
                raise
            if isinstance(error, UnknownMethod):
                self._watches = False
        return None  # else: whoever asks is told what it is

    async def _heard(
        self, updates: AsyncIterator[QueryUpdate], hearing: _Hearing, first_s: float
    ) -> QueryUpdate | None:
        """The last update; None: none came within `first_s`, or within `silence_s` of another."""
        patience_s = first_s
        while True:
            update: QueryUpdate | None = None
            with trio.move_on_after(patience_s):
                update = await anext(updates, None)
            if update is None:
                return None
            hearing.hear(update.status)
            if update.status.state.terminal:
                return update
            patience_s = self.silence_s


@attrs.define
class _Hearing:
    """Whether anything was told yet, and whether an error is that of who is told."""

    tell: Callable[[QueryStatus], None]
    began: bool = False
    telling: bool = False

    def hear(self, status: QueryStatus) -> None:
        self.began = self.telling = True
        self.tell(status)
        self.telling = False
