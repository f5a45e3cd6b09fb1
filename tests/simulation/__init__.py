"""The simulated cluster: real actors and real worker loops, virtual time, faults that shrink.

    simulated = simulate_cluster(scenario_of(seed))
    assert simulated.violation is None, simulated.report()

`scenarios()` is the Hypothesis strategy; `python -m tests.simulation --seed N` replays one.
"""

from tests.simulation.cluster import Simulated as Simulated
from tests.simulation.cluster import simulate_cluster as simulate_cluster
from tests.simulation.faults import Fault as Fault
from tests.simulation.faults import FaultKind as FaultKind
from tests.simulation.scenario import Query as Query
from tests.simulation.scenario import Scenario as Scenario
from tests.simulation.scenario import scenario_of as scenario_of
from tests.simulation.scenario import scenarios as scenarios

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
