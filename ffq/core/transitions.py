"""The states of queries and attempts, and the only ways from one to another.

    Query:    QUEUED -> RUNNING -> SUCCEEDED | FAILED | CANCELED;  QUEUED -> FAILED | CANCELED
    Attempt:  QUEUED -> RUNNING -> SUCCEEDED | FAILED

One table for each, one lookup, one error: an event that the table does not list for a state
raises and changes nothing. What callers may rightly do at a wrong moment (a late report, a second
cancel) never gets here: the machines answer it before (R4, R13). So an illegal event is a bug.

A committed attempt whose output is lost stays SUCCEEDED: what is withdrawn is the task's commit.
"""

from __future__ import annotations

import enum
from typing import Final

from ffq.errors import InvariantViolated
from ffq.messages import QueryState, TaskState

QUEUED: Final = TaskState.QUEUED
RUNNING: Final = TaskState.RUNNING
SUCCEEDED: Final = TaskState.SUCCEEDED
"""What every task passes through. Until Python 3.12 naming a member by its class calls a function:
ten times for each task that was a seventh of what the core does for it."""


class QueryEvent(enum.StrEnum):  # of texts the hash is kept: they are keys at every change
    ASSIGN = "assign"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"


class AttemptEvent(enum.StrEnum):
    ASSIGN = "assign"
    SUCCEED = "succeed"
    FAIL = "fail"


_QUERY: Final[dict[QueryState, dict[QueryEvent, QueryState]]] = {
    QueryState.QUEUED: {
        QueryEvent.ASSIGN: QueryState.RUNNING,
        QueryEvent.FAIL: QueryState.FAILED,
        QueryEvent.CANCEL: QueryState.CANCELED,
    },
    QueryState.RUNNING: {
        QueryEvent.ASSIGN: QueryState.RUNNING,
        QueryEvent.SUCCEED: QueryState.SUCCEEDED,
        QueryEvent.FAIL: QueryState.FAILED,
        QueryEvent.CANCEL: QueryState.CANCELED,
    },
    QueryState.SUCCEEDED: {},
    QueryState.FAILED: {},
    QueryState.CANCELED: {},
}

# Each event is legal in one state. Twice for every task, and a state's own hash is costly.
ASSIGN: Final = AttemptEvent.ASSIGN
SUCCEED: Final = AttemptEvent.SUCCEED

_ATTEMPT: Final[dict[AttemptEvent, tuple[TaskState, TaskState]]] = {
    AttemptEvent.ASSIGN: (TaskState.QUEUED, TaskState.RUNNING),
    AttemptEvent.SUCCEED: (TaskState.RUNNING, TaskState.SUCCEEDED),
    AttemptEvent.FAIL: (TaskState.RUNNING, TaskState.FAILED),
}


def next_query_state(state: QueryState, event: QueryEvent) -> QueryState:
    """The state after `event`.

    Raises:
        InvariantViolated: the event is illegal in this state.
    """
    try:
        return _QUERY[state][event]
    except KeyError:
        raise InvariantViolated(f"a {state.name} query cannot {event.value}") from None


def next_attempt_state(state: TaskState, event: AttemptEvent) -> TaskState:
    """The state after `event`.

    Raises:
        InvariantViolated: the event is illegal in this state.
    """
    legal_in, after = _ATTEMPT[event]
    if state is not legal_in:
        raise InvariantViolated(f"a {state.name} attempt cannot {event.value}")
    return after
