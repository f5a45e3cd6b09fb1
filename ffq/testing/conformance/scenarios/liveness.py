"""Scenarios of workers that are silent, and of some that are not."""

from __future__ import annotations

from collections.abc import Callable

from ffq.testing.conformance.scenarios.scenario import BAD, OK, Scenario, patience_ms, retry_ms
from ffq.testing.declared import DeclaredSettings
from ffq.testing.steps import (
    Ask,
    At,
    Await,
    Beat,
    Cancel,
    Complete,
    Keep,
    Publish,
    Pull,
    Report,
    Status,
    Step,
    Submit,
    Tell,
)


def silence(declared: DeclaredSettings) -> Scenario:
    timeout = declared.worker_liveness_timeout_ms
    return Scenario(
        "a worker falls silent",
        ("R5", "R12", "R13", "R19"),
        (
            Submit(0, "custom"),
            Beat(0, capable=True),
            Await(0, At(0, 0, 1), patience_ms(declared)),
            Submit(1, "custom"),
            Await(0, At(1, 0, 1), patience_ms(declared)),
            Cancel(1),  # nothing of it comes back when its worker is given up
            Beat(1, capable=True),
            Await(1, At(0, 0, 2), timeout + 2 * declared.slack_ms + retry_ms(declared)),
            Report(At(0, 0, 1), OK),
            Report(At(0, 0, 1), BAD),
            Status(0),
            Complete(At(0, 0, 2)),
            Status(0),
            Pull(1, 4),
            Status(1),
        ),
        waits_ms=timeout + declared.backoff_ms(1),
    )


def beating(declared: DeclaredSettings) -> Scenario:
    timeout = declared.worker_liveness_timeout_ms
    steps: list[Step] = []
    for _ in range(5):
        steps += [Keep((0, 1), timeout // 2, capable=True), Pull(1)]
    return Scenario(
        "a task that takes long",
        ("R20",),
        (
            Submit(0, "custom"),
            Beat(0, capable=True),
            Await(0, At(0, 0, 1), patience_ms(declared)),
            Beat(1, capable=True),
            *steps,
            Complete(At(0, 0, 1)),
            Status(0),
        ),
        waits_ms=5 * (timeout // 2),
    )


def evidence(declared: DeclaredSettings) -> Scenario:
    """Three workers that never beat again, each kept alive by one other kind of RPC.

    One after the other, so that no call of one is taken for a call of another.
    """
    timeout = declared.worker_liveness_timeout_ms
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
            Await(query, At(query, 1, 1), patience_ms(declared)),
            kind(query),
            Beat(5, capable=True),
            Pull(5),
            Complete(At(query, 1, 1)),
        ]
    return Scenario("evidence of life", ("R18",), tuple(steps), waits_ms=3 * long)
