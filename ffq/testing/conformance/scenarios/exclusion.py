"""Scenarios of workers that fail too often."""

from __future__ import annotations

from ffq.testing.conformance.scenarios.scenario import (
    MAX_THRESHOLD,
    Scenario,
    patience_ms,
    retry_ms,
)
from ffq.testing.declared import DeclaredSettings
from ffq.testing.steps import (
    At,
    Await,
    Beat,
    Cancel,
    FailOften,
    Keep,
    Pull,
    Status,
    Step,
    Submit,
    Wait,
    WorkOne,
)


def _excluded(declared: DeclaredSettings) -> list[Step] | None:
    """Worker 0 is excluded; worker 1 can do the same, and is not."""
    threshold = declared.blacklist_failure_threshold
    if threshold > MAX_THRESHOLD or declared.max_task_attempts < 2:
        return None
    return [
        Beat(1, capable=True),
        Beat(0, capable=True),
        Submit(0, "custom-wide"),
        FailOften(0, threshold - 1, patience_ms(declared)),
        Beat(0, capable=True),
        FailOften(0, 1, patience_ms(declared)),
        Beat(0, capable=True),
    ]


def exclusion(declared: DeclaredSettings) -> Scenario | None:
    steps = _excluded(declared)
    timeout = declared.worker_liveness_timeout_ms
    if steps is None or declared.blacklist_ttl_ms < timeout // 2 + declared.backoff_ms(1):
        return None
    return Scenario(
        "exclusion",
        ("R6", "R16", "R18"),
        (
            *steps,
            Pull(0, 4),
            Wait(declared.backoff_ms(1)),
            Beat(1, capable=True),
            Pull(0, 4),
            WorkOne(1, retry_ms(declared)),
            Beat(0, capable=True),
        ),
        waits_ms=declared.backoff_ms(1),
        wide=declared.blacklist_failure_threshold + 1,
    )


def success_clears(declared: DeclaredSettings) -> Scenario | None:
    threshold = declared.blacklist_failure_threshold
    if threshold > MAX_THRESHOLD or threshold < 2 or declared.max_task_attempts < 2:
        return None
    return Scenario(
        "a success clears the count",
        ("R15",),
        (
            Beat(0, capable=True),
            Submit(0, "custom-wide"),
            FailOften(0, threshold - 1, patience_ms(declared)),
            WorkOne(0, patience_ms(declared)),
            FailOften(0, threshold - 1, patience_ms(declared)),
            Beat(0, capable=True),
        ),
        wide=2 * threshold,
    )


def readmission(declared: DeclaredSettings) -> Scenario | None:
    threshold = declared.blacklist_failure_threshold
    if threshold > MAX_THRESHOLD or declared.max_task_attempts < 2:
        return None
    wait = declared.backoff_ms(1) + declared.slack_ms + 50
    return Scenario(
        "all who could are excluded",
        ("R16",),
        (
            Beat(0, capable=True),
            Submit(0, "custom-wide"),
            FailOften(0, threshold, patience_ms(declared)),
            Keep((0,), wait, capable=True),
            WorkOne(0, patience_ms(declared)),
            Status(0),
        ),
        waits_ms=wait,
        wide=threshold,
    )


def exclusion_ends(declared: DeclaredSettings) -> Scenario | None:
    steps = _excluded(declared)
    if steps is None:
        return None
    wait = declared.blacklist_ttl_ms + declared.slack_ms + 50
    return Scenario(
        "an exclusion ends",
        ("R16",),
        (
            *steps,
            Keep((1,), wait, capable=True),
            Beat(0, capable=True),
            WorkOne(0, patience_ms(declared)),
        ),
        waits_ms=wait,
        wide=declared.blacklist_failure_threshold + 1,
    )


def silent_and_excluded(declared: DeclaredSettings) -> Scenario | None:
    steps = _excluded(declared)
    if steps is None or declared.max_concurrent_tasks_per_worker < 2:
        return None
    timeout = declared.worker_liveness_timeout_ms
    return Scenario(
        "an excluded worker falls silent",
        ("R16", "R19"),
        (
            Submit(1, "custom"),
            Beat(0, capable=True),
            Await(0, At(1, 0, 1), patience_ms(declared)),
            *steps,
            Cancel(0),
            Await(1, At(1, 0, 2), timeout + 2 * declared.slack_ms + retry_ms(declared)),
            Beat(0, capable=True),
        ),
        waits_ms=timeout + declared.backoff_ms(1),
        wide=declared.blacklist_failure_threshold + 1,
    )
