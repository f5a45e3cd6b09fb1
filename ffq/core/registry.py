"""The shuffle registry: where each registered map output can be fetched (R22, R23).

Scheduling decides which registrations count and merges them; it tells the registry how an attempt's
partitions stand before the registration is answered. Readers are answered from here, once
scheduling has said which exact attempt they may read.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from ffq.core.machine import Machine, Notice, Party, Table
from ffq.core.pieces import ByAttempt
from ffq.errors import InvariantViolated, NotReady
from ffq.ids import QueryId
from ffq.messages import (
    DropMapOutputs,
    DropQueryOutputs,
    ForgetMore,
    OutputLocation,
    OutputPartition,
    PublishMapOutput,
    PublishMapOutputs,
    ReadMapOutput,
)

SLICE: Final = 2_000
"""Records, and partitions of them, that one step frees: about a millisecond's work."""


@attrs.define(eq=False)
class _Record:
    endpoint: str
    partitions: dict[int, OutputPartition] = attrs.field(factory=dict)


@attrs.define(eq=False)
class RegistryState:
    """Records by query and attempt; a query without records is not kept.

    `forgotten`: those of queries that have ended, which nobody finds any more. To free them takes
    as long as it took to make them, and is done in slices of `slice` records (`ForgetMore`).
    """

    queries: dict[QueryId, ByAttempt[_Record]] = attrs.field(factory=dict)
    forgotten: deque[ByAttempt[_Record]] = attrs.field(factory=deque)
    slice: int = SLICE
    version: int = 0
    notices: list[Notice] = attrs.field(factory=list)

    def held_partitions(self) -> int:
        """Partition records of all outputs."""
        return sum(
            len(record.partitions)
            for records in self.queries.values()
            for record in records.values()
        )


def publish_map_outputs(state: RegistryState, msg: PublishMapOutputs, now_ms: int) -> None:
    """Each as by itself, in their order."""
    for each in msg.outputs:
        publish_map_output(state, each, now_ms)


def publish_map_output(state: RegistryState, msg: PublishMapOutput, _now_ms: int) -> None:
    """These partitions of the attempt stand now, in place of what was known of them."""
    records = state.queries.get(msg.key.query_id)
    if records is None:
        records = state.queries[msg.key.query_id] = ByAttempt()
    record = records.get(msg.key)
    if record is None:
        record = records[msg.key] = _Record(msg.endpoint)
    record.endpoint = msg.endpoint
    for partition in msg.partitions:
        record.partitions[partition.reduce_partition] = partition
    state.version += 1


def drop_map_outputs(state: RegistryState, msg: DropMapOutputs, _now_ms: int) -> None:
    """Forget these attempts' outputs. What is not there is no error."""
    for key in msg.keys:
        records = state.queries.get(key.query_id)
        if records is not None and key in records:
            del records[key]
            state.version += 1
            if not records:
                del state.queries[key.query_id]


def drop_query_outputs(state: RegistryState, msg: DropQueryOutputs, _now_ms: int) -> None:
    """Forget all outputs of a query (R5): from now on there are none."""
    records = state.queries.pop(msg.query_id, None)
    if records is None:
        return
    state.version += 1
    state.forgotten.append(records)
    if len(state.forgotten) == 1:
        _forget_slice(state)


def forget_more(state: RegistryState, _msg: ForgetMore, _now_ms: int) -> None:
    """The next slice of what is to be forgotten."""
    if state.forgotten:
        state.version += 1
        _forget_slice(state)


def _forget_slice(state: RegistryState) -> None:
    left = state.slice
    while left > 0 and state.forgotten:
        records = state.forgotten[0]
        if records:
            _, record = records.popitem()
            left -= 1 + len(record.partitions)
        else:
            state.forgotten.popleft()
    if state.forgotten:
        state.notices.append(ForgetMore())


def read_map_output(state: RegistryState, msg: ReadMapOutput, _now_ms: int) -> OutputLocation:
    """Where a partition of an exact attempt is; a partition never named is empty (R22, R23).

    Raises:
        NotReady: the attempt has registered nothing, or not any more.
    """
    records = state.queries.get(msg.key.query_id)
    record = records.get(msg.key) if records is not None else None
    if record is None:
        raise NotReady(f"no map output of attempt {msg.key} is registered")
    return OutputLocation(msg.key, record.endpoint, record.partitions.get(msg.reduce_partition))


def validate(state: RegistryState) -> None:
    """Raises InvariantViolated, naming what is inconsistent."""
    for query_id, records in state.queries.items():
        if not records:
            raise InvariantViolated(f"registry: query {query_id} is kept without outputs")
        for key, record in records.items():
            if key.query_id != query_id:
                raise InvariantViolated(f"registry: {key} is kept under query {query_id}")
            for number, partition in record.partitions.items():
                if partition.reduce_partition != number:
                    raise InvariantViolated(f"registry: {key} keeps a partition as {number}")


REGISTRY = Table[RegistryState](Party.REGISTRY, validate)
REGISTRY.changes(PublishMapOutput)(publish_map_output)
REGISTRY.changes(PublishMapOutputs)(publish_map_outputs)
REGISTRY.changes(DropMapOutputs)(drop_map_outputs)
REGISTRY.changes(DropQueryOutputs)(drop_query_outputs)
REGISTRY.changes(ForgetMore)(forget_more)
REGISTRY.reads(ReadMapOutput)(read_map_output)


def registry_machine() -> Machine[RegistryState]:
    return Machine(REGISTRY, RegistryState())
