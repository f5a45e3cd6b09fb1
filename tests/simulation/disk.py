"""A worker's disk in memory: map outputs by attempt, which may be damaged or not fit."""

from __future__ import annotations

import attrs

from ffq.errors import DiskError, UnknownId
from ffq.ids import AttemptKey, QueryId
from ffq.messages import OutputPartition
from tests.simulation.data import encode
from tests.simulation.faults import FaultKind
from tests.simulation.injector import FaultInjector


@attrs.define
class Disk:
    """Emptied when a worker starts anew."""

    worker: str
    faults: FaultInjector
    outputs: dict[AttemptKey, dict[int, bytes]] = attrs.field(factory=dict)

    def write(self, key: AttemptKey, partitions: list[list[int]]) -> tuple[OutputPartition, ...]:
        """Write one attempt's output. Raises DiskError: the disk is full."""
        if self.faults.disk_is_full(self.worker):
            raise DiskError(f"cannot write output {key}: no space left on device")
        files = {number: encode(rows) for number, rows in enumerate(partitions)}
        written = tuple(
            OutputPartition(
                reduce_partition=number,
                bytes=len(files[number]),
                rows=len(rows),
                batches=1,
                committed_offset=len(files[number]),
            )
            for number, rows in enumerate(partitions)
        )
        self.outputs[key] = files
        self._damage(key, files)
        return written

    def _damage(self, key: AttemptKey, files: dict[int, bytes]) -> None:
        largest = max(files, key=lambda number: len(files[number]))
        data = files[largest]
        damage = self.faults.damages(self.worker)
        match damage:
            case FaultKind.CORRUPT:
                files[largest] = data[:-1] + bytes([data[-1] ^ 0x40])
            case FaultKind.TRUNCATED:
                files[largest] = data[: len(data) // 2]
            case FaultKind.MISSING:
                del self.outputs[key]
            case _:
                return
        self.faults.trace.strike(damage, f"output {key} on {self.worker}")

    def read(self, key: AttemptKey, partition: int) -> bytes:
        """One partition. Raises UnknownId: no such output."""
        try:
            return self.outputs[key][partition]
        except KeyError:
            raise UnknownId(f"{self.worker} has no output {key}, partition {partition}") from None

    def remove(self, key: AttemptKey) -> None:
        self.outputs.pop(key, None)

    def queries(self) -> tuple[QueryId, ...]:
        return tuple(dict.fromkeys(key.query_id for key in self.outputs))

    def forget(self, query_id: QueryId) -> None:
        for key in [each for each in self.outputs if each.query_id == query_id]:
            del self.outputs[key]
