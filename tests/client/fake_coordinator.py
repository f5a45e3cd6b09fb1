"""A coordinator that answers from a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar, cast

import attrs
import trio

from ffq.errors import FfqError, Unavailable, UnknownMethod
from ffq.ids import QueryId
from ffq.messages import (
    CancelQuery,
    CancelReply,
    FetchQueryResults,
    GetQueryStatus,
    QueryState,
    QueryStatus,
    Rpc,
    StreamRpc,
    SubmitQuery,
    SubmitReply,
    WatchQuery,
)

C = TypeVar("C")
R = TypeVar("R")


def status_of(state: QueryState, message: str = "") -> QueryStatus:
    return QueryStatus(QueryId("7"), state, 1, None, None, message, ())


@attrs.define
class ScriptedCoordinator:
    """`statuses` are answered one after the other, the last for ever; `away` calls fail first."""

    statuses: list[QueryStatus] = attrs.field(factory=list)
    pieces: tuple[bytes, ...] = ()
    away: int = 0
    slow_submit_s: float = 0
    refuse: FfqError | None = None
    submitted: list[tuple[QueryId, bytes]] = attrs.field(factory=list)
    canceled: list[CancelQuery] = attrs.field(factory=list)

    async def _answer(self) -> None:
        await trio.sleep(0.001)
        if self.away:
            self.away -= 1
            raise Unavailable("127.0.0.1:50051: connection refused")
        if self.refuse is not None:
            raise self.refuse

    async def ask(self, message: Rpc[R]) -> R:
        if isinstance(message, SubmitQuery):
            self.submitted.append((message.query_id, message.plan_bytes))
            await trio.sleep(self.slow_submit_s)
        await self._answer()
        answer: Any = self._reply(message)
        return cast("R", answer)

    def _reply(self, message: object) -> object:
        match message:
            case SubmitQuery():
                return SubmitReply(message.query_id, QueryState.QUEUED)
            case GetQueryStatus():
                return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            case CancelQuery():
                self.canceled.append(message)
                return CancelReply(message.query_id, QueryState.CANCELED)
            case _:
                raise AssertionError(f"no script for {message}")

    @asynccontextmanager
    async def stream(self, message: StreamRpc[C, R]) -> AsyncIterator[AsyncIterator[C]]:
        if isinstance(message, WatchQuery):
            raise UnknownMethod("WatchQuery is not known here")
        assert isinstance(message, FetchQueryResults)
        await self._answer()
        chunks: Any = self._pieces()
        async with aclosing(chunks):
            yield chunks

    async def _pieces(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
