"""Scenarios of who is given what."""

from __future__ import annotations

from ffq.testing.conformance.scenarios.scenario import MAX_WIDTH, Scenario, patience_ms
from ffq.testing.steps import At, Await, Beat, Cancel, Keep, Pull, Status, Submit, UseAllSlots, Wait
from ffq.testing.told import ToldSettings


def placement(told: ToldSettings) -> Scenario:
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


def turns(told: ToldSettings) -> Scenario:
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


def worker_limit(told: ToldSettings) -> Scenario | None:
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


def query_limit(told: ToldSettings) -> Scenario | None:
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


def unrunnable(told: ToldSettings) -> Scenario | None:
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
