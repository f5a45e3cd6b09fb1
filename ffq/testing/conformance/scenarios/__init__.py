"""Directed scenarios: short lists of steps, each of which puts some rules to the test.

They wait only as long as the declared settings make them, and give up late: `patience` is how long
a coordinator may take for what it should do at once.
"""

from __future__ import annotations

from collections.abc import Callable

from ffq.testing.conformance.scenarios import (
    attempts,
    exclusion,
    lifecycle,
    liveness,
    placement,
    refusals,
)
from ffq.testing.conformance.scenarios.scenario import Scenario as Scenario
from ffq.testing.declared import DeclaredSettings


def scenarios(declared: DeclaredSettings) -> list[Scenario]:
    """All scenarios, the quick ones first."""
    makers: list[Callable[[DeclaredSettings], Scenario | None]] = [
        lifecycle.life,
        lifecycle.success_needs_result,
        lifecycle.last_upload_counts,
        lifecycle.barrier,
        lifecycle.chain,
        lifecycle.to_the_end,
        lifecycle.cancel,
        lifecycle.late_failure,
        refusals.malformed,
        refusals.unknown,
        attempts.outputs,
        attempts.foreign_reports,
        attempts.one_task,
        attempts.retries,
        placement.placement,
        placement.turns,
        placement.worker_limit,
        placement.query_limit,
        exclusion.exclusion,
        exclusion.success_clears,
        exclusion.readmission,
        liveness.silence,
        exclusion.silent_and_excluded,
        liveness.beating,
        liveness.evidence,
        exclusion.exclusion_ends,
        placement.unrunnable,
    ]
    made = [maker(declared) for maker in makers]
    return sorted((each for each in made if each is not None), key=lambda each: each.waits_ms)
