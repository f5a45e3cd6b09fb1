"""A coordinator that answers from a script."""

from __future__ import annotations

import attrs
import trio

from ffq.errors import FfqError, Unavailable
from ffq.ids import QueryId
from ffq.messages import (
    CancelQuery,
    CancelReply,
    FetchQueryResults,
    GetQueryStatus,
    QueryState,
    QueryStatus,
    ResultParts,
    SubmitReply,
)


def status_of(state: QueryState, message: str = "") -> QueryStatus:
    return QueryStatus(QueryId("7"), state, 1, None, None, message, ())


@attrs.define
class ScriptedCoordinator:
    """`statuses` are answered one after the other, the last for ever; `away` calls fail first."""

    statuses: list[QueryStatus] = attrs.field(factory=list)
    parts: tuple[tuple[bytes, ...], ...] = ()
    away: int = 0
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

    async def submit_plan(self, query_id: QueryId, plan_bytes: bytes) -> SubmitReply:
        self.submitted.append((query_id, plan_bytes))
        await self._answer()
        return SubmitReply(query_id, QueryState.QUEUED)

    async def get_query_status(self, msg: GetQueryStatus) -> QueryStatus:
        await self._answer()
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    async def fetch_query_results(self, msg: FetchQueryResults) -> ResultParts:
        await self._answer()
        return ResultParts(self.parts)

    async def cancel_query(self, msg: CancelQuery) -> CancelReply:
        await self._answer()
        self.canceled.append(msg)
        return CancelReply(msg.query_id, QueryState.CANCELED)
