"""The protocol as state machines: no async library, no clock, no random, no I/O.

Four machines, one per actor: scheduling (the authority on queries, attempts, placement, exclusion
and map outputs), liveness, the shuffle registry and the results store. `machine` says what a
machine is, `walks` how a message of the outer world passes several of them. `CoreCoordinator` is
all of it without actors.
"""

import importlib
from typing import TYPE_CHECKING

from ffq.core.settings import CoordinatorSettings as CoordinatorSettings

if TYPE_CHECKING:
    from ffq.core.coordinator import CoreCoordinator as CoreCoordinator


def __getattr__(name: str) -> object:
    # The command line and every worker read the settings; the machines are the gateway's alone.
    if name != "CoreCoordinator":
        raise AttributeError(f"module 'ffq.core' has no attribute {name!r}")
    return importlib.import_module("ffq.core.coordinator").CoreCoordinator
