"""ffq.testing: what ffq's own tests use, public so that yours can."""

from ffq.testing.actors import Deadlock as Deadlock
from ffq.testing.actors import Probe as Probe
from ffq.testing.actors import Simulation as Simulation
from ffq.testing.actors import SimulationResult as SimulationResult
from ffq.testing.actors import simulate as simulate

__all__ = ["Deadlock", "Probe", "Simulation", "SimulationResult", "simulate"]
