"""Scenarios of queries: submitted, run, canceled, ended."""

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
    RunToEnd,
    Status,
    Submit,
    Upload,
    Wait,
)


def life(declared: DeclaredSettings) -> Scenario:
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
            Await(0, sink, patience_ms(declared)),
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


def success_needs_result(declared: DeclaredSettings) -> Scenario:
    return Scenario(
        "success without a result",
        ("R3", "R26"),
        (
            Submit(0, "scan"),
            Await(0, At(0, 0, 1), patience_ms(declared)),
            Report(At(0, 0, 1), OK),
            Status(0),
            Await(1, At(0, 0, 2), retry_ms(declared)),
            Complete(At(0, 0, 2)),
            Status(0),
            Results(0),
        ),
        waits_ms=declared.backoff_ms(1),
    )


def last_upload_counts(declared: DeclaredSettings) -> Scenario:
    return Scenario(
        "which upload counts",
        ("R26", "R4"),
        (
            Submit(0, "scan"),
            Submit(1, "scan"),
            Await(0, At(0, 0, 1), patience_ms(declared)),
            Await(0, At(1, 0, 1), patience_ms(declared)),
            Upload(0, 1),
            Report(At(0, 0, 1), BAD),
            Upload(1, 1),
            Upload(1, 2),
            Report(At(1, 0, 1), OK),
            Upload(1, 3),
            Results(1),
            Await(1, At(0, 0, 2), retry_ms(declared)),
            Report(At(0, 0, 2), OK),
            Status(0),
        ),
        waits_ms=declared.backoff_ms(1),
    )


def barrier(declared: DeclaredSettings) -> Scenario:
    left, right = At(0, 1, 1), At(0, 2, 1)
    return Scenario(
        "a join waits for both sides",
        ("R8", "R3"),
        (
            Submit(0, "join"),
            Await(0, left, patience_ms(declared)),
            Await(0, right, patience_ms(declared)),
            Pull(0),
            Complete(left),
            Pull(0),
            Status(0),
            Complete(right),
            Await(0, At(0, 0, 1), patience_ms(declared)),
            Complete(At(0, 0, 1)),
            Status(0),
            Results(0),
        ),
    )


def chain(declared: DeclaredSettings) -> Scenario:
    return Scenario(
        "three stages, the first of them empty",
        ("R8", "R22", "R31"),
        (
            Submit(0, "chain"),
            Submit(1, "limit"),
            Await(0, At(0, 2, 1), patience_ms(declared)),
            Report(At(0, 2, 1), OK),
            Await(0, At(1, 1, 1), patience_ms(declared)),
            Complete(At(1, 1, 1)),
            Await(0, At(0, 1, 1), patience_ms(declared)),
            Complete(At(0, 1, 1)),
            Await(0, At(0, 0, 1), patience_ms(declared)),
            Complete(At(0, 0, 1)),
            Await(0, At(1, 0, 1), patience_ms(declared)),
            Complete(At(1, 0, 1)),
            Results(0),
            Results(1),
        ),
    )


def to_the_end(declared: DeclaredSettings) -> Scenario:
    """Several queries, one worker that does all there is, and no fault."""
    del declared
    plans = ("chain", "join", "limit", "custom-sink")
    return Scenario(
        "queries that all end",
        ("R3",),
        (*(Submit(query, plan) for query, plan in enumerate(plans)), RunToEnd()),
    )


def cancel(declared: DeclaredSettings) -> Scenario:
    first = At(0, 1, 1)
    return Scenario(
        "cancel",
        ("R4", "R5"),
        (
            Submit(0, "aggregate"),
            Submit(1, "scan"),
            Await(0, first, patience_ms(declared)),
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


def late_failure(declared: DeclaredSettings) -> Scenario:
    """A canceled query has no retries: not of what fails late, nor of what had failed before."""
    late, early = At(0, 0, 1), At(1, 0, 1)
    return Scenario(
        "failures around a cancel",
        ("R4", "R5"),
        (
            Submit(0, "scan"),
            Await(0, late, patience_ms(declared)),
            Submit(1, "scan"),
            Await(0, early, patience_ms(declared)),
            Cancel(0),
            Report(late, BAD),
            Report(early, BAD),
            Cancel(1),
            Pull(1, 4),
            Wait(retry_ms(declared)),
            Pull(1, 4),
            Status(0),
            Status(1),
        ),
        waits_ms=retry_ms(declared),
    )
