"""A coordinator that dies and comes back empty, and workers that cannot start."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import trio

from tests.integration.cluster import ROWS_OF_T, cluster, gateway_for, same_rows, totals
from tests.processes import ffq


async def test_workers_come_back_to_a_coordinator_that_lost_everything(tmp_path: Path) -> None:
    """Attempts it knows nothing of are dropped, their slots take new work, old files go."""
    async with cluster(tmp_path) as it:
        with it.worker("w1", "--slots=1") as worker:
            done = await it.client.submit(totals(ROWS_OF_T))
            await done.wait()
            held = await it.client.submit(totals(it.dataset.gated_scan()))
            await it.running_on(held, "w1")
            it.gateway.signal(signal.SIGKILL)
            it.gateway.wait()
            await trio.to_thread.run_sync(worker.wait_for, "is unreachable")
            with gateway_for(it.dataset, f"--bind={it.endpoint}"):
                await trio.to_thread.run_sync(worker.wait_for, "answers again")
                result = await it.client.run(totals(ROWS_OF_T))
                assert same_rows(result, it.dataset.expected())
                assert {query.query_id for query in await it.client.queries()}.isdisjoint(
                    {done.query_id, held.query_id}
                )

                async def old_files_are_gone() -> bool:
                    left = {path.name for path in it.dataset.shuffle.glob("*/outputs/*")}
                    return left.isdisjoint({done.query_id, held.query_id})

                await it.sees(old_files_are_gone)


def refused(*arguments: str) -> str:
    """The one line that a worker which cannot start ends with."""
    ended = ffq("worker", "--shuffle-bind=127.0.0.1:0", "--log-level=error", *arguments)
    assert ended.returncode != 0
    (line,) = ended.stderr.strip().splitlines()
    return line


def test_a_worker_told_a_wrong_port_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{unused.getsockname()[1]}"
        line = refused(f"--coordinator={endpoint}", "--connect-timeout-ms=300")
    assert f"no coordinator answers at {endpoint} within 300 ms" in line


def test_a_worker_whose_shuffle_port_is_taken_says_so() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        assert bind in refused(f"--shuffle-bind={bind}")


def test_an_operators_module_that_does_not_import_is_named() -> None:
    assert "'no.such.module'" in refused("--operators=no.such.module")


def test_a_catalog_that_is_none_is_named(tmp_path: Path) -> None:
    catalog = tmp_path / "tables.json"
    catalog.write_text("[{]")
    assert str(catalog) in refused(f"--catalog={catalog}")
