"""ffq.testing: what ffq's own tests use, public so that yours can.

Actors: probes, and systems under a virtual clock (`ffq.testing.actors`). Coordinators: a state
machine that plays clients and workers against whatever stands behind a `CoordinatorAdapter`, and
conformance over the wire (`ffq.testing.conformance`). Workers: a machine that plays the coordinator
against a `WorkerAdapter`. Needs Hypothesis: `ffq-runtime[test]`.
"""

from ffq.testing.actors import Deadlock as Deadlock
from ffq.testing.actors import Probe as Probe
from ffq.testing.actors import Simulation as Simulation
from ffq.testing.actors import SimulationResult as SimulationResult
from ffq.testing.actors import simulate as simulate
from ffq.testing.adapter import CoordinatorAdapter as CoordinatorAdapter
from ffq.testing.adapter import SelfChecking as SelfChecking
from ffq.testing.declared import DeclaredSettings as DeclaredSettings
from ffq.testing.invariants import CHECKS as CHECKS
from ffq.testing.invariants import Check as Check
from ffq.testing.invariants import Violation as Violation
from ffq.testing.machine import coordinator_machine as coordinator_machine
from ffq.testing.session import Session as Session
from ffq.testing.wire import OutputPartition as OutputPartition
from ffq.testing.wire import PartitionView as PartitionView
from ffq.testing.wire import QueryState as QueryState
from ffq.testing.wire import Refusal as Refusal
from ffq.testing.wire import StageView as StageView
from ffq.testing.wire import StatusView as StatusView
from ffq.testing.wire import TaskState as TaskState
from ffq.testing.wire import TaskView as TaskView
from ffq.testing.workers import WORKER_CHECKS as WORKER_CHECKS
from ffq.testing.workers import CoordinatorCalls as CoordinatorCalls
from ffq.testing.workers import WorkerAdapter as WorkerAdapter
from ffq.testing.workers import worker_machine as worker_machine

__all__ = [
    # actors
    "Deadlock",
    "Probe",
    "Simulation",
    "SimulationResult",
    "simulate",
    # coordinators
    "CoordinatorAdapter",
    "SelfChecking",
    "DeclaredSettings",
    "coordinator_machine",
    "Session",
    "CHECKS",
    "Check",
    "Violation",
    # workers
    "CoordinatorCalls",
    "WorkerAdapter",
    "worker_machine",
    "WORKER_CHECKS",
    # what an adapter speaks
    "OutputPartition",
    "PartitionView",
    "QueryState",
    "Refusal",
    "StageView",
    "StatusView",
    "TaskState",
    "TaskView",
]
