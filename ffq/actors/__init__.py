"""The coordinator's four actors, each owning one core machine, and the door to them."""

from ffq.actors.coordinator import ActorCoordinator as ActorCoordinator
from ffq.actors.coordinator import ActorSettings as ActorSettings
from ffq.actors.coordinator import open_coordinator as open_coordinator
from ffq.actors.coordinator import steady_unix_ms as steady_unix_ms
