"""Coordinators that take heartbeats and outputs wrongly."""

from __future__ import annotations

from typing import Any

import attrs

from ffq.core import CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter
from ffq.testing.steps import (
    Ask,
    At,
    Beat,
    Cancel,
    Complete,
    Fetch,
    Keep,
    Pull,
    Register,
    Report,
    Status,
    Submit,
    Wait,
)
from ffq.testing.wire import PartitionView, Refusal, TaskView
from tests.testing.broken.case import MAP, OK, breaks


@breaks("accepted-is-told", Beat(0))
class _AcceptsNobody(CoreAdapter):
    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        super().heartbeat(worker_id, capabilities)
        return False


@breaks("refusals-have-codes", Beat(0))
class _Crashes(CoreAdapter):
    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        return Refusal("UNKNOWN", "", "Traceback (most recent call last): ...")


@breaks("evidence-keeps-alive", Submit(0, "scan"), Pull(0), Ask(0, 1_500), Wait(101), Pull(1))
class _IgnoresEmptyHands(CoreAdapter):
    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        return super().get_task(worker_id, capacity) if capacity else ()


@breaks("lost-work-is-requeued", Submit(0, "scan"), Pull(0), Wait(1_001), Wait(101), Pull(1))
class _NeverSweeps(CoreAdapter):
    def advance(self, ms: int) -> None:
        self.now_ms += ms


@breaks("beating-worker-kept", Submit(0, "scan"), Beat(0), Pull(0), Keep((0,), 1_500), Pull(1))
class _MissesBeats(CoreAdapter):
    """A beat is evidence of life only if it changes what the worker can do."""

    def __init__(self, core: CoreCoordinator) -> None:
        super().__init__(core)
        self._known: dict[str, frozenset[str]] = {}

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        if self._known.get(worker_id) == capabilities:
            return True
        self._known[worker_id] = capabilities
        return super().heartbeat(worker_id, capabilities)


@breaks(
    "output-merges",
    Submit(0, "aggregate"),
    Pull(0),
    Register(MAP, 0, 10),
    Register(MAP, 0, 50),
    Report(MAP, OK),
    Status(0),
)
class _FirstRegistrationWins(CoreAdapter):
    registered = False

    def register_map_output(self, task: TaskView, partitions: Any) -> Refusal | None:
        if self.registered:
            return None
        self.registered = True
        return super().register_map_output(task, partitions)


@breaks("stale-output-refused", Submit(0, "aggregate"), Pull(0), Fetch(At(0, 1, 7), 0))
@breaks(
    "canceled-outputs-removed",
    Submit(0, "aggregate"),
    Pull(0),
    Register(MAP, 0, 10),
    Cancel(0),
    Fetch(MAP, 0),
)
class _ServesAllOutputs(CoreAdapter):
    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        return PartitionView(10, finalized=True)


@breaks(
    "committed-output-served",
    Submit(0, "aggregate"),
    Pull(0),
    Complete(MAP),
    Fetch(MAP, 0, exact=False),
)
class _ServesNoOutputs(CoreAdapter):
    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        return Refusal("NOT_FOUND", "UNKNOWN_TASK")


@breaks(
    "zero-is-the-committed",
    Submit(0, "aggregate"),
    Pull(0),
    Register(MAP, 0, 10),
    Report(MAP, OK),
    Fetch(MAP, 0),
    Fetch(MAP, 0, exact=False),
)
class _ServesZeroAnew(CoreAdapter):
    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        reply = super().fetch_partition(task, reduce_partition)
        if task.attempt == 0 and isinstance(reply, PartitionView):
            return attrs.evolve(reply, finalized=False)
        return reply


@breaks("books-are-consistent", Submit(0, "scan"))
class _Miscounts(CoreAdapter):
    def validate_state(self) -> None:
        raise ValueError("1 slot is used, 0 attempts are running")
