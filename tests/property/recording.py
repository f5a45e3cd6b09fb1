"""Machines that write down the steps that grew their version, and how such a list is replayed."""

from __future__ import annotations

from typing import Any, TypeVar

from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.core.machine import Kind, Machine, Outcome, Party
from ffq.runtime.message import Request
from tests.property.snapshots import snapshot

R = TypeVar("R")
LOOK_AT_READS = 10
Steps = list[tuple[Request[Any], int]]


class RecordingMachine(Machine[Any]):
    """`steps`: the message and time of each step that grew the version, in their order.

    Every step is held against the state itself: the version grows exactly when that has changed,
    also when the step raises.
    """

    def __init__(self, machine: Machine[Any]) -> None:
        super().__init__(machine._table, machine.state)
        self.steps: Steps = []
        self._seen = snapshot(self.state)
        self._reads = 0

    def step(self, message: Request[R], now_ms: int) -> Outcome[R]:
        if self._table.rows[type(message)].kind is Kind.READS:
            # Most steps are of this kind: a look now and then finds the one that changes something.
            self._reads += 1
            if self._reads % LOOK_AT_READS:
                version = self.version
                try:
                    return super().step(message, now_ms)
                finally:
                    assert self.version == version, f"{type(message).__name__} only reads"
        version, before = self.version, self._seen
        try:
            return super().step(message, now_ms)
        finally:
            self._seen = snapshot(self.state)
            grew, changed = self.version > version, self._seen != before
            assert grew == changed, (
                f"{type(message).__name__}: the version "
                f"{'grew' if grew else 'stayed'}, the state {'changed' if changed else 'did not'}"
            )
            if grew:
                self.steps.append((message, now_ms))


def record(coordinator: CoreCoordinator) -> dict[Party, RecordingMachine]:
    """Let the coordinator's machines write down their steps from now on."""
    recording = {
        party: RecordingMachine(machine) for party, machine in coordinator.machines.items()
    }
    coordinator.machines.update(recording)
    return recording


def cut_small(coordinator: CoreCoordinator, records: int) -> None:
    """Let its slices be so small that what tests do is too much for one."""
    coordinator.scheduling.state.slice = records
    coordinator.registry.state.slice = records


def replay(
    settings: CoordinatorSettings, party: Party, steps: Steps, slices: int | None = None
) -> Machine[Any]:
    """A fresh machine after these steps. What its steps tell others is not passed on.

    `slices`: how many records one has; None: as many as by default.
    """
    core = CoreCoordinator(settings)
    if slices is not None:
        cut_small(core, slices)
    machine = core.machines[party]
    for message, now_ms in steps:
        machine.step(message, now_ms)
    machine.validate_state()
    return machine
