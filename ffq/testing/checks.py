"""Checks that are made in several places, each written once, over plain values.

The naive model's checkers, the monitor of the simulated cluster and the property machines know what
they know in different ways: from answers, from the machines' state, from statuses. What must hold
of it is here. Nothing here asks a coordinator or does what one does; an oracle that shared code
with what it judges would be none.

`require` is who counts and raises: `CheckLog.require`, or one that knows further checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from ffq.testing.wire import QueryState, TaskState, changes


class Require(Protocol):
    """Raises Violation, when `holds` is false. `name`: of the check."""

    def __call__(self, name: str, holds: bool, detail: str, rule: str | None = None, /) -> None: ...


@attrs.frozen
class Load:
    """How many attempts somebody runs, the new one counted, and how many are allowed."""

    owner: str
    running: int
    limit: int


# --- what is assigned ----------------------------------------------------------------------------


def within_capacity(require: Require, capacity: int, given: Sequence[object]) -> None:
    """What GetTask answers (R6, R7)."""
    found = f"capacity {capacity} was given [{', '.join(map(str, given))}]"
    if capacity == 0:
        require("capacity-zero-gets-nothing", not given, found)
    require("capacity", len(given) <= capacity, found)


def numbered_on(require: Require, attempt: object, number: int, before: int) -> None:
    """A new attempt's number, after `before` attempts of its task (R9, R12)."""
    require("assigned-once", number > before, f"{attempt} was assigned before")
    found = f"{attempt} was assigned after {before} attempts of its task"
    require("attempts-gapless", number == before + 1, found)


def within_limits(require: Require, attempt: object, *, worker: Load, query: Load) -> None:
    """Who runs how much once this attempt is assigned (R7)."""
    for name, load in (("worker-limit", worker), ("query-limit", query)):
        found = f"with {attempt}, {load.owner} runs {load.running} attempts of {load.limit}"
        require(name, load.running <= load.limit, found)


def barrier_open(
    require: Require, attempt: object, stage_id: int, committed: Iterable[bool], name: str = ""
) -> None:
    """A stage that the attempt reads: whether each of its tasks is committed (R8).

    Args:
        name: of the check, where it is known what the stage lacks; else "barrier".
    """
    tasks = list(committed)
    open_tasks = [number for number, done in enumerate(tasks) if not done]
    lacks = f"tasks {open_tasks} are not committed" if tasks else "it has not begun"
    found = f"{attempt} was assigned; of stage {stage_id}, which it reads, {lacks}"
    require(name or "barrier", bool(tasks) and not open_tasks, found)


def able(
    require: Require,
    attempt: object,
    needs: frozenset[str],
    worker: str,
    has: frozenset[str],
    name: str = "",
) -> None:
    """Whether the worker has the operators of what it was given (R10).

    Args:
        name: of the check, where it is known why the worker lacks them; else "operator-placement".
    """
    found = f"{attempt} needs {sorted(needs)}; {worker} has {sorted(has)}"
    require(name or "operator-placement", needs <= has, found)


def in_turn(require: Require, waiting: str, served: str, times: int, patience: int) -> None:
    """How often another query was served while one had work for the same worker (R11)."""
    found = f"{served} was served {times} times while {waiting} waited"
    require("queries-take-turns", times <= patience, found)


# --- what attempts and queries become ------------------------------------------------------------


def of_open_query(require: Require, attempt: object, state: QueryState) -> None:
    """An attempt that is assigned or runs: its query has not ended (R4, R5)."""
    rule = "R5" if state is QueryState.CANCELED else None
    found = f"{attempt} is running, its query is {state.name}"
    require("no-work-after-end", not state.terminal, found, rule)


def newest_only(require: Require, attempts: Mapping[str, TaskState]) -> None:
    """Of a task's attempts, in their order, none but the newest runs (R13)."""
    for attempt in list(attempts)[:-1]:
        found = f"{attempt} still runs; its task has attempts {', '.join(attempts)}"
        require("single-commit", attempts[attempt] is not TaskState.RUNNING, found)


def one_second_attempt(require: Require, second: Sequence[str]) -> None:
    """Of a task at most one attempt ever is begun while another one of it runs (R13)."""
    found = f"{', '.join(second)} were begun while another attempt of their task ran"
    require("single-commit", len(second) <= 1, found)


def outcome_stands(
    require: Require, attempt: object, before: TaskState | None, now: TaskState
) -> None:
    """What an attempt has come to it stays (R13)."""
    was_open = before is None or before is TaskState.RUNNING
    found = f"{attempt} was {before and before.name}, is {now.name}"
    require("foreign-report-ignored", was_open or now is before, found)


def end_stands(require: Require, query: str, before: object | None, now: object) -> None:
    """What an ended query shows. `before`: as it was first seen ended; None: it was not (R4)."""
    found = f"query {query} ended as {before}; since then changed: {changes(before, now)}"
    require("terminal-is-final", before is None or before == now, found)


def waiting_is_said(require: Require, query: str, missing: Iterable[str], message: str) -> None:
    """A query that waits for operators which no live worker has names one of them (R10)."""
    names = sorted(missing)
    found = f"{query} waits for {names}, which no live worker has, but says {message!r}"
    require("waiting-says-so", not names or any(name in message for name in names), found)


def served_after_success(require: Require, query: str, state: QueryState, *, served: bool) -> None:
    """Whether a result is given out (R26)."""
    found = f"{query} is {state.name}, but its results were served"
    require("results-after-success-only", state is QueryState.SUCCEEDED or not served, found)
