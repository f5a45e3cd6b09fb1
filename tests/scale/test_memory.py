"""Memory stays bounded however much data there is: peaks of real processes, as the kernel has them.

Each takes up to a minute: the profiles `ci` and `nightly` run them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import duckdb
import pytest
import trio

from ffq.client import Client, connect
from ffq.errors import QueryFailed
from ffq.sql.prepare import prepare
from tests.processes import Running, environment, gateway, worker
from tests.profiles import heavy
from tests.scale.memory import peak_mib

pytestmark = [
    heavy,
    pytest.mark.timeout(300),
]

ROWS = 9_000_000
ROW_BYTES = 8 + 64
"""In memory: a number, and a text of 64 bytes."""
MIB = 1 << 20
TASK_MIB = 56
SLOTS = 2
WORKER_MIB = 550
"""Base of the process, inputs that wait in memory (256), and what the engine may take."""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 4 files: k, and a text that is another in each row."""
    folder = tmp_path_factory.mktemp("big")
    text = "md5(i::VARCHAR) || md5((i + 1)::VARCHAR)"
    with duckdb.connect() as connection:
        for part in range(4):
            rows = f"range({part * ROWS // 4}, {(part + 1) * ROWS // 4}) AS t(i)"
            path = folder / f"{part}.parquet"
            connection.execute(f"COPY (SELECT i AS k, {text} AS s FROM {rows}) TO '{path}'")
    return folder


@attrs.frozen
class Cluster:
    endpoint: str
    client: Client
    gateway: Running
    worker: Running
    table: Path

    async def rows(self, sql: str) -> list[dict[str, object]]:
        plan = prepare(sql, {"big": str(self.table)}).plan
        rows: list[dict[str, object]] = (await self.client.run(plan)).to_pylist()
        return rows

    def peaks(self) -> tuple[int, int]:
        """Of gateway and worker, MiB."""
        return peak_mib(self.gateway.process.pid), peak_mib(self.worker.process.pid)


@asynccontextmanager
async def cluster(big: Path, folder: Path, *options: str) -> AsyncIterator[Cluster]:
    """A gateway and one worker, whose tasks have TASK_MIB each."""
    catalog = folder / "tables.json"
    catalog.write_text(json.dumps([{"name": "big", "uri": str(big)}]))
    limits = f"--engine-memory-mb={SLOTS * TASK_MIB}", f"--slots={SLOTS}", "--engine-threads=1"
    results = {"FFQ_MAX_RESULT_BYTES": str(8 << 30)}
    with (
        gateway(f"--catalog={catalog}", env=results) as (process, endpoint),
        worker(endpoint, "w1", *limits, *options) as one,
    ):
        async with connect(endpoint) as client:
            yield Cluster(endpoint, client, process, one, big)


async def test_an_aggregate_over_ten_times_the_cap(big: Path, tmp_path: Path) -> None:
    assert ROWS * ROW_BYTES > 10 * TASK_MIB * MIB
    async with cluster(big, tmp_path) as it:
        rows = await it.rows(
            "SELECT count(*) AS n, sum(n) AS all FROM (SELECT s, count(*) AS n FROM big GROUP BY s)"
        )
        assert rows == [{"n": ROWS, "all": ROWS}]
        at_gateway, at_worker = it.peaks()
        print(f"aggregate: gateway {at_gateway} MiB, worker {at_worker} MiB")
        assert at_worker < WORKER_MIB
        assert at_gateway < 200


async def test_a_join_over_ten_times_the_cap(big: Path, tmp_path: Path) -> None:
    async with cluster(big, tmp_path) as it:
        rows = await it.rows(
            "SELECT count(*) AS n, sum(length(a.s || b.s)) AS l FROM big a JOIN big b ON a.s = b.s"
        )
        assert rows == [{"n": ROWS, "l": 128 * ROWS}]
        at_gateway, at_worker = it.peaks()
        print(f"join: gateway {at_gateway} MiB, worker {at_worker} MiB")
        assert at_worker < WORKER_MIB
        assert at_gateway < 200


async def test_2_GiB_of_result_to_a_client_under_500_MiB(big: Path, tmp_path: Path) -> None:
    """Nor do the coordinator and the worker hold it."""
    async with cluster(big, tmp_path) as it:
        plan = prepare("SELECT k, s, r FROM big, range(3) AS t(r)", {"big": str(big)}).plan
        query = await it.client.submit(plan)
        await query.wait()
        command = [sys.executable, "-m", "tests.scale.stream_client", it.endpoint, query.query_id]
        done = await trio.run_process(command, capture_stdout=True, env=environment())
        found = json.loads(done.stdout)
        at_gateway, at_worker = it.peaks()
        print(f"result: {found}, gateway {at_gateway} MiB, worker {at_worker} MiB")
        assert found["rows"] == 3 * ROWS
        assert found["bytes"] > 2 << 30
        assert found["peak_mib"] < 500
        assert at_gateway < 500
        assert at_worker < WORKER_MIB


async def test_a_large_result_is_written_by_the_workers(big: Path, tmp_path: Path) -> None:
    """Over the coordinator's cap of results: none of it passes through there."""
    async with cluster(big, tmp_path) as it:
        out = tmp_path / "out"
        sql = f"COPY (SELECT k, s, r FROM big, range(3) AS t(r)) TO '{out}' (FORMAT parquet)"
        assert await it.rows(sql) == [{"Count": 3 * ROWS}]
        at_gateway, at_worker = it.peaks()
        print(f"write: gateway {at_gateway} MiB, worker {at_worker} MiB")
        assert at_gateway < 200
        assert at_worker < WORKER_MIB


async def test_a_task_that_needs_more_fails_its_query_and_the_worker_lives(
    big: Path, tmp_path: Path
) -> None:
    """The error names the settings. One list of all values fits into no part of the memory."""
    async with cluster(big, tmp_path) as it:
        with pytest.raises(QueryFailed, match=r"Out of Memory.*--engine-memory-mb.*--spill-mb"):
            await it.rows("SELECT len(list(s)) AS n FROM big")
        assert await it.rows("SELECT count(*) AS n FROM big") == [{"n": ROWS}]


async def test_a_disk_cap_is_named(big: Path, tmp_path: Path) -> None:
    async with cluster(big, tmp_path, "--spill-mb=20") as it:
        with pytest.raises(QueryFailed, match=r"Out of Memory.*--spill-mb"):
            await it.rows("SELECT count(*) AS n FROM (SELECT s FROM big ORDER BY s OFFSET 1)")
        assert await it.rows("SELECT count(*) AS n FROM big") == [{"n": ROWS}]
