"""Scenarios of who is given what."""

from __future__ import annotations

from ffq.testing.conformance.scenarios.scenario import MAX_WIDTH, Scenario, patience_ms
from ffq.testing.declared import DeclaredSettings
from ffq.testing.steps import At, Await, Beat, Cancel, Keep, Pull, Status, Submit, UseAllSlots, Wait


def placement(declared: DeclaredSettings) -> Scenario:
    return Scenario(
        "custom operators",
        ("R6", "R10", "R21"),
        (
            Submit(0, "custom"),
            Submit(1, "custom"),
            Pull(0),
            Beat(1),
            Wait(declared.slack_ms + 50),
            Pull(1),
            Status(0),
            Beat(2, capable=True),
            Await(2, At(0, 0, 1), patience_ms(declared)),
            Beat(2),
            Pull(2),
            Beat(2, capable=True),
            Await(2, At(1, 0, 1), patience_ms(declared)),
        ),
        waits_ms=declared.slack_ms,
    )


def turns(declared: DeclaredSettings) -> Scenario:
    return Scenario(
        "a small query behind a large one",
        ("R11",),
        (
            Submit(0, "custom-wide"),
            Submit(1, "custom"),
            Wait(declared.slack_ms + 50),
            Beat(0, capable=True),
            *(Pull(0) for _ in range(4)),
            Status(1),
        ),
        waits_ms=declared.slack_ms,
        wide=6,
    )


def worker_limit(declared: DeclaredSettings) -> Scenario | None:
    limit = declared.max_concurrent_tasks_per_worker
    width = min(limit, declared.max_concurrent_tasks_per_query) + 1
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
            UseAllSlots(20, patience_ms(declared)),
        ),
        wide=width,
    )


def query_limit(declared: DeclaredSettings) -> Scenario | None:
    limit = declared.max_concurrent_tasks_per_query
    slots = declared.max_concurrent_tasks_per_worker
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


def unrunnable(declared: DeclaredSettings) -> Scenario | None:
    patience = declared.unrunnable_timeout_ms
    if patience == 0:
        return None
    return Scenario(
        "nobody can run it",
        ("R10",),
        (
            Submit(0, "custom"),
            Keep((0,), patience // 2),
            Status(0),
            Keep((0,), patience // 2 + declared.slack_ms + 100),
            Status(0),
        ),
        waits_ms=patience + declared.slack_ms,
    )
