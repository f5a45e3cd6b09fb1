"""Coordinators with other settings than are declared."""

from __future__ import annotations

import attrs

from ffq.core import CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter
from ffq.testing.steps import (
    At,
    Beat,
    FailOften,
    Keep,
    Pull,
    Report,
    Status,
    Submit,
    Wait,
)
from tests.testing.broken.case import BAD, CASES, DECLARED, SINK, Case, differs

differs("worker-limit", Submit(0, "wide"), Pull(0, 8), max_concurrent_tasks_per_worker=4)
differs("query-limit", Submit(0, "wide"), Pull(0, 3), Pull(1, 3), max_concurrent_tasks_per_query=6)
differs(
    "excluded-gets-nothing",
    Beat(1),
    *(Submit(query, "scan") for query in range(4)),
    *(step for query in range(3) for step in (Pull(0), Report(At(query, 0, 1), BAD))),
    Pull(1),
    Report(At(3, 0, 1), BAD),
    Wait(400),
    Pull(0),
    blacklist_failure_threshold=50,
)
differs(
    "excluded-at-threshold",
    *(Submit(query, "scan") for query in range(2)),
    *(step for query in range(2) for step in (Pull(0), Report(At(query, 0, 1), BAD))),
    Beat(0),
    blacklist_failure_threshold=2,
)
differs(
    "attempts-within-budget",
    Submit(0, "scan"),
    *(
        step
        for attempt in range(1, 5)
        for step in (Wait(500), Pull(attempt), Report(At(0, 0, attempt), BAD))
    ),
    max_task_attempts=9,
)
differs(
    "budget-ends-query",
    Submit(0, "scan"),
    *(
        step
        for attempt in range(1, 4)
        for step in (Wait(500), Pull(attempt), Report(At(0, 0, attempt), BAD))
    ),
    Status(0),
    max_task_attempts=9,
)
differs(
    "failed-within-budget",
    Submit(0, "scan"),
    Pull(0),
    Report(SINK, BAD),
    Status(0),
    max_task_attempts=1,
)
differs(
    "not-before-backoff",
    Submit(0, "scan"),
    Pull(0),
    Report(SINK, BAD),
    Wait(99),
    Pull(0),
    retry_backoff_base_ms=50,
)
differs(
    "retry-comes",
    Submit(0, "scan"),
    Pull(0),
    Report(SINK, BAD),
    Wait(101),
    Pull(0),
    retry_backoff_base_ms=5_000,
)
differs(
    "exclusion-ends",
    *(Submit(query, "scan") for query in range(3)),
    Beat(1),
    FailOften(0, 3, 0),
    Keep((0, 1), 3_250),
    blacklist_ttl_ms=60_000,
)
differs(
    "not-lost-early",
    Submit(0, "scan"),
    Pull(0),
    Wait(600),
    Wait(150),
    Pull(1),
    worker_liveness_timeout_ms=500,
)
CASES["unrunnable-ends"] = Case(
    lambda: CoreAdapter(CoreCoordinator(DECLARED)),
    (Submit(0, "custom"), Keep((0,), 400), Status(0), Keep((0,), 200), Status(0)),
    declared=attrs.evolve(DECLARED, unrunnable_timeout_ms=500),
)
