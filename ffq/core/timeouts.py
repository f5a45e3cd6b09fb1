"""What time alone changes: when next, and what takes longer than its client allows."""

from __future__ import annotations

from math import inf

from ffq.core.lifecycle import end_query
from ffq.core.records import QueryRecord
from ffq.core.speculation import straggler_due_ms
from ffq.core.state import SchedulingState
from ffq.core.tasks import fail_charged
from ffq.core.transitions import QueryEvent
from ffq.core.waiting import Waiting


def next_due_ms(state: SchedulingState) -> float:
    """Before this moment time alone changes nothing, if nothing else does: inf for never.

    Where a query has work and runs nothing it may at any moment: what it waits for is told anew.
    Else it is known when: backoffs end, timeouts are over, attempts have taken far longer than
    others, and what was finished is forgotten (R27).
    """
    ready = state.ready
    if ready.unmatched_queries() or not all(
        state.queries[query_id].running for query_id in ready.offering()
    ):
        return 0
    return min(moment_ms(state), _overdue_from_ms(state), _forgotten_from_ms(state))


def moment_ms(state: SchedulingState) -> float:
    """The first of those moments for which somebody waits: inf for none. Quick."""
    return min(state.backoff.due_ms, straggler_due_ms(state))


def _overdue_from_ms(state: SchedulingState) -> float:
    """When the first query, or attempt, is past its time; without timeouts inf."""
    return min((_query_overdue_from_ms(state.queries[each]) for each in state.timed), default=inf)


def _query_overdue_from_ms(query: QueryRecord) -> float:
    allowed = query.timeouts
    due_ms = inf
    if allowed.query_ms:
        due_ms = query.submitted_at_ms + allowed.query_ms + 1
    if allowed.task_ms:
        for attempt in query.running.values():
            if attempt.began_at_ms is not None:
                due_ms = min(due_ms, attempt.began_at_ms + allowed.task_ms + 1)
    return due_ms


def _forgotten_from_ms(state: SchedulingState) -> float:
    if not state.finished:
        return inf
    settings = state.settings
    oldest = state.queries[next(iter(state.finished))]
    over = (
        len(state.finished) > settings.max_finished_queries
        or state.held_result_bytes > settings.max_result_bytes
    )
    if over or oldest.finished_at_ms is None:
        return 0
    return oldest.finished_at_ms + settings.result_ttl_ms + 1


def end_overdue(state: SchedulingState, now_ms: int) -> None:
    """End what is past its time: queries, and attempts, whose tasks are charged for them (R14).

    The worker is not blamed: an operator that never ends would exclude one after the other. It
    learns with its next heartbeat that nobody waits for the attempt.
    """
    for query_id in list(state.timed):
        query = state.queries[query_id]
        allowed = query.timeouts.query_ms
        if allowed and now_ms - query.submitted_at_ms > allowed:
            waits = Waiting(state, now_ms).message(query)
            why = f"it took longer than its timeout of {allowed} ms"
            end_query(state, query, QueryEvent.FAIL, f"{why}; {waits}" if waits else why, now_ms)
        else:
            _fail_slow_attempts(state, query, now_ms)


def _fail_slow_attempts(state: SchedulingState, query: QueryRecord, now_ms: int) -> None:
    allowed = query.timeouts.task_ms
    if not allowed:
        return
    for attempt in list(query.running.values()):
        if query.state.terminal:
            return
        began_ms = attempt.began_at_ms
        if began_ms is not None and now_ms - began_ms > allowed:
            why = f"it took longer than the timeout of a task, {allowed} ms"
            fail_charged(state, state.locate(attempt.key), why, now_ms, blame=False)
