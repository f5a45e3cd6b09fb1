"""What must hold of a coordinator that a benchmark has loaded, seen on its live machines.

Beyond what each machine says of itself: the machines agree with each other, and every query that is
still kept, each of its attempts and each worker are as the harness's invariants want them. Nothing
watches while the load runs; what the records tell of it is judged afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import attrs
import trio

from ffq.actors.coordinator import ActorCoordinator
from ffq.core.coordinator import require_agreement
from ffq.core.records import AttemptRecord, QueryRecord, StageRecord, TaskRecord
from ffq.errors import InvariantViolated
from ffq.ids import StageId
from ffq.messages import QueryState, TaskState
from ffq.testing import checks
from ffq.testing.checks import Load
from ffq.testing.invariants import Violation
from tests.simulation.invariants import require
from tests.simulation.machines import Machines

LOOKS: Final = 50
LOOK_S: Final = 0.1
"""What one machine tells another takes a moment, so that agreement is looked for again."""


@attrs.define
class Seen:
    """How much there was to judge."""

    queries: int = 0
    attempts: int = 0

    def __str__(self) -> str:
        return f"{self.queries} queries, {self.attempts} attempts"


async def hold(coordinator: ActorCoordinator) -> Seen:
    """All of it. Raises Violation, InvariantViolated: what does not hold."""
    await coordinator.validate_state()
    machines = Machines.of(coordinator)
    seen = _check_records(machines)
    for look in range(1, LOOKS + 1):
        try:
            require_agreement({party: owner._machine for party, owner in machines.owners.items()})
            _check_nothing_left(machines)
        except (InvariantViolated, Violation):
            if look == LOOKS:
                raise
            await trio.sleep(LOOK_S)
        else:
            break
    return seen


def _check_records(machines: Machines) -> Seen:
    """Of every query that is kept, and of each worker. Between two steps of the machine."""
    state = machines.state
    seen, on_workers = Seen(), defaultdict[str, list[AttemptRecord]](list)
    for query in state.queries.values():
        _check_query(machines, query)
        made = [each for stage in query.stages for task in stage.tasks for each in task.attempts]
        for attempt in made:
            on_workers[f"{attempt.worker_id}, incarnation {attempt.incarnation}"].append(attempt)
        limit = state.settings.max_concurrent_tasks_per_query
        since = [(each, each.assigned_at_ms) for each in made]
        _check_peak("query-limit", f"query {query.query_id}", since, limit)
        seen.queries, seen.attempts = seen.queries + 1, seen.attempts + len(made)
    for worker, attempts in on_workers.items():
        limit = state.settings.max_concurrent_tasks_per_worker
        began = [(each, ms) for each in attempts if (ms := each.began_at_ms) is not None]
        _check_peak("worker-limit", worker, began, limit)
    return seen


def _check_peak(
    name: str, owner: str, attempts: list[tuple[AttemptRecord, int]], limit: int
) -> None:
    """How many ran at a time at most (R7), each since a time that comes with it. In one ms those
    that end go before those that begin."""
    changes = [(since_ms, 1) for _, since_ms in attempts]
    ended = [each.finished_at_ms for each, _ in attempts]
    changes += [(ended_ms, -1) for ended_ms in ended if ended_ms is not None]
    running = peak = 0
    for _, change in sorted(changes):
        running += change
        peak = max(peak, running)
    require(name, peak <= limit, str(Load(owner, peak, limit)))


def _check_query(machines: Machines, query: QueryRecord) -> None:
    name = f"query {query.query_id}"
    assigned = [
        attempt.assigned_at_ms
        for stage in query.stages
        for task in stage.tasks
        for attempt in task.attempts
    ]
    began = min(assigned, default=None)
    found = f"{name} started at {query.started_at_ms}, its first attempt at {began}"
    require("first-assignment-starts", query.started_at_ms == began, found)
    if query.finished_at_ms is not None:
        late = [each for each in assigned if each > query.finished_at_ms]
        require("no-work-after-end", not late, f"{name} was given {len(late)} attempts too many")
    for stage in query.stages:
        _check_stage(machines, query, stage)


def _check_stage(machines: Machines, query: QueryRecord, stage: StageRecord) -> None:
    parents = {each: _committed_from_ms(query.stages[each]) for each in stage.parents}
    for task in stage.tasks:
        states = {str(each.key): each.state for each in task.attempts}
        second = [str(each.key) for each in task.attempts if each.speculative]
        checks.one_second_attempt(require, second)
        checks.newest_only(require, {key: states[key] for key in states if key not in second})
        budget = machines.state.settings.max_task_attempts
        found = f"task {task.task_id} of stage {stage.stage_id} has failed {task.failures} times"
        require("attempts-within-budget", task.failures <= budget, found)
        for position, attempt in enumerate(task.attempts):
            checks.numbered_on(require, attempt.key, attempt.key.attempt, position)
            if attempt.state is TaskState.RUNNING:
                checks.of_open_query(require, attempt.key, query.state)
            _check_placed(machines, stage, attempt)
            _check_reads(query, attempt, parents)
        if not query.state.terminal:
            _check_published(machines, stage, task)
    if query.state is QueryState.SUCCEEDED:
        _check_succeeded(machines, query, stage)


def _check_placed(machines: Machines, stage: StageRecord, attempt: AttemptRecord) -> None:
    """Whether the worker can run it (R10). What a worker that is gone could do, nobody knows."""
    worker = machines.state.workers.live.get(attempt.worker_id)
    if worker is not None and worker.incarnation == attempt.incarnation:
        operators, has = stage.plan.operators, worker.capabilities
        checks.able(require, attempt.key, operators, attempt.worker_id, has)


def _committed_from_ms(stage: StageRecord) -> list[int | None]:
    """Of each task that is to be committed before others read it: since when it has been."""
    first = [
        min(
            (
                each.finished_at_ms
                for each in task.attempts
                if each.state is TaskState.SUCCEEDED and each.finished_at_ms is not None
            ),
            default=None,
        )
        for task in stage.tasks
    ]
    return first + [None] * stage.fresh


def _check_reads(
    query: QueryRecord, attempt: AttemptRecord, parents: dict[StageId, list[int | None]]
) -> None:
    """What an attempt reads was committed when it was assigned (R8)."""
    for parent, moments in parents.items():
        if query.stages[parent].inlined_into is None:
            committed = [at is not None and at <= attempt.assigned_at_ms for at in moments]
            checks.barrier_open(require, attempt.key, parent, committed)


def _check_published(machines: Machines, stage: StageRecord, task: TaskRecord) -> None:
    """What a committed attempt has registered is there for readers (R22)."""
    committed = task.committed
    if committed is not None and committed.output is not None and not stage.is_sink:
        held = machines.has_output(committed.key)
        require("commit-implies-output", held, f"{committed.key} has no output in the registry")


def _check_succeeded(machines: Machines, query: QueryRecord, stage: StageRecord) -> None:
    """Each task of a stage of a query that succeeded was committed, a sink's with a result (R3)."""
    name = f"stage {stage.stage_id} of query {query.query_id}"
    fresh = stage.fresh
    require("success-needs-everything", not fresh, f"{name}: {fresh} tasks were never assigned")
    for task in stage.tasks:
        last = task.attempts[-2 if task.attempts[-1].speculative else -1 :]
        done = [each for each in last if each.state is TaskState.SUCCEEDED]
        found = f"{name}: task {task.task_id} has {len(done)} committed attempts"
        require("success-needs-everything", len(done) == 1, found)
        if stage.is_sink:
            held = machines.has_result(done[0].key)
            require("success-implies-result", held, f"{done[0].key} has no result")


def _check_nothing_left(machines: Machines) -> None:
    """Of queries that have ended no output is held; when all have, nothing but their results."""
    state = machines.state
    published = machines.registry.state.queries
    left = [each for each in state.queries.values() if each.state.terminal]
    held = [str(each.query_id) for each in left if each.query_id in published]
    require("state-returns", not held, f"of queries that have ended outputs are held: {held}")
    if len(left) == len(state.queries):
        busy = {
            worker.worker_id: len(worker.running)
            for worker in state.workers.live.values()
            if worker.running
        }
        require("slots-come-back", not busy, f"no query is open, and workers run {busy}")
        counts = (state.plan_bytes, state.active_result_bytes, len(state.backoff))
        require("state-returns", not any(counts), f"held without an open query: {counts}")
