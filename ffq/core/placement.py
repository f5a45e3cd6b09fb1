"""Which of a stage's ready tasks a certain worker may be given (R17, R19).

Most tasks may go to any worker that meets their stage's requirement. Choosy ones do not:

- One that failed on a worker for what that worker lacks goes to another while one could take it.
  An idle one that has not taken it for as long as a worker may be silent does not count: its
  heartbeats arrive, but no task reaches it.
- A suspect, which was lost with a worker, goes to a worker that runs no other suspect.
- A suspect whose next failure would end its query goes to a worker that runs nothing else, and
  which is given nothing else meanwhile. So no task fails for losses that another may have caused.
  The first busy worker that could take it is kept for it: it is given nothing until it is idle.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ffq.core.records import QueryRecord, StageRecord, TaskRecord
from ffq.core.settings import CoordinatorSettings
from ffq.core.state import SchedulingState
from ffq.core.workers import WorkerRecord
from ffq.ids import QueryId, StageId, TaskId, TaskKey


@attrs.frozen
class Placed:
    """A task, with what it belongs to."""

    query: QueryRecord
    stage: StageRecord
    task: TaskRecord

    @property
    def key(self) -> TaskKey:
        return TaskKey(self.query.query_id, self.stage.stage_id, self.task.task_id)


def is_solitary(settings: CoordinatorSettings, task: TaskRecord) -> bool:
    """Whether it must be the only one on its worker: one more loss would end its query (R19)."""
    return task.suspect and task.failures + 1 >= settings.max_task_attempts


def make_ready(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, task: TaskRecord
) -> None:
    """Its next attempt may be assigned from now on."""
    if not task.suspect and not task.avoids:
        stage.again.append(task.task_id)
        return
    stage.choosy[task.task_id] = None
    if is_solitary(state.settings, task):
        state.solitary[_name(query, stage, task)] = None


def take(state: SchedulingState, query: QueryRecord, stage: StageRecord, task: TaskRecord) -> None:
    """It is assigned: it waits no more."""
    if task.task_id in stage.choosy:
        del stage.choosy[task.task_id]
        state.solitary.pop(_name(query, stage, task), None)
        task.keeper = None
    elif not task.attempts:
        stage.tasks.append(task)
        stage.fresh -= 1
    else:
        stage.again.remove(task.task_id)


def forget(state: SchedulingState, query: QueryRecord, stage: StageRecord) -> None:
    """The query has ended: no task of it waits any more."""
    for task_id in stage.choosy:
        state.solitary.pop(_name(query, stage, stage.tasks[task_id]), None)
    stage.choosy.clear()
    stage.again.clear()


def _name(
    query: QueryRecord, stage: StageRecord, task: TaskRecord
) -> tuple[QueryId, StageId, TaskId]:
    return query.query_id, stage.stage_id, task.task_id


def next_task(
    state: SchedulingState, worker: WorkerRecord, stage: StageRecord, now_ms: int
) -> TaskRecord | None:
    """The first ready task of the stage that this worker may be given beside what it runs.

    The record of one that was never assigned is made here; it is the stage's when it is taken.
    """
    for task_id in stage.choosy:
        task = stage.tasks[task_id]
        if (
            not is_solitary(state.settings, task)
            and not (task.suspect and runs_suspect(worker))
            and _is_welcome(state, worker, stage, task, now_ms)
        ):
            return task
    return next_common(stage)


def next_common(stage: StageRecord) -> TaskRecord | None:
    """The first ready task of the stage that any worker may be given; its record as there."""
    if stage.fresh:
        fresh = len(stage.tasks)
        return TaskRecord(TaskId(fresh), stage.shares[fresh])
    return stage.tasks[stage.again[0]] if stage.again else None


def solitary_task(state: SchedulingState, worker: WorkerRecord, now_ms: int) -> Placed | None:
    """The first ready task that must run alone and that is this worker's to take.

    A busy worker leaves one alone for which another is kept, as long as that one is busy as well;
    an idle one takes it all the same.
    """
    for query_id, stage_id, task_id in state.solitary:
        query = state.queries[query_id]
        stage = query.stages[stage_id]
        task = stage.tasks[task_id]
        if (
            stage.has_work
            and not state.is_full(query)
            and _could_take(state, worker, stage, now_ms)
            and _is_welcome(state, worker, stage, task, now_ms)
            and not (worker.running and _kept_by_another(state, worker, stage, task, now_ms))
        ):
            return Placed(query, stage, task)
    return None


def runs_suspect(worker: WorkerRecord) -> bool:
    return any(attempt.suspect for attempt in worker.running.values())


def runs_alone(worker: WorkerRecord) -> bool:
    """Whether it runs what nothing may run beside; so that would be all it runs."""
    return len(worker.running) == 1 and next(iter(worker.running.values())).alone


def _is_welcome(
    state: SchedulingState,
    worker: WorkerRecord,
    stage: StageRecord,
    task: TaskRecord,
    now_ms: int,
) -> bool:
    """Whether the task did not fail here for what the worker lacks, or nobody else is left."""
    if worker.worker_id not in task.avoids:
        return True
    passed_over = now_ms - task.ready_at_ms > state.settings.worker_liveness_timeout_ms
    return not any(
        other.worker_id not in task.avoids
        and _could_take(state, other, stage, now_ms)
        and (other.running or not passed_over)
        for other in state.workers.live.values()
    )


def _could_take(
    state: SchedulingState, worker: WorkerRecord, stage: StageRecord, now_ms: int
) -> bool:
    """Whether it could be given tasks of this stage: able, not draining, not excluded."""
    return (
        worker.profile is not None
        and state.ready.matches(worker.profile, stage.requirement)
        and not state.workers.is_excluded(worker, now_ms)
    )


def _kept_by_another(
    state: SchedulingState,
    worker: WorkerRecord,
    stage: StageRecord,
    task: TaskRecord,
    now_ms: int,
) -> bool:
    keeper = state.workers.live.get(task.keeper) if task.keeper is not None else None
    return (
        keeper is not None
        and keeper is not worker
        and bool(keeper.running)
        and _could_take(state, keeper, stage, now_ms)
        and _is_welcome(state, keeper, stage, task, now_ms)
    )


def waits(state: SchedulingState, query: QueryRecord) -> Iterator[str]:
    """What its choosy tasks wait for, where no other task of their stage is ready (R10)."""
    for stage in query.stages:
        if stage.unmet or stage.is_ready:
            continue
        for task_id in stage.choosy:
            task = stage.tasks[task_id]
            name = f"task {query.query_id}/{stage.stage_id}/{task_id} waits for"
            if is_solitary(state.settings, task):
                yield f"{name} a worker that runs nothing else: it was lost with its worker"
            elif task.suspect:
                yield f"{name} a worker that runs no other task that was lost with its worker"
            else:
                failed_on = ", ".join(sorted(task.avoids))
                yield f"{name} another worker than {failed_on}: it failed there"
