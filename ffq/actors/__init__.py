"""The coordinator's four actors, each owning one core machine, and the facade over them."""

from ffq.actors.facade import CoordinatorActors as CoordinatorActors
from ffq.actors.facade import Planner as Planner
from ffq.actors.system import ActorSettings as ActorSettings
from ffq.actors.system import open_coordinator as open_coordinator
from ffq.actors.system import trio_clock_ms as trio_clock_ms
