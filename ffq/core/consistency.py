"""validate_state of scheduling: every index and count against the records they stand for.

Costs as much as there is work held: for tests and for a restarted actor, not for every message.
"""

from __future__ import annotations

from collections import Counter

from ffq.core.placement import is_solitary
from ffq.core.ready import Profile, Requirement
from ffq.core.records import AttemptRecord, QueryRecord, StageRecord, TaskRecord
from ffq.core.state import SchedulingState
from ffq.errors import InvariantViolated
from ffq.ids import AttemptKey, QueryId, StageId, WorkerId
from ffq.messages import QueryState, TaskState


def validate(state: SchedulingState) -> None:
    """Raises InvariantViolated, naming what is inconsistent."""
    for query in state.queries.values():
        _check_query(state, query)
    _check_workers(state)
    _check_ready(state)
    _check_backoff(state)
    _check_bounds(state)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InvariantViolated(f"scheduling: {what}")


# --- one query -------------------------------------------------------------------------------


def _check_query(state: SchedulingState, query: QueryRecord) -> None:
    name = f"query {query.query_id}"
    for stage in query.stages:
        _check_stage(state, query, stage)
    uncommitted = sum(not stage.is_committed for stage in query.stages)
    _require(query.uncommitted == uncommitted, f"{name} counts {query.uncommitted} open stages")
    running = {
        attempt.key: attempt
        for stage in query.stages
        for task in stage.tasks
        for attempt in task.attempts
        if attempt.state is TaskState.RUNNING
    }
    _require(query.running == running, f"{name}: its running attempts are not those of its tasks")
    _require(
        len(running) <= state.settings.max_concurrent_tasks_per_query,
        f"{name} runs {len(running)} attempts, more than are allowed (R7)",
    )
    _require(query.state.terminal == (query.query_id in state.finished), f"{name} is misfiled")
    _require(query.state.terminal == (query.finished_at_ms is not None), f"{name}: finish time")
    if query.state is QueryState.QUEUED:
        _require(query.started_at_ms is None, f"{name} is QUEUED but has started (R2)")
        _require(not any(stage.tasks for stage in query.stages), f"{name} is laid out early")
    if query.state is QueryState.RUNNING:
        _check_started(query)
    if query.state is QueryState.SUCCEEDED:
        _require(uncommitted == 0, f"{name} SUCCEEDED with open stages (R3)")
        sink = query.stages[0]
        _require(
            all(task.attempts[-1].result_complete for task in sink.tasks),
            f"{name} SUCCEEDED without a result (R3)",
        )
    if query.state.terminal:
        _require(not running and not query.in_backoff, f"{name} has ended but goes on (R5)")
        left = (query.plan_bytes, query.output_workers, query.output_partitions)
        _require(not any(left), f"{name} has left-overs")
    else:
        _require(uncommitted > 0, f"{name} is complete but not SUCCEEDED (R3)")
        registered = sum(
            attempt.output.named
            for stage in query.stages
            for task in stage.tasks
            for attempt in task.attempts
            if attempt.output is not None
        )
        _require(query.output_partitions == registered, f"{name} miscounts its partitions")
    _check_results(query)


def _check_started(query: QueryRecord) -> None:
    """All that the first assignment does, was done: a query started by half is never served."""
    name = f"query {query.query_id}"
    _require(query.started_at_ms is not None, f"{name} is RUNNING without a start (R2)")
    chosen = {(stage.requirement.family, stage.requirement.splits) for stage in query.stages}
    _require(len(chosen) == 1 and (None, False) not in chosen, f"{name} has no one family (R31)")
    for stage in query.stages:
        laid_out = stage.layout is not None or stage.unmet > 0
        _require(laid_out, f"stage {stage.stage_id} of {name} could run, but has no tasks (R8)")


def _check_results(query: QueryRecord) -> None:
    if query.state in {QueryState.FAILED, QueryState.CANCELED}:
        _require(query.result_bytes == 0, f"query {query.query_id} keeps result bytes")
        return
    held = sum(attempt.result_bytes for task in query.stages[0].tasks for attempt in task.attempts)
    _require(query.result_bytes == held, f"query {query.query_id} miscounts its result bytes")


def _check_stage(state: SchedulingState, query: QueryRecord, stage: StageRecord) -> None:
    name = f"stage {stage.stage_id} of query {query.query_id}"
    states = Counter(task.state for task in stage.tasks)
    counted = (stage.queued, stage.running, stage.committed)
    actual = (
        states[TaskState.QUEUED],
        states[TaskState.RUNNING],
        states[TaskState.SUCCEEDED],
    )
    _require(counted == actual, f"{name} counts {counted} tasks, has {actual}")
    failed = sum(
        attempt.state is TaskState.FAILED for task in stage.tasks for attempt in task.attempts
    )
    _require(stage.failed == failed, f"{name} counts {stage.failed} failed attempts of {failed}")
    _require(stage.lost == sum(task.lost for task in stage.tasks), f"{name} miscounts lost outputs")
    _require((stage.layout is None) == (not stage.tasks), f"{name}: a layout is its tasks")
    parents = [query.stages[each] for each in stage.parents]
    unmet = sum(not parent.is_readable for parent in parents)
    _require(stage.unmet == unmet, f"{name} counts {stage.unmet} unmet parents of {unmet} (R8)")
    if not query.state.terminal:
        ready = [
            task.task_id
            for task in stage.tasks
            if task.state is TaskState.QUEUED and not task.waiting
        ]
        waiting = sorted([*stage.ready, *stage.choosy])
        _require(waiting == ready, f"{name}: its ready tasks are not the queued ones")
        choosy = {each.task_id for each in stage.tasks if each.suspect or each.avoids}
        _require(choosy.issuperset(stage.choosy), f"{name}: a task is choosy without cause")
        _require(choosy.isdisjoint(stage.ready), f"{name}: a choosy task is anybody's (R17, R19)")
        if not stage.is_committed:
            lost = [parent.stage_id for parent in parents if parent.lost]
            _require(not lost, f"{name} still needs lost outputs of stages {lost}")
    for task in stage.tasks:
        _check_task(state, query, stage, task)


def _check_task(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, task: TaskRecord
) -> None:
    name = f"task {query.query_id}/{stage.stage_id}/{task.task_id}"
    numbers = [attempt.key.attempt for attempt in task.attempts]
    _require(numbers == list(range(1, len(numbers) + 1)), f"{name} has a gap in attempts (R12)")
    keys = {(each.key.query_id, each.key.stage_id, each.key.task_id) for each in task.attempts}
    _require(keys <= {(query.query_id, stage.stage_id, task.task_id)}, f"{name}: foreign attempts")
    most = state.settings.max_task_attempts
    _require(task.doubtful <= min(task.failures, most - 1), f"{name} miscounts its losses (R19)")
    _require(len(task.avoids) <= task.failures, f"{name} avoids too many workers (R30)")
    newest = task.attempts[-1] if task.attempts else None
    for attempt in task.attempts[:-1]:
        _require(
            attempt.state in {TaskState.SUCCEEDED, TaskState.FAILED},
            f"{name}: attempt {attempt.key.attempt} is replaced, yet {attempt.state.name} (R13)",
        )
    if task.state in {TaskState.RUNNING, TaskState.SUCCEEDED}:
        _require(newest is not None and newest.state is task.state, f"{name} is not its attempt")
    if task.state is TaskState.QUEUED and newest is not None:
        _require(newest.state is not TaskState.RUNNING, f"{name} is queued and running (R9)")
    _require(not task.lost or task.state is TaskState.SUCCEEDED, f"{name} is lost, not committed")
    _require(not task.waiting or task.state is TaskState.QUEUED, f"{name} waits, but not queued")
    if newest is not None and task.state is TaskState.SUCCEEDED and not stage.is_sink:
        complete = newest.output is None or newest.output.complete
        registered = newest.output is not None or newest.incarnation == 0
        _require(complete and registered, f"{name} is committed without its output (R22)")


# --- indexes ---------------------------------------------------------------------------------


def _check_workers(state: SchedulingState) -> None:
    slots: dict[WorkerId, dict[AttemptKey, AttemptRecord]] = {
        worker_id: {} for worker_id in state.workers.live
    }
    served: dict[WorkerId, dict[QueryId, set[AttemptKey]]] = {}
    for query in state.queries.values():
        for attempt in query.running.values():
            _require(attempt.worker_id in slots, f"{attempt.key} runs on a worker that is gone")
            slots[attempt.worker_id][attempt.key] = attempt
        outputs = [] if query.state.terminal else _served_outputs(query)
        for attempt in outputs:
            by_query = served.setdefault(attempt.worker_id, {})
            by_query.setdefault(query.query_id, set()).add(attempt.key)
        _require(
            query.output_workers == {attempt.worker_id for attempt in outputs},
            f"query {query.query_id} does not know who serves its outputs",
        )
    for worker_id, worker in state.workers.live.items():
        _require(worker.running == slots[worker_id], f"the slots of {worker_id} are off (R7)")
        _require(
            len(worker.running) <= state.settings.max_concurrent_tasks_per_worker,
            f"{worker_id} runs {len(worker.running)} attempts, more than are allowed (R7)",
        )
        suspects = sum(attempt.suspect for attempt in worker.running.values())
        _require(suspects <= 1, f"{worker_id} runs {suspects} suspects (R19)")
        alone = any(attempt.alone for attempt in worker.running.values())
        _require(not alone or len(worker.running) == 1, f"{worker_id} runs two, one alone (R19)")
        held = {query_id: set(keys) for query_id, keys in worker.outputs.items()}
        _require(held == served.get(worker_id, {}), f"the outputs of {worker_id} are off")
        _require(worker_id not in state.workers.absent, f"{worker_id} is both live and absent")
        able = worker.introduced and not worker.is_draining
        _require(able == (worker.profile is not None), f"{worker_id} is counted wrongly")
    profiles: Counter[Profile] = Counter(
        worker.profile for worker in state.workers.live.values() if worker.profile is not None
    )
    _require(state.ready.profile_counts() == profiles, "worker profiles are miscounted")


def _served_outputs(query: QueryRecord) -> list[AttemptRecord]:
    """Committed outputs that only a live worker can serve."""
    return [
        attempt
        for stage in query.stages
        for task in stage.tasks
        if not task.lost
        and (attempt := task.committed) is not None
        and attempt.output is not None
        and attempt.output.endpoint
    ]


def _check_ready(state: SchedulingState) -> None:
    expected: dict[QueryId, set[tuple[StageId, Requirement]]] = {}
    closed: set[QueryId] = set()
    for query in state.queries.values():
        if query.state.terminal:
            continue
        offers = {(each.stage_id, each.requirement) for each in query.stages if each.has_work}
        if offers:
            expected[query.query_id] = offers
        if len(query.running) >= state.settings.max_concurrent_tasks_per_query:
            closed.add(query.query_id)
    _require(state.ready.offered() == expected, "what is offered is not what has work (R8)")
    solitary = {
        (query.query_id, stage.stage_id, task_id)
        for query in state.queries.values()
        for stage in query.stages
        for task_id in stage.choosy
        if is_solitary(state.settings, stage.tasks[task_id])
    }
    _require(set(state.solitary) == solitary, "the tasks that must run alone are misfiled (R19)")
    _require(state.ready.closed() == closed, "the closed queries are not those at their limit (R7)")
    for what in state.ready.inconsistencies():
        _require(False, what)


def _check_backoff(state: SchedulingState) -> None:
    waiting = [
        (query.query_id, stage.stage_id, task.task_id)
        for query, stage, task in state.backoff.waiting()
    ]
    expected = [
        (query.query_id, stage.stage_id, task.task_id)
        for query in state.queries.values()
        if not query.state.terminal
        for stage in query.stages
        for task in stage.tasks
        if task.waiting
    ]
    _require(sorted(waiting) == sorted(expected), "what waits is not what is in backoff (R9)")
    _require(len(state.backoff) == len(waiting), "the backoff queue is miscounted")


def _check_bounds(state: SchedulingState) -> None:
    active = [query for query in state.queries.values() if not query.state.terminal]
    settings = state.settings
    _require(
        state.plan_bytes == sum(len(query.plan_bytes) for query in active),
        "plan bytes are miscounted",
    )
    _require(
        state.output_partitions == sum(query.output_partitions for query in active),
        "registered partitions are miscounted",
    )
    _require(
        state.active_result_bytes == sum(query.result_bytes for query in active),
        "result bytes of active queries are miscounted",
    )
    _require(
        state.finished_result_bytes
        == sum(state.queries[query_id].result_bytes for query_id in state.finished),
        "result bytes of finished queries are miscounted",
    )
    _require(len(active) <= settings.max_queries, "too many queries (R30)")
    _require(state.plan_bytes <= settings.max_plan_bytes, "too many plan bytes (R30)")
    _require(state.held_result_bytes <= settings.max_result_bytes, "too many result bytes (R27)")
    _require(len(state.finished) <= settings.max_finished_queries, "too many finished (R27)")
    _require(len(state.expired) <= settings.max_expired_ids, "too many expired ids (R27)")
    _require(len(state.workers.absent) <= settings.max_standings, "too many standings (R30)")
    _require(not state.expired.keys() & state.queries.keys(), "a held query is called expired")
    _require(not state.leaving & state.queries.keys(), "a held query is being removed")
    _require(not state.notices, "notices were left behind")
