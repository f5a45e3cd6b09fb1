"""The two tables of transitions: every legal event, and every other one refused."""

from __future__ import annotations

import pytest

from ffq.core.transitions import AttemptEvent, QueryEvent, next_attempt_state, next_query_state
from ffq.errors import InvariantViolated
from ffq.messages import QueryState, TaskState

Q, T = QueryState, TaskState
QUERY = {
    (Q.QUEUED, QueryEvent.ASSIGN): Q.RUNNING,
    (Q.QUEUED, QueryEvent.FAIL): Q.FAILED,
    (Q.QUEUED, QueryEvent.CANCEL): Q.CANCELED,
    (Q.RUNNING, QueryEvent.ASSIGN): Q.RUNNING,
    (Q.RUNNING, QueryEvent.SUCCEED): Q.SUCCEEDED,
    (Q.RUNNING, QueryEvent.FAIL): Q.FAILED,
    (Q.RUNNING, QueryEvent.CANCEL): Q.CANCELED,
}
ATTEMPT = {
    (T.QUEUED, AttemptEvent.ASSIGN): T.RUNNING,
    (T.RUNNING, AttemptEvent.SUCCEED): T.SUCCEEDED,
    (T.RUNNING, AttemptEvent.FAIL): T.FAILED,
}


@pytest.mark.parametrize("event", QueryEvent)
@pytest.mark.parametrize("state", QueryState)
def test_R4_a_query_goes_only_where_the_table_says(state: QueryState, event: QueryEvent) -> None:
    if (state, event) in QUERY:
        assert next_query_state(state, event) is QUERY[state, event]
    else:
        with pytest.raises(InvariantViolated, match=f"{state.name} query cannot {event.value}"):
            next_query_state(state, event)


@pytest.mark.parametrize("event", AttemptEvent)
@pytest.mark.parametrize("state", TaskState)
def test_an_attempt_goes_only_where_the_table_says(state: TaskState, event: AttemptEvent) -> None:
    if (state, event) in ATTEMPT:
        assert next_attempt_state(state, event) is ATTEMPT[state, event]
    else:
        with pytest.raises(InvariantViolated, match=f"{state.name} attempt cannot {event.value}"):
            next_attempt_state(state, event)
