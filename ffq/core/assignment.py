"""Assignment: the gates of R6 to R11, in order, R17's and R19's, and what an assignment says."""

from __future__ import annotations

from functools import partial
from typing import Final

from ffq.core.ahead import can_wait, part_of_surplus, recall
from ffq.core.layout import scan_inputs
from ffq.core.lifecycle import end_query
from ffq.core.placement import (
    Placed,
    is_solitary,
    next_common,
    next_task,
    runs_alone,
    solitary_task,
    take,
)
from ffq.core.ready import Requirement
from ffq.core.records import AttemptRecord, QueryRecord, StageRecord, TaskRecord
from ffq.core.speculation import begin_rival, find_stragglers, look_again, next_straggler
from ffq.core.stages import lay_out_stage, refresh_offer
from ffq.core.state import SchedulingState
from ffq.core.tasks import promote_ready
from ffq.core.transitions import ASSIGN, QUEUED, RUNNING, QueryEvent, next_attempt_state
from ffq.core.workers import WorkerRecord
from ffq.errors import InvariantViolated
from ffq.ids import AttemptKey, QueryId, StageId
from ffq.messages import (
    SPLITS,
    Assignment,
    GetTask,
    PartitionSize,
    QueryState,
    ShuffleInput,
)

# What each adds to an encoded answer, at most, beside its texts.
_TASK_BYTES = 128
_PARTITION_BYTES = 5
_STAGE_BYTES = 10
_INPUT_BYTES = 48
_SIZE_BYTES = 32
_SCAN_BYTES = 32
_SPLIT_BYTES = 64
_VALUE_BYTES = 32
_MAX_UTF8 = 4

_NOT_SPLIT: Final = 1
_ASSIGNED: Final = next_attempt_state(QUEUED, ASSIGN)
"""An attempt's record is made with it: there is none of one that is queued."""


def get_task(state: SchedulingState, msg: GetTask, now_ms: int) -> tuple[Assignment, ...]:
    """Assign to a worker what it may run and whose turn it is, at most `capacity` attempts.

    One task per query and round, so that no query keeps the others waiting (R11). A worker that is
    not known, or is known under another incarnation, gets nothing and may ask again. A task that
    must run alone goes before all others, to whoever is idle (R19). Where there is nothing, a task
    that takes far too long elsewhere gets a second attempt (R13), and what waits for a slot of
    another worker is called back. Where all slots are filled, `ahead` more may wait for one.
    """
    promote_ready(state, now_ms)
    find_stragglers(state, now_ms)
    worker = state.workers.live.get(msg.worker_id)
    if worker is None or worker.incarnation != msg.incarnation or worker.profile is None:
        return ()
    if state.workers.is_excluded(worker, now_ms):
        if not state.workers.readmit_if_needed(worker, now_ms):
            return ()
        state.changed()
    most = max(0, state.settings.max_concurrent_tasks_per_worker - worker.begun)
    most = min(msg.capacity, most)
    if most + msg.ahead <= 0 or runs_alone(worker):
        return ()
    if state.solitary and (alone := solitary_task(state, worker, now_ms)) is not None:
        return _give_alone(state, worker, alone, now_ms)
    assignments = _in_turn(state, worker, most, now_ms)
    if len(assignments) == most:
        if msg.ahead and (ahead := part_of_surplus(state, worker, msg.ahead)):
            room = state.settings.max_assignment_bytes - sum(map(encoded_bytes, assignments))
            if room > 0:
                assignments += _in_turn(state, worker, ahead, now_ms, ahead=True, room=room)
    elif not assignments and (slow := next_straggler(state, worker)) is not None:
        begin_rival(state, slow)
        state.ready.served(slow.query.query_id)
        return (_begin(state, worker, slow.query, slow.stage, slow.task, now_ms),)
    elif state.workers.holders:
        recall(state, worker, most - len(assignments))
    return tuple(assignments)


def _in_turn(
    state: SchedulingState,
    worker: WorkerRecord,
    most: int,
    now_ms: int,
    *,
    ahead: bool = False,
    room: int | None = None,
) -> list[Assignment]:
    """What waits, at most so many attempts and no more than an answer may hold (R11).

    `ahead`: they are to wait at the worker. `room`: bytes that are left of the answer.
    """
    assignments: list[Assignment] = []
    if worker.profile is None:
        return assignments
    room = state.settings.max_assignment_bytes if room is None else room
    suits = partial(_suits, state, worker, now_ms)
    # The tasks of one stage are about equal in size.
    sizes: dict[tuple[QueryId, StageId], int] = {}
    while len(assignments) < most:
        turn = state.ready.pick(worker.profile, suits)
        if turn is None or (ahead and not can_wait(state, worker, *turn)):
            break
        query = state.queries[turn[0]]
        stage = query.stages[turn[1]]
        if (assignments or ahead) and sizes.get(turn, len(query.plan_bytes)) > room:
            break
        if query.state is QueryState.QUEUED:
            _start(state, query, worker, now_ms)
        # Where nobody else waits every turn is its own: then this stage's tasks go in one run.
        left = most - len(assignments)
        run = left > 1 and state.ready.is_alone(worker.profile, query.query_id)
        while True:
            task = next_common(stage) if ahead else next_task(state, worker, stage, now_ms)
            if task is None:
                raise InvariantViolated(f"stage {stage.stage_id} of {query.query_id} has no task")
            assignment = _assign(state, worker, query, stage, task, now_ms, ahead=ahead)
            size = encoded_bytes(assignment)
            if size > state.settings.max_task_bytes:
                _refuse(state, query, assignment, size, now_ms)
                assignments = [each for each in assignments if each.key.query_id != query.query_id]
                break
            assignments.append(assignment)
            room -= size
            left -= 1
            if not run or not left or size > room or state.is_full(query):
                break
            if not (can_wait(state, worker, *turn) if ahead else stage.is_ready):
                break
        sizes[turn] = size
        state.ready.served(query.query_id)
    return assignments


def _refuse(
    state: SchedulingState, query: QueryRecord, assignment: Assignment, size: int, now_ms: int
) -> None:
    """An assignment that no message holds ends its query; nobody has been given it."""
    key = assignment.key
    files = sum(len(scan.splits) for scan in assignment.scans)
    why = (
        f"task {key.task_id} of stage {key.stage_id} is too large to be assigned: {size} bytes for "
        f"its plan, {files} files and {len(assignment.inputs)} map outputs; max_task_bytes is "
        f"{state.settings.max_task_bytes}; right would be fewer files, or fewer partitions"
    )
    end_query(state, query, QueryEvent.FAIL, why, now_ms)


def _suits(
    state: SchedulingState, worker: WorkerRecord, now_ms: int, query_id: QueryId, stage_id: StageId
) -> bool:
    """Whether this worker may be given something of a stage that has work."""
    stage = state.queries[query_id].stages[stage_id]
    return stage.is_ready or (  # quick: what is ready and not choosy suits every worker
        stage.layout is None or next_task(state, worker, stage, now_ms) is not None
    )


def _give_alone(
    state: SchedulingState, worker: WorkerRecord, placed: Placed, now_ms: int
) -> tuple[Assignment, ...]:
    """The task, if the worker is idle; else it is kept for it, and gets nothing until then."""
    if not worker.running:
        state.ready.served(placed.query.query_id)
        return (_assign(state, worker, placed.query, placed.stage, placed.task, now_ms),)
    if placed.task.keeper != worker.worker_id:
        placed.task.keeper = worker.worker_id
        state.changed()
    return ()


def _assign(
    state: SchedulingState,
    worker: WorkerRecord,
    query: QueryRecord,
    stage: StageRecord,
    task: TaskRecord,
    now_ms: int,
    *,
    ahead: bool = False,
) -> Assignment:
    """The next attempt of a task that waits. `ahead`: it is to wait at the worker."""
    take(state, query, stage, task)
    stage.queued -= 1
    stage.running += 1
    return _begin(state, worker, query, stage, task, now_ms, ahead=ahead)


def _begin(
    state: SchedulingState,
    worker: WorkerRecord,
    query: QueryRecord,
    stage: StageRecord,
    task: TaskRecord,
    now_ms: int,
    *,
    ahead: bool = False,
) -> Assignment:
    """A task's next attempt, be it that one of it runs (R13)."""
    layout = stage.layout
    if layout is None:
        raise InvariantViolated(f"stage {stage.stage_id} of {query.query_id} has no layout")
    key = AttemptKey(query.query_id, stage.plan.stage_id, task.task_id, task.next_attempt)
    ours = worker.incarnation != 0
    # By position, here and below: with names each would take half as long again.
    attempt = AttemptRecord(
        key, layout, worker.worker_id, worker.incarnation, now_ms, now_ms, None if ahead else now_ms
    )
    attempt.state = _ASSIGNED
    if task.suspect:
        attempt.suspect = True
        attempt.alone = is_solitary(state.settings, task)
    attempt.speculative = task.state is RUNNING
    state.changed()
    task.attempts.append(attempt)
    task.state = RUNNING
    query.running[key] = attempt
    state.workers.hold(worker, attempt)
    worker.taken_at_ms = now_ms
    if state.settings.speculation:
        look_again(state, query, stage)
    if not stage.fresh and not stage.has_work:
        refresh_offer(state, query, stage, now_ms)
    if state.is_full(query):
        state.ready.close(query.query_id)
    return Assignment(
        key,
        query.plan_bytes,
        task.share.partitions,
        layout,
        scan_inputs(stage.plan, stage.scans, task.share) if ours else (),
        _shuffle_inputs(query, stage, task) if ours and stage.parents else (),
        len(stage.tasks) + stage.fresh,
        _NOT_SPLIT,
        stage.inlined,
    )


def _start(state: SchedulingState, query: QueryRecord, worker: WorkerRecord, now_ms: int) -> None:
    """The first assignment starts the query (R2) and fixes its engine family (R31)."""
    query.apply(QueryEvent.ASSIGN)
    query.started_at_ms = now_ms
    query.splits = SPLITS in worker.capabilities
    for stage in query.stages:
        state.ready.withdraw(query.query_id, stage.stage_id, stage.requirement)
        stage.requirement = Requirement(
            stage.plan.operators,
            family=worker.family,
            splits=query.splits,
            ours_only=stage.requirement.ours_only,
        )
    for stage in query.stages:
        if stage.unmet == 0:
            lay_out_stage(state, query, stage, now_ms)


def _shuffle_inputs(
    query: QueryRecord, stage: StageRecord, task: TaskRecord
) -> tuple[ShuffleInput, ...]:
    """The committed attempts the task reads, each once, by stage and map task (R25)."""
    mine = frozenset(task.share.partitions)
    wanted: dict[StageId, frozenset[int] | None] = {}
    for source in stage.plan.parents:
        some = None if source.whole or not query.splits else mine
        if source.keys:
            some = frozenset({source.partitions})
        known = wanted.get(source.stage_id, some)
        wanted[source.stage_id] = None if some is None or known is None else known | some
    maps = task.share.maps
    return tuple(
        _shuffle_input(attempt, wanted[parent_id])
        for parent_id in stage.parents
        for map_task in query.stages[parent_id].tasks
        if (attempt := map_task.committed) is not None
        and (
            maps is None or maps.stage_id != parent_id or maps.begin <= map_task.task_id < maps.end
        )
    )


def _shuffle_input(attempt: AttemptRecord, partitions: frozenset[int] | None) -> ShuffleInput:
    """`partitions`: those the task reads; None: all."""
    output = attempt.output
    sizes: tuple[PartitionSize, ...] = ()
    if output is not None:
        if partitions is None:
            wanted = sorted(output.partitions)
        else:
            wanted = sorted(partitions & output.partitions.keys())
        sizes = tuple(
            PartitionSize(each, output.partitions[each].bytes, output.partitions[each].rows)
            for each in wanted
            if output.partitions[each].rows
        )
    return ShuffleInput(
        stage_id=attempt.key.stage_id,
        map_task=attempt.key.task_id,
        attempt=attempt.key.attempt,
        endpoint=output.endpoint if output is not None else "",
        partitions=sizes,
    )


def encoded_bytes(assignment: Assignment) -> int:
    """How many bytes it takes in an answer, at most."""
    size = _TASK_BYTES + len(assignment.key.query_id) + len(assignment.plan_bytes)
    size += _PARTITION_BYTES * len(assignment.reduce_partitions)
    size += _STAGE_BYTES * len(assignment.inlined)
    for source in assignment.inputs:
        size += _INPUT_BYTES + len(source.endpoint) + _SIZE_BYTES * len(source.partitions)
    for scan in assignment.scans:
        size += _SCAN_BYTES + _MAX_UTF8 * len(scan.table)
        if scan.format is not None:
            for pair in (*scan.format.columns, *scan.format.options):
                size += _VALUE_BYTES + _MAX_UTF8 * sum(map(len, pair))
        for split in scan.splits:
            path = split.path
            size += _SPLIT_BYTES + (len(path) if path.isascii() else len(path.encode()))
            for each in split.partition:
                size += _VALUE_BYTES + _MAX_UTF8 * (len(each.name) + len(each.value or ""))
    return size
