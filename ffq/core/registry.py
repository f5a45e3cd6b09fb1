"""The shuffle registry: which partitions each exact attempt has registered, and where (R22, R23).

A registration is merged with what the attempt registered before; scheduling says whether the
attempt still counts; only then is the merged record stored. Records are bounded in all (R30).
"""

from __future__ import annotations

import attrs

from ffq.core.outcome import Outcome
from ffq.core.settings import CoordinatorSettings
from ffq.errors import InvariantViolated, NotReady, QuotaExceeded
from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    AdmitMapOutput,
    DropMapOutputs,
    DropQueryOutputs,
    OutputLocation,
    OutputPartition,
    PartitionSize,
    ReadMapOutput,
    RegisterMapOutput,
    RegisterReply,
)

_RETRY_REGISTER_MS = 1_000


@attrs.frozen
class _Record:
    endpoint: str
    partitions: dict[int, OutputPartition]


class RegistryCore:
    """Takes one message and the time in ms, gives the reply. It tells nobody anything."""

    def __init__(self, settings: CoordinatorSettings) -> None:
        self._settings = settings
        self._queries: dict[QueryId, dict[AttemptKey, _Record]] = {}
        self._partitions = 0

    def propose(self, msg: RegisterMapOutput, now_ms: int) -> AdmitMapOutput:
        """What the attempt's output would amount to. Changes nothing.

        Raises:
            QuotaExceeded: more partition records than are allowed in all.
        """
        del now_ms
        merged = self._merge(msg)
        growth = len(merged.partitions) - len(self._known(msg.key).partitions)
        if self._partitions + growth > self._settings.max_registered_partitions:
            raise QuotaExceeded(
                f"{self._settings.max_registered_partitions} map output partitions are "
                f"registered: register {msg.key} again later",
                retry_after_ms=_RETRY_REGISTER_MS,
            )
        in_order = sorted(merged.partitions.values(), key=lambda each: each.reduce_partition)
        return AdmitMapOutput(
            key=msg.key,
            layout=msg.layout,
            endpoint=merged.endpoint,
            sizes=tuple(
                PartitionSize(each.reduce_partition, each.bytes, each.rows) for each in in_order
            ),
            batches=sum(each.batches for each in in_order),
            complete=all(each.finalized for each in in_order),
            worker_id=msg.worker_id,
            incarnation=msg.incarnation,
        )

    def store(
        self, msg: RegisterMapOutput, admission: RegisterReply, now_ms: int
    ) -> Outcome[RegisterReply]:
        """Store what was proposed, if scheduling counts it (R13)."""
        del now_ms
        if admission.counted:
            merged = self._merge(msg)
            self._partitions += len(merged.partitions) - len(self._known(msg.key).partitions)
            self._queries.setdefault(msg.key.query_id, {})[msg.key] = merged
        return Outcome(admission)

    def _known(self, key: AttemptKey) -> _Record:
        return self._queries.get(key.query_id, {}).get(key) or _Record("", {})

    def _merge(self, msg: RegisterMapOutput) -> _Record:
        known = self._known(msg.key)
        partitions = dict(known.partitions)
        for new in msg.partitions:
            old = partitions.get(new.reduce_partition)
            if old is None or _progress(new) > _progress(old):
                partitions[new.reduce_partition] = new
        return _Record(msg.endpoint or known.endpoint, partitions)

    def drop_map_outputs(self, msg: DropMapOutputs, now_ms: int) -> Outcome[None]:
        """Forget these attempts' outputs. What is not there is no error."""
        del now_ms
        for key in msg.keys:
            records = self._queries.get(key.query_id, {})
            record = records.pop(key, None)
            if record is not None:
                self._partitions -= len(record.partitions)
                if not records:
                    del self._queries[key.query_id]
        return Outcome(None)

    def drop_query_outputs(self, msg: DropQueryOutputs, now_ms: int) -> Outcome[None]:
        """Forget all outputs of a query (R5)."""
        del now_ms
        for record in self._queries.pop(msg.query_id, {}).values():
            self._partitions -= len(record.partitions)
        return Outcome(None)

    def read_map_output(self, msg: ReadMapOutput, now_ms: int) -> Outcome[OutputLocation]:
        """Where a partition of an exact attempt is; a partition never named is empty (R22, R23).

        Raises:
            NotReady: the attempt has registered nothing, or not any more.
        """
        del now_ms
        record = self._queries.get(msg.key.query_id, {}).get(msg.key)
        if record is None:
            raise NotReady(f"no map output of attempt {msg.key} is registered")
        return Outcome(
            OutputLocation(msg.key, record.endpoint, record.partitions.get(msg.reduce_partition))
        )

    def validate_state(self) -> None:
        """Raises InvariantViolated, naming what is inconsistent."""
        counted = 0
        for query_id, records in self._queries.items():
            if not records:
                raise InvariantViolated(f"registry: query {query_id} is kept without outputs")
            for key, record in records.items():
                if key.query_id != query_id:
                    raise InvariantViolated(f"registry: {key} is kept under query {query_id}")
                counted += len(record.partitions)
        if counted != self._partitions:
            raise InvariantViolated(
                f"registry: counts {self._partitions} partitions, holds {counted}"
            )


def _progress(partition: OutputPartition) -> tuple[int, int, bool]:
    """Of two records of one partition the one that got further wins."""
    return partition.stream_epoch, partition.committed_offset, partition.finalized
