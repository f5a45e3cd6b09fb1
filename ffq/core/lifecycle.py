"""Queries: submitted, ended, kept for a while, evicted (R1 to R5, R27)."""

from __future__ import annotations

from collections.abc import Iterable

from ffq.core import chores, placement, remains, speculation
from ffq.core.layout import max_tasks
from ffq.core.pieces import ByAttempt
from ffq.core.ready import Requirement
from ffq.core.records import QueryRecord, StageRecord
from ffq.core.state import SchedulingState
from ffq.core.transitions import RUNNING, AttemptEvent, QueryEvent
from ffq.errors import PlanConflict, PlanningError, QuotaExceeded
from ffq.ids import QueryId, StageId
from ffq.messages import (
    AcceptQuery,
    CancelQuery,
    CancelReply,
    DropQueryOutputs,
    DropQueryResults,
    FindQuery,
    FreeQueryId,
    KnownQuery,
    QueryState,
    StageScan,
    SubmitReply,
    TaskState,
)
from ffq.plan.properties import has_own_words, is_repeatable, needs_own_numbering
from ffq.plan.stages import JoinChoice, StageGraph

_REMOVAL_MS = 100


def find_query(state: SchedulingState, msg: FindQuery, _now_ms: int) -> KnownQuery | None:
    """What stands under an id; None: nothing does.

    Spares the reading of a plan that is known or for which there is no room: reading and binding a
    plan again might fail where it did not at first (a file is gone meanwhile), though the query
    stands (R1).

    Raises:
        QuotaExceeded: there is no room for one more query now.
    """
    known = state.queries.get(msg.query_id)
    if known is not None:
        return KnownQuery(known.digest, known.state)
    _check_free(state, msg.query_id)
    _check_room(state, msg.plan_size)
    return None


def accept_query(state: SchedulingState, msg: AcceptQuery, now_ms: int) -> SubmitReply:
    """Accept a plan, or answer for the one that has its id by now (R1).

    Raises:
        PlanConflict: the id is taken by other bytes.
        PlanningError: it would be laid out into too many tasks.
        QuotaExceeded: as many queries, or as many plan bytes, as are allowed are not terminal; or
            what an earlier query of this id left is not removed yet.
    """
    known = state.queries.get(msg.query_id)
    if known is not None:
        return answer_for(msg.query_id, KnownQuery(known.digest, known.state), msg.digest)
    _check_free(state, msg.query_id)
    scans = _scans_by_leaf(msg)
    _check_tasks(state, msg, scans)
    _check_room(state, len(msg.plan_bytes))
    state.submissions += 1
    query = QueryRecord(
        query_id=msg.query_id,
        ordinal=state.submissions,
        digest=msg.digest,
        plan_bytes=msg.plan_bytes,
        scans=scans,
        stages=_stages(msg.graph, msg.scans),
        submitted_at_ms=now_ms,
        uncommitted=len(msg.graph.stages),
        timeouts=msg.timeouts,
        undecided=_by_build(msg.graph.joins),
        gathers={choice.below: choice for choice in msg.graph.gathers},
    )
    if query.timeouts:
        state.timed[query.query_id] = None
    state.expired.pop(msg.query_id, None)
    state.queries[msg.query_id] = query
    state.plan_bytes += len(msg.plan_bytes)
    for stage in query.stages:
        if stage.unmet == 0:
            state.ready.offer(query.query_id, stage.stage_id, stage.requirement, now_ms)
    state.changed()
    return SubmitReply(query.query_id, query.state)


def _by_build(joins: Iterable[JoinChoice]) -> dict[StageId, tuple[JoinChoice, ...]]:
    found: dict[StageId, tuple[JoinChoice, ...]] = {}
    for choice in joins:
        found[choice.build] = (*found.get(choice.build, ()), choice)
    return found


def answer_for(query_id: QueryId, known: KnownQuery, digest: bytes) -> SubmitReply:
    """The answer to a plan whose id is taken (R1). Raises PlanConflict: by another plan."""
    if known.digest != digest:
        raise PlanConflict(f"query {query_id} was submitted before with another plan")
    return SubmitReply(query_id, known.state)


def _scans_by_leaf(msg: AcceptQuery) -> dict[StageId, dict[int, StageScan]]:
    scans: dict[StageId, dict[int, StageScan]] = {}
    for scan in msg.scans:
        scans.setdefault(scan.stage_id, {})[scan.leaf] = scan
    return scans


def _check_tasks(
    state: SchedulingState, msg: AcceptQuery, scans: dict[StageId, dict[int, StageScan]]
) -> None:
    allowed = state.settings.max_tasks_per_query
    tasks = sum(max_tasks(each, scans.get(each.stage_id, {})) for each in msg.graph.stages)
    if tasks > allowed:
        raise PlanningError(
            f"query {msg.query_id} may need {tasks} tasks; at most {allowed} are allowed: "
            f"use fewer partitions or larger splits"
        )


def free_query_id(state: SchedulingState, msg: FreeQueryId, _now_ms: int) -> None:
    """Nothing of the evicted query is left anywhere."""
    state.leaving.discard(msg.query_id)
    state.changed()


def _check_free(state: SchedulingState, query_id: QueryId) -> None:
    """Removals under way name the id: they would take what a new query of it stores."""
    if query_id in state.leaving:
        raise QuotaExceeded(
            f"what an earlier query {query_id} left is still being removed: submit again, or "
            f"under another id",
            retry_after_ms=_REMOVAL_MS,
        )


def _check_room(state: SchedulingState, plan_bytes: int) -> None:
    settings = state.settings
    if len(state.queries) - len(state.finished) >= settings.max_queries:
        raise QuotaExceeded(
            f"{settings.max_queries} queries are queued or running: submit again later"
        )
    if state.plan_bytes + plan_bytes > settings.max_plan_bytes:
        raise QuotaExceeded(
            f"the plans of queued and running queries would exceed {settings.max_plan_bytes} "
            f"bytes: submit again later"
        )


def _stages(graph: StageGraph, scans: Iterable[StageScan]) -> list[StageRecord]:
    consumers: list[set[StageId]] = [set() for _ in graph.stages]
    for stage in graph.stages:
        for source in stage.parents:
            consumers[source.stage_id].add(stage.stage_id)
    # How files are read that do not say so themselves, only ours are told.
    formats = any(scan.format is not None for scan in scans)
    ours_only = formats or needs_own_numbering(graph) or has_own_words(graph)
    siblings = frozenset(stage.operators for stage in graph.stages if stage.operators)
    records = []
    awaits = {choice.probe: choice.build for choice in graph.joins}
    for stage in graph.stages:
        parents = tuple(sorted({source.stage_id for source in stage.parents}))
        records.append(
            StageRecord(
                plan=stage,
                requirement=Requirement(stage.operators, ours_only=ours_only, siblings=siblings),
                parents=parents,
                consumers=tuple(sorted(consumers[stage.stage_id])),
                unmet=len(parents) + (stage.stage_id in awaits),
                awaits=awaits.get(stage.stage_id),
                repeatable=is_repeatable(stage),
            )
        )
    return records


def cancel_query(state: SchedulingState, msg: CancelQuery, now_ms: int) -> CancelReply:
    """End a query at once (R5); a terminal one stays as it is (R4).

    Raises:
        UnknownId: no such query.
    """
    query = state.query(msg.query_id)
    if not query.state.terminal:
        end_query(state, query, QueryEvent.CANCEL, msg.reason, now_ms)
    return CancelReply(query.query_id, query.state)


def end_query(
    state: SchedulingState, query: QueryRecord, event: QueryEvent, message: str, now_ms: int
) -> None:
    """Make a query terminal: nothing of it is queued, running or served after this (R4, R5)."""
    query.apply(event)
    query.finished_at_ms = now_ms
    query.message = message
    state.ready.drop(query.query_id)
    state.backoff.forget(query)
    state.timed.pop(query.query_id, None)
    for attempt in query.running.values():
        attempt.apply(AttemptEvent.FAIL)
        attempt.finished_at_ms = now_ms
        attempt.message = f"the query ended: {query.state.name}"
        stage = query.stages[attempt.key.stage_id]
        stage.failed += 1
        task = stage.tasks[attempt.key.task_id]
        if task.state is RUNNING:
            task.state = TaskState.FAILED
            stage.running -= 1
        begins = state.workers.release(attempt, now_ms)
        if begins is not None:
            speculation.has_begun(state, begins)
        speculation.no_straggler(state, attempt)
    query.running.clear()
    served = [
        keys
        for worker_id in query.output_workers
        for keys in state.workers.live[worker_id].outputs.pop(query.query_id, {}).values()
    ]
    query.output_workers.clear()
    state.plan_bytes -= len(query.plan_bytes)
    state.active_result_bytes -= query.result_bytes
    state.output_partitions -= query.output_partitions
    query.output_partitions = 0
    query.plan_bytes = b""
    _release_details(state, query, served, now_ms)
    state.notices.append(DropQueryOutputs(query.query_id))
    if query.state is QueryState.SUCCEEDED:
        state.finished_result_bytes += query.result_bytes
    else:
        query.result_bytes = 0
        state.notices.append(DropQueryResults(query.query_id))
    state.finished[query.query_id] = None
    state.changed()
    evict(state, now_ms)


def _release_details(
    state: SchedulingState,
    query: QueryRecord,
    served: list[ByAttempt[None]],
    now_ms: int,
) -> None:
    """Keep of an ended query what statuses and late reports need, and no more."""
    query.scans = {}
    speculation.forget(state, query)
    for stage in query.stages:
        stage.scans = {}
        placement.forget(state, query, stage)
    chores.begin(state, remains.Release(query.stages, served), now_ms)


def evict(state: SchedulingState, now_ms: int) -> None:
    """Forget finished queries past their time or over the caps, oldest first (R27)."""
    settings = state.settings
    room = state.slice
    while state.finished:
        query = state.queries[next(iter(state.finished))]
        ended_ms = query.finished_at_ms if query.finished_at_ms is not None else now_ms
        if (
            now_ms - ended_ms <= settings.result_ttl_ms
            and len(state.finished) <= settings.max_finished_queries
            and state.held_result_bytes <= settings.max_result_bytes
        ):
            return
        _evict_one(state, query)
        started = sum(len(stage.tasks) for stage in query.stages)
        if started <= room:
            room -= started
        else:
            chores.put_off(state, remains.Discard(list(query.stages)))


def _evict_one(state: SchedulingState, query: QueryRecord) -> None:
    state.changed()
    del state.queries[query.query_id]
    del state.finished[query.query_id]
    state.finished_result_bytes -= query.result_bytes
    if query.state is QueryState.SUCCEEDED:
        state.notices.append(DropQueryResults(query.query_id))
    state.notices.append(FreeQueryId(query.query_id))
    state.leaving.add(query.query_id)
    state.expired[query.query_id] = None
    if len(state.expired) > state.settings.max_expired_ids:
        state.expired.popitem(last=False)
