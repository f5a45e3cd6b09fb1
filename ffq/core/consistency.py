"""validate_state of scheduling: every index and count against the records they stand for.

Costs as much as there is work held: for tests and for a restarted actor, not for every message.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain

import attrs

from ffq.core.decided import wrong_in_decisions
from ffq.core.placement import is_solitary
from ffq.core.ready import Profile, Requirement
from ffq.core.records import AttemptRecord, Made, QueryRecord, StageRecord, TaskRecord
from ffq.core.recovery import Loss, Recovery
from ffq.core.speculation import due_at, is_looked_at
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
    _check_speculation(state)
    _check_chores(state)
    _check_bounds(state)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InvariantViolated(f"scheduling: {what}")


# --- one query -------------------------------------------------------------------------------
# What is wrong with it comes as texts: there are many records, and as a rule nothing is.


def _check_query(state: SchedulingState, query: QueryRecord) -> None:
    name = f"query {query.query_id}"
    for stage in query.stages:
        for what in _wrong_in_stage(query, stage):
            _require(False, f"stage {stage.stage_id} of {name}{what}")
        for task in stage.tasks:
            for what in chain(
                _wrong_in_task(state, stage, task), _wrong_in_attempts(query, stage, task)
            ):
                key = f"{query.query_id}/{stage.stage_id}/{task.task_id}"
                _require(False, f"task {key}{what}")
    sized = query.undecided or query.decisions or query.gathered
    joins = chain(_wrong_in_joins(query), wrong_in_decisions(query)) if sized else ()
    for what in chain(_wrong_in_query(state, query), _wrong_in_state(query), joins):
        _require(False, f"{name}{what}")


def _wrong_in_query(state: SchedulingState, query: QueryRecord) -> Iterator[str]:
    uncommitted = sum(not stage.is_committed for stage in query.stages)
    if query.uncommitted != uncommitted:
        yield f" counts {query.uncommitted} open stages of {uncommitted}"
    if not uncommitted and not query.state.terminal:
        yield " is complete but not SUCCEEDED (R3)"
    running = {
        attempt.key: attempt
        for stage in query.stages
        for task in stage.tasks
        for attempt in task.attempts
        if attempt.state is TaskState.RUNNING
    }
    if query.running != running:
        yield ": its running attempts are not those of its tasks"
    if len(running) > state.settings.max_concurrent_tasks_per_query:
        yield f" runs {len(running)} attempts, more than are allowed (R7)"
    terminal = query.state.terminal
    if terminal != (query.query_id in state.finished):
        yield " is misfiled"
    if (query.query_id in state.timed) != (bool(query.timeouts) and not terminal):
        yield " is timed wrongly"
    if terminal != (query.finished_at_ms is not None):
        yield ": finish time"
    kept = query.state not in {QueryState.FAILED, QueryState.CANCELED}
    held = sum(attempt.result_bytes for task in query.stages[0].tasks for attempt in task.attempts)
    if query.result_bytes != (held if kept else 0):
        yield " miscounts its result bytes"
    registered = sum(
        attempt.output.named
        for stage in query.stages
        for task in stage.tasks
        for attempt in task.attempts
        if attempt.output is not None
    )
    if not terminal and query.output_partitions != registered:
        yield " miscounts its partitions"


def _wrong_in_state(query: QueryRecord) -> Iterator[str]:
    """What a query may not be in the state that it is in."""
    if query.state is QueryState.QUEUED:
        if query.started_at_ms is not None:
            yield " is QUEUED but has started (R2)"
        if any(stage.shares for stage in query.stages):
            yield " is laid out early"
    elif query.state is QueryState.RUNNING:
        # All that the first assignment does, was done: one started by half is never served.
        if query.started_at_ms is None:
            yield " is RUNNING without a start (R2)"
        chosen = {(stage.requirement.family, stage.requirement.splits) for stage in query.stages}
        if len(chosen) != 1 or (None, False) in chosen:
            yield " has no one family (R31)"
    elif query.state is QueryState.SUCCEEDED:
        if query.uncommitted:
            yield " SUCCEEDED with open stages (R3)"
        committed = [task.committed for task in query.stages[0].tasks]
        if not all(attempt is not None and attempt.result_complete for attempt in committed):
            yield " SUCCEEDED without a result (R3)"
    if query.state.terminal:
        if query.running or query.in_backoff:
            yield " has ended but goes on (R5)"
        if query.plan_bytes or query.output_workers or query.output_partitions:
            yield " has left-overs"


def _wrong_in_stage(query: QueryRecord, stage: StageRecord) -> Iterator[str]:
    states = [task.state for task in stage.tasks]
    counted = (stage.queued, stage.running, stage.committed)
    actual = (
        states.count(TaskState.QUEUED) + stage.fresh,
        states.count(TaskState.RUNNING),
        states.count(TaskState.SUCCEEDED),
    )
    if counted != actual:
        yield f" counts {counted} tasks, has {actual}"
    failed = sum(
        attempt.state is TaskState.FAILED for task in stage.tasks for attempt in task.attempts
    )
    if stage.failed != failed:
        yield f" counts {stage.failed} failed attempts of {failed}"
    lost_tasks = [each.committed for each in stage.tasks if each.lost]
    if set(stage.lost) != {each.key for each in lost_tasks if each is not None}:
        yield " miscounts lost outputs"
    if (stage.layout is None) != (not stage.shares):
        yield ": a layout is its tasks"
    if any(task.task_id != position for position, task in enumerate(stage.tasks)):
        yield ": its tasks are not in their positions"
    if stage.fresh < 0 or len(stage.tasks) + stage.fresh != len(stage.shares):
        yield f" has {len(stage.tasks)} tasks and {stage.fresh} fresh ones of {len(stage.shares)}"
    parents = [query.stages[each] for each in stage.parents]
    unmet = sum(not parent.is_readable for parent in parents) + (stage.awaits is not None)
    if stage.unmet != unmet:
        yield f" counts {stage.unmet} unmet parents of {unmet} (R8)"
    runs = query.state is QueryState.RUNNING and stage.inlined_into is None
    if runs and stage.layout is None and not stage.unmet:
        yield " could run, but has no tasks (R8)"
    if stage.scans != (query.scans_of(stage) if stage.layout is not None else {}):
        yield " scans something else than its plan says"
    if attrs.astuple(stage.made) != attrs.astuple(_made(stage)):
        yield " miscounts what its tasks gave out"
    if not query.state.terminal:
        # Those that are made again by and by are needed until they are.
        by_and_by = query.recovering or any(parent.losing for parent in parents)
        lost = [] if by_and_by else [parent for parent in parents if parent.lost]
        yield from _wrong_in_offer(stage, lost)


def _made(stage: StageRecord) -> Made:
    made = Made()
    for task in stage.tasks:
        committed = task.committed if task.attempts else None
        made.count(None if committed is None else committed.output)
    return made


def _wrong_in_joins(query: QueryRecord) -> Iterator[str]:
    """Of one with joins that sizes decide: who reads whom, and who waits for what."""
    readers: dict[StageId, set[StageId]] = defaultdict(set)
    for stage in query.stages:
        for parent_id in stage.parents:
            readers[parent_id].add(stage.stage_id)
    awaited = {each.probe: build for build, some in query.undecided.items() for each in some}
    builds = {decision.choice.build for decision in query.decisions.values()}
    for stage in query.stages:
        name = f": stage {stage.stage_id}"
        read = {source.stage_id for source in stage.plan.parents}
        if set(stage.parents) != (read if stage.inlined_into is None else set()):
            yield f"{name} has parents {stage.parents}, its plan reads {sorted(read)}"
        if list(stage.consumers) != sorted(readers[stage.stage_id]):
            yield f"{name} has consumers {stage.consumers}, not {sorted(readers[stage.stage_id])}"
        if not read.issuperset(builds.intersection(stage.inlined)):
            yield f"{name} is reduced by a stage that it does not read"
        if stage.awaits != awaited.get(stage.stage_id):
            yield f"{name} waits for a decision that nobody makes"
        if stage.stage_id in query.undecided and stage.is_readable:
            yield f"{name} is finished, and what it decides is not decided"
        if stage.inlined_into is not None:
            into = query.stages[stage.inlined_into]
            if stage.layout is not None or stage.stage_id not in into.inlined:
                yield f"{name} is inlined and runs"
        gathered = query.gathered.get(stage.stage_id)
        if gathered is not None and gathered.in_place != (stage.inlined_into is not None):
            yield f"{name} is not run as was decided"
        reads = bool(stage.plan.parents)  # what reads no other stage has nothing to be decided by
        if reads and stage.layout is not None and stage.stage_id in query.gathers:
            yield f"{name} is laid out, and whether it is inlined is not decided"


def _wrong_in_offer(stage: StageRecord, lost: list[StageRecord]) -> Iterator[str]:
    """Of a query that goes on. lost: the parents with lost outputs."""
    ready = [
        task.task_id for task in stage.tasks if task.state is TaskState.QUEUED and not task.waiting
    ]
    if sorted([*stage.again, *stage.choosy]) != ready:
        yield ": its ready tasks are not the queued ones"
    choosy = {each.task_id for each in stage.tasks if each.suspect or each.avoids}
    if not choosy.issuperset(stage.choosy):
        yield ": a task is choosy without cause"
    if not choosy.isdisjoint(stage.again):
        yield ": a choosy task is anybody's (R17, R19)"
    if lost and not stage.is_committed:
        yield f" still needs lost outputs of stages {[each.stage_id for each in lost]}"


def _wrong_in_attempts(query: QueryRecord, stage: StageRecord, task: TaskRecord) -> Iterator[str]:
    for number, attempt in enumerate(task.attempts, 1):
        key = attempt.key
        if key.attempt != number:
            yield " has a gap in attempts (R12)"
        whose = (key.query_id, key.stage_id, key.task_id)
        if whose != (query.query_id, stage.stage_id, task.task_id):
            yield ": foreign attempts"
        ended = attempt.state is TaskState.SUCCEEDED or attempt.state is TaskState.FAILED
        follows = task.attempts[number] if number < len(task.attempts) else None
        if follows is not None and not ended and not follows.speculative:
            yield f": attempt {number} is replaced, yet {attempt.state.name} (R13)"
    yield from _wrong_in_rivals(task)


def _wrong_in_rivals(task: TaskRecord) -> Iterator[str]:
    """Of a task with a second attempt (R13)."""
    speculative = [attempt for attempt in task.attempts if attempt.speculative]
    if len(speculative) != task.speculated:
        yield f" has {len(speculative)} attempts beside others, {task.speculated:d} is right (R13)"
    running = [each for each in task.attempts if each.state is TaskState.RUNNING]
    if len(running) > 1 + task.speculated:
        yield f" runs {len(running)} times (R13)"
    if len(running) > 1 and len({each.worker_id for each in running}) < len(running):
        yield " runs twice on one worker (R13)"
    if any(each.incarnation == 0 for each in running[1:]):
        yield " has a second attempt on a peer's worker (R13)"


def _wrong_in_task(state: SchedulingState, stage: StageRecord, task: TaskRecord) -> Iterator[str]:
    if task.doubtful > min(task.failures, state.settings.max_task_attempts - 1):
        yield " miscounts its losses (R19)"
    if len(task.avoids) > task.failures:
        yield " avoids too many workers (R30)"
    if not task.attempts:
        yield " is kept, though it was never assigned"
    elif task.share != stage.shares[task.task_id]:
        yield " reads what another is to read (R31)"
    is_queued, is_committed = task.state is TaskState.QUEUED, task.state is TaskState.SUCCEEDED
    if task.lost and not is_committed:
        yield " is lost, not committed"
    if task.waiting and not is_queued:
        yield " waits, but not queued"
    committed = task.committed if task.attempts else None
    if is_committed and (committed is None or committed.state is not TaskState.SUCCEEDED):
        yield " is not its attempt"
    if bool(task.running) != (task.state is TaskState.RUNNING):
        yield f" is {task.state.name}, and {len(task.running)} of its attempts run (R9)"
    if committed is not None and not stage.is_sink:
        complete = committed.output is None or committed.output.complete
        registered = committed.output is not None or committed.incarnation == 0
        if not (complete and registered):
            yield " is committed without its output (R22)"


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
            worker.begun <= state.settings.max_concurrent_tasks_per_worker,
            f"{worker_id} runs {worker.begun} attempts, more than are allowed (R7)",
        )
        _require(
            len(worker.ahead) <= state.settings.max_tasks_ahead,
            f"{len(worker.ahead)} attempts wait at {worker_id}, more than are allowed (R7)",
        )
        suspects = sum(attempt.suspect for attempt in worker.running.values())
        _require(suspects <= 1, f"{worker_id} runs {suspects} suspects (R19)")
        alone = any(attempt.alone for attempt in worker.running.values())
        _require(not alone or len(worker.running) == 1, f"{worker_id} runs two, one alone (R19)")
        held = {
            query_id: {key for keys in by_stage.values() for key in keys}
            for query_id, by_stage in worker.outputs.items()
        }
        _require(held == served.get(worker_id, {}), f"the outputs of {worker_id} are off")
        _require(worker_id not in state.workers.absent, f"{worker_id} is both live and absent")
        able = worker.introduced and not worker.is_draining
        _require(able == (worker.profile is not None), f"{worker_id} is counted wrongly")
    profiles: Counter[Profile] = Counter(
        worker.profile for worker in state.workers.live.values() if worker.profile is not None
    )
    _require(state.ready.profile_counts() == profiles, "worker profiles are miscounted")
    _check_ahead(state)


def _check_ahead(state: SchedulingState) -> None:
    """What waits at workers, and what of it is to be given back."""
    table = state.workers
    free = recalled = 0
    for worker_id, worker in table.live.items():
        waiting = {k: each for k, each in worker.running.items() if each.began_at_ms is None}
        _require(worker.ahead == waiting, f"what waits at {worker_id} is misfiled (R7)")
        odd = [each.key for each in waiting.values() if each.suspect or each.incarnation == 0]
        _require(not odd, f"{odd} may not wait at {worker_id}")
        unused = max(0, table.slots_usable(worker) - worker.begun)
        _require(worker.free == unused, f"the slots of {worker_id} are miscounted")
        asked = {k for k, each in waiting.items() if each.recalled}
        _require(asked.issuperset(worker.recalls), f"{worker_id} is to give back what it cannot")
        _require((worker_id in table.holders) == bool(waiting), f"{worker_id} holds otherwise")
        _require((worker_id in table.recalling) == bool(worker.recalls), f"{worker_id} is not told")
        free, recalled = free + worker.free, recalled + len(asked)
    _require(table.free == free, f"{table.free} free slots are counted, there are {free}")
    _require(table.recalled == recalled, f"{table.recalled} recalls are counted of {recalled}")


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
        and not any(attempt.key in keys for keys in stage.losing)
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


def _check_speculation(state: SchedulingState) -> None:
    due = {
        (query.query_id, stage.stage_id): due_ms
        for query in state.queries.values()
        for stage in query.stages
        if (due_ms := due_at(state, query, stage)) is not None
    }
    _require(
        state.speculation_due == due,
        f"it looks for stragglers at {state.speculation_due}, not at {due} (R13)",
    )
    for query_id, stage_id, task_id in state.stragglers:
        query = state.queries.get(query_id)
        stage = None if query is None else query.stages[stage_id]
        task = None if stage is None else stage.tasks[task_id]
        alone = task is not None and len(task.running) == 1 and not task.speculated
        late = stage is not None and is_looked_at(state.settings, stage)
        _require(alone and late, f"{query_id}/{stage_id}/{task_id} is no straggler (R13)")


def _check_chores(state: SchedulingState) -> None:
    recoveries = [each.query for each in state.chores if isinstance(each, Recovery)]
    recovering = [query for query in state.queries.values() if query.recovering]
    _require(
        len({id(each) for each in recoveries}) == len(recoveries)
        and all(each.recovering for each in recoveries)
        and {id(each) for each in recovering} <= {id(each) for each in recoveries},
        "what is being recovered is not what is to be",
    )
    losing = [
        id(keys)
        for query in state.queries.values()
        if not query.state.terminal
        for stage in query.stages
        for keys in stage.losing
    ]
    losses = [
        id(each.keys)
        for each in state.chores
        if isinstance(each, Loss) and not each.query.state.terminal
    ]
    _require(sorted(losing) == sorted(losses), "what is being lost is not what is to be marked")
    for worker_id, worker in state.workers.live.items():
        empty = any(not keys for stages in worker.outputs.values() for keys in stages.values())
        _require(not empty and all(worker.outputs.values()), f"{worker_id} serves nothing at all")


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
