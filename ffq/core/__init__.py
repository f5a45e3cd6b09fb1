"""The protocol as state machines: no async, no clock, no random, no I/O.

Four machines, one per actor: scheduling (the authority on queries, attempts, placement and
exclusion), liveness, the shuffle registry and the results store. Each method takes one message and
the time in ms, and gives an `Outcome`: the reply, and notices for the other machines. A method that
raises has changed nothing. `CoreCoordinator` wires the four together without actors.
"""

from ffq.core.coordinator import CoreCoordinator as CoreCoordinator
from ffq.core.liveness import LivenessCore as LivenessCore
from ffq.core.outcome import Notice as Notice
from ffq.core.outcome import Outcome as Outcome
from ffq.core.registry import RegistryCore as RegistryCore
from ffq.core.results import ResultsCore as ResultsCore
from ffq.core.scheduling import SchedulingCore as SchedulingCore
from ffq.core.settings import CoordinatorSettings as CoordinatorSettings
