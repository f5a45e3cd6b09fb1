"""The embedded cluster: real gRPC on loopback, real Parquet, and nothing left behind."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trio

import ffq
from ffq import plan as p
from ffq.client.local import Tables
from ffq.core import CoordinatorSettings
from ffq.errors import InvalidRequest, PlanningError, QueryFailed
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.direct import DirectCoordinator
from tests.processes import END_TIMEOUT_S
from tests.profiles import heavy

ROWS = 1_000


@pytest.fixture(scope="module")
def tables(
    tmp_path_factory: pytest.TempPathFactory,
) -> Tables:
    folder = tmp_path_factory.mktemp("tables")
    for number in range(2):
        values = list(range(number, ROWS, 2))
        table = pa.table({"k": [value % 3 for value in values], "v": values})
        pq.write_table(table, folder / f"{number}.parquet")
    return {"t": folder}


@ffq.operator("local.double")
def double(
    batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Every row twice."""
    for batch in batches:
        yield batch
        yield batch


PLAN = p.scan("t", ["k", "v"]).aggregate(["k"], [p.count().alias("n")], partitions=2)


async def test_its_own_client_makes_one_call_and_none_over_the_network(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for door in (RemoteCoordinator, DirectCoordinator):
        for verb in ("ask", "stream"):

            def noted(self: Any, message: Any, *, door: Any = door, of: Any = None) -> Any:
                asked.append(f"{door.__name__} {type(message).__name__}")
                return of(self, message)

            monkeypatch.setattr(door, verb, partialmethod(noted, of=getattr(door, verb)))
    async with ffq.LocalCluster(tables=tables) as cluster:
        assert (await cluster.run(PLAN)).num_rows == 3
        ours = [each for each in asked if each.startswith("Direct")]
        assert ours == ["DirectCoordinator RunQuery"]
        assert not {"RunQuery", "SubmitQuery", "WatchQuery"} & {
            each.split()[1] for each in asked if each not in ours
        }
        asked.clear()
        doubled = p.scan("t", ["k"]).custom("local.nobody")
        with pytest.raises(PlanningError, match="local.nobody"):
            await cluster.run(doubled)
        assert "DirectCoordinator RunQuery" not in asked


async def test_queries_run_and_nothing_is_left_behind(
    tables: Tables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with ffq.LocalCluster(workers=2, tables=tables) as cluster:
        result = await cluster.run(PLAN)
        doubled = await cluster.run(PLAN.pipe(lambda rows: rows.custom("local.double")))
        workers = await cluster.client.workers()
        endpoint = cluster.endpoint
    assert sorted(zip(*result.to_pydict().values(), strict=True)) == [(0, 334), (1, 333), (2, 333)]
    assert doubled.num_rows == 6
    assert {worker.worker_id for worker in workers} == {"local-1", "local-2"}
    assert os.listdir(tmp_path) == []
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", int(endpoint.rpartition(":")[2])))


async def test_an_error_of_the_program_comes_out_as_itself(
    tables: Tables,
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with ffq.LocalCluster(workers=1, tables=tables):
            raise ZeroDivisionError
    with trio.move_on_after(3600) as scope:
        async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
            scope.cancel()
            await cluster.run(PLAN)
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    "mine",
    [
        ExceptionGroup("mine", [ValueError("x")]),
        ExceptionGroup("mine", [ExceptionGroup("of mine", [ValueError("x")])]),
        ExceptionGroup("mine", [ValueError("x"), KeyError("y")]),
        ValueError("x"),
        SystemExit(3),
    ],
    ids=["of one", "of one of one", "of two", "none", "exit"],
)
async def test_an_error_of_the_program_leaves_as_it_is(mine: BaseException) -> None:

    async def use() -> None:
        async with ffq.LocalCluster(workers=1):
            raise mine

    mine.__context__ = KeyError("what was handled")
    mine.__cause__ = ZeroDivisionError("why")
    mine.__suppress_context__ = False
    expected = (mine.__cause__, mine.__context__, False)
    left: BaseException | None = None
    try:
        await use()
    except BaseException as error:  # noqa: BLE001  # looked at below
        left = error
    assert left is mine
    assert (mine.__cause__, mine.__context__, mine.__suppress_context__) == expected


async def test_an_error_of_the_program_outlives_a_cancellation_that_comes_with_it() -> None:
    with trio.CancelScope() as scope, pytest.raises(ValueError, match="mine"):
        async with ffq.LocalCluster(workers=1):
            scope.cancel()
            raise ValueError("mine")
    with pytest.raises(ExceptionGroup) as caught, trio.CancelScope() as scope:
        async with ffq.LocalCluster(workers=1), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            scope.cancel()
            raise ValueError("mine")
    assert caught.group_contains(ValueError, match="mine")


async def test_a_cluster_that_is_open_is_not_opened_again_and_goes_on(tables: Tables) -> None:
    cluster = ffq.LocalCluster(workers=1, tables=tables)
    for _ in range(2):  # one after the other it may be
        async with cluster:
            with pytest.raises(InvalidRequest, match="LocalCluster is open already"):
                async with cluster:
                    pytest.fail("it opened")
            assert (await cluster.run(PLAN)).num_rows == 3


async def test_a_cluster_that_opens_is_not_opened_by_another_task(tables: Tables) -> None:
    outcome: list[str] = []

    async def use() -> None:
        try:
            async with cluster:
                outcome.append(str((await cluster.run(PLAN)).num_rows))
        except InvalidRequest as error:
            outcome.append(str(error))

    cluster = ffq.LocalCluster(workers=1, tables=tables)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        nursery.start_soon(use)
    assert "open already" in outcome[0]
    assert outcome[1] == "3"


async def test_a_cluster_that_could_not_open_may_be_opened_later(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ffq.LocalCluster(workers=1, tables=tables)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", "/nowhere")
        with pytest.raises(FileNotFoundError):
            await cluster.__aenter__()
    async with cluster:
        assert (await cluster.run(PLAN)).num_rows == 3


async def test_a_client_of_a_block_that_was_left_says_so_at_once(tables: Tables) -> None:
    async with (
        ffq.LocalCluster(workers=1, tables=tables) as outer,
        ffq.connect(outer.endpoint) as connected,
    ):
        async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
            client, handle = cluster.client, await cluster.submit(PLAN)
        async with ffq.connect(outer.endpoint) as short_lived:
            pass
        uses: list[Callable[[], Awaitable[object]]] = [
            client.workers,
            handle.status,
            handle.result,
            handle.fetch,
            partial(client.run, PLAN),
            short_lived.workers,
        ]
        with trio.fail_after(5):  # a coordinator that is away is asked again for half a minute
            for use in uses:
                with pytest.raises(ffq.Unavailable, match="not open: use it in an async with"):
                    await use()
            assert len(await connected.workers()) == 1


async def test_a_call_under_way_when_its_block_is_left_says_so_at_once(tables: Tables) -> None:
    async with (
        ffq.LocalCluster(workers=1, tables=tables) as cluster,
        trio.open_nursery() as nursery,
    ):

        async def wait() -> None:
            with pytest.raises(ffq.Unavailable, match="not open: use it in an async with"):
                await client.run(p.scan("t", ["k"]).custom("local.nobody"))
            ended.set()

        ended = trio.Event()
        async with ffq.connect(cluster.endpoint) as client:
            nursery.start_soon(wait)
            await trio.sleep(0.2)
        with trio.fail_after(5):
            await ended.wait()


async def test_a_cluster_that_is_not_open_cannot_be_left() -> None:
    with pytest.raises(ffq.Unavailable, match="not open: use it in an async with block"):
        await ffq.LocalCluster().__aexit__(None, None, None)


async def test_what_is_wrong_with_a_query_is_said(tables: Tables, tmp_path: Path) -> None:
    """R1, R17, R28: each at once, naming the thing, and the cluster goes on."""
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    more = {**tables, "bad": tmp_path / "bad.parquet"}
    async with ffq.LocalCluster(workers=1, tables=more) as cluster:
        with pytest.raises(ffq.InvalidPlan, match="not JSON"):
            await cluster.run(b"{")
        with pytest.raises(ffq.InvalidPlan, match="Nonsense"):
            await cluster.run(b'{"Nonsense": {}}')
        with pytest.raises(ffq.QueryFailed, match="table 'nowhere' is in neither"):
            await cluster.run(p.scan("nowhere", ["x"]))
        with pytest.raises(ffq.QueryFailed, match="no column 'x'|'x'"):
            await cluster.run(p.scan("t", ["x"]))
        with pytest.raises(ffq.StorageError, match=r"bad\.parquet"):
            await cluster.run(p.scan("bad", ["x"]))
        with pytest.raises(ffq.UnknownId):
            await cluster.client.fetch("12345")
        handle = await cluster.submit(PLAN, query_id="mine")
        with pytest.raises(ffq.PlanConflict):
            await cluster.submit(p.scan("t", ["k"]), query_id="mine")
        assert (await handle.result()).num_rows == 3


async def test_attempts_tell_what_they_read_gave_out_and_took(tables: Tables) -> None:
    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        query = await cluster.submit(PLAN)
        result = await query.result()
        attempts = await query.attempts()
    maps = [each.usage for each in attempts if each.key.stage_id == 1]
    (sink, *others) = [each.usage for each in attempts if each.key.stage_id == 0]
    assert sink is not None
    measured = [each for each in maps if each is not None]
    assert len(measured) == len(maps)
    assert sum(each.input_rows for each in measured) == ROWS
    assert sum(each.input_bytes for each in measured) > ROWS
    sinks = [sink, *(each for each in others if each is not None)]
    assert sum(each.output_rows for each in sinks) == result.num_rows == 3
    assert sum(each.input_rows for each in sinks) == sum(each.output_rows for each in measured)
    assert all(each.compute_us + each.scan_us and each.write_us for each in [*sinks, *measured])


async def test_an_operator_that_nobody_has_is_refused_at_once(tables: Tables) -> None:
    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        for submit in (cluster.run, cluster.submit, cluster.client.run):
            with pytest.raises(
                ffq.PlanningError, match=r"'local\.duoble'.*did you mean 'local\.double'"
            ):
                await submit(p.scan("t", ["k"]).custom("local.duoble"))
        with pytest.raises(ffq.PlanningError, match=r'@ffq\.operator\("xyzzy"\)'):
            await cluster.run(p.scan("t", ["k"]).custom("xyzzy").limit(5))
        assert await cluster.client.queries() == ()


async def test_an_operator_registered_when_the_cluster_is_open_is_run(tables: Tables) -> None:
    """As in a notebook, cell by cell."""
    async with ffq.LocalCluster(workers=2, tables=tables) as cluster:
        assert (await cluster.run(p.scan("t", ["k"]))).num_rows == ROWS

        @ffq.operator("local.late")
        def late(
            batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
        ) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield batch.slice(0, 0)

        assert (await cluster.run(p.scan("t", ["k"]).custom("local.late"))).num_rows == 0


@pytest.mark.parametrize("timeouts", [ffq.Timeouts(query_ms=300), ffq.Timeouts(task_ms=100)])
async def test_a_query_whose_operator_never_ends_fails_in_the_time_given(
    tables: Tables, timeouts: ffq.Timeouts
) -> None:
    back = threading.Event()

    @ffq.operator("local.endless")
    def endless(
        batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        batch = next(batches)
        while not back.is_set():
            yield batch.slice(0, 1)

    settings = CoordinatorSettings(retry_backoff_base_ms=0)
    plan = p.scan("t", ["k"]).custom("local.endless")
    async with ffq.LocalCluster(workers=1, tables=tables, coordinator=settings) as cluster:
        try:
            with trio.fail_after(END_TIMEOUT_S), pytest.raises(QueryFailed, match="took longer"):
                await cluster.run(plan.limit(10**9), timeouts=timeouts)
            assert (await cluster.run(p.scan("t", ["k"]))).num_rows == ROWS
        finally:
            back.set()


async def test_a_slot_that_a_canceled_operator_holds_is_told_of(tables: Tables) -> None:
    """R10: and it is free again when the operator comes back."""
    begun, back = threading.Event(), threading.Event()

    @ffq.operator("local.deaf")
    def deaf(
        batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        begun.set()
        assert back.wait(END_TIMEOUT_S)
        yield from batches

    async with ffq.LocalCluster(workers=1, slots=1, tables=tables) as cluster:
        try:
            held = await cluster.submit(p.scan("t", ["k"]).custom("local.deaf"))
            with trio.fail_after(END_TIMEOUT_S):
                await trio.to_thread.run_sync(begun.wait)
                await held.cancel()
                waiting = await cluster.submit(PLAN)
                said = ""
                while "told to stop" not in said:
                    await trio.sleep(0.05)
                    said = (await waiting.status()).message
            assert said == (
                "waiting: no worker that could run it is free: local-1 is full (1 of 1 slots, "
                "1 of them by attempts that were told to stop and do not)"
            )
            (worker,) = await cluster.client.workers()
            assert (worker.running_attempts, worker.slots, worker.stuck_tasks) == (0, 1, 1)
        finally:
            back.set()
        assert (await waiting.result()).num_rows == 3


async def test_blocking_code_has_a_client_too(
    tables: Tables,
) -> None:
    def use(endpoint: str) -> int:
        with ffq.SyncClient(endpoint) as client:
            name = client.submit(PLAN)
            client.wait(name)
            rows: int = client.fetch(name).num_rows
            assert client.run(PLAN).num_rows == rows
            assert client.status(name).state is ffq.QueryState.SUCCEEDED
            assert name in {query.query_id for query in client.queries()}
            with pytest.raises(ffq.InvalidRequest):
                client.status("../x")
        with pytest.raises(ffq.Unavailable, match="not open"):
            client.workers()
        return rows

    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        rows: int = await trio.to_thread.run_sync(use, cluster.endpoint)
    assert rows == 3
    assert "ffq-sync-client" not in {thread.name for thread in threading.enumerate()}


def test_a_sync_client_of_a_bad_endpoint_is_refused() -> None:
    with pytest.raises(ffq.InvalidRequest, match="want host:port"), ffq.SyncClient("nowhere"):
        pass


def test_importing_ffq_alone_is_light() -> None:
    import subprocess
    import sys

    code = "import ffq, sys; print([m for m in ('grpc', 'duckdb', 'trio') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert set(ffq.__all__) <= set(dir(ffq))
    assert all(hasattr(ffq, name) for name in ffq.__all__)


@heavy
async def test_every_thread_of_trios_may_wait_for_a_query(tables: Tables) -> None:
    """Work of ours takes no thread of the program's: all of its may be waiting for that work."""
    most = int(trio.to_thread.current_default_thread_limiter().total_tokens)
    plan = p.scan("t", ["k"]).aggregate([], [p.count()])
    counts: list[int] = []

    def from_a_thread() -> None:
        table = trio.from_thread.run(cluster.run, plan)
        counts.extend(table["count"].to_pylist())

    async with ffq.LocalCluster(workers=2, tables=tables) as cluster:
        with trio.fail_after(END_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                for _ in range(most):
                    nursery.start_soon(trio.to_thread.run_sync, from_a_thread)
    assert len(counts) == most
    assert len(set(counts)) == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"workers": "2"}, "workers='2'; right would be a whole number from 1 to 64"),
        ({"workers": 1.5}, "workers=1.5; right would be"),
        ({"slots": 0}, "slots=0; right would be"),
        ({"workers": 10**5000}, "workers=a number of 16610 bits; right would be"),
        ({"slots": True}, "slots=True; right would be a whole number"),
        ({"coordinator": 5}, "coordinator=5; right would be an ffq.core.settings.CoordinatorSett"),
        ({"coordinator": {}}, r"coordinator={}; right would be"),
        ({"operators": None}, "operators=None; right would be a text, the names of modules with"),
        ({"operators": ["a"]}, r"operators=\['a'\]; right would be a text"),
        ({"tables": ""}, "tables=''; right would be a dict"),
        ({"tables": ["t"]}, r"tables=\['t'\]; right would be a dict"),
        ({"tables": {"t": None}}, r"tables\['t'\] is None; right would be a path"),
        ({"tables": {"t": []}}, r"tables\['t'\] is \[\]; right would be a path"),
        ({"tables": {"t": ("a.parquet",)}}, r"is \('a.parquet',\); right would be a path, with"),
    ],
)
def test_what_is_no_argument_is_refused_by_name(arguments: Any, error: str) -> None:
    with pytest.raises(InvalidRequest, match=error):
        ffq.LocalCluster(**arguments)
