"""Which faults strike now: armed from a scenario, used up or ended as time goes by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs
import trio

from tests.simulation.faults import (
    CRASHES,
    CUTS,
    DAMAGE,
    MESSAGES,
    SLOWNESS,
    Fault,
    FaultKind,
)
from tests.simulation.trace import Trace

COORDINATOR = "coordinator"
CLIENT = "client"
MESSAGE_FAULT_MS = 8_000
"""A message fault that has met none of its messages for so long is over."""


def now_ms() -> float:
    """Virtual time."""
    return trio.current_time() * 1000


def worker_name(number: int) -> str:
    return f"w{number}"


@attrs.define
class _Armed:
    fault: Fault
    left: int
    counted: bool = False


def _until_ms(fault: Fault) -> float:
    if fault.kind in MESSAGES:
        return fault.at_ms + MESSAGE_FAULT_MS
    return fault.at_ms + fault.for_ms


@attrs.define
class FaultInjector:
    """The faults of one run.

    `frozen`: partitions and slowness last to the end, once they have begun.
    """

    trace: Trace
    frozen: bool
    _armed: list[_Armed] = attrs.field(factory=list)
    healed: bool = False

    @classmethod
    def of(cls, faults: Iterable[Fault], trace: Trace, *, frozen: bool) -> FaultInjector:
        return cls(trace, frozen, [_Armed(fault, fault.count) for fault in faults])

    def heal(self) -> None:
        """Nothing strikes from now on."""
        self.healed = True

    def _active(self, kinds: frozenset[FaultKind]) -> Iterator[_Armed]:
        if self.healed:
            return
        now = now_ms()
        for armed in self._armed:
            fault = armed.fault
            if fault.kind in kinds and fault.at_ms <= now and armed.left:
                stays = self.frozen and fault.kind in (CUTS | SLOWNESS)
                if stays or now < _until_ms(fault) or fault.kind in (CRASHES | DAMAGE):
                    yield armed

    def message_faults(self, source: str, method: str) -> list[FaultKind]:
        """What strikes this call; each counts once against its fault."""
        struck = []
        for armed in self._active(MESSAGES):
            fault = armed.fault
            if fault.method and fault.method != method:
                continue
            if source not in {worker_name(fault.worker), CLIENT}:
                continue
            if method == "GetQueryStatus" and not fault.method:
                continue  # a lost poll is polled again: it would only use the fault up
            armed.left -= 1
            struck.append(fault.kind)
            self.trace.strike(fault.kind, f"{method} of {source}")
        return struck

    def is_cut(self, source: str, target: str) -> bool:
        """Whether a partition keeps messages from source to target away."""
        for armed in self._active(CUTS):
            worker, kind = worker_name(armed.fault.worker), armed.fault.kind
            if kind is FaultKind.CUT_PEERS:
                cut = worker in {source, target} and COORDINATOR not in {source, target}
            elif kind is FaultKind.CUT_OUT:
                cut = source == worker
            else:
                cut = target == worker
            if cut:
                self._count(armed, f"nothing passes from {source} to {target}")
                return True
        return False

    def slows(self, kind: FaultKind, worker: str) -> bool:
        """Whether this worker is slow now."""
        for armed in self._active(frozenset({kind})):
            if worker_name(armed.fault.worker) == worker:
                self._count(armed, worker)
                return True
        return False

    def crashes(self, kind: FaultKind, worker: str) -> int | None:
        """Down time in ms, when this worker crashes at this point."""
        for armed in self._active(frozenset({kind})):
            if worker_name(armed.fault.worker) == worker:
                # One crash is one fault: `count` would only crash its replacement over and over.
                armed.left = 0
                self.trace.strike(kind, worker)
                return armed.fault.for_ms
        return None

    def damages(self, worker: str) -> FaultKind | None:
        """What happens to an output that this worker writes now."""
        for armed in self._active(DAMAGE):
            if worker_name(armed.fault.worker) == worker:
                armed.left -= 1
                return armed.fault.kind
        return None

    def disk_is_full(self, worker: str) -> bool:
        for armed in self._active(frozenset({FaultKind.DISK_FULL})):
            if worker_name(armed.fault.worker) == worker:
                armed.left -= 1
                self.trace.strike(FaultKind.DISK_FULL, worker)
                return True
        return False

    def _count(self, armed: _Armed, line: str) -> None:
        if not armed.counted:
            armed.counted = True
            self.trace.strike(armed.fault.kind, line)
