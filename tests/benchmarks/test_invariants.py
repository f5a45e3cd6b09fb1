"""A coordinator after a load: what its live machines are held against, and how each can fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from benchmarks._invariants import hold
from ffq.actors import ActorCoordinator
from ffq.core.records import AttemptRecord, QueryRecord
from ffq.errors import InvariantViolated
from ffq.ids import Attempt, AttemptKey, QueryId, WorkerId
from ffq.messages import (
    Assignment,
    GetTask,
    Heartbeat,
    OutputPartition,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    TaskState,
)
from ffq.testing.invariants import Violation
from tests.actors.harness import open_actors
from tests.simulation.machines import Machines
from tests.simulation.queries import OPERATOR, PLAN_NAMES, plans

SHARES = 3
DONE, OPEN = QueryId("done"), QueryId("open")
WORKER, OTHER = WorkerId("w"), WorkerId("other")


async def beat(coordinator: ActorCoordinator, worker: WorkerId) -> None:
    capabilities = frozenset({OPERATOR, "ffq.splits"})
    await coordinator.ask(Heartbeat(worker, 0, 0, capabilities, 1, f"{worker}:1", "test"))


async def submit(coordinator: ActorCoordinator, query_id: QueryId, plan: str) -> None:
    await coordinator.parties.ask(plans()[plan].accepted(query_id, SHARES))


async def finish(coordinator: ActorCoordinator, task: Assignment) -> None:
    key, layout = task.key, task.layout
    if key.stage_id == 0:
        await coordinator.ask(RegisterQueryResults(key.query_id, b"rows", key))
    else:
        rows = (OutputPartition(0, 8, 1, 1, 0, 8, True),)
        await coordinator.ask(RegisterMapOutput(key, rows, layout, WORKER, 1, "w:1"))
    await coordinator.ask(ReportTaskStatus(key, TaskState.SUCCEEDED, "", layout, WORKER, 1))


async def work_off(coordinator: ActorCoordinator) -> None:
    while tasks := await coordinator.ask(GetTask(WORKER, 3, 1)):
        for task in tasks:
            await finish(coordinator, task)


@asynccontextmanager
async def loaded(plan: str = "aggregate") -> AsyncIterator[tuple[ActorCoordinator, Machines]]:
    """One query has succeeded; of another one a task is committed, and the next ones run."""
    async with open_actors() as coordinator:
        await beat(coordinator, WORKER)
        await submit(coordinator, DONE, plan)
        await work_off(coordinator)
        await submit(coordinator, OPEN, plan)
        (first,) = await coordinator.ask(GetTask(WORKER, 1, 1))
        await finish(coordinator, first)
        await coordinator.ask(GetTask(WORKER, 8, 1))
        yield coordinator, Machines.of(coordinator)


@pytest.mark.parametrize("plan", PLAN_NAMES)
async def test_it_holds_of_all_that_are_kept(plan: str, autojump_clock: object) -> None:
    async with loaded(plan) as (coordinator, machines):
        state = machines.state
        assert state.queries[DONE].state.terminal
        assert not state.queries[OPEN].state.terminal
        made = [each for query in state.queries.values() for each in attempts(query)]
        seen = await hold(coordinator)
        assert (seen.queries, seen.attempts) == (2, len(made))


async def test_it_holds_before_anything_has_come(autojump_clock: object) -> None:
    async with open_actors() as coordinator:
        assert str(await hold(coordinator)) == "0 queries, 0 attempts"


def attempts(query: QueryRecord) -> list[AttemptRecord]:
    return [each for stage in query.stages for task in stage.tasks for each in task.attempts]


def committed(machines: Machines, query_id: QueryId = DONE) -> AttemptRecord:
    return next(
        each
        for each in attempts(machines.state.queries[query_id])
        if each.state is TaskState.SUCCEEDED
    )


def begun_before_its_input(machines: Machines) -> None:
    sink = machines.state.queries[DONE].stages[0].tasks[0].attempts[0]
    sink.assigned_at_ms = -1
    machines.state.queries[DONE].started_at_ms = -1


def numbered_with_a_gap(machines: Machines) -> None:
    attempt = committed(machines)
    attempt.key = AttemptKey(
        attempt.key.query_id, attempt.key.stage_id, attempt.key.task_id, Attempt(2)
    )


def began_before_it_started(machines: Machines) -> None:
    machines.state.queries[DONE].started_at_ms = 10**15


def given_work_after_its_end(machines: Machines) -> None:
    machines.state.queries[DONE].finished_at_ms = -1


def on_a_worker_that_cannot(machines: Machines) -> None:
    machines.state.workers.live[WORKER].capabilities = frozenset()


def without_its_output(machines: Machines) -> None:
    machines.registry.state.queries.clear()


def without_its_result(machines: Machines) -> None:
    machines.results.state.queries.clear()


def at_the_same_time(machines: Machines) -> None:
    """The scan's tasks, of which nobody waits for another."""
    query = machines.state.queries[DONE]
    query.started_at_ms = -10
    for task in query.stages[-1].tasks:
        task.attempts[0].assigned_at_ms = task.attempts[0].began_at_ms = -10


def too_many_at_a_time(machines: Machines) -> None:
    at_the_same_time(machines)
    limit = "max_concurrent_tasks_per_query"
    object.__setattr__(machines.state.settings, limit, SHARES - 1)


def too_many_on_a_worker(machines: Machines) -> None:
    at_the_same_time(machines)
    limit = "max_concurrent_tasks_per_worker"
    object.__setattr__(machines.state.settings, limit, SHARES - 1)


def succeeded_without_a_commit(machines: Machines) -> None:
    committed(machines).state = TaskState.FAILED


BREAKS: dict[str, Callable[[Machines], None]] = {
    "barrier": begun_before_its_input,
    "attempts-gapless": numbered_with_a_gap,
    "first-assignment-starts": began_before_it_started,
    "no-work-after-end": given_work_after_its_end,
    "operator-placement": on_a_worker_that_cannot,
    "commit-implies-output": without_its_output,
    "success-implies-result": without_its_result,
    "query-limit": too_many_at_a_time,
    "worker-limit": too_many_on_a_worker,
    "success-needs-everything": succeeded_without_a_commit,
}


@pytest.mark.parametrize("name", BREAKS)
async def test_what_its_records_tell_can_be_wrong(
    name: str, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActorCoordinator, "validate_state", nothing)
    async with loaded("operator") as (coordinator, machines):
        BREAKS[name](machines)
        with pytest.raises(Violation) as broken:
            await hold(coordinator)
        assert broken.value.check.name == name


async def nothing(_coordinator: ActorCoordinator) -> None:
    """In place of what each machine says of itself."""


async def test_machines_that_differ_are_told_once_they_had_time_to_agree(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActorCoordinator, "validate_state", nothing)
    async with loaded() as (coordinator, machines):
        machines.state.output_partitions += 1

        async def arrive() -> None:
            await trio.sleep(1)
            machines.state.output_partitions -= 1

        async with trio.open_nursery() as others:
            others.start_soon(arrive)
            await hold(coordinator)
        machines.state.output_partitions += 1
        with pytest.raises(InvariantViolated, match="the registry holds"):
            await hold(coordinator)


async def test_what_outlives_every_query_is_told(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActorCoordinator, "validate_state", nothing)
    async with open_actors() as coordinator:
        await beat(coordinator, WORKER)
        await submit(coordinator, DONE, "aggregate")
        await work_off(coordinator)
        machines = Machines.of(coordinator)
        attempt = committed(machines)
        machines.state.workers.live[WORKER].running[attempt.key] = attempt
        with pytest.raises(Violation) as broken:
            await hold(coordinator)
        assert broken.value.check.name == "slots-come-back"
