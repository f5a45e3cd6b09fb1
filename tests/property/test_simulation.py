"""Whole clusters, simulated: whatever goes wrong, every check holds."""

from __future__ import annotations

from itertools import count as count_from
from itertools import islice

import pytest
from hypothesis import given, settings

from tests.profiles import CHOSEN
from tests.property.counting import count
from tests.simulation import (
    Fault,
    FaultKind,
    Query,
    Scenario,
    scenario_of,
    scenarios,
    simulate_cluster,
)


@pytest.mark.timeout(0)
@settings(max_examples=CHOSEN.drawn_clusters)
@given(scenarios())
def test_no_fault_breaks_a_check(scenario: Scenario) -> None:
    simulated = simulate_cluster(scenario)
    count(simulated)
    assert simulated.violation is None, simulated.report()


@pytest.mark.timeout(0)
def test_no_seed_breaks_a_check() -> None:
    """Chosen evenly at random, where Hypothesis leans to the simple. conftest.py puts it last."""
    for seed in islice(count_from(), CHOSEN.seeded_clusters):
        simulated = simulate_cluster(scenario_of(seed))
        count(simulated)
        assert simulated.violation is None, simulated.report()


def test_a_worker_that_no_task_reaches_keeps_no_query_waiting() -> None:
    """Its heartbeats arrive, and the only other worker has failed the task for a full disk."""
    scenario = Scenario(
        seed=12_242_800_418_502_143_286_782_724_407_701,
        schedule=119,
        workers=(2, 2),
        capable=frozenset({0, 1}),
        queries=(
            Query("scan", 0, 1, None),
            Query("scan", 0, 1, None),
            Query("scan", 0, 2, None),
            Query("operator-late", 0, 3, None),
        ),
        faults=(
            Fault(FaultKind.CUT_IN, 150, 0, 4000, 8, ""),
            Fault(FaultKind.CRASH_BEFORE_REPORT, 700, 1, 500, 1, ""),
            Fault(FaultKind.DISK_FULL, 400, 1, 2000, 1, ""),
        ),
        frozen=True,
    )
    simulated = simulate_cluster(scenario)
    assert simulated.violation is None, simulated.report()


def test_a_partition_of_most_rows_is_divided_and_none_is_lost_nor_doubled() -> None:
    for plan in ("join", "broadcast", "adaptive-chain", "reduced-chain"):
        scenario = Scenario(
            seed=0,
            schedule=3,
            workers=(2, 2),
            capable=frozenset({0, 1}),
            queries=(Query(plan, 0, 4, None),),
            faults=(),
            frozen=False,
            skews=True,
        )
        simulated = simulate_cluster(scenario)
        assert simulated.violation is None, simulated.report()
        assert any("reads a part of" in line for line in simulated.trace), simulated.report()


@pytest.mark.parametrize("kind", FaultKind, ids=lambda kind: kind.name)
def test_each_kind_of_fault_strikes(kind: FaultKind) -> None:
    """On a cluster at work, so that each kind finds something to strike."""
    scenario = Scenario(
        seed=0,
        schedule=len(kind.name),
        workers=(2, 2),
        capable=frozenset({0, 1}),
        queries=tuple(Query("join", at_ms, 3, None) for at_ms in (0, 300, 600, 900)),
        faults=tuple(
            Fault(kind, at_ms=150, worker=worker, for_ms=4_000, count=3) for worker in range(2)
        ),
        frozen=False,
    )
    simulated = simulate_cluster(scenario)
    count(simulated)
    assert simulated.violation is None, simulated.report()
    assert simulated.struck[kind], simulated.report()
