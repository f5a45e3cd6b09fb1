"""The simulated cluster: real actors and real worker loops, virtual time, faults that shrink.

    simulated = simulate_cluster(scenario_of(seed))
    assert simulated.violation is None, simulated.report()

`scenarios()` is the Hypothesis strategy; `python -m ffq.testing.simulation --seed N` replays one.
"""

from ffq.testing.simulation.cluster import Simulated as Simulated
from ffq.testing.simulation.cluster import simulate_cluster as simulate_cluster
from ffq.testing.simulation.faults import Fault as Fault
from ffq.testing.simulation.faults import FaultKind as FaultKind
from ffq.testing.simulation.scenario import Query as Query
from ffq.testing.simulation.scenario import Scenario as Scenario
from ffq.testing.simulation.scenario import scenario_of as scenario_of
from ffq.testing.simulation.scenario import scenarios as scenarios

__all__ = [
    "Fault",
    "FaultKind",
    "Query",
    "Scenario",
    "Simulated",
    "scenario_of",
    "scenarios",
    "simulate_cluster",
]
