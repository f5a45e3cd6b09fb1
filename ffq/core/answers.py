"""What scheduling tells without changing anything: statuses, lists, where to read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from ffq.core.records import JoinDecision, QueryRecord, StageRecord, TaskRecord
from ffq.core.state import SchedulingState
from ffq.core.waiting import Waiting
from ffq.errors import NotReady, UnknownId
from ffq.ids import Attempt, AttemptKey, StageId, TaskId
from ffq.messages import (
    AttemptStatus,
    ClusterSize,
    GetQueryStatus,
    ListAttempts,
    ListQueries,
    ListWorkers,
    QueryState,
    QueryStatus,
    ReadClusterSize,
    ResolvedOutput,
    ResolveMapOutput,
    ResolveResult,
    StageStatus,
    TaskState,
    WatchQuery,
    WorkerStatus,
)
from ffq.plan.explain import bytes_text
from ffq.plan.stages import Parallelism


def query_status(state: SchedulingState, msg: GetQueryStatus, now_ms: int) -> QueryStatus:
    """Where a query stands; a waiting one says what it waits for (R10).

    Raises:
        UnknownId: no such query.
    """
    query = state.query(msg.query_id)
    told = _decisions(query)
    stages = tuple(_stage_status(state, stage, told) for stage in query.stages)
    return _status(Waiting(state, now_ms), query, stages)


def watched_status(state: SchedulingState, msg: WatchQuery, now_ms: int) -> QueryStatus:
    """What a watch tells now. Raises UnknownId."""
    return query_status(state, GetQueryStatus(msg.query_id), now_ms)


def list_queries(state: SchedulingState, msg: ListQueries, now_ms: int) -> tuple[QueryStatus, ...]:
    """The newest queries, newest first, without their stages."""
    newest = islice(reversed(state.queries.values()), max(0, msg.limit))
    waiting = Waiting(state, now_ms)
    return tuple(_status(waiting, query, ()) for query in newest)


def _status(waiting: Waiting, query: QueryRecord, stages: tuple[StageStatus, ...]) -> QueryStatus:
    return QueryStatus(
        query_id=query.query_id,
        state=query.state,
        submitted_at_ms=query.submitted_at_ms,
        started_at_ms=query.started_at_ms,
        finished_at_ms=query.finished_at_ms,
        message=query.message if query.state.terminal else waiting.message(query),
        stages=stages,
    )


def _decisions(query: QueryRecord) -> Mapping[StageId, list[str]]:
    """What sizes have decided, of joins, gathers and partitions, by the stages it is about."""
    told: dict[StageId, list[str]] = defaultdict(list)
    for stage in query.stages:
        for each in stage.skewed:
            told[stage.stage_id].append(
                f"skew: partition {each.partition} has {bytes_text(each.bytes)}, and "
                f"{len(each.ranges)} tasks share what stage {each.ranges[0].stage_id} gave it"
            )
    for probe, decision in query.decisions.items():
        size = f"stage {decision.choice.build} has {bytes_text(decision.build_bytes)}"
        if not decision.choice.inlines:
            told[probe].append(
                f"not reduced: {size}, {decision.why}"
                if decision.why
                else f"reduced: {size}, and rows with other keys are left out here"
            )
            continue
        if decision.why:
            told[decision.stage_id].append(f"shuffled: {size}, {decision.why}")
            if decision.choice.reduction is not None:
                told[probe].append(_of_keys(decision))
            continue
        told[decision.stage_id].append(f"broadcast: {size}, and stage {probe} is done in place")
        told[probe].append(f"skipped: {size}, and stage {decision.stage_id} does this one's work")
    for below, gathered in query.gathered.items():
        size = f"stage {below} reads {bytes_text(gathered.read_bytes)}"
        if gathered.in_place:
            told[gathered.stage_id].append(f"in place: {size}, and is done here")
            told[below].append(
                f"skipped: it reads {bytes_text(gathered.read_bytes)}, and stage "
                f"{gathered.stage_id} does this one's work"
            )
        else:
            most = bytes_text(gathered.choice.in_place_bytes)
            told[gathered.stage_id].append(f"gathered: {size}, more than {most}")
    return told


def _of_keys(decision: JoinDecision) -> str:
    size = f"the keys of stage {decision.choice.build} have {bytes_text(decision.keys_bytes)}"
    if decision.reduces:
        return f"reduced: {size}, and rows with others are left out here"
    return f"not reduced: {size}, more than {bytes_text(decision.choice.keys_bytes or 0)}"


def _stage_status(
    state: SchedulingState, stage: StageRecord, told: Mapping[StageId, Sequence[str]]
) -> StageStatus:
    made = stage.made
    shares_partitions = stage.plan.parallelism is Parallelism.HASH
    return StageStatus(
        stage_id=stage.stage_id,
        queued_tasks=stage.queued,
        running_tasks=stage.running,
        succeeded_tasks=stage.committed,
        failed_tasks=stage.failed,
        map_output_rows=made.rows,
        map_output_bytes=made.bytes,
        map_output_batches=made.batches,
        map_output_partitions=made.partitions,
        planned_reduce_tasks=stage.plan.reduce_partitions,
        adaptive_reduce_tasks=len(stage.shares) if shares_partitions else 0,
        adaptive_target_bytes=state.settings.adaptive_target_bytes if shares_partitions else 0,
        layout_finalize_count=0 if stage.layout is None else 1,
        decisions=tuple(told.get(stage.stage_id, ())),
        skipped=stage.inlined_into is not None,
    )


def list_attempts(
    state: SchedulingState, msg: ListAttempts, _now_ms: int
) -> tuple[AttemptStatus, ...]:
    """Every attempt of a query that was assigned or is queued, in key order.

    Raises:
        UnknownId: no such query.
    """
    query = state.query(msg.query_id)
    return tuple(status for stage in query.stages for status in _stage_attempts(query, stage))


def _stage_attempts(query: QueryRecord, stage: StageRecord) -> Iterator[AttemptStatus]:
    for task in stage.tasks:
        yield from _attempts(query, stage.stage_id, task)
    for fresh in range(len(stage.tasks), len(stage.shares)):
        yield _queued(AttemptKey(query.query_id, stage.stage_id, TaskId(fresh), Attempt(1)))


def _attempts(query: QueryRecord, stage_id: StageId, task: TaskRecord) -> Iterator[AttemptStatus]:
    committed = task.committed
    for attempt in task.attempts:
        yield AttemptStatus(
            key=attempt.key,
            state=attempt.state,
            worker_id=attempt.worker_id,
            assigned_at_ms=attempt.assigned_at_ms,
            finished_at_ms=attempt.finished_at_ms,
            message=attempt.message,
            committed=attempt is committed,
            usage=attempt.usage,
            speculative=attempt.speculative,
        )
    if task.state is TaskState.QUEUED:
        yield _queued(AttemptKey(query.query_id, stage_id, task.task_id, task.next_attempt))


def _queued(key: AttemptKey) -> AttemptStatus:
    return AttemptStatus(
        key=key,
        state=TaskState.QUEUED,
        worker_id=None,
        assigned_at_ms=None,
        finished_at_ms=None,
        message="",
        committed=False,
    )


def list_workers(
    state: SchedulingState, _msg: ListWorkers, now_ms: int
) -> tuple[WorkerStatus, ...]:
    """Every live worker, by id."""
    return state.workers.statuses(now_ms)


def resolve_map_output(
    state: SchedulingState, msg: ResolveMapOutput, _now_ms: int
) -> ResolvedOutput:
    """The exact attempt whose output may be read; attempt 0 is the committed one (R23).

    Raises:
        UnknownId: no such query, stage, task or partition, or the attempt was never assigned.
        NotReady: nothing committed yet, the attempt is stale, its output is lost or was not
            registered, or the query has ended.
    """
    key = msg.key
    query, stage = state.stage(key)
    if query.state.terminal:
        raise NotReady(f"query {query.query_id} is {query.state.name}: its outputs are removed")
    if stage.is_sink:
        raise UnknownId(
            f"stage {key.stage_id} is the sink: it has no output", reason="UNKNOWN_TASK"
        )
    if not 0 <= msg.reduce_partition < stage.plan.output_partitions:
        # Not the same as one that is empty: who asks has cut the plan otherwise.
        raise UnknownId(
            f"stage {key.stage_id} of query {query.query_id} writes {stage.plan.output_partitions} "
            f"reduce partitions, there is no partition {msg.reduce_partition}",
            reason="UNKNOWN_PARTITION",
        )
    if key.attempt == 0:
        if stage.layout is None:
            raise NotReady(f"stage {key.stage_id} of query {query.query_id} has not started")
        if not 0 <= key.task_id < len(stage.shares):
            raise UnknownId(f"there is no task {key.task}", reason="UNKNOWN_TASK")
        task = stage.tasks[key.task_id] if key.task_id < len(stage.tasks) else None
        if task is None or task.committed is None:
            raise NotReady(f"task {key.task} has no committed attempt")
        attempt = task.committed
    else:
        at = state.locate(key)
        task, attempt = at.task, at.attempt
    current = attempt in (task.attempts[-1], task.committed, *task.running)
    if not current or attempt.state is TaskState.FAILED:
        raise NotReady(f"attempt {attempt.key} is stale", reason="STALE_ATTEMPT")
    lost = task.lost or any(attempt.key in keys for keys in stage.losing)
    if task.state is TaskState.QUEUED or lost:
        raise NotReady(f"the output of {attempt.key} is lost", reason="OUTPUT_LOST")
    if attempt.output is None and attempt.state is TaskState.RUNNING:
        raise NotReady(f"attempt {attempt.key} has not registered any output")
    return ResolvedOutput(attempt.key, registered=attempt.output is not None)


def cluster_size(state: SchedulingState, _msg: ReadClusterSize, now_ms: int) -> ClusterSize:
    """Slots of the workers that are given tasks now. One that does not say has one, for certain."""
    settings = state.settings
    slots = [
        min(max(worker.slots, 1), settings.max_concurrent_tasks_per_worker)
        for worker in state.workers.live.values()
        if worker.profile is not None and not state.workers.is_excluded(worker, now_ms)
    ]
    return ClusterSize(min(sum(slots), settings.max_concurrent_tasks_per_query), len(slots))


def resolve_result(
    state: SchedulingState, msg: ResolveResult, _now_ms: int
) -> tuple[AttemptKey, ...]:
    """The committed sink attempts, in task order (R26).

    Raises:
        UnknownId: no such query, or its result was evicted.
        NotReady: the query has not SUCCEEDED; with reason QUERY_FAILED or QUERY_CANCELED when it
            never will.
    """
    query = state.query(msg.query_id)
    if query.state is QueryState.SUCCEEDED:
        return tuple(
            attempt.key for task in query.stages[0].tasks if (attempt := task.committed) is not None
        )
    message = f"query {query.query_id} is {query.state.name}: it has no result"
    if query.state.terminal:
        raise NotReady(f"{message}: {query.message}", reason=f"QUERY_{query.state.name}")
    raise NotReady(f"{message} yet")
