"""What time alone changes: when next, and what takes longer than its client allows."""

from __future__ import annotations

from math import inf

from ffq.core.lifecycle import end_query
from ffq.core.records import QueryRecord
from ffq.core.state import SchedulingState
from ffq.core.tasks import fail_charged
from ffq.core.transitions import QueryEvent
from ffq.core.waiting import Waiting


def next_due_ms(state: SchedulingState) -> float:
    """Before this moment time alone changes nothing, if nothing else does: inf for never.

    While a query is under way it may at any moment: backoffs, timeouts, what it waits for. Without
    one, what was finished is forgotten (R27).
    """
    if len(state.queries) > len(state.finished):
        return 0
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
