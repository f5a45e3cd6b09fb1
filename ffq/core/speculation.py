"""Second attempts for tasks that take far longer than the others of their stage (R13).

Off unless `speculation` is set. A stage is looked at when none of its tasks waits and enough of
them have finished: then an attempt that has run for longer than so many percent of their median is
a straggler, and a worker that finds nothing else to do is given a second attempt of its task. The
one that succeeds first is committed, the other has FAILED and counts no more (R13).

A task gets one such attempt, ever. Only workers of ours take part: they say which attempt an
upload belongs to, and stop what they are told to.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from statistics import median_low

import attrs

from ffq.core.records import AttemptRecord, QueryRecord, StageRecord, TaskRecord
from ffq.core.settings import CoordinatorSettings
from ffq.core.state import SchedulingState
from ffq.core.workers import WorkerRecord
from ffq.ids import QueryId, StageId, TaskId

_REMEMBERED = 255  # of a stage's latest durations: enough for a median, whatever its size


@attrs.frozen
class Straggler:
    """A task that may get a second attempt now."""

    query: QueryRecord
    stage: StageRecord
    task: TaskRecord


def note_duration(state: SchedulingState, stage: StageRecord, attempt: AttemptRecord) -> None:
    """An attempt of the stage has been committed."""
    if not state.settings.speculation or attempt.finished_at_ms is None:
        return
    if attempt.began_at_ms is None:  # its worker was quicker than is known here
        return
    took_ms = attempt.finished_at_ms - attempt.began_at_ms
    if len(stage.durations) < _REMEMBERED:
        stage.durations.append(took_ms)
    else:
        stage.durations[stage.committed % _REMEMBERED] = took_ms


def look_again(state: SchedulingState, query: QueryRecord, stage: StageRecord) -> None:
    """Something of the stage has begun or ended, or is to be done again: decide when to look at it
    next. Beside others that are yet to run none is a straggler, also not one that was."""
    if not state.settings.speculation:
        return
    name = (query.query_id, stage.stage_id)
    if state.stragglers and not is_looked_at(state.settings, stage):
        for each in [each for each in state.stragglers if each[:2] == name]:
            del state.stragglers[each]
    due_ms = due_at(state, query, stage)
    if due_ms is None:
        state.speculation_due.pop(name, None)
    else:
        state.speculation_due[name] = due_ms


def due_at(state: SchedulingState, query: QueryRecord, stage: StageRecord) -> int | None:
    """When the first of its attempts that is none yet will be a straggler; None: none will."""
    allowed_ms = _allowed_ms(state.settings, stage)
    if allowed_ms is None or query.state.terminal:
        return None
    begun = (began_ms for _, began_ms in _alone(state, query, stage))
    first = min(begun, default=None)
    return None if first is None else first + allowed_ms


def is_looked_at(settings: CoordinatorSettings, stage: StageRecord) -> bool:
    """Whether tasks of it may be stragglers now: enough have finished, and none waits."""
    return _allowed_ms(settings, stage) is not None


def _allowed_ms(settings: CoordinatorSettings, stage: StageRecord) -> int | None:
    """How long an attempt of it may run; None: it is not looked at (yet)."""
    if not stage.durations or not stage.running or stage.queued:
        return None
    if 100 * stage.committed < settings.speculation_quantile * len(stage.shares):
        return None
    of_median = settings.speculation * median_low(stage.durations) // 100
    return max(settings.speculation_min_ms, of_median)


def _alone(
    state: SchedulingState, query: QueryRecord, stage: StageRecord
) -> Iterator[tuple[AttemptRecord, int]]:
    """Its running attempts whose tasks may get a second one, but are no stragglers yet, and when
    they began. One that still waits at its worker for a slot is given back instead.

    A suspect's task may be why its worker was lost (R19), and one that avoids workers failed for
    what they lack: a second attempt might cost a second worker.
    """
    for attempt in query.running.values():
        key = attempt.key
        began_ms = attempt.began_at_ms
        if key.stage_id != stage.stage_id or attempt.incarnation == 0 or began_ms is None:
            continue
        task = stage.tasks[key.task_id]
        if task.speculated or task.suspect or task.avoids:
            continue
        if (key.query_id, key.stage_id, key.task_id) not in state.stragglers:
            yield attempt, began_ms


def straggler_due_ms(state: SchedulingState) -> float:
    """When `find_stragglers` is to be called next; inf: there is nothing to find."""
    due = state.speculation_due
    return min(due.values()) if due else inf


def find_stragglers(state: SchedulingState, now_ms: int) -> None:
    """Time has passed: some attempts may have run for too long."""
    if not state.speculation_due:
        return
    overdue = [name for name, due_ms in state.speculation_due.items() if due_ms <= now_ms]
    for query_id, stage_id in overdue:
        state.changed()
        query = state.queries[query_id]
        stage = query.stages[stage_id]
        allowed_ms = _allowed_ms(state.settings, stage)
        for attempt, began_ms in tuple(_alone(state, query, stage)):
            if allowed_ms is not None and began_ms + allowed_ms <= now_ms:
                state.stragglers[query_id, stage_id, attempt.key.task_id] = None
        look_again(state, query, stage)


def has_begun(state: SchedulingState, attempt: AttemptRecord) -> None:
    """It had waited for a slot of its worker."""
    query = state.queries[attempt.key.query_id]
    look_again(state, query, query.stages[attempt.key.stage_id])


def no_straggler(state: SchedulingState, attempt: AttemptRecord) -> None:
    """The attempt has ended."""
    if not state.stragglers:
        return
    key = attempt.key
    state.stragglers.pop((key.query_id, key.stage_id, key.task_id), None)


def forget(state: SchedulingState, query: QueryRecord) -> None:
    """The query has ended."""
    for stage in query.stages:
        state.speculation_due.pop((query.query_id, stage.stage_id), None)
        stage.durations.clear()


def begin_rival(state: SchedulingState, found: Straggler) -> None:
    """The task gets its second attempt."""
    found.task.speculated = True
    state.stragglers.pop((found.query.query_id, found.stage.stage_id, found.task.task_id), None)


def next_straggler(state: SchedulingState, worker: WorkerRecord) -> Straggler | None:
    """The first task of which this worker may be given a second attempt now.

    Its inputs must be there (R8), its query below its limit (R7), and it must run elsewhere.
    """
    for query_id, stage_id, task_id in state.stragglers:
        found = _located(state, query_id, stage_id, task_id)
        if (
            worker.incarnation != 0
            and worker.profile is not None
            and found.stage.unmet == 0
            and not state.is_full(found.query)
            and state.ready.is_met(worker.profile, found.stage.requirement)
            and found.task.attempts[-1].worker_id != worker.worker_id
        ):
            return found
    return None


def _located(
    state: SchedulingState, query_id: QueryId, stage_id: StageId, task_id: TaskId
) -> Straggler:
    query = state.queries[query_id]
    stage = query.stages[stage_id]
    return Straggler(query, stage, stage.tasks[task_id])
