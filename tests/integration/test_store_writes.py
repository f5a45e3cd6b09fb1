"""Writes of real workers into an S3 server; they are killed and canceled in the midst of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ffq.messages import QueryState
from ffq.plan import Relation
from tests.integration.cluster import LIVENESS_MS, ROWS, ROWS_OF_T, Cluster, cluster
from tests.integration.test_writes import holding, is_held
from tests.profiles import heavy
from tests.s3 import SECRET, s3_server

OUT = "s3://lake/out"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with s3_server(tmp_path_factory.mktemp("s3")) as fs:
        yield fs


@pytest.fixture
def lake(server: Any) -> Iterator[Any]:
    yield server
    if left := server.find("lake"):
        server.rm(left)


def visible(fs: Any) -> list[str]:
    """What a reader finds who passes over hidden names."""
    return [path for path in fs.find("lake/out") if "/." not in path]


def values(fs: Any) -> list[int]:
    found: list[int] = []
    for path in visible(fs):
        with fs.open(path, "rb") as file:
            found += pq.read_table(file)["v"].to_pylist()
    return sorted(found)


def to_store(rows: Relation = ROWS_OF_T) -> Relation:
    return rows.write_parquet(OUT)


async def nothing_is_hidden(it: Cluster, fs: Any) -> None:
    """Once the workers have heard that the query is over."""

    async def gone() -> bool:
        return not any("/." in path for path in fs.find("lake/out"))

    await it.sees(gone)


@heavy
async def test_a_worker_that_is_killed_while_it_commits(
    tmp_path: Path, lake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt does what the first had decided."""
    async with cluster(tmp_path, liveness_ms=LIVENESS_MS) as it:
        with holding(it, "w1", "after", monkeypatch) as doomed:
            query = await it.client.submit(to_store())
            await is_held(it)
            assert values(lake) == list(range(ROWS))
            with it.worker("w2"):
                doomed.signal(signal.SIGKILL)
                doomed.wait()
                assert (await query.result()).to_pylist() == [{"Count": ROWS}]
                assert values(lake) == list(range(ROWS))
                await nothing_is_hidden(it, lake)


@heavy
async def test_a_query_that_is_canceled_while_it_commits(
    tmp_path: Path, lake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is visible is taken back, and a commit that goes on afterwards makes nothing visible."""
    async with cluster(tmp_path) as it:
        with holding(it, "w1", "after", monkeypatch) as worker:
            query = await it.client.submit(to_store())
            await is_held(it)
            assert await query.cancel() is QueryState.CANCELED

            async def taken_back() -> bool:
                return all(path.endswith("/settled") for path in lake.find("lake/out"))

            await it.sees(taken_back)
            (tmp_path / "go").touch()

            async def has_gone_on() -> bool:
                (one,) = await it.client.workers()
                return (tmp_path / "went on").exists() and not one.stuck_tasks

            await it.sees(has_gone_on)
            await nothing_is_hidden(it, lake)
            assert visible(lake) == []
            worker.signal(signal.SIGTERM)
            worker.wait()
            assert SECRET not in "\n".join(worker.rest())
