"""The client on a virtual clock: ids, patience, waiting, results."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import pyarrow as pa
import pytest
import trio
from trio.testing import MockClock

import ffq
from ffq.client import Client
from ffq.client.conversions import table_of
from ffq.errors import (
    ExecutionError,
    InvalidRequest,
    PlanConflict,
    QueryCanceled,
    QueryFailed,
    QuotaExceeded,
    Unavailable,
)
from ffq.messages import QueryState, QueryStatus, Rpc
from ffq.plan.codec import parse_plan
from ffq.plan.model import ParquetScan
from ffq.shuffle.ipc import encode_stream
from tests.client.fake_coordinator import ScriptedCoordinator, status_of

R = TypeVar("R")

PLAN = b'{"ParquetScan": {"table": "t", "schema": null, "projection": null, "filters": []}}'
SCHEMA = pa.schema([("x", pa.int64())])


def stream(*values: int) -> bytes:
    batches = [pa.record_batch([pa.array([value])], schema=SCHEMA) for value in values]
    return b"".join(encode_stream(SCHEMA, batches))


def client_of(coordinator: ScriptedCoordinator, timeout_ms: int = 30_000) -> Client:
    return Client(coordinator, timeout_ms=timeout_ms)


async def test_default_ids_are_numbers_that_any_coordinator_serves(
    autojump_clock: MockClock,
) -> None:
    coordinator = ScriptedCoordinator()
    handles = [await client_of(coordinator).submit(PLAN) for _ in range(50)]
    ids = [int(str(handle)) for handle in handles]
    assert len(set(ids)) == 50
    assert all(0 < number < 2**64 for number in ids)


async def test_a_submit_is_repeated_under_the_same_id(autojump_clock: MockClock) -> None:
    """R1: the same id with the same bytes is idempotent, so a lost answer costs nothing."""
    coordinator = ScriptedCoordinator(away=3)
    await client_of(coordinator).submit(PLAN)
    assert len(coordinator.submitted) == 4
    assert len(set(coordinator.submitted)) == 1


async def test_an_absent_coordinator_is_waited_for_and_then_reported(
    autojump_clock: MockClock,
) -> None:
    coordinator = ScriptedCoordinator(away=10**9)
    since = trio.current_time()
    with pytest.raises(Unavailable, match="connection refused"):
        await client_of(coordinator, timeout_ms=5_000).submit(PLAN)
    assert 3 < trio.current_time() - since <= 5


@pytest.mark.parametrize("error", [PlanConflict("taken"), InvalidRequest("bad")])
async def test_a_refusal_is_not_repeated(autojump_clock: MockClock, error: Exception) -> None:
    coordinator = ScriptedCoordinator(refuse=error)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        await client_of(coordinator).submit(PLAN)
    assert len(coordinator.submitted) == 1


async def test_over_a_quota_it_waits_as_told_and_then_gives_up(autojump_clock: MockClock) -> None:
    coordinator = ScriptedCoordinator(refuse=QuotaExceeded("full", retry_after_ms=700))
    since = trio.current_time()
    with pytest.raises(QuotaExceeded):
        await client_of(coordinator).submit(PLAN)
    assert len(coordinator.submitted) == 10
    assert trio.current_time() - since >= 9 * 0.7


async def test_waiting_tells_each_change_once(autojump_clock: MockClock) -> None:
    states = [QueryState.QUEUED, QueryState.QUEUED, QueryState.RUNNING, QueryState.SUCCEEDED]
    coordinator = ScriptedCoordinator([status_of(state) for state in states])
    seen: list[QueryStatus] = []
    final = await client_of(coordinator).query("7").wait(seen.append)
    assert [status.state for status in seen] == [states[0], states[2], states[3]]
    assert final.state is QueryState.SUCCEEDED


@pytest.mark.parametrize(
    ("state", "error"), [(QueryState.FAILED, QueryFailed), (QueryState.CANCELED, QueryCanceled)]
)
async def test_a_query_that_did_not_succeed_is_an_error(
    autojump_clock: MockClock, state: QueryState, error: type[Exception]
) -> None:
    coordinator = ScriptedCoordinator([status_of(state, "no such column")])
    with pytest.raises(error, match="query 7 .*: no such column"):
        await client_of(coordinator).wait("7")


async def test_run_gives_the_rows_of_the_stream_however_it_is_cut(
    autojump_clock: MockClock,
) -> None:
    whole = stream(1, 2, 3)
    pieces = (whole[:100], whole[100:101], whole[101:])
    coordinator = ScriptedCoordinator([status_of(QueryState.SUCCEEDED)], pieces)
    table = await client_of(coordinator).run(PLAN)
    assert table == pa.table({"x": [1, 2, 3]})


async def test_a_run_that_is_given_up_cancels_its_query(autojump_clock: MockClock) -> None:
    coordinator = ScriptedCoordinator([status_of(QueryState.RUNNING)])
    with trio.move_on_after(10):
        await client_of(coordinator).run(PLAN)
    ((query_id, _),) = coordinator.submitted
    assert [message.query_id for message in coordinator.canceled] == [query_id]


async def test_a_run_that_is_given_up_while_it_is_submitted_cancels_its_query(
    autojump_clock: MockClock,
) -> None:
    """The coordinator may have accepted it before the answer was to come."""
    coordinator = ScriptedCoordinator(slow_submit_s=5)
    with trio.move_on_after(1):
        await client_of(coordinator).run(PLAN)
    ((query_id, _),) = coordinator.submitted
    assert [message.query_id for message in coordinator.canceled] == [query_id]


@pytest.mark.parametrize("error", [ZeroDivisionError(), InvalidRequest("of another client")])
async def test_a_run_whose_progress_raises_cancels_its_query(
    error: Exception, autojump_clock: MockClock
) -> None:
    def progress(_: QueryStatus) -> None:
        raise error

    coordinator = ScriptedCoordinator([status_of(QueryState.RUNNING)])
    with pytest.raises(type(error)):
        await client_of(coordinator).run(PLAN, progress)
    assert len(coordinator.canceled) == 1


async def test_a_run_of_a_query_that_has_ended_cancels_nothing(autojump_clock: MockClock) -> None:
    coordinator = ScriptedCoordinator([status_of(QueryState.FAILED, "no such column")])
    with pytest.raises(QueryFailed):
        await client_of(coordinator).run(PLAN)
    assert coordinator.canceled == []


@pytest.mark.parametrize("plan", [{"ParquetScan": {}}, None, 5, pa.table({"x": [1]})])
async def test_what_is_no_plan_is_refused_by_its_type(plan: Any) -> None:
    coordinator = ScriptedCoordinator()
    with pytest.raises(InvalidRequest, match=f"a {type(plan).__name__} is no plan; right would be"):
        await client_of(coordinator).run(plan)
    assert coordinator.submitted == []


async def test_a_plan_may_be_given_as_a_value(autojump_clock: MockClock) -> None:
    coordinator = ScriptedCoordinator()
    await client_of(coordinator).submit(ParquetScan("t", None, None, ()))
    assert parse_plan(coordinator.submitted[0][1]) == parse_plan(PLAN)


async def test_an_id_that_could_be_a_path_is_refused_here(autojump_clock: MockClock) -> None:
    coordinator = ScriptedCoordinator()
    with pytest.raises(InvalidRequest, match=r"query_id '\.\./x' is not 1 to 128"):
        await client_of(coordinator).submit(PLAN, query_id="../x")
    assert not coordinator.submitted


async def waits(status: object) -> None:
    """A progress callback that nobody would await."""


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda client: client.status(5), "query_id: a int is no text; right would be 1 to 128"),
        (lambda client: client.fetch(None), "query_id: a NoneType is no text"),
        (lambda client: client.submit(PLAN, 10**5000), "query_id: a int is no text"),
        (lambda client: client.drain(b"w"), "worker_id: a bytes is no text"),
        (lambda client: client.queries("x"), "limit 'x' of ListQueries: want 1 to 10,000"),
        (lambda client: client.queries(10**5000), "limit a number of 16610 bits of ListQueries"),
        (lambda client: client.queries(1.5), "limit 1.5 of ListQueries: want 1 to 10,000"),
        (lambda client: client.cancel("q", 5), "reason: a int is no text"),
        (
            lambda client: client.cancel("q", "\udcff"),
            r"reason: '.udcff' is no text that UTF",
        ),
        (lambda client: client.run(PLAN, waits), "progress: .*waits.* is async; right would be"),
        (lambda client: client.run(PLAN, 5), "progress: a int is no function; right would be"),
        (lambda client: client.wait("q", "x"), "progress: a str is no function"),
    ],
)
async def test_what_is_no_argument_is_refused_before_anything_is_asked(
    use: Callable[[Any], Awaitable[object]], error: str, autojump_clock: MockClock
) -> None:
    coordinator = ScriptedCoordinator()
    with pytest.raises(InvalidRequest, match=error):
        await use(client_of(coordinator))
    assert not coordinator.submitted
    assert not coordinator.canceled


def test_no_bytes_at_all_are_an_empty_result() -> None:
    """R26."""
    assert table_of((b"",)) == pa.table({})
    assert table_of(()) == pa.table({})


def test_zero_rows_keep_their_schema() -> None:
    assert table_of((stream(),)).schema == SCHEMA


@pytest.mark.parametrize("data", [b"not arrow at all", stream(1, 2)[:-60]])
def test_a_result_that_is_no_arrow_stream_is_an_error(data: bytes) -> None:
    with pytest.raises(ExecutionError, match="the result is no Arrow IPC stream"):
        table_of((data,))


@attrs.define
class MuteCoordinator(ScriptedCoordinator):
    """Takes every call and answers none."""

    async def ask(self, message: Rpc[R]) -> R:
        await trio.sleep_forever()
        raise AssertionError(message)


@pytest.mark.parametrize(("timeout_ms", "at_most_s"), [(50, 1.0), (3_000, 3.0), (60_000, 60.0)])
async def test_a_coordinator_that_is_reached_and_mute_is_away_after_the_patience(
    timeout_ms: int, at_most_s: float, autojump_clock: MockClock
) -> None:
    client = Client(MuteCoordinator(), timeout_ms=timeout_ms, endpoint="10.0.0.1:7")
    begun = trio.current_time()
    with pytest.raises(Unavailable, match=r"^10\.0\.0\.1:7: GetQueryStatus: no answer within"):
        await client.query("7").result()
    assert trio.current_time() - begun == pytest.approx(at_most_s, rel=0.05)


async def test_a_submit_may_take_long_whatever_the_patience(autojump_clock: MockClock) -> None:
    begun = trio.current_time()
    with pytest.raises(Unavailable, match="SubmitQuery: no answer within 30000 ms"):
        await Client(MuteCoordinator(), timeout_ms=50).submit(PLAN)
    assert trio.current_time() - begun == pytest.approx(30, rel=0.05)


@pytest.mark.parametrize("name", ["timeout_ms", "poll_ms"])
@pytest.mark.parametrize("value", [-1, 10**30, 10**400, float("nan"), "soon"])
async def test_a_time_that_is_none_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name}: .* is not from 0 to"):
        Client(ScriptedCoordinator(), **{name: value})
    with pytest.raises(InvalidRequest, match=f"^{name}: "):
        async with ffq.connect("127.0.0.1:1", **{name: value}):
            raise AssertionError
