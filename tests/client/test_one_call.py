"""A query in one call, and in several where that breaks or is not known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.client import Client
from ffq.errors import (
    ExecutionError,
    FfqError,
    InvalidQuery,
    PlanConflict,
    PlanningError,
    QueryFailed,
    QuotaExceeded,
    Unavailable,
    UnknownId,
    UnknownMethod,
)
from ffq.messages import (
    PlanSql,
    QueryState,
    QueryStatus,
    QueryUpdate,
    Rpc,
    RunQuery,
    SqlPlan,
    StreamRpc,
    SubmitQuery,
    Timeouts,
    WatchQuery,
)
from tests.client.fake_coordinator import ScriptedCoordinator, status_of
from tests.client.test_watching import PLAN, RESULT, TABLE, _Scripted

SQL = "SELECT 1"
RUNNING, DONE = status_of(QueryState.RUNNING), status_of(QueryState.SUCCEEDED)
PASSING: list[Any] = [Unavailable("gone"), QuotaExceeded("many"), ExecutionError("oh"), 10_000.0]
Script = list[QueryUpdate | FfqError | float]


@attrs.define
class OneCall(ScriptedCoordinator):
    """The n-th RunQuery tells what the n-th of `runs` says, a watch what `watch` says."""

    runs: list[Script] = attrs.field(factory=list)
    watch: Script = attrs.field(factory=lambda: [QueryUpdate(DONE, RESULT)])
    conflict: bool = False
    asked: list[RunQuery] = attrs.field(factory=list)
    planned: list[PlanSql] = attrs.field(factory=list)
    watched: list[WatchQuery] = attrs.field(factory=list)

    async def ask(self, message: Rpc[Any]) -> Any:
        if isinstance(message, PlanSql):
            self.planned.append(message)
            return SqlPlan(PLAN, (), ())
        if isinstance(message, SubmitQuery) and self.conflict:
            raise PlanConflict("another plan has this id")
        return await ScriptedCoordinator.ask(self, message)

    @asynccontextmanager
    async def stream(self, message: StreamRpc[Any, Any]) -> AsyncIterator[AsyncIterator[Any]]:
        if isinstance(message, RunQuery):
            self.asked.append(message)
            yield _Scripted(self.runs.pop(0))
        else:
            assert isinstance(message, WatchQuery)
            self.watched.append(message)
            yield _Scripted(list(self.watch))

    def client(self) -> Client:
        return Client(self, one_call=True)

    def nothing_else(self) -> bool:
        return not (self.planned or self.submitted or self.watched or self.canceled)


def finished(*before: QueryStatus) -> Script:
    return [*map(QueryUpdate, before), QueryUpdate(DONE, RESULT)]


async def test_a_plan_is_submitted_and_watched_and_brings_its_result_in_one_call() -> None:
    coordinator = OneCall(runs=[finished(RUNNING, RUNNING)])
    told: list[QueryState] = []
    timeouts = Timeouts(7, 5)
    found = await coordinator.client().run(PLAN, lambda s: told.append(s.state), timeouts=timeouts)
    assert found == TABLE
    assert told == [QueryState.RUNNING, QueryState.SUCCEEDED]
    (asked,) = coordinator.asked
    assert (asked.work, asked.timeouts) == (PLAN, timeouts)
    assert coordinator.nothing_else()


async def test_so_is_a_text_with_what_it_brings() -> None:
    coordinator = OneCall(runs=[finished()])
    assert await coordinator.client().run_sql("SELECT ?", [3], tables={"t": "/t.parquet"}) == TABLE
    (asked,) = coordinator.asked
    assert isinstance(asked.work, PlanSql)
    assert asked.work.sql == "SELECT ?"
    assert b"3" in asked.work.parameters_json
    assert "t.parquet" in asked.work.tables[0]
    assert coordinator.nothing_else()


async def test_a_client_of_its_own_coordinator_makes_its_calls_one_by_one() -> None:
    coordinator = OneCall()
    assert await Client(coordinator).run_sql(SQL) == TABLE
    assert not coordinator.asked


async def test_a_coordinator_that_knows_no_such_calls_is_asked_for_one_once() -> None:
    coordinator = OneCall(runs=[[UnknownMethod("RunQuery")]])
    client = coordinator.client()
    for _ in range(2):
        assert await client.run_sql(SQL) == TABLE
    assert len(coordinator.asked) == 1
    assert len(coordinator.planned) == len(coordinator.submitted) == 2


@pytest.mark.parametrize("work", [PLAN, SQL])
@pytest.mark.parametrize("breaks", [[each] for each in PASSING] + [[]])
async def test_what_breaks_before_it_is_submitted_is_done_in_calls_under_the_same_id(
    breaks: Script, work: Any, autojump_clock: MockClock
) -> None:
    coordinator = OneCall(runs=[list(breaks)])
    client = coordinator.client()
    assert await (client.run(work) if work is PLAN else client.run_sql(work)) == TABLE
    assert coordinator.submitted == [(coordinator.asked[0].query_id, PLAN)]
    assert len(coordinator.planned) == (work is SQL)
    assert not coordinator.canceled
    assert trio.current_time() < 130


async def test_a_text_that_was_submitted_by_the_call_that_broke_is_followed() -> None:
    """Even if it was planned otherwise: its files may have changed."""
    coordinator = OneCall(runs=[[Unavailable("gone")]], conflict=True)
    assert await coordinator.client().run_sql(SQL) == TABLE
    assert [each.query_id for each in coordinator.watched] == [coordinator.asked[0].query_id]
    with pytest.raises(PlanConflict):
        await OneCall(runs=[[Unavailable("gone")]], conflict=True).client().run(PLAN)


async def test_what_breaks_after_it_was_submitted_is_watched_and_not_submitted_again() -> None:
    coordinator = OneCall(runs=[[QueryUpdate(RUNNING), Unavailable("gone")]])
    assert await coordinator.client().run_sql(SQL) == TABLE
    assert not coordinator.submitted
    assert not coordinator.planned
    assert [each.query_id for each in coordinator.watched] == [coordinator.asked[0].query_id]


@pytest.mark.parametrize("refusal", [PlanningError("no"), InvalidQuery("no", line=1, column=8)])
async def test_what_is_refused_is_neither_tried_again_nor_canceled(refusal: FfqError) -> None:
    coordinator = OneCall(runs=[[refusal]])
    with pytest.raises(type(refusal)) as caught:
        await coordinator.client().run_sql(SQL)
    assert coordinator.nothing_else()
    notes = getattr(caught.value, "__notes__", [])
    assert bool(notes) == isinstance(refusal, InvalidQuery), "the place in the text"


async def test_one_that_fails_says_so_and_is_not_canceled() -> None:
    coordinator = OneCall(runs=[[QueryUpdate(status_of(QueryState.FAILED, "why"))]])
    with pytest.raises(QueryFailed, match="failed: why"):
        await coordinator.client().run(PLAN)
    assert coordinator.nothing_else()


async def test_one_that_is_no_longer_wanted_is_canceled() -> None:
    def refuse(_status: QueryStatus) -> None:
        raise PlanningError("enough")  # what would be a refusal, were it the coordinator's

    coordinator = OneCall(runs=[finished(RUNNING)])
    with pytest.raises(PlanningError, match="enough"):
        await coordinator.client().run_sql(SQL, progress=refuse)
    assert [each.query_id for each in coordinator.canceled] == [coordinator.asked[0].query_id]


async def test_so_is_one_of_which_nothing_was_heard(autojump_clock: MockClock) -> None:
    coordinator = OneCall(runs=[[1_000.0]])
    with trio.move_on_after(1):
        await coordinator.client().run_sql(SQL)
    assert [each.query_id for each in coordinator.canceled] == [coordinator.asked[0].query_id]


async def test_one_that_has_gone_meanwhile_is_told_of() -> None:
    coordinator = OneCall(
        runs=[[QueryUpdate(RUNNING), Unavailable("gone")]], watch=[UnknownId("no such query")]
    )
    with pytest.raises(UnknownId):
        await coordinator.client().run(PLAN)
    assert not coordinator.canceled
