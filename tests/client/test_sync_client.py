"""The blocking client: what ends its wait ends its query, and each client says where it belongs."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trio

import ffq
import ffq.client.thread
from ffq import plan as p
from ffq.client.local import Tables
from ffq.messages import QueryState
from tests.processes import END_TIMEOUT_S

# Nobody has it: the query waits until somebody ends it.
ENDLESS = p.scan("t", ["k"]).custom("sync.nobody")
# A shell has what it starts in the background ignore Ctrl-C, and so would what that starts.
PROGRAM = """
import signal, sys, threading, ffq
from ffq import plan as p
signal.signal(signal.SIGINT, signal.default_int_handler)
print("ready", flush=True)
with ffq.SyncClient(sys.argv[1]) as client:
    {body}
"""
RUN = 'client.run(p.scan("t", ["k"]).custom("sync.nobody"))'
BODIES = {
    "the program ends": RUN,
    "the program goes on": f"""try:
        {RUN}
    except KeyboardInterrupt:
        print(len(client.queries()), flush=True)
        sys.stdin.read()""",
}
# The signal wakes the thread that takes it: not the one that is to be interrupted.
ELSEWHERE = """
    def take(_progress):
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    try:
        client.run(p.scan("t", ["k"]).custom("sync.nobody"), take)
    except KeyboardInterrupt:
        sys.exit(3)
"""


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    pq.write_table(pa.table({"k": [1, 2, 3]}), tmp_path / "t.parquet")
    return {"t": tmp_path / "t.parquet"}


async def state_of_the_query(cluster: ffq.LocalCluster) -> QueryState | None:
    found = await cluster.client.queries()
    return found[0].state if found else None


async def until(cluster: ffq.LocalCluster, *states: QueryState) -> None:
    while await state_of_the_query(cluster) not in states:  # noqa: ASYNC110  # of another process
        await trio.sleep(0.02)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_ctrl_c_in_the_blocking_client_cancels_the_query(body: str, tables: Tables) -> None:
    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        program = await trio.lowlevel.open_process(
            [sys.executable, "-c", PROGRAM.format(body=body), cluster.endpoint],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        await until(cluster, QueryState.QUEUED)
        program.send_signal(signal.SIGINT)
        await until(cluster, QueryState.CANCELED)  # also while the program still runs
        assert program.stdin is not None
        await program.stdin.aclose()
        assert await program.wait() == (-signal.SIGINT if body == RUN else 0)


async def test_a_signal_that_another_thread_takes_ends_the_wait(tables: Tables) -> None:
    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        program = await trio.run_process(
            [sys.executable, "-c", PROGRAM.format(body=ELSEWHERE), cluster.endpoint], check=False
        )
        assert program.returncode == 3
        assert await state_of_the_query(cluster) is QueryState.CANCELED


def test_ctrl_c_while_the_blocking_client_opens_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody answers at this address, so that it would go on opening for half a minute."""

    def interrupted(_future: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ffq.client.thread, "wait_blocking", interrupted)
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(KeyboardInterrupt), ffq.SyncClient(endpoint):
            pytest.fail("it was let in")
    assert "ffq-sync-client" not in {each.name for each in threading.enumerate()}


async def test_the_end_of_the_block_cancels_the_query_of_another_thread(tables: Tables) -> None:
    outcome: list[Exception] = []
    opened, leave = threading.Event(), threading.Event()

    def use(endpoint: str) -> None:
        with ffq.SyncClient(endpoint) as client:

            def run() -> None:
                try:
                    client.run(ENDLESS)
                except ffq.Unavailable as error:
                    outcome.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            opened.set()
            leave.wait()
        thread.join()

    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.to_thread.run_sync, use, cluster.endpoint))
            await until(cluster, QueryState.QUEUED)
            leave.set()
        assert await state_of_the_query(cluster) is QueryState.CANCELED
    assert "was closed while the call was under way" in str(outcome[0])


@pytest.mark.parametrize(("cleanup", "expected"), [(None, ffq.Unavailable), (KeyError, KeyError)])
def test_a_call_with_a_nursery_that_the_end_of_the_block_cuts_off_is_answered(
    cleanup: type[Exception] | None,
    expected: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trio cuts it off with a group, not with a lone Cancelled."""
    opened = threading.Event()
    outcome: list[BaseException] = []

    async def untidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            if cleanup is not None:
                raise cleanup

    async def in_a_nursery(_client: ffq.Client) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(untidy)
            nursery.start_soon(trio.sleep_forever)
            opened.set()

    def call() -> None:
        try:
            client.workers()
        except Exception as error:  # noqa: BLE001
            outcome.append(error)

    monkeypatch.setattr(ffq.Client, "workers", in_a_nursery)
    with ffq.SyncClient("127.0.0.1:1") as client:
        thread = threading.Thread(target=call)
        thread.start()
        opened.wait()
    thread.join()
    (error,) = outcome
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, expected)


async def test_errors_of_calls_come_out_of_the_blocking_client(tables: Tables) -> None:
    def use(endpoint: str) -> None:
        with ffq.SyncClient(endpoint) as client:
            with pytest.raises(ffq.UnknownId):
                client.status("nobody")
            assert client.run(p.scan("t", ["k"])).num_rows == 3
        with pytest.raises(ffq.Unavailable, match="not open"):
            client.queries()

    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        await trio.to_thread.run_sync(use, cluster.endpoint)


def and_then(use: Callable[[], object], said: list[object]) -> Callable[[object], None]:
    """A progress callback that uses the client once, and keeps what came of it."""

    def progress(_status: object) -> None:
        if not said:
            try:
                said.append(use())
            except ffq.InvalidRequest as error:
                said.append(str(error))

    return progress


class Finalized:
    """Part of a cycle: its finalizer runs on the thread that collects it."""

    def __init__(self, use: Callable[[], object], said: list[object]) -> None:
        self.me = self
        self.finalize = and_then(use, said)

    def __del__(self) -> None:
        self.finalize(None)


def by_a_finalizer(use: Callable[[], object], said: list[object]) -> Callable[[object], None]:
    def progress(_status: object) -> None:
        Finalized(use, said)
        gc.collect()

    return progress


@pytest.mark.parametrize("how", [and_then, by_a_finalizer])
@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda client: client.workers(), "which it would block.*use it on another thread"),
        (lambda client: client.__enter__(), r"would block this Trio run: use ffq\.connect"),
        (lambda client: client.__exit__(None, None, None), "close it on the thread that opened it"),
    ],
    ids=["a call", "an entry", "the end"],
)
async def test_a_blocking_client_on_its_own_thread_is_refused_and_goes_on(
    how: Callable[..., Callable[[object], None]],
    use: Callable[[ffq.SyncClient], object],
    error: str,
    tables: Tables,
) -> None:
    said: list[object] = []

    def run(endpoint: str) -> None:
        with ffq.SyncClient(endpoint) as client:
            progress = how(partial(use, client), said)
            assert client.run(p.scan("t", ["k"]), progress).num_rows == 3
            assert len(client.workers()) == 1

    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        with trio.fail_after(END_TIMEOUT_S):
            await trio.to_thread.run_sync(run, cluster.endpoint, abandon_on_cancel=True)
    assert re.search(error, str(said[0]))
    assert "ffq-sync-client" not in {each.name for each in threading.enumerate()}


async def test_a_run_whose_progress_uses_its_blocking_client_cancels_its_query(
    tables: Tables,
) -> None:
    def run(endpoint: str) -> None:
        def progress(status: ffq.QueryStatus) -> None:
            client.cancel(status.query_id)

        with ffq.SyncClient(endpoint) as client:
            with pytest.raises(ffq.InvalidRequest, match="which it would block"):
                client.run(ENDLESS, progress)
            assert client.queries()[0].state is QueryState.CANCELED

    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        with trio.fail_after(END_TIMEOUT_S):
            await trio.to_thread.run_sync(run, cluster.endpoint, abandon_on_cancel=True)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_whatever_progress_raises_reaches_its_caller_and_no_other(
    error: BaseException, tables: Tables
) -> None:
    outcome: list[object] = []

    def progress(_status: object) -> None:
        raise error

    def run(endpoint: str) -> None:
        with ffq.SyncClient(endpoint) as client:
            name = client.submit(ENDLESS)

            def wait() -> None:
                try:
                    client.wait(name)
                except ffq.FfqError as other:
                    outcome.append(other)

            thread = threading.Thread(target=wait)
            thread.start()
            with pytest.raises(type(error)) as raised:
                client.run(ENDLESS, progress)
            assert raised.value is error
            assert client.queries()[0].state is QueryState.CANCELED
            client.cancel(name)
            thread.join()

    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        await trio.to_thread.run_sync(run, cluster.endpoint)
    assert [type(other) for other in outcome] == [ffq.QueryCanceled]


async def test_the_block_of_a_blocking_client_whose_thread_has_died_can_be_left(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    async def break_trio() -> None:
        raise ZeroDivisionError

    def progress(_status: object) -> None:
        trio.lowlevel.spawn_system_task(break_trio)

    def run(endpoint: str) -> None:
        with ffq.SyncClient(endpoint) as client:
            with pytest.raises(ffq.Unavailable):
                client.run(ENDLESS, progress)
            while "ffq-sync-client" in {each.name for each in threading.enumerate()}:
                time.sleep(0.01)

    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        await trio.to_thread.run_sync(run, cluster.endpoint)
    assert len(died) == 1


async def test_a_blocking_client_that_is_open_is_not_opened_again(tables: Tables) -> None:
    def use(endpoint: str) -> None:
        client = ffq.SyncClient(endpoint)
        for _ in range(2):  # one after the other it may be
            with client:
                with pytest.raises(ffq.InvalidRequest, match="is open already"), client:
                    pytest.fail("it was let in")
                assert len(client.workers()) == 1

    async with ffq.LocalCluster(workers=1, tables=tables) as cluster:
        await trio.to_thread.run_sync(use, cluster.endpoint)
    assert "ffq-sync-client" not in {each.name for each in threading.enumerate()}


async def open_cluster() -> None:
    async with ffq.LocalCluster():
        pytest.fail("it opened")


async def open_connection() -> None:
    async with ffq.connect("127.0.0.1:1"):
        pytest.fail("it opened")


@pytest.mark.parametrize("use", [open_cluster, open_connection])
def test_a_client_used_from_asyncio_says_what_to_use_instead(
    use: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    with pytest.raises(ffq.InvalidRequest, match=r"works under Trio.*ffq\.SyncClient.*to_thread"):
        asyncio.run(use())


async def test_a_blocking_client_in_trio_says_what_to_use_instead() -> None:
    with (
        pytest.raises(ffq.InvalidRequest, match=r"use ffq\.connect"),
        ffq.SyncClient("127.0.0.1:1"),
    ):
        pytest.fail("it opened")
