"""Ranges of shuffle bytes (R23, R24)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

import attrs

from ffq.messages import (
    Bytes,
    FetchShufflePartition,
    FilePlace,
    ShuffleChunk,
    ShufflePart,
)
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec.values import attempt_key


def decode_fetch(message: wire.FetchShufflePartitionRequest) -> FetchShufflePartition:
    return FetchShufflePartition(
        key=attempt_key(message.query_id, message.stage_id, message.map_task, message.attempt),
        reduce_partition=message.reduce_partition,
        start_offset=message.start_offset,
        max_bytes=message.max_bytes,
        layout_version=message.layout_version,
        min_stream_epoch=message.min_stream_epoch,
        also=tuple(part for some in message.also for part in _parts(message.query_id, some)),
        opens=message.opens,
    )


def _parts(query_id: str, some: wire.ShuffleParts) -> Iterator[ShufflePart]:
    key = attempt_key(query_id, some.stage_id, some.map_task, some.attempt)
    return (ShufflePart(key, partition) for partition in some.reduce_partitions)


def encode_fetch(request: FetchShufflePartition) -> wire.FetchShufflePartitionRequest:
    key = request.key
    return wire.FetchShufflePartitionRequest(
        query_id=key.query_id,
        stage_id=key.stage_id,
        map_task=key.task_id,
        attempt=key.attempt,
        reduce_partition=request.reduce_partition,
        start_offset=request.start_offset,
        max_bytes=request.max_bytes,
        layout_version=request.layout_version,
        min_stream_epoch=request.min_stream_epoch,
        also=(
            wire.ShuffleParts(
                stage_id=key.stage_id,
                map_task=key.task_id,
                attempt=key.attempt,
                reduce_partitions=[part.reduce_partition for part in parts],
            )
            for key, parts in groupby(request.also, lambda part: part.key)
        ),
        opens=request.opens,
    )


@attrs.frozen
class ChunkOnWire:
    """A `ShufflePartitionChunk` as it travels, for which protobuf copies no payload.

    Payloads are of a mebibyte: protobuf would copy each twice on either side.

    Attributes:
        payload: of a message that was read, a view of its bytes.
        others: the other fields.
    """

    payload: Bytes
    others: wire.ShufflePartitionChunk

    def SerializeToString(self) -> bytes:  # noqa: N802  # as messages of protobuf do
        others = self.others.SerializeToString()
        if not self.payload:
            return others
        return b"".join((_PAYLOAD, _varint(len(self.payload)), self.payload, others))

    @classmethod
    def FromString(cls, raw: bytes, /) -> ChunkOnWire:  # noqa: N802
        """Raises DecodeError: it is no such message."""
        begin, end = _payload_in_front(raw)
        others = wire.ShufflePartitionChunk.FromString(raw[end:])
        payload: Bytes = memoryview(raw)[begin:end]
        if others.payload or _EMPTY_PAYLOAD in raw[end:]:
            # Whoever wrote it has it elsewhere, or twice: protobuf knows which counts.
            payload = wire.ShufflePartitionChunk.FromString(raw).payload
            others.ClearField("payload")
        return cls(payload, others)


_PAYLOAD: Final = bytes([1 << 3 | 2])
"""The field's number, and that its length comes next."""
_EMPTY_PAYLOAD: Final = _PAYLOAD + bytes(1)


def _payload_in_front(raw: bytes) -> tuple[int, int]:
    """Where it begins and ends; two zeros: the message does not begin with it."""
    if raw[:1] != _PAYLOAD:
        return 0, 0
    size, at = 0, 1
    for byte in raw[1:6]:
        size |= (byte & 127) << 7 * (at - 1)
        at += 1
        if byte < 128:
            end = at + size
            return (at, end) if end <= len(raw) else (0, 0)  # protobuf says what is wrong
    return 0, 0


def _varint(number: int) -> bytes:
    written = bytearray()
    while number >= 128:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


def decode_chunk(message: ChunkOnWire) -> ShuffleChunk:
    others = message.others
    return ShuffleChunk(
        payload=message.payload,
        start_offset=others.start_offset,
        end_offset=others.end_offset,
        watermark_offset=others.watermark_offset,
        finalized=others.finalized,
        stream_epoch=others.stream_epoch,
        places=tuple(
            FilePlace(each.path, each.offset, each.bytes, each.device, each.inode, each.file_bytes)
            for each in others.places
        ),
    )


def encode_chunk(chunk: ShuffleChunk) -> ChunkOnWire:
    others = wire.ShufflePartitionChunk(
        start_offset=chunk.start_offset,
        end_offset=chunk.end_offset,
        watermark_offset=chunk.watermark_offset,
        finalized=chunk.finalized,
        stream_epoch=chunk.stream_epoch,
        places=(wire.FilePlace(**attrs.asdict(each)) for each in chunk.places),
    )
    return ChunkOnWire(chunk.payload, others)
