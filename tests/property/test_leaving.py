"""Callers leave in the midst of calls, in every RPC, and every check holds."""

from __future__ import annotations

from collections import Counter

from tests.profiles import CHOSEN
from tests.simulation import scenario_of, simulate_cluster

METHODS = {
    "CancelQuery",
    "FetchQueryResults",
    "GetQueryStatus",
    "GetTask",
    "Heartbeat",
    "RegisterMapOutput",
    "RegisterQueryResults",
    "ReportTaskStatus",
    "SubmitQuery",
}


def test_no_caller_who_leaves_breaks_a_check() -> None:
    left: Counter[str] = Counter()
    for seed in range(CHOSEN.leaving_clusters):
        simulated = simulate_cluster(scenario_of(seed), leaving=True)
        left += simulated.left
        assert simulated.violation is None, simulated.report()
    assert left.keys() >= METHODS, left
