"""The checks that several places make, each on what holds and on what breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ffq.testing import checks
from ffq.testing.checks import Load, Require
from ffq.testing.invariants import CheckLog, Violation
from ffq.testing.wire import QueryState, TaskState
from tests.simulation.invariants import SIMULATION_CHECKS, inputs_committed
from tests.simulation.invariants import require as require_in_simulation

Made = Callable[[Require], None]
OPEN, ENDED = QueryState.RUNNING, QueryState.CANCELED
RUNS, DONE, BROKE = TaskState.RUNNING, TaskState.SUCCEEDED, TaskState.FAILED
A, B = frozenset("a"), frozenset("ab")


def limits(on_worker: int, of_query: int) -> Made:
    worker, query = Load("w", on_worker, 3), Load("q", of_query, 4)
    return lambda require: checks.within_limits(require, "x", worker=worker, query=query)


HOLDS: dict[str, Made] = {
    "no room asked for, none given": lambda r: checks.within_capacity(r, 0, []),
    "as many as asked for": lambda r: checks.within_capacity(r, 2, "xy"),
    "the first attempt": lambda r: checks.numbered_on(r, "x", 1, 0),
    "the next attempt": lambda r: checks.numbered_on(r, "x", 4, 3),
    "at both limits": limits(3, 4),
    "all that it reads is committed": lambda r: checks.barrier_open(r, "x", 1, [True, True]),
    "has more than it needs": lambda r: checks.able(r, "x", A, "w", B),
    "patient enough": lambda r: checks.in_turn(r, "q", "p", 2, 2),
    "runs in an open query": lambda r: checks.of_open_query(r, "x", OPEN),
    "the newest runs": lambda r: checks.newest_only(r, {"x1": BROKE, "x2": RUNS}),
    "no second attempt": lambda r: checks.one_second_attempt(r, []),
    "one second attempt": lambda r: checks.one_second_attempt(r, ["x2"]),
    "no attempt yet": lambda r: checks.newest_only(r, {}),
    "ends": lambda r: checks.outcome_stands(r, "x", RUNS, DONE),
    "seen ended first": lambda r: checks.outcome_stands(r, "x", None, BROKE),
    "stays": lambda r: checks.outcome_stands(r, "x", DONE, DONE),
    "the end is seen first": lambda r: checks.end_stands(r, "q", None, "FAILED"),
    "the end is the same": lambda r: checks.end_stands(r, "q", "FAILED", "FAILED"),
    "waits for nothing": lambda r: checks.waiting_is_said(r, "q", [], ""),
    "names one": lambda r: checks.waiting_is_said(r, "q", ["op.a", "op.b"], "no op.b"),
    "no result yet": lambda r: checks.served_after_success(r, "q", OPEN, served=False),
    "its result": lambda r: checks.served_after_success(r, "q", QueryState.SUCCEEDED, served=True),
}

BREAKS: list[tuple[str, str, Made]] = [
    ("capacity-zero-gets-nothing", "R6", lambda r: checks.within_capacity(r, 0, "x")),
    ("capacity", "R7", lambda r: checks.within_capacity(r, 1, "xy")),
    ("assigned-once", "R9", lambda r: checks.numbered_on(r, "x", 2, 2)),
    ("attempts-gapless", "R12", lambda r: checks.numbered_on(r, "x", 4, 2)),
    ("worker-limit", "R7", limits(4, 4)),
    ("query-limit", "R7", limits(3, 5)),
    ("barrier", "R8", lambda r: checks.barrier_open(r, "x", 1, [True, False])),
    ("barrier", "R8", lambda r: checks.barrier_open(r, "x", 1, [])),
    (
        "incomplete-output-fails",
        "R22",
        lambda r: checks.barrier_open(r, "x", 1, [False], "incomplete-output-fails"),
    ),
    ("operator-placement", "R10", lambda r: checks.able(r, "x", B, "w", A)),
    ("queries-take-turns", "R11", lambda r: checks.in_turn(r, "q", "p", 3, 2)),
    ("no-work-after-end", "R5", lambda r: checks.of_open_query(r, "x", ENDED)),
    ("no-work-after-end", "R4", lambda r: checks.of_open_query(r, "x", QueryState.FAILED)),
    ("single-commit", "R13", lambda r: checks.newest_only(r, {"x1": RUNS, "x2": BROKE})),
    ("single-commit", "R13", lambda r: checks.one_second_attempt(r, ["x2", "x3"])),
    ("foreign-report-ignored", "R13", lambda r: checks.outcome_stands(r, "x", DONE, BROKE)),
    ("terminal-is-final", "R4", lambda r: checks.end_stands(r, "q", "FAILED", "CANCELED")),
    ("waiting-says-so", "R10", lambda r: checks.waiting_is_said(r, "q", ["op.a"], "waits")),
    (
        "results-after-success-only",
        "R26",
        lambda r: checks.served_after_success(r, "q", OPEN, served=True),
    ),
]


@pytest.mark.parametrize("holds", HOLDS.values(), ids=HOLDS)
def test_it_holds(holds: Made) -> None:
    log = CheckLog()
    holds(log.require)
    assert sum(log.counts.values()) or holds is HOLDS["no attempt yet"]


@pytest.mark.parametrize(("name", "rule", "breaks"), BREAKS)
def test_it_breaks(name: str, rule: str, breaks: Made) -> None:
    """The same for whoever counts: the checkers of answers, and the simulation's monitor."""
    for require in (CheckLog().require, require_in_simulation):
        with pytest.raises(Violation) as failure:
            breaks(require)
        assert (failure.value.check.name, failure.value.rule) == (name, rule)


def test_an_assignment_names_the_committed_attempts() -> None:
    right = [(1, 0, 2), (1, 1, 1)]
    inputs_committed(require_in_simulation, "x", reversed(right), right)
    for wrong in ([], right[:1], [(1, 0, 1), (1, 1, 1)], [*right, right[0]]):
        with pytest.raises(Violation) as failure:
            inputs_committed(require_in_simulation, "x", wrong, right)
        assert failure.value.check is SIMULATION_CHECKS["inputs-are-committed"]


def test_an_assignment_of_a_divided_partition_names_a_range_of_one_stage() -> None:
    right = [(stage_id, task, 1) for stage_id in (1, 2) for task in range(3)]
    of_one, of_two = right[:3], right[3:]
    for some in (of_one[:1], of_one[1:], of_one[1:2]):
        inputs_committed(require_in_simulation, "x", [*some, *of_two], right, frozenset({1}))
    for wrong in (
        of_two,  # nothing of it
        [of_one[0], of_one[2], *of_two],  # no range
        [*of_one, *of_two[:1]],  # of a stage that must not be divided
        [*of_one[:1], *of_two[:1]],  # of two stages
    ):
        with pytest.raises(Violation):
            inputs_committed(require_in_simulation, "x", wrong, right, frozenset({1}))
