"""A client waits for what its coordinator tells, and asks where nothing is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pyarrow as pa
import pytest
import trio
from trio.testing import MockClock

from ffq.client import Client
from ffq.errors import (
    FfqError,
    InvalidRequest,
    QueryFailed,
    QuotaExceeded,
    Unavailable,
    UnknownId,
    UnknownMethod,
)
from ffq.messages import QueryState, QueryStatus, QueryUpdate, StreamRpc, WatchQuery
from ffq.shuffle.ipc import encode_stream
from tests.client.fake_coordinator import ScriptedCoordinator, status_of

PLAN = b'{"a": 1}'
QUEUED, RUNNING = status_of(QueryState.QUEUED), status_of(QueryState.RUNNING)
DONE = status_of(QueryState.SUCCEEDED)
TABLE = pa.table({"a": [1, 2, 3]})
RESULT = b"".join(encode_stream(TABLE.schema, TABLE.to_batches()))


@attrs.define
class WatchedCoordinator(ScriptedCoordinator):
    """The n-th watch tells what the n-th of `watches` says: updates, an error to raise, or a time
    in seconds to be silent for.
    """

    watches: list[list[QueryUpdate | FfqError | float]] = attrs.field(factory=list)
    watched: list[WatchQuery] = attrs.field(factory=list)
    fetched: int = 0

    @asynccontextmanager
    async def stream(self, message: StreamRpc[Any, Any]) -> AsyncIterator[AsyncIterator[Any]]:
        if isinstance(message, WatchQuery):
            self.watched.append(message)
            yield _Scripted(self.watches.pop(0))
            return
        self.fetched += 1
        async with ScriptedCoordinator.stream(self, message) as chunks:
            yield chunks


@attrs.define
class _Scripted:
    script: list[QueryUpdate | FfqError | float]

    def __aiter__(self) -> _Scripted:
        return self

    async def __anext__(self) -> QueryUpdate:
        await trio.lowlevel.checkpoint()
        while self.script:
            match self.script.pop(0):
                case QueryUpdate() as update:
                    return update
                case FfqError() as error:
                    raise error
                case seconds:
                    await trio.sleep(seconds)
        raise StopAsyncIteration


async def test_a_small_result_comes_with_the_end_and_nothing_is_asked(
    autojump_clock: MockClock,
) -> None:
    coordinator = WatchedCoordinator(
        watches=[[QueryUpdate(QUEUED), QueryUpdate(RUNNING), QueryUpdate(DONE, RESULT)]]
    )
    told: list[QueryState] = []
    table = await Client(coordinator).run(PLAN, lambda status: told.append(status.state))
    assert table == TABLE
    assert told == [QueryState.QUEUED, QueryState.RUNNING, QueryState.SUCCEEDED]
    assert (coordinator.fetched, coordinator.statuses) == (0, [])
    assert [each.result for each in coordinator.watched] == [True]


async def test_a_small_result_is_read_batch_by_batch_too(autojump_clock: MockClock) -> None:
    coordinator = WatchedCoordinator(watches=[[QueryUpdate(DONE, RESULT)]])
    client = Client(coordinator)

    async def read(handle: Any) -> int:
        return await client.read(handle, lambda batches: sum(b.num_rows for b in batches))

    assert await client.run_using(PLAN, read) == 3
    assert coordinator.fetched == 0


async def test_a_result_that_did_not_come_along_is_fetched(autojump_clock: MockClock) -> None:
    coordinator = WatchedCoordinator(watches=[[QueryUpdate(DONE)]], pieces=(RESULT,))
    assert await Client(coordinator).run(PLAN) == TABLE
    assert coordinator.fetched == 1


async def test_who_only_waits_has_no_result_sent(autojump_clock: MockClock) -> None:
    coordinator = WatchedCoordinator(watches=[[QueryUpdate(DONE)]])
    assert await Client(coordinator).wait("7") == DONE
    assert [each.result for each in coordinator.watched] == [False]


async def test_a_status_that_is_told_again_is_no_news(autojump_clock: MockClock) -> None:
    script: list[Any] = [QueryUpdate(QUEUED), 1.0, QueryUpdate(QUEUED), 1.0, QueryUpdate(DONE)]
    told: list[QueryState] = []
    coordinator = WatchedCoordinator(watches=[script])
    await Client(coordinator).wait("7", lambda status: told.append(status.state))
    assert told == [QueryState.QUEUED, QueryState.SUCCEEDED]


@pytest.mark.parametrize(
    "breaks",
    [[Unavailable("gone")], [QuotaExceeded("too many")], [], [1_000.0]],
    ids=["error", "refused", "ended", "silent"],
)
async def test_a_watch_that_breaks_is_no_news_of_the_query_which_is_asked_and_watched_again(
    breaks: list[Any], autojump_clock: MockClock
) -> None:
    coordinator = WatchedCoordinator(
        statuses=[RUNNING],
        watches=[[QueryUpdate(QUEUED), *breaks], [QueryUpdate(DONE, RESULT)]],
    )
    told: list[QueryState] = []
    assert await Client(coordinator).run(PLAN, lambda s: told.append(s.state)) == TABLE
    assert told == [QueryState.QUEUED, QueryState.RUNNING, QueryState.SUCCEEDED]
    assert len(coordinator.watched) == 2
    assert trio.current_time() < 6


async def test_a_coordinator_without_watches_is_asked_and_not_tried_again(
    autojump_clock: MockClock,
) -> None:
    coordinator = WatchedCoordinator(
        statuses=[QUEUED, RUNNING, DONE], watches=[[UnknownMethod("no WatchQuery")]]
    )
    client = Client(coordinator, poll_ms=50)
    assert await client.wait("7") == DONE
    assert trio.current_time() == pytest.approx(0.1, abs=0.01)
    coordinator.statuses = [QUEUED, DONE]
    assert await client.wait("7") == DONE
    assert len(coordinator.watched) == 1


async def test_a_coordinator_that_is_gone_is_waited_for_with_patience(
    autojump_clock: MockClock,
) -> None:
    coordinator = WatchedCoordinator(
        away=1_000, watches=[[QueryUpdate(QUEUED), Unavailable("connection reset")]]
    )
    with pytest.raises(Unavailable, match="connection refused"):
        await Client(coordinator, timeout_ms=2_000).wait("7")
    assert 1 < trio.current_time() < 3


async def test_a_query_that_nobody_knows_is_an_error_at_once(autojump_clock: MockClock) -> None:
    coordinator = WatchedCoordinator(watches=[[UnknownId("there is no query 7")]])
    with pytest.raises(UnknownId):
        await Client(coordinator).wait("7")


async def test_a_query_that_failed_is_an_error_with_its_message(autojump_clock: MockClock) -> None:
    failed = status_of(QueryState.FAILED, "no disk")
    coordinator = WatchedCoordinator(watches=[[QueryUpdate(failed)]])
    with pytest.raises(QueryFailed, match="no disk"):
        await Client(coordinator).run(PLAN)


@pytest.mark.parametrize("kind", [UnknownMethod, Unavailable, InvalidRequest])
async def test_what_progress_raises_is_no_break_of_the_watch(
    kind: type[FfqError], autojump_clock: MockClock
) -> None:
    """Also where it is an error of FFQ's, of another session's that it uses, say."""
    mine, told = kind("mine"), list[QueryState]()

    def progress(status: QueryStatus) -> None:
        told.append(status.state)
        if len(told) == 1:
            raise mine

    coordinator = WatchedCoordinator(watches=[[QueryUpdate(RUNNING), QueryUpdate(DONE)]])
    with pytest.raises(kind) as caught:
        await Client(coordinator).wait("7", progress)
    assert caught.value is mine
    assert told == [QueryState.RUNNING]
    assert coordinator.statuses == []
