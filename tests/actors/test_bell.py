"""Which of several workers that wait is called when a task appears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ffq import plan as p
from ffq.actors import ActorCoordinator, bell, open_coordinator
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    Assignment,
    AttemptEnd,
    FromWorker,
    RegisterQueryResults,
    ReportTaskStatus,
    SubmitQuery,
    TaskState,
)
from ffq.service import Exchange
from tests.actors.harness import InlinePlanner, beat

ONE, OTHER, THIRD = (p.scan("t", [column]) for column in "abc")
MINUTE = 60_000


@attrs.define
class Cluster:
    """Workers that end what they are given when they are told to; `given`: to whom, in order."""

    door: ActorCoordinator
    nursery: trio.Nursery
    given: list[str] = attrs.field(factory=list)
    _running: list[tuple[WorkerId, Exchange, Assignment]] = attrs.field(factory=list)
    _received: dict[WorkerId, int] = attrs.field(factory=dict)
    _slots: int = 1
    _queries: int = 0

    async def open(self, names: str) -> None:
        for name in names:
            await self.nursery.start(self._work, WorkerId(name))
            await wait_all_tasks_blocked()

    async def run(self, plan: p.Relation) -> str:
        """Who gets a query of one task."""
        self._queries += 1
        await self.door.ask(SubmitQuery(QueryId(str(self._queries)), plan.to_json()))
        await wait_all_tasks_blocked()
        assert len(self.given) == self._queries
        return self.given[-1]

    async def end_all(self) -> None:
        while self._running:
            worker_id, exchange, task = self._running.pop()
            done = ReportTaskStatus(task.key, TaskState.SUCCEEDED, "", task.layout, worker_id, 1)
            end = AttemptEnd(done, RegisterQueryResults(task.key.query_id, b"rows", task.key))
            limit = self._received[worker_id] + self._slots
            await exchange.send(FromWorker(None, limit, MINUTE, (end,)))
            await wait_all_tasks_blocked()

    async def _work(
        self, worker_id: WorkerId, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with self.door.exchange() as exchange:
            await exchange.send(FromWorker(beat(worker_id), self._slots, MINUTE))
            task_status.started()
            while (message := await exchange.receive()) is not None:
                for task in message.tasks:
                    self._received[worker_id] = self._received.get(worker_id, 0) + 1
                    self._running.append((worker_id, exchange, task))
                    self.given.append(worker_id)


@asynccontextmanager
async def cluster(names: str, slots: int = 1) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(open_coordinator(InlinePlanner()))
        nursery = await stack.enter_async_context(trio.open_nursery())
        made = Cluster(door, nursery, slots=slots)
        for worker in names:
            await made.open(worker)
        yield made
        await door.validate_state()
        nursery.cancel_scope.cancel()


async def run_and_end(each: Cluster, plan: p.Relation) -> str:
    who = await each.run(plan)
    await each.end_all()
    return who


async def test_a_query_that_is_run_again_goes_to_who_ran_it_before(
    autojump_clock: MockClock,
) -> None:
    async with cluster("abc") as each:
        assert [await run_and_end(each, ONE) for _ in range(3)] == ["a", "a", "a"]
        assert [await run_and_end(each, OTHER) for _ in range(2)] == ["b", "b"]
        assert await run_and_end(each, ONE) == "a"
        # Nobody knows it: who waits longest.
        assert await run_and_end(each, THIRD) == "c"


async def test_of_those_who_ran_it_the_last_one_is_called(autojump_clock: MockClock) -> None:
    async with cluster("abc") as each:
        assert [await each.run(ONE) for _ in range(2)] == ["a", "b"]
        await each.end_all()
        assert await each.run(ONE) == "b"
        assert await each.run(ONE) == "a"


async def test_who_runs_something_is_not_preferred(autojump_clock: MockClock) -> None:
    """Else a worker of many slots would get all, and the others nothing."""
    async with cluster("ab", slots=2) as each:
        assert await run_and_end(each, ONE) == "a"
        assert await run_and_end(each, OTHER) == "b"
        assert await each.run(ONE) == "a"
        assert await each.run(ONE) == "b"


async def test_plans_that_were_not_run_for_longest_are_forgotten(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "_MOST_PLANS", 1)
    async with cluster("ab") as each:
        assert await run_and_end(each, ONE) == "a"
        assert await run_and_end(each, OTHER) == "b"
        assert await run_and_end(each, THIRD) == "a"
        # Of a and b, b waits longest.
        assert await run_and_end(each, ONE) == "b"


async def test_a_look_for_the_best_takes_a_few_workers_and_no_more(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "_LOOKS", 2)
    async with cluster("abc") as each:
        assert await run_and_end(each, ONE) == "a"
        assert await run_and_end(each, ONE) == "b"
