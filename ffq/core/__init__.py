"""The protocol as state machines: no async library, no clock, no random, no I/O.

Four machines, one per actor: scheduling (the authority on queries, attempts, placement, exclusion
and map outputs), liveness, the shuffle registry and the results store. `machine` says what a
machine is, `walks` how a message of the outer world passes several of them. `CoreCoordinator` is
all of it without actors.
"""

from typing import TYPE_CHECKING

from ffq.core.settings import CoordinatorSettings as CoordinatorSettings
from ffq.lazily import importing

if TYPE_CHECKING:
    from ffq.core.coordinator import CoreCoordinator as CoreCoordinator

# The command line and every worker read the settings; the machines are the gateway's alone.
__getattr__ = importing(__name__, {"CoreCoordinator": "ffq.core.coordinator"})
