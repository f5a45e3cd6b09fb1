"""Workers under test: a machine that plays the coordinator, and loses some of the calls.

    from ffq.testing import worker_machine

    TestMine = worker_machine(MyWorker).TestCase

`adapter` is what to write, `checker` holds the checks, `coordinator` is what the worker talks to,
`machine` the Hypothesis state machine.
"""

from ffq.testing.workers.adapter import CoordinatorCalls as CoordinatorCalls
from ffq.testing.workers.adapter import WorkerAdapter as WorkerAdapter
from ffq.testing.workers.checker import WORKER_CHECKS as WORKER_CHECKS
from ffq.testing.workers.machine import worker_machine as worker_machine

__all__ = ["WORKER_CHECKS", "CoordinatorCalls", "WorkerAdapter", "worker_machine"]
