"""Scenarios of attempts: reported, retried, and their outputs."""

from __future__ import annotations

from ffq.testing.conformance.scenarios.scenario import BAD, OK, Scenario, patience_ms, retry_ms
from ffq.testing.declared import DeclaredSettings
from ffq.testing.steps import (
    At,
    Await,
    Cancel,
    Complete,
    Fetch,
    Pull,
    Register,
    Report,
    Results,
    Status,
    Step,
    Submit,
)


def outputs(declared: DeclaredSettings) -> Scenario:
    first, second = At(0, 1, 1), At(0, 1, 2)
    return Scenario(
        "map outputs",
        ("R22", "R23"),
        (
            Submit(0, "aggregate"),
            Fetch(first, 0, exact=False),
            Await(0, first, patience_ms(declared)),
            Fetch(first, 0, exact=False),
            Register(first, 0, 70),
            Report(first, BAD),
            Fetch(first, 0),
            Await(1, second, retry_ms(declared)),
            Register(second, 0, 10, finalized=False),
            Register(second, 0, 30),
            Register(second, 1, 20, epoch=1),
            Register(second, 1, 50),
            Register(second, 0, 30),
            Fetch(second, 0, exact=False),
            Report(second, OK),
            Status(0),
            Fetch(first, 0),
            Fetch(At(0, 1, 3), 0),
            *(
                Fetch(second, partition, exact)
                for partition in (0, 1, 2)  # the last of these was never registered
                for exact in (True, False)
            ),
        ),
        waits_ms=declared.backoff_ms(1),
    )


def foreign_reports(declared: DeclaredSettings) -> Scenario:
    first, second = At(0, 1, 1), At(0, 1, 2)
    return Scenario(
        "reports of other attempts and under another layout",
        ("R12", "R13", "R15"),
        (
            Submit(0, "aggregate"),
            Await(0, first, patience_ms(declared)),
            Report(first, OK, echo=False),
            Report(first, BAD, echo=False),
            Report(At(0, 1, 2), OK),
            Report(first, BAD),
            Report(first, BAD),
            Report(first, OK),
            Await(1, second, retry_ms(declared)),
            Report(first, OK),
            Register(first, 0, 10),
            Report(first, BAD),
            Pull(1),
            Complete(second),
            Report(second, OK),
            Report(second, BAD),
            Report(first, BAD),
            Await(1, At(0, 0, 1), patience_ms(declared)),
            Report(second, BAD),
            Status(0),
        ),
        waits_ms=declared.backoff_ms(1),
    )


def one_task(declared: DeclaredSettings) -> Scenario:
    return Scenario(
        "one task for each stage",
        ("R7", "R9", "R31"),
        (
            Submit(0, "limit"),
            Pull(0, 0),
            Await(0, At(0, 1, 1), patience_ms(declared)),
            Pull(0, 4),
            Pull(1, 4),
            Complete(At(0, 1, 1)),
            Await(1, At(0, 0, 1), patience_ms(declared)),
            Pull(0, 4),
            Complete(At(0, 0, 1)),
            Status(0),
        ),
    )


def retries(declared: DeclaredSettings) -> Scenario | None:
    budget = declared.max_task_attempts
    steps: list[Step] = [Submit(0, "scan")]
    waits = 0
    for attempt in range(1, budget + 1):
        # Each on a worker of its own: none of them is excluded.
        failures = attempt - 1
        waits += declared.backoff_ms(failures) if failures else 0
        within = retry_ms(declared, failures) if failures else patience_ms(declared)
        steps += [
            Await(attempt, At(0, 0, attempt), within),
            Report(At(0, 0, attempt), BAD),
            Status(0),
            Pull(attempt),
        ]
    last = At(0, 0, budget)
    steps += [Report(last, BAD), Report(last, OK), Pull(0), Status(0), Cancel(0), Results(0)]
    return Scenario("retries", ("R9", "R12", "R14"), tuple(steps), waits_ms=waits)
