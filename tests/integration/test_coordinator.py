"""The coordinator through its gateway, over gRPC, with workers played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from ffq.ids import AttemptKey, QueryId, WorkerId
from ffq.messages import (
    Assignment,
    AttemptStatus,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    Layout,
    ListAttempts,
    ListWorkers,
    ReportTaskStatus,
    SubmitQuery,
    TaskState,
)
from ffq.plan import scan
from ffq.rpc.client import open_channel
from ffq.rpc.coordinator import RemoteCoordinator
from tests.processes import END_TIMEOUT_S, gateway

QUERY = QueryId("4711")
PLAN = scan("t", ["k"]).to_json()
CUSTOM_PLAN = scan("t", ["k"]).custom("shop.clean").to_json()


@attrs.frozen
class HandWorker:
    """A worker that says what the test tells it to say."""

    coordinator: RemoteCoordinator
    worker_id: WorkerId
    incarnation: int = 1

    async def beat(self, *capabilities: str) -> bool:
        reply = await self.coordinator.ask(
            Heartbeat(
                self.worker_id, 0, 0, frozenset(capabilities), self.incarnation, family="by hand"
            )
        )
        return reply.accepted

    async def pull(self) -> tuple[Assignment, ...]:
        return await self.coordinator.ask(GetTask(self.worker_id, 8, self.incarnation))

    async def report(self, key: AttemptKey, state: TaskState, layout: Layout) -> bool:
        """Whether it counted."""
        message = ReportTaskStatus(key, state, "by hand", layout, self.worker_id, self.incarnation)
        return (await self.coordinator.ask(message)).counted


@asynccontextmanager
async def coordinator(*arguments: str) -> AsyncIterator[RemoteCoordinator]:
    with gateway(*arguments) as (_, endpoint):
        async with open_channel(endpoint) as channel:
            yield RemoteCoordinator(channel)


async def attempts_of(coordinator: RemoteCoordinator) -> tuple[AttemptStatus, ...]:
    return await coordinator.ask(ListAttempts(QUERY))


def losses_of(worker: str, attempts: Sequence[AttemptStatus]) -> int:
    return sum(each.message.startswith(f"worker lost: {worker}:") for each in attempts)


async def test_coordinator_assigns_custom_operator_tasks_only_to_capable_workers() -> None:
    """R10: by the last heartbeat's names, whole; till then the task waits, and says for what."""
    async with coordinator() as it:
        plain = HandWorker(it, WorkerId("plain"))
        able = HandWorker(it, WorkerId("able"))
        await it.ask(SubmitQuery(QUERY, CUSTOM_PLAN))
        assert await plain.beat("shop.other")
        assert await plain.pull() == ()
        assert "shop.clean" in (await it.ask(GetQueryStatus(QUERY))).message

        # A name that is gone is gone (R21).
        assert await able.beat("shop.clean")
        assert await able.beat("shop.other")
        assert await able.pull() == ()

        # The task becomes assignable as soon as a capable worker beats.
        assert await able.beat("shop.clean", "shop.other")
        assert await plain.pull() == ()
        (assignment,) = await able.pull()
        assert (assignment.key.query_id, assignment.key.attempt) == (QUERY, 1)
        (attempt,) = await attempts_of(it)
        assert (attempt.state, attempt.worker_id) == (TaskState.RUNNING, "able")


async def test_coordinator_requeues_tasks_from_stale_worker() -> None:
    """R19: found by a timer, without any RPC of the worker; its late report changes nothing."""
    times = "--worker-liveness-timeout-ms=500", "--retry-backoff-base-ms=0"
    async with coordinator(*times, "--max-task-attempts=1000") as it:
        silent = HandWorker(it, WorkerId("silent"))
        await it.ask(SubmitQuery(QUERY, PLAN))
        assert await silent.beat()
        (lost,) = await silent.pull()

        with trio.fail_after(END_TIMEOUT_S):
            while len(attempts := await attempts_of(it)) < 2:  # noqa: ASYNC110 - elsewhere
                await trio.sleep(0.02)
        first, second = attempts
        assert (first.key, first.state) == (lost.key, TaskState.FAILED)
        assert "worker lost" in first.message
        assert (second.key.attempt, second.state) == (2, TaskState.QUEUED)
        assert await it.ask(ListWorkers()) == ()

        present = HandWorker(it, WorkerId("present"))
        assert await present.beat()
        (taken,) = await present.pull()
        assert taken.key == second.key

        # R13: a stale attempt's reports are acknowledged and ignored.
        before = await attempts_of(it)
        while True:
            for state in (TaskState.SUCCEEDED, TaskState.FAILED):
                assert not await silent.report(lost.key, state, lost.layout)
            after = await attempts_of(it)
            if losses_of("present", after) == losses_of("present", before):
                break
            # The machine stood still for so long that this worker was lost meanwhile, too.
            assert await present.beat()
            await present.pull()
            before = await attempts_of(it)
        assert after == before
        status = await it.ask(GetQueryStatus(QUERY))
        assert not status.state.terminal
