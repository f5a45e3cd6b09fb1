"""Writes of real workers, that are killed and canceled in the midst of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ffq.engine.staging import STAGING
from ffq.messages import QueryState
from ffq.plan import Relation
from tests.integration.cluster import (
    GATE_OPERATORS,
    LIVENESS_MS,
    ROWS,
    ROWS_OF_T,
    Cluster,
    cluster,
)
from tests.processes import Running
from tests.profiles import heavy

HELD_COMMIT = "tests.integration.held_commit"


def values(out: Path) -> list[int]:
    return sorted(pq.read_table(out)["v"].to_pylist())


def to(out: Path, rows: Relation = ROWS_OF_T) -> Relation:
    return rows.write_parquet(str(out))


async def something_is_staged(it: Cluster) -> None:
    async def staged() -> bool:
        return (it.dataset.folder / STAGING).exists()

    await it.sees(staged)


async def nothing_is_left(it: Cluster) -> None:
    """Of the write, on disk: also what is hidden goes, once workers hear that the query is over."""

    async def gone() -> bool:
        return not (it.dataset.folder / STAGING).exists()

    await it.sees(gone)


async def is_held(it: Cluster) -> None:
    async def held() -> bool:
        return (it.dataset.folder / "held").exists()

    await it.sees(held)


@contextmanager
def holding(
    it: Cluster, name: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    """A worker that stops in a commit, before or after its files are visible."""
    with monkeypatch.context() as patch:
        patch.setenv("HELD_COMMIT", f"{when} {it.dataset.folder}")
        with it.worker(name, operators=f"{GATE_OPERATORS},{HELD_COMMIT}") as worker:
            yield worker


@heavy
async def test_all_files_of_a_write_are_there_when_it_succeeds(tmp_path: Path) -> None:
    async with cluster(tmp_path) as it:
        with it.workers("w1", "w2"):
            out = tmp_path / "out"
            assert (await it.client.run(to(out))).to_pylist() == [{"Count": ROWS}]
            assert values(out) == list(range(ROWS))
            await nothing_is_left(it)


@heavy
async def test_a_worker_that_is_killed_while_it_writes(tmp_path: Path) -> None:
    """What it has staged is not seen: the next attempt's files are, once."""
    out = tmp_path / "out"
    async with cluster(tmp_path, liveness_ms=LIVENESS_MS) as it:
        with it.worker("w1") as doomed:
            query = await it.client.submit(to(out, it.dataset.gated_scan()))
            await it.running_on(query, "w1")
            await something_is_staged(it)
            with it.worker("w2"):
                doomed.signal(signal.SIGKILL)
                doomed.wait()
                assert not out.exists()
                it.dataset.gate.touch()
                assert (await query.result()).to_pylist() == [{"Count": ROWS}]
                assert values(out) == list(range(ROWS))
                await nothing_is_left(it)


@pytest.mark.parametrize("when", [pytest.param("before", marks=heavy), "after"])
async def test_a_worker_that_is_killed_while_it_commits(
    tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt finishes it, or finds it done; also when files were written again for it."""
    out = tmp_path / "out"
    async with cluster(tmp_path, liveness_ms=LIVENESS_MS) as it:
        with holding(it, "w1", when, monkeypatch) as doomed:
            query = await it.client.submit(to(out))
            await is_held(it)
            assert out.exists() == (when == "after")
            with it.worker("w2"):
                doomed.signal(signal.SIGKILL)
                doomed.wait()
                assert (await query.result()).to_pylist() == [{"Count": ROWS}]
                assert values(out) == list(range(ROWS))
                await nothing_is_left(it)


@heavy
async def test_a_query_that_is_canceled_while_it_writes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with cluster(tmp_path) as it:
        with it.worker("w1"):
            query = await it.client.submit(to(out, it.dataset.gated_scan()))
            await it.running_on(query, "w1")
            await something_is_staged(it)
            await query.cancel()
            await nothing_is_left(it)
            assert not out.exists()


@heavy
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_query_that_is_canceled_while_it_commits(
    tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is visible is taken back, and a commit that goes on afterwards makes nothing visible."""
    out = tmp_path / "out"
    async with cluster(tmp_path) as it:
        with holding(it, "w1", when, monkeypatch):
            query = await it.client.submit(to(out))
            await is_held(it)
            assert await query.cancel() is QueryState.CANCELED
            await nothing_is_left(it)
            assert not out.exists()
            (tmp_path / "go").touch()

            async def has_gone_on() -> bool:
                (worker,) = await it.client.workers()
                return (tmp_path / "went on").exists() and not worker.stuck_tasks

            await it.sees(has_gone_on)
            assert not out.exists()
            assert not (tmp_path / STAGING).exists()
