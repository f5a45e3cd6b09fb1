"""The shuffle registry: which partitions each exact attempt has registered, and where (R22, R23).

A registration is merged with what the attempt registered before; scheduling says whether the
attempt still counts, and whether there is room; only then is the merged record stored.
"""

from __future__ import annotations

import attrs

from ffq.core.outcome import Outcome
from ffq.errors import InvariantViolated, NotReady
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


@attrs.frozen
class _Record:
    endpoint: str
    partitions: dict[int, OutputPartition]


class RegistryCore:
    """Takes one message and the time in ms, gives the reply. It tells nobody anything."""

    def __init__(self) -> None:
        self._queries: dict[QueryId, dict[AttemptKey, _Record]] = {}

    def propose(self, msg: RegisterMapOutput, now_ms: int) -> AdmitMapOutput:
        """What the attempt's output would amount to. Changes nothing."""
        del now_ms
        merged = self._merge(msg)
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
            if records.pop(key, None) is not None and not records:
                del self._queries[key.query_id]
        return Outcome(None)

    def drop_query_outputs(self, msg: DropQueryOutputs, now_ms: int) -> Outcome[None]:
        """Forget all outputs of a query (R5)."""
        del now_ms
        self._queries.pop(msg.query_id, None)
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

    def held_partitions(self) -> int:
        """Partition records of all outputs."""
        return sum(
            len(record.partitions)
            for records in self._queries.values()
            for record in records.values()
        )

    def validate_state(self) -> None:
        """Raises InvariantViolated, naming what is inconsistent."""
        for query_id, records in self._queries.items():
            if not records:
                raise InvariantViolated(f"registry: query {query_id} is kept without outputs")
            for key, record in records.items():
                if key.query_id != query_id:
                    raise InvariantViolated(f"registry: {key} is kept under query {query_id}")
                for number, partition in record.partitions.items():
                    if partition.reduce_partition != number:
                        raise InvariantViolated(f"registry: {key} keeps a partition as {number}")


def _progress(partition: OutputPartition) -> tuple[int, int, bool]:
    """Of two records of one partition the one that got further wins."""
    return partition.stream_epoch, partition.committed_offset, partition.finalized
