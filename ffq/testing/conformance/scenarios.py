"""Directed scenarios: short lists of steps, each of which puts some rules to the test.

They wait only as long as the told settings make them, and give up late: `patience` is how long a
coordinator may take for what it should do at once.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ffq.testing.steps import (
    Ask,
    At,
    Await,
    Beat,
    Cancel,
    Complete,
    FailOften,
    Fetch,
    Keep,
    Malformed,
    Publish,
    Pull,
    Register,
    Report,
    Results,
    Status,
    Step,
    Submit,
    SubmitBytes,
    Tell,
    Upload,
    UseAllSlots,
    Wait,
    WorkOne,
)
from ffq.testing.told import ToldSettings
from ffq.testing.wire import TaskState

OK = TaskState.SUCCEEDED
BAD = TaskState.FAILED

MAX_WIDTH = 100
MAX_THRESHOLD = 12


@attrs.frozen
class Scenario:
    """A list of steps.

    Attributes:
        rules: what it is there for.
        waits_ms: how long it waits by itself, if the coordinator is quick.
        wide: map stages of the plan "wide".
    """

    name: str
    rules: tuple[str, ...]
    steps: tuple[Step, ...]
    waits_ms: int = 0
    wide: int = 3


def scenarios(told: ToldSettings) -> list[Scenario]:
    """All scenarios, the quick ones first."""
    makers: list[Callable[[ToldSettings], Scenario | None]] = [
        _life,
        _success_needs_result,
        _last_upload_counts,
        _barrier,
        _chain,
        _cancel,
        _malformed,
        _unknown,
        _outputs,
        _foreign_reports,
        _one_task,
        _retries,
        _placement,
        _turns,
        _worker_limit,
        _query_limit,
        _exclusion,
        _success_clears,
        _readmission,
        _silence,
        _silent_and_excluded,
        _beating,
        _evidence,
        _exclusion_ends,
        _unrunnable,
    ]
    made = [maker(told) for maker in makers]
    return sorted((each for each in made if each is not None), key=lambda each: each.waits_ms)


def patience_ms(told: ToldSettings) -> int:
    """How long something that is due at once may take."""
    return 2 * told.slack_ms


def _retry_ms(told: ToldSettings, failures: int = 1) -> int:
    return told.backoff_ms(failures) + patience_ms(told)


# --- lifecycle ---------------------------------------------------------------------------------


def _life(told: ToldSettings) -> Scenario:
    sink = At(0, 0, 1)
    return Scenario(
        "the life of a query",
        ("R1", "R2", "R3", "R4", "R26"),
        (
            Submit(0, "scan"),
            Submit(0, "scan"),
            Submit(0, "aggregate"),
            Status(0),
            Results(0),
            Await(0, sink, patience_ms(told)),
            Status(0),
            Upload(0, 5),
            Status(0),
            Report(sink, OK),
            Status(0),
            Results(0),
            Cancel(0),
            Status(0),
            Report(sink, BAD),
            Report(sink, OK),
            Upload(0, 6),
            Submit(0, "scan"),
            Pull(0),
            Status(0),
            Results(0),
        ),
    )


def _success_needs_result(told: ToldSettings) -> Scenario:
    return Scenario(
        "success without a result",
        ("R3", "R26"),
        (
            Submit(0, "scan"),
            Await(0, At(0, 0, 1), patience_ms(told)),
            Report(At(0, 0, 1), OK),
            Status(0),
            Await(1, At(0, 0, 2), _retry_ms(told)),
            Complete(At(0, 0, 2)),
            Status(0),
            Results(0),
        ),
        waits_ms=told.backoff_ms(1),
    )


def _last_upload_counts(told: ToldSettings) -> Scenario:
    return Scenario(
        "which upload counts",
        ("R26", "R4"),
        (
            Submit(0, "scan"),
            Submit(1, "scan"),
            Await(0, At(0, 0, 1), patience_ms(told)),
            Await(0, At(1, 0, 1), patience_ms(told)),
            Upload(0, 1),
            Report(At(0, 0, 1), BAD),
            Upload(1, 1),
            Upload(1, 2),
            Report(At(1, 0, 1), OK),
            Upload(1, 3),
            Results(1),
            Await(1, At(0, 0, 2), _retry_ms(told)),
            Report(At(0, 0, 2), OK),
            Status(0),
        ),
        waits_ms=told.backoff_ms(1),
    )


def _barrier(told: ToldSettings) -> Scenario:
    left, right = At(0, 1, 1), At(0, 2, 1)
    return Scenario(
        "a join waits for both sides",
        ("R8", "R3"),
        (
            Submit(0, "join"),
            Await(0, left, patience_ms(told)),
            Await(0, right, patience_ms(told)),
            Pull(0),
            Complete(left),
            Pull(0),
            Status(0),
            Complete(right),
            Await(0, At(0, 0, 1), patience_ms(told)),
            Complete(At(0, 0, 1)),
            Status(0),
            Results(0),
        ),
    )


def _chain(told: ToldSettings) -> Scenario:
    return Scenario(
        "three stages, the first of them empty",
        ("R8", "R22", "R31"),
        (
            Submit(0, "chain"),
            Submit(1, "limit"),
            Await(0, At(0, 2, 1), patience_ms(told)),
            Report(At(0, 2, 1), OK),
            Await(0, At(1, 1, 1), patience_ms(told)),
            Complete(At(1, 1, 1)),
            Await(0, At(0, 1, 1), patience_ms(told)),
            Complete(At(0, 1, 1)),
            Await(0, At(0, 0, 1), patience_ms(told)),
            Complete(At(0, 0, 1)),
            Await(0, At(1, 0, 1), patience_ms(told)),
            Complete(At(1, 0, 1)),
            Results(0),
            Results(1),
        ),
    )


def _cancel(told: ToldSettings) -> Scenario:
    first = At(0, 1, 1)
    return Scenario(
        "cancel",
        ("R4", "R5"),
        (
            Submit(0, "aggregate"),
            Submit(1, "scan"),
            Await(0, first, patience_ms(told)),
            Register(first, 0, 10),
            Cancel(0),
            Status(0),
            Cancel(1),
            Status(1),
            Pull(1, 4),
            Fetch(first, 0),
            Report(first, OK),
            Register(first, 0, 20),
            Report(first, BAD),
            Pull(1, 4),
            Cancel(0),
            Results(0),
            Status(0),
        ),
    )


# --- errors and bounds -------------------------------------------------------------------------


def _malformed(told: ToldSettings) -> Scenario:
    del told
    return Scenario(
        "malformed requests",
        ("R1", "R28", "R29", "R30"),
        (
            SubmitBytes(b""),
            SubmitBytes(b"{"),
            SubmitBytes(b'{"NoSuchNode": {}}'),
            SubmitBytes(b"[" * 50_000),
            SubmitBytes(b"[" + b"1," * 3_000_000 + b"1]"),
            Malformed(""),
            Malformed("../up"),
            Submit(0, "scan"),
            Status(0),
        ),
    )


def _unknown(told: ToldSettings) -> Scenario:
    del told
    return Scenario(
        "unknown ids",
        ("R13", "R27", "R29"),
        (
            Status(7),
            Cancel(7),
            Results(7),
            Upload(7, 1),
            Report(At(7, 0, 1), OK),
            Register(At(7, 1, 1), 0, 10),
            Fetch(At(7, 1, 1), 0),
            Submit(0, "aggregate"),
            Report(At(0, 1, 1), OK),
            Register(At(0, 1, 1), 0, 10),
            Status(0),
        ),
    )


# --- attempts ----------------------------------------------------------------------------------


def _outputs(told: ToldSettings) -> Scenario:
    first, second = At(0, 1, 1), At(0, 1, 2)
    return Scenario(
        "map outputs",
        ("R22", "R23"),
        (
            Submit(0, "aggregate"),
            Fetch(first, 0, exact=False),
            Await(0, first, patience_ms(told)),
            Fetch(first, 0, exact=False),
            Register(first, 0, 70),
            Report(first, BAD),
            Fetch(first, 0),
            Await(1, second, _retry_ms(told)),
            Register(second, 0, 10, finalized=False),
            Register(second, 0, 30),
            Register(second, 1, 20, epoch=1),
            Register(second, 1, 50),
            Register(second, 0, 30),
            Report(second, OK),
            Status(0),
            Fetch(first, 0),
            Fetch(At(0, 1, 3), 0),
        ),
        waits_ms=told.backoff_ms(1),
    )


def _foreign_reports(told: ToldSettings) -> Scenario:
    first, second = At(0, 1, 1), At(0, 1, 2)
    return Scenario(
        "reports of other attempts and under another layout",
        ("R12", "R13", "R15"),
        (
            Submit(0, "aggregate"),
            Await(0, first, patience_ms(told)),
            Report(first, OK, echo=False),
            Report(first, BAD, echo=False),
            Report(At(0, 1, 2), OK),
            Report(first, BAD),
            Report(first, BAD),
            Report(first, OK),
            Await(1, second, _retry_ms(told)),
            Report(first, OK),
            Register(first, 0, 10),
            Report(first, BAD),
            Pull(1),
            Complete(second),
            Report(second, OK),
            Report(second, BAD),
            Report(first, BAD),
            Await(1, At(0, 0, 1), patience_ms(told)),
            Report(second, BAD),
            Status(0),
        ),
        waits_ms=told.backoff_ms(1),
    )


def _one_task(told: ToldSettings) -> Scenario:
    return Scenario(
        "one task for each stage",
        ("R7", "R9", "R31"),
        (
            Submit(0, "limit"),
            Pull(0, 0),
            Await(0, At(0, 1, 1), patience_ms(told)),
            Pull(0, 4),
            Pull(1, 4),
            Complete(At(0, 1, 1)),
            Await(1, At(0, 0, 1), patience_ms(told)),
            Pull(0, 4),
            Complete(At(0, 0, 1)),
            Status(0),
        ),
    )


def _retries(told: ToldSettings) -> Scenario | None:
    budget = told.max_task_attempts
    steps: list[Step] = [Submit(0, "scan")]
    waits = 0
    for attempt in range(1, budget + 1):
        # Each on a worker of its own: none of them is excluded.
        failures = attempt - 1
        waits += told.backoff_ms(failures) if failures else 0
        within = _retry_ms(told, failures) if failures else patience_ms(told)
        steps += [
            Await(attempt, At(0, 0, attempt), within),
            Report(At(0, 0, attempt), BAD),
            Status(0),
            Pull(attempt),
        ]
    last = At(0, 0, budget)
    steps += [Report(last, BAD), Report(last, OK), Pull(0), Status(0), Cancel(0), Results(0)]
    return Scenario("retries", ("R9", "R12", "R14"), tuple(steps), waits_ms=waits)


# --- placement ---------------------------------------------------------------------------------


def _placement(told: ToldSettings) -> Scenario:
    return Scenario(
        "custom operators",
        ("R6", "R10", "R21"),
        (
            Submit(0, "custom"),
            Submit(1, "custom"),
            Pull(0),
            Beat(1),
            Wait(told.slack_ms + 50),
            Pull(1),
            Status(0),
            Beat(2, capable=True),
            Await(2, At(0, 0, 1), patience_ms(told)),
            Beat(2),
            Pull(2),
            Beat(2, capable=True),
            Await(2, At(1, 0, 1), patience_ms(told)),
        ),
        waits_ms=told.slack_ms,
    )


def _turns(told: ToldSettings) -> Scenario:
    return Scenario(
        "a small query behind a large one",
        ("R11",),
        (
            Submit(0, "custom-wide"),
            Submit(1, "custom"),
            Wait(told.slack_ms + 50),
            Beat(0, capable=True),
            *(Pull(0) for _ in range(4)),
            Status(1),
        ),
        waits_ms=told.slack_ms,
        wide=6,
    )


def _worker_limit(told: ToldSettings) -> Scenario | None:
    limit = told.max_concurrent_tasks_per_worker
    width = min(limit, told.max_concurrent_tasks_per_query) + 1
    if width > MAX_WIDTH:
        return None
    queries = limit // (width - 1) + 1
    return Scenario(
        "a worker's limit",
        ("R7", "R30"),
        (
            *(Submit(query, "custom-wide") for query in range(queries)),
            Beat(0, capable=True),
            Pull(0, 1),
            Pull(0, 2),
            *(Pull(0, limit + 5) for _ in range(3)),
            *(Cancel(query) for query in range(queries)),
            UseAllSlots(20, patience_ms(told)),
        ),
        wide=width,
    )


def _query_limit(told: ToldSettings) -> Scenario | None:
    limit = told.max_concurrent_tasks_per_query
    slots = told.max_concurrent_tasks_per_worker
    if limit + 1 > MAX_WIDTH:
        return None
    workers = -(-(limit + 2) // slots)
    return Scenario(
        "a query's limit",
        ("R7",),
        (
            Submit(0, "custom-wide"),
            *(Beat(worker, capable=True) for worker in range(workers)),
            *(Pull(worker, slots) for worker in range(workers)),
            *(Pull(worker, slots) for worker in range(workers)),
        ),
        wide=limit + 1,
    )


# --- exclusion ---------------------------------------------------------------------------------


def _excluded(told: ToldSettings) -> list[Step] | None:
    """Worker 0 is excluded; worker 1 can do the same, and is not."""
    threshold = told.blacklist_failure_threshold
    if threshold > MAX_THRESHOLD or told.max_task_attempts < 2:
        return None
    return [
        Beat(1, capable=True),
        Beat(0, capable=True),
        Submit(0, "custom-wide"),
        FailOften(0, threshold - 1, patience_ms(told)),
        Beat(0, capable=True),
        FailOften(0, 1, patience_ms(told)),
        Beat(0, capable=True),
    ]


def _exclusion(told: ToldSettings) -> Scenario | None:
    steps = _excluded(told)
    timeout = told.worker_liveness_timeout_ms
    if steps is None or told.blacklist_ttl_ms < timeout // 2 + told.backoff_ms(1):
        return None
    return Scenario(
        "exclusion",
        ("R6", "R16", "R18"),
        (
            *steps,
            Pull(0, 4),
            Wait(told.backoff_ms(1)),
            Beat(1, capable=True),
            Pull(0, 4),
            WorkOne(1, _retry_ms(told)),
            Beat(0, capable=True),
        ),
        waits_ms=told.backoff_ms(1),
        wide=told.blacklist_failure_threshold + 1,
    )


def _success_clears(told: ToldSettings) -> Scenario | None:
    threshold = told.blacklist_failure_threshold
    if threshold > MAX_THRESHOLD or threshold < 2 or told.max_task_attempts < 2:
        return None
    return Scenario(
        "a success clears the count",
        ("R15",),
        (
            Beat(0, capable=True),
            Submit(0, "custom-wide"),
            FailOften(0, threshold - 1, patience_ms(told)),
            WorkOne(0, patience_ms(told)),
            FailOften(0, threshold - 1, patience_ms(told)),
            Beat(0, capable=True),
        ),
        wide=2 * threshold,
    )


def _readmission(told: ToldSettings) -> Scenario | None:
    threshold = told.blacklist_failure_threshold
    if threshold > MAX_THRESHOLD or told.max_task_attempts < 2:
        return None
    wait = told.backoff_ms(1) + told.slack_ms + 50
    return Scenario(
        "all who could are excluded",
        ("R16",),
        (
            Beat(0, capable=True),
            Submit(0, "custom-wide"),
            FailOften(0, threshold, patience_ms(told)),
            Keep((0,), wait, capable=True),
            WorkOne(0, patience_ms(told)),
            Status(0),
        ),
        waits_ms=wait,
        wide=threshold,
    )


def _exclusion_ends(told: ToldSettings) -> Scenario | None:
    steps = _excluded(told)
    if steps is None:
        return None
    wait = told.blacklist_ttl_ms + told.slack_ms + 50
    return Scenario(
        "an exclusion ends",
        ("R16",),
        (
            *steps,
            Keep((1,), wait, capable=True),
            Beat(0, capable=True),
            WorkOne(0, patience_ms(told)),
        ),
        waits_ms=wait,
        wide=told.blacklist_failure_threshold + 1,
    )


# --- liveness ----------------------------------------------------------------------------------


def _silence(told: ToldSettings) -> Scenario:
    timeout = told.worker_liveness_timeout_ms
    return Scenario(
        "a worker falls silent",
        ("R12", "R13", "R19"),
        (
            Submit(0, "custom"),
            Beat(0, capable=True),
            Await(0, At(0, 0, 1), patience_ms(told)),
            Beat(1, capable=True),
            Await(1, At(0, 0, 2), timeout + 2 * told.slack_ms + _retry_ms(told)),
            Report(At(0, 0, 1), OK),
            Report(At(0, 0, 1), BAD),
            Status(0),
            Complete(At(0, 0, 2)),
            Status(0),
        ),
        waits_ms=timeout + told.backoff_ms(1),
    )


def _silent_and_excluded(told: ToldSettings) -> Scenario | None:
    steps = _excluded(told)
    if steps is None or told.max_concurrent_tasks_per_worker < 2:
        return None
    timeout = told.worker_liveness_timeout_ms
    return Scenario(
        "an excluded worker falls silent",
        ("R16", "R19"),
        (
            Submit(1, "custom"),
            Beat(0, capable=True),
            Await(0, At(1, 0, 1), patience_ms(told)),
            *steps,
            Cancel(0),
            Await(1, At(1, 0, 2), timeout + 2 * told.slack_ms + _retry_ms(told)),
            Beat(0, capable=True),
        ),
        waits_ms=timeout + told.backoff_ms(1),
        wide=told.blacklist_failure_threshold + 1,
    )


def _beating(told: ToldSettings) -> Scenario:
    timeout = told.worker_liveness_timeout_ms
    steps: list[Step] = []
    for _ in range(5):
        steps += [Keep((0, 1), timeout // 2, capable=True), Pull(1)]
    return Scenario(
        "a task that takes long",
        ("R20",),
        (
            Submit(0, "custom"),
            Beat(0, capable=True),
            Await(0, At(0, 0, 1), patience_ms(told)),
            Beat(1, capable=True),
            *steps,
            Complete(At(0, 0, 1)),
            Status(0),
        ),
        waits_ms=5 * (timeout // 2),
    )


def _evidence(told: ToldSettings) -> Scenario:
    """Three workers that never beat again, each kept alive by one other kind of RPC.

    One after the other, so that no call of one is taken for a call of another.
    """
    timeout = told.worker_liveness_timeout_ms
    long = timeout + timeout // 2
    steps: list[Step] = []
    kinds: list[Callable[[int], Step]] = [
        lambda query: Ask(query, long),
        lambda query: Tell(At(query, 1, 1), long),
        lambda query: Publish(At(query, 1, 1), long),
    ]
    for query, kind in enumerate(kinds):
        steps += [
            Submit(query, "custom-map"),
            Beat(query, capable=True),
            Await(query, At(query, 1, 1), patience_ms(told)),
            kind(query),
            Beat(5, capable=True),
            Pull(5),
            Complete(At(query, 1, 1)),
        ]
    return Scenario("evidence of life", ("R18",), tuple(steps), waits_ms=3 * long)


def _unrunnable(told: ToldSettings) -> Scenario | None:
    patience = told.unrunnable_timeout_ms
    if patience == 0:
        return None
    return Scenario(
        "nobody can run it",
        ("R10",),
        (
            Submit(0, "custom"),
            Keep((0,), patience // 2),
            Status(0),
            Keep((0,), patience // 2 + told.slack_ms + 100),
            Status(0),
        ),
        waits_ms=patience + told.slack_ms,
    )
