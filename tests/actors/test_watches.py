"""Watched queries: who watches hears of the end when it comes, and is handed the newest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ffq.actors import ActorCoordinator, ActorSettings, open_coordinator
from ffq.actors.watches import PACE_S, STILL_THERE_S, Watch
from ffq.errors import QuotaExceeded, UnknownId
from ffq.ids import QueryId
from ffq.messages import (
    CancelQuery,
    GetQueryStatus,
    QueryState,
    QueryStatus,
    RunQuery,
    SubmitQuery,
    TaskState,
    WatchQuery,
)
from ffq.service import Chunks
from tests.actors.harness import PLAN, InlinePlanner, Q, beat, output, pull, report, result, status

HOUR_MS = 3_600_000


@asynccontextmanager
async def the_watch(_: WatchQuery, watch: Watch) -> AsyncIterator[Watch]:
    yield watch


@asynccontextmanager
async def open_watched(watches: int = 4, tick_ms: int = HOUR_MS) -> AsyncIterator[ActorCoordinator]:
    """Nothing happens in it by itself, and one query is submitted."""
    actors = ActorSettings(tick_ms=tick_ms, sweep_ms=HOUR_MS, watches=watches)
    chunks: dict[type, Chunks] = {WatchQuery: the_watch, RunQuery: the_watch}
    async with open_coordinator(InlinePlanner(), None, actors, chunks=chunks) as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        yield coordinator


class Told:
    """Takes all that a watch tells, with the time of each."""

    def __init__(self) -> None:
        self.statuses: list[tuple[float, QueryStatus]] = []

    def last(self) -> tuple[float, QueryState]:
        at, status = self.statuses[-1]
        return at, status.state

    async def take(self, coordinator: ActorCoordinator) -> None:
        async with coordinator.stream(WatchQuery(Q)) as updates:
            async for each in updates:
                assert isinstance(each, QueryStatus)
                self.statuses.append((trio.current_time(), each))


async def run_to_its_end(coordinator: ActorCoordinator) -> None:
    await coordinator.ask(beat())
    (task,) = await coordinator.ask(pull())
    await coordinator.ask(output(task, 1))
    await coordinator.ask(report(task))
    (reducer,) = await coordinator.ask(pull())
    await coordinator.ask(result(reducer, b"rows"))
    await coordinator.ask(report(reducer))


async def fail(coordinator: ActorCoordinator) -> None:
    await coordinator.ask(beat())
    while (await status(coordinator)).state is not QueryState.FAILED:
        (task,) = await coordinator.ask(pull())
        await coordinator.ask(report(task, TaskState.FAILED))
        await trio.sleep(60)
        await coordinator.ask(beat())


async def cancel(coordinator: ActorCoordinator) -> None:
    await coordinator.ask(CancelQuery(Q, "enough"))


@pytest.mark.parametrize(
    ("end", "state"),
    [(run_to_its_end, QueryState.SUCCEEDED), (cancel, QueryState.CANCELED)],
    ids=["succeeded", "canceled"],
)
async def test_the_end_is_told_without_any_time_passing(
    end: Callable[[ActorCoordinator], Awaitable[None]], state: QueryState, mock_clock: MockClock
) -> None:
    told = Told()
    async with open_watched() as coordinator, trio.open_nursery() as nursery:
        nursery.start_soon(told.take, coordinator)
        await wait_all_tasks_blocked()
        assert told.last() == (0, QueryState.QUEUED)
        await end(coordinator)
        await wait_all_tasks_blocked()
        assert told.last() == (0, state)
        assert told.statuses[-1][1] == await status(coordinator)
        assert not coordinator.watches


async def test_a_query_that_has_ended_is_told_once(mock_clock: MockClock) -> None:
    told = Told()
    async with open_watched() as coordinator:
        await run_to_its_end(coordinator)
        await told.take(coordinator)
    assert [each.state for _, each in told.statuses] == [QueryState.SUCCEEDED]


async def test_other_changes_are_told_when_the_pace_allows_it(mock_clock: MockClock) -> None:
    told = Told()
    async with open_watched() as coordinator, trio.open_nursery() as nursery:
        nursery.start_soon(told.take, coordinator)
        await wait_all_tasks_blocked()
        await coordinator.ask(beat())
        (task,) = await coordinator.ask(pull())
        await wait_all_tasks_blocked()
        assert len(told.statuses) == 1
        mock_clock.jump(PACE_S)
        await wait_all_tasks_blocked()
        assert told.last() == (PACE_S, QueryState.RUNNING)
        await coordinator.ask(output(task, 1))
        mock_clock.jump(PACE_S)
        await wait_all_tasks_blocked()
        mock_clock.jump(PACE_S)  # long after the last look: a change is seen when it comes
        await wait_all_tasks_blocked()
        await coordinator.ask(report(task))
        await wait_all_tasks_blocked()
        assert told.last()[0] == pytest.approx(3 * PACE_S)
        assert told.statuses[-1][1] == await status(coordinator)
        nursery.cancel_scope.cancel()


async def test_a_query_of_which_there_is_no_news_is_told_each_second(
    autojump_clock: MockClock,
) -> None:
    told = Told()
    async with open_watched() as coordinator:
        with trio.move_on_after(3.5 * STILL_THERE_S):
            await told.take(coordinator)
    assert [at for at, _ in told.statuses] == pytest.approx(
        [0, STILL_THERE_S, 2 * STILL_THERE_S, 3 * STILL_THERE_S]
    )


async def test_who_is_slow_gets_the_newest(autojump_clock: MockClock) -> None:
    async with (
        open_watched() as coordinator,
        coordinator.stream(WatchQuery(Q)) as updates,
    ):
        assert (await anext(updates)).state is QueryState.QUEUED  # type: ignore[attr-defined]
        await run_to_its_end(coordinator)
        await trio.sleep(60)
        assert [each.state async for each in updates] == [QueryState.SUCCEEDED]  # type: ignore[attr-defined]


async def test_a_failure_is_told_with_its_message(autojump_clock: MockClock) -> None:
    told = Told()
    async with open_watched(tick_ms=250) as coordinator, trio.open_nursery() as nursery:
        nursery.start_soon(told.take, coordinator)
        await fail(coordinator)
        await wait_all_tasks_blocked()
        assert told.statuses[-1][1] == await status(coordinator)
    assert told.last()[1] is QueryState.FAILED


async def test_watches_are_bounded_and_who_leaves_makes_room(mock_clock: MockClock) -> None:
    async with open_watched(watches=1) as coordinator:
        async with coordinator.stream(WatchQuery(Q)):
            with pytest.raises(QuotaExceeded, match="1 queries are watched already"):
                await Told().take(coordinator)
        await run_to_its_end(coordinator)
        await Told().take(coordinator)


async def test_a_query_that_nobody_knows_cannot_be_watched(mock_clock: MockClock) -> None:
    async with open_watched() as coordinator:
        with pytest.raises(UnknownId):
            async with coordinator.stream(WatchQuery(QueryId("2"))) as updates:
                await anext(updates)
        assert not coordinator.watches


async def test_a_query_is_submitted_and_watched_in_one(autojump_clock: MockClock) -> None:
    async with open_watched() as coordinator:
        other = RunQuery(QueryId("2"), PLAN.to_json())
        async with coordinator.stream(other) as updates:
            first: Any = await anext(updates)
            assert (first.query_id, first.state) == ("2", QueryState.QUEUED)
            assert trio.current_time() == PACE_S
            await coordinator.ask(CancelQuery(QueryId("2"), "enough"))
            assert [each.state async for each in updates] == [QueryState.CANCELED]  # type: ignore[attr-defined]


async def test_one_that_ends_soon_is_told_of_once(autojump_clock: MockClock) -> None:
    async with open_watched() as coordinator, trio.open_nursery() as nursery:
        async with coordinator.stream(RunQuery(QueryId("2"), PLAN.to_json())) as updates:
            message = CancelQuery(QueryId("2"), "enough")
            nursery.start_soon(coordinator.ask, message)
            assert [each.state async for each in updates] == [QueryState.CANCELED]  # type: ignore[attr-defined]
        assert trio.current_time() == 0


async def test_what_there_is_no_room_to_watch_is_not_submitted(mock_clock: MockClock) -> None:
    other = QueryId("2")
    async with open_watched(watches=0) as coordinator:
        with pytest.raises(QuotaExceeded):
            async with coordinator.stream(RunQuery(other, PLAN.to_json())):
                pass
        with pytest.raises(UnknownId):
            await coordinator.ask(GetQueryStatus(other))
