"""How work moves: a task is queued, an attempt commits or fails (R8 to R16).

Every change of a task's state goes through here, so that the counts, the ready index and the
workers' slots change with it.
"""

from __future__ import annotations

from ffq.core import placement, speculation
from ffq.core.lifecycle import end_query
from ffq.core.pieces import ByAttempt
from ffq.core.records import AttemptRecord, QueryRecord, StageRecord, TaskRecord
from ffq.core.stages import became_readable, became_unreadable, refresh_offer
from ffq.core.state import Located, SchedulingState
from ffq.core.transitions import SUCCEED, SUCCEEDED, AttemptEvent, QueryEvent
from ffq.errors import InvariantViolated, words
from ffq.ids import AttemptKey
from ffq.messages import DropMapOutputs, DropResults, TaskState

# --- tasks -----------------------------------------------------------------------------------


def queue_task(
    state: SchedulingState,
    query: QueryRecord,
    stage: StageRecord,
    task: TaskRecord,
    ready_at_ms: int,
    now_ms: int,
) -> None:
    """Queue the task's next attempt, to be assigned at `ready_at_ms` or later (R9, R12, R14)."""
    task.state = TaskState.QUEUED
    task.ready_at_ms = ready_at_ms
    stage.queued += 1
    state.changed()
    speculation.look_again(state, query, stage)
    if ready_at_ms > now_ms:
        state.backoff.push(query, stage, task)
    else:
        _make_ready(state, query, stage, task, now_ms)


def _make_ready(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, task: TaskRecord, now_ms: int
) -> None:
    placement.make_ready(state, query, stage, task)
    refresh_offer(state, query, stage, now_ms)


def renew_lease(state: SchedulingState, attempt: AttemptRecord, now_ms: int) -> None:
    """Its worker says that it runs it."""
    if attempt.confirmed_at_ms != now_ms:
        attempt.confirmed_at_ms = now_ms
        state.changed()


def promote_ready(state: SchedulingState, now_ms: int) -> None:
    """Offer the tasks whose backoff has ended."""
    if state.backoff.is_due(now_ms):
        state.changed()
        for query, stage, task in state.backoff.pop_ready(now_ms):
            _make_ready(state, query, stage, task, now_ms)


def commit(state: SchedulingState, at: Located, now_ms: int) -> None:
    """The attempt succeeded: it is its task's committed one (R15); maybe the query's last (R3).

    Another attempt of the task that still runs has come second, and counts no more (R13).
    """
    query, stage, task, attempt = at.query, at.stage, at.task, at.attempt
    attempt.apply(SUCCEED)
    attempt.finished_at_ms = now_ms
    task.state = SUCCEEDED
    state.changed()
    stage.running -= 1
    _release_slot(state, query, attempt, now_ms)
    for rival in task.running if task.speculated else ():
        why = f"attempt {attempt.key.attempt} of its task was committed first"
        _fail_attempt(state, Located(query, stage, task, rival), why, now_ms)
    worker = state.workers.live[attempt.worker_id]
    worker.standing.failures = 0
    _clear(task)
    if attempt.output is not None and attempt.output.endpoint:
        by_stage = worker.outputs.get(query.query_id)
        if by_stage is None:
            by_stage = worker.outputs[query.query_id] = {}
        served = by_stage.get(attempt.key.stage_id)
        if served is None:
            served = by_stage[attempt.key.stage_id] = ByAttempt()
        served[attempt.key] = None
        query.output_workers.add(worker.worker_id)
    stage.committed += 1
    stage.made.count(attempt.output)
    if state.settings.speculation:
        speculation.note_duration(state, stage, attempt)
        speculation.look_again(state, query, stage)
    if stage.is_committed:
        query.uncommitted -= 1
        if stage.is_readable:
            became_readable(state, query, stage, now_ms)
        if query.uncommitted == 0:
            end_query(state, query, QueryEvent.SUCCEED, "", now_ms)


def _clear(task: TaskRecord) -> None:
    """It runs well: it was not the cause of its losses in company, nor will it be (R19)."""
    if task.suspect or task.doubtful or task.avoids:
        task.suspect = False
        task.failures -= task.doubtful
        task.doubtful = 0
        task.avoids = frozenset()


def withdraw_commit(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, task: TaskRecord, now_ms: int
) -> AttemptRecord:
    """The committed attempt does not count any more; its task is in no state until queued again."""
    attempt = task.committed
    if attempt is None:
        raise InvariantViolated(f"task {task.task_id} of {query.query_id} has no commit")
    was_readable, was_committed = stage.is_readable, stage.is_committed
    state.changed()
    if task.lost:
        task.lost = False
        del stage.lost[attempt.key]
    stage.committed -= 1
    stage.made.count(attempt.output, -1)
    forget_server(state, query, attempt)
    _drop_stored(state, query, attempt)
    if was_committed:
        query.uncommitted += 1
    if was_readable:
        became_unreadable(state, query, stage, now_ms)
    return attempt


def mark_lost(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, key: AttemptKey, now_ms: int
) -> None:
    """The output of this committed attempt is gone. No consumer is assigned until it is there
    again (R8).
    """
    was_readable = stage.is_readable
    state.changed()
    stage.tasks[key.task_id].lost = True
    stage.lost[key] = None
    if was_readable:
        became_unreadable(state, query, stage, now_ms)


def forget_server(state: SchedulingState, query: QueryRecord, attempt: AttemptRecord) -> None:
    """The attempt's output is not one that a worker's loss would lose."""
    worker = state.workers.live.get(attempt.worker_id)
    by_stage = worker.outputs.get(query.query_id) if worker is not None else None
    if worker is None or by_stage is None:
        return
    served = by_stage.get(attempt.key.stage_id)
    if served is None or attempt.key not in served:
        return
    del served[attempt.key]
    if not served:
        del by_stage[attempt.key.stage_id]
    if not by_stage:
        del worker.outputs[query.query_id]
        query.output_workers.discard(worker.worker_id)


# --- failures --------------------------------------------------------------------------------


def has_rival(at: Located) -> bool:
    """Whether another attempt of its task runs beside this one (R13)."""
    return any(each is not at.attempt for each in at.task.running)


def fail_beside_rival(state: SchedulingState, at: Located, message: str, now_ms: int) -> None:
    """One of a task's two attempts has failed, and nobody is charged: the other goes on (R13)."""
    _fail_attempt(state, at, message, now_ms)
    speculation.look_again(state, at.query, at.stage)


def fail_charged(
    state: SchedulingState,
    at: Located,
    message: str,
    now_ms: int,
    *,
    blame: bool,
    circumstance: str = "",
) -> None:
    """The attempt failed, and its task is charged for it (R14).

    Losses in company delay the next attempt as others do; but a task that may not have caused them
    does not end its query by them (R19). Where another attempt runs there is no next one: that one
    goes on, and a second attempt that failed beside it is not charged (R13).
    """
    rival = has_rival(at)
    _fail_attempt(state, at, message, now_ms)
    if blame:
        state.workers.blame(state.workers.live[at.attempt.worker_id], now_ms)
    if rival and at.attempt.speculative:
        speculation.look_again(state, at.query, at.stage)
        return
    at.task.failures += 1
    if at.task.failures - at.task.doubtful >= state.settings.max_task_attempts:
        _give_up(at)
        why = (
            f"{message}{circumstance} (task {at.attempt.key.task} failed {at.task.failures} times, "
            f"last on worker {at.attempt.worker_id})"
        )
        end_query(state, at.query, QueryEvent.FAIL, why, now_ms)
        return
    if rival:
        speculation.look_again(state, at.query, at.stage)
        return
    ready_at_ms = now_ms + state.settings.retry_delay_ms(at.task.failures)
    queue_task(state, at.query, at.stage, at.task, ready_at_ms, now_ms)


def fail_elsewhere(
    state: SchedulingState, at: Located, message: str, now_ms: int, *, blame: bool
) -> None:
    """As `fail_charged`, for what this worker lacks: another is to try the task next (R17)."""
    if not (at.attempt.speculative and has_rival(at)):
        at.task.avoids |= {at.attempt.worker_id}
    fail_charged(state, at, message, now_ms, blame=blame)


def fail_lost(
    state: SchedulingState, at: Located, message: str, now_ms: int, *, alone: bool
) -> None:
    """The attempt was lost with its worker, and its task is charged (R19).

    `alone`: nothing else ran there, so that the earlier losses count for certain as well.
    """
    at.task.doubtful = 0 if alone else at.task.doubtful + 1
    names = ", ".join(sorted(at.stage.requirement.operators))
    ran = f"this task, with custom operator {words(names, 60)}," if names else "this task"
    circumstance = f", while it ran {ran}{' and no other' if alone else ''}"
    fail_charged(state, at, message, now_ms, blame=False, circumstance=circumstance)


def fail_suspected(state: SchedulingState, at: Located, message: str, now_ms: int) -> None:
    """The attempt was lost beside others: its task is a suspect, and is not charged (R19)."""
    at.task.suspect = True
    fail_uncharged(state, at, message, now_ms)


def fail_uncharged(
    state: SchedulingState, at: Located, message: str, now_ms: int, *, delay: bool = False
) -> None:
    """The attempt failed for no fault of its task or worker: it is queued again."""
    if has_rival(at):
        fail_beside_rival(state, at, message, now_ms)
        return
    _fail_attempt(state, at, message, now_ms)
    queue_uncharged(state, at, message, now_ms, delay=delay)


def fail_returned(state: SchedulingState, at: Located, message: str, now_ms: int) -> None:
    """The attempt was asked back and had not begun: it is as if it had not been assigned.

    Its task does not wait at a worker again, so that this happens once at most.
    """
    if has_rival(at):
        fail_beside_rival(state, at, message, now_ms)
        return
    _fail_attempt(state, at, message, now_ms)
    at.task.returned = True
    queue_task(state, at.query, at.stage, at.task, now_ms, now_ms)


def queue_uncharged(
    state: SchedulingState, at: Located, message: str, now_ms: int, *, delay: bool = False
) -> None:
    """Queue the next attempt without charge, or end the query when that went on for too long."""
    at.task.uncharged += 1
    if at.task.uncharged > state.settings.max_uncharged_retries_per_stage:
        at.task.state = TaskState.FAILED
        why = (
            f"{message} (task {at.attempt.key.task} had to be run again "
            f"{at.task.uncharged} times through no fault of its own)"
        )
        end_query(state, at.query, QueryEvent.FAIL, why, now_ms)
        return
    pause_ms = state.settings.retry_delay_ms(at.task.uncharged) if delay else 0
    queue_task(state, at.query, at.stage, at.task, now_ms + pause_ms, now_ms)


def fail_query(state: SchedulingState, at: Located, message: str, now_ms: int) -> None:
    """The attempt failed for a reason that no retry can mend (R17).

    A second attempt leaves that to the one that it runs beside (R13).
    """
    if at.attempt.speculative and has_rival(at):
        fail_beside_rival(state, at, message, now_ms)
        return
    _fail_attempt(state, at, message, now_ms)
    _give_up(at)
    end_query(state, at.query, QueryEvent.FAIL, message, now_ms)


def _give_up(at: Located) -> None:
    """The task has failed for good; one of which an attempt still runs ends with its query."""
    if not at.task.running:
        at.task.state = TaskState.FAILED


def _fail_attempt(state: SchedulingState, at: Located, message: str, now_ms: int) -> None:
    at.attempt.apply(AttemptEvent.FAIL)
    at.attempt.finished_at_ms = now_ms
    at.attempt.message = message
    at.stage.failed += 1
    state.changed()
    if at.task.state is TaskState.RUNNING and not at.task.running:
        at.stage.running -= 1
    _release_slot(state, at.query, at.attempt, now_ms)
    _drop_stored(state, at.query, at.attempt)


def _release_slot(
    state: SchedulingState, query: QueryRecord, attempt: AttemptRecord, now_ms: int
) -> None:
    if state.stragglers:
        speculation.no_straggler(state, attempt)
    del query.running[attempt.key]
    begins = state.workers.release(attempt, now_ms)
    if begins is not None:
        speculation.has_begun(state, begins)
    if not state.is_full(query):
        state.ready.reopen(query.query_id)


def _drop_stored(state: SchedulingState, query: QueryRecord, attempt: AttemptRecord) -> None:
    """What the attempt registered is of no use any more (R26)."""
    if attempt.output is not None:
        query.output_partitions -= attempt.output.named
        state.output_partitions -= attempt.output.named
        attempt.output = None
        state.notices.append(DropMapOutputs((attempt.key,)))
    if attempt.result_bytes or attempt.result_complete:
        query.result_bytes -= attempt.result_bytes
        state.active_result_bytes -= attempt.result_bytes
        attempt.result_bytes, attempt.result_complete = 0, False
        state.notices.append(DropResults((attempt.key,)))
