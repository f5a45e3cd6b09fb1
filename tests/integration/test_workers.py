"""Real processes, real gRPC, real Parquet: workers that work, die, pause, and come back."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from ffq.cli.errors import SUPERSEDED
from ffq.errors import QueryFailed
from ffq.messages import QueryState, TaskState
from ffq.plan import Relation
from tests.integration.cluster import (
    FILES,
    LIVENESS_MS,
    ROWS,
    ROWS_OF_T,
    SPECIAL_OPERATORS,
    Cluster,
    cluster,
    same_rows,
    totals,
)
from tests.profiles import heavy, variants


@heavy
async def test_two_workers_share_a_query(tmp_path: Path) -> None:
    """Both are seen RUNNING tasks of it, and the answer is right (R25, R26)."""
    async with cluster(tmp_path) as it:
        with it.workers("w1", "w2"):
            query = await it.client.submit(totals(it.dataset.gated_scan()))
            await it.running_on(query, "w1")
            await it.running_on(query, "w2")
            it.dataset.gate.touch()
            assert same_rows(await query.result(), it.dataset.expected())
            attempts = await query.attempts()
            assert {attempt.key.attempt for attempt in attempts} == {1}
            maps = [attempt for attempt in attempts if attempt.key.stage_id == 1]
            assert len(maps) == FILES
            assert {attempt.worker_id for attempt in maps} == {"w1", "w2"}


@pytest.mark.parametrize(
    "what", variants(["close stderr", "close stdout", "no streams", "handler", "filter"])
)
async def test_a_worker_outlives_an_operator_that_spoils_its_streams_and_logs(
    tmp_path: Path, what: str
) -> None:
    async with cluster(tmp_path) as it:
        with it.worker("w1", operators=SPECIAL_OPERATORS) as worker:
            query = await it.client.submit(ROWS_OF_T.custom("test.spoils", {"what": what}))
            with pytest.raises(QueryFailed, match=r"'test.spoils' raised ValueError at .*: spoilt"):
                await query.result()
            again = await it.client.run(ROWS_OF_T.custom("test.special"))
            assert again.num_rows == ROWS
            worker.signal(signal.SIGTERM)
            assert worker.wait() == 0
            assert not any("Traceback" in line for line in worker.rest())


async def test_a_worker_killed_mid_query_costs_an_attempt_and_no_row(tmp_path: Path) -> None:
    """R14, R19: its attempts are requeued and run on the survivor."""
    async with cluster(tmp_path, liveness_ms=LIVENESS_MS) as it:
        with it.workers("w1", "w2") as (doomed, _):
            query = await it.client.submit(totals(it.dataset.gated_scan()))
            lost = await it.running_on(query, "w1")
            await it.running_on(query, "w2")
            doomed.signal(signal.SIGKILL)
            it.dataset.gate.touch()
            assert same_rows(await query.result(), it.dataset.expected())
            attempts = {attempt.key: attempt for attempt in await query.attempts()}
            assert attempts[lost.key].state is TaskState.FAILED
            assert "worker lost" in attempts[lost.key].message
            (retried,) = (
                attempt
                for attempt in attempts.values()
                if attempt.key.task == lost.key.task and attempt.committed
            )
            assert retried.worker_id == "w2"
            assert retried.key.attempt > lost.key.attempt


async def test_map_outputs_of_a_killed_worker_are_made_again(tmp_path: Path) -> None:
    """Committed outputs that only it could serve are lost with it; the reducers get new ones."""
    async with cluster(tmp_path, liveness_ms=LIVENESS_MS) as it:
        with it.worker("w1", "--slots=4") as doomed:
            query = await it.client.submit(totals_behind_a_gate(it.dataset.gate))
            # A reducer waits at the gate: all maps are committed, on w1.
            await it.running_on(query, "w1", stage=0)
            with it.worker("w2", "--slots=4"):
                doomed.signal(signal.SIGKILL)
                it.dataset.gate.touch()
                assert same_rows(await query.result(), it.dataset.expected())
            maps = [item for item in await query.attempts() if item.key.stage_id == 1]
            committed = [item for item in maps if item.committed]
            assert len(committed) == FILES
            assert {item.worker_id for item in committed} == {"w2"}
            assert {item.key.attempt for item in committed} == {2}


def totals_behind_a_gate(gate: Path) -> Relation:
    """The gate stands behind the exchange: reducers wait, the map tasks do not."""
    return totals(ROWS_OF_T).custom("test.gate", {"file": str(gate)})


async def test_a_worker_paused_past_the_timeout_changes_nothing_when_it_resumes(
    tmp_path: Path,
) -> None:
    """R13, R19: its attempt was given to another; what it says later is acknowledged, no more."""
    async with cluster(tmp_path, liveness_ms=LIVENESS_MS) as it:
        with it.workers("w1", "w2") as (paused, _):
            query = await it.client.submit(totals(it.dataset.gated_scan()))
            lost = await it.running_on(query, "w1")
            paused.signal(signal.SIGSTOP)
            it.dataset.gate.touch()
            result = await query.result()
            assert same_rows(result, it.dataset.expected())
            before = (await query.status(), await query.attempts())
            assert await worker_ids(it) == {"w2"}

            paused.signal(signal.SIGCONT)
            await it.sees(lambda: is_idle_again(it, "w1"))
            assert (await query.status(), await query.attempts()) == before
            assert await query.fetch() == result
            assert lost.key in {attempt.key for attempt in before[1]}

            # It works again: the next query runs on it too.
            it.dataset.gate.unlink()
            again = await it.client.submit(totals(it.dataset.gated_scan()))
            await it.running_on(again, "w1")
            it.dataset.gate.touch()
            assert same_rows(await again.result(), it.dataset.expected())


async def worker_ids(it: Cluster) -> set[str]:
    return {worker.worker_id for worker in await it.client.workers()}


async def is_idle_again(it: Cluster, worker_id: str) -> bool:
    return any(
        worker.worker_id == worker_id and worker.running_attempts == 0
        for worker in await it.client.workers()
    )


async def test_R19_of_two_live_workers_under_one_id_the_older_says_so_and_ends(
    tmp_path: Path,
) -> None:
    """It stops what it runs; the query goes on with the younger, which nobody supersedes."""
    async with cluster(tmp_path) as it:
        with it.worker("w1") as older:
            query = await it.client.submit(totals(it.dataset.gated_scan()))
            lost = await it.running_on(query, "w1")
            with it.worker("w1", f"--shuffle-root={tmp_path / 'other'}") as younger:
                assert older.wait() == SUPERSEDED
                assert older.rest()[-1] == (
                    "error: superseded by another process with worker id 'w1'; "
                    "give each worker an id of its own"
                )
                it.dataset.gate.touch()
                assert same_rows(await query.result(), it.dataset.expected())
                attempts = {attempt.key: attempt for attempt in await query.attempts()}
                assert "restarted" in attempts[lost.key].message
                younger.signal(signal.SIGTERM)
                assert younger.wait() == 0


async def test_a_worker_restarted_under_its_id_is_a_new_worker(tmp_path: Path) -> None:
    """Its old attempts are requeued at once: with this liveness timeout nothing else could."""
    async with cluster(tmp_path) as it:
        with it.worker("w1", "--slots=2") as first:
            query = await it.client.submit(totals(it.dataset.gated_scan()))
            lost = await it.running_on(query, "w1")
            first.signal(signal.SIGKILL)
            first.wait()
        with it.worker("w1", "--slots=2"):
            it.dataset.gate.touch()
            assert same_rows(await query.result(), it.dataset.expected())
            attempts = {attempt.key: attempt for attempt in await query.attempts()}
            assert attempts[lost.key].state is TaskState.FAILED
            assert "restarted" in attempts[lost.key].message


async def test_cancel_reaches_running_tasks(tmp_path: Path) -> None:
    """R5: the fragments are interrupted, and their slots take the next query."""
    async with cluster(tmp_path) as it:
        with it.worker("w1", "--slots=1"):
            query = await it.client.submit(totals(it.dataset.gated_scan()))
            await it.running_on(query, "w1")
            assert await query.cancel("not needed") is QueryState.CANCELED
            status = await query.status()
            assert "not needed" in status.message
            # The gate is still shut: only an interrupted task gives the one slot back.
            with trio.fail_after(60):
                assert same_rows(await it.client.run(totals(ROWS_OF_T)), it.dataset.expected())
            assert await query.status() == status


async def test_operator_tasks_run_only_where_the_operator_is(tmp_path: Path) -> None:
    """R10, with real workers; then R31: all tasks of a query are of one family."""
    async with cluster(tmp_path) as it:
        with it.worker("plain"), it.worker("able", operators=SPECIAL_OPERATORS):
            special = ROWS_OF_T.custom("test.special", columns=["k", "v"])
            query = await it.client.submit(totals(special))
            assert same_rows(await query.result(), it.dataset.expected())
            maps = [item for item in await query.attempts() if item.key.stage_id == 1]
            assert {item.worker_id for item in maps} == {"able"}


@heavy
async def test_a_query_waits_for_a_capability_and_says_so(tmp_path: Path) -> None:
    """R10."""
    async with cluster(tmp_path) as it:
        with it.worker("plain"):
            special = ROWS_OF_T.custom("test.special", columns=["k", "v"])
            query = await it.client.submit(totals(special))

            async def says_so() -> bool:
                return "test.special" in (await query.status()).message

            await it.sees(says_so)
            with it.worker("able", operators=SPECIAL_OPERATORS):
                assert same_rows(await query.result(), it.dataset.expected())


@heavy
async def test_a_worker_stops_in_order_on_sigterm(tmp_path: Path) -> None:
    """R17: what it ran is reported STOPPED, blames nobody, and runs elsewhere."""
    async with cluster(tmp_path) as it:
        with it.worker("w1", "--slots=1") as leaving:
            query = await it.client.submit(totals(it.dataset.gated_scan()))
            stopped = await it.running_on(query, "w1")
            with it.worker("w2", "--slots=2"):
                leaving.signal(signal.SIGTERM)
                assert await trio.to_thread.run_sync(leaving.wait) == 0
                it.dataset.gate.touch()
                assert same_rows(await query.result(), it.dataset.expected())
            attempts = {attempt.key: attempt for attempt in await query.attempts()}
            assert "shutting down" in attempts[stopped.key].message
        assert not any("Traceback" in line for line in leaving.rest())
