"""FetchShufflePartition: its request and its chunks as values (R23, R24)."""

from __future__ import annotations

import attrs

from ffq.ids import AttemptKey
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec.values import attempt_key


@attrs.frozen
class FetchPartition:
    """Read bytes of one reduce partition of one map attempt.

    Attributes:
        key: the exact attempt; attempt 0 (at the coordinator only): the committed one.
        start_offset: first byte wanted.
        max_bytes: how many at most; 0 = no limit.
        min_stream_epoch: refuse output older than this.
    """

    key: AttemptKey
    reduce_partition: int
    start_offset: int = 0
    max_bytes: int = 0
    layout_version: int = 0
    min_stream_epoch: int = 0


@attrs.frozen
class ShuffleChunk:
    """Bytes [start_offset, end_offset) of a partition that has `watermark_offset` bytes so far.

    `finalized`: the partition is complete at this attempt.
    """

    payload: bytes = attrs.field(repr=False)
    start_offset: int
    end_offset: int
    watermark_offset: int
    finalized: bool
    stream_epoch: int = 0


def decode_fetch(message: wire.FetchShufflePartitionRequest) -> FetchPartition:
    return FetchPartition(
        key=attempt_key(message.query_id, message.stage_id, message.map_task, message.attempt),
        reduce_partition=message.reduce_partition,
        start_offset=message.start_offset,
        max_bytes=message.max_bytes,
        layout_version=message.layout_version,
        min_stream_epoch=message.min_stream_epoch,
    )


def encode_fetch(request: FetchPartition) -> wire.FetchShufflePartitionRequest:
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
    )


def decode_chunk(message: wire.ShufflePartitionChunk) -> ShuffleChunk:
    return ShuffleChunk(
        payload=message.payload,
        start_offset=message.start_offset,
        end_offset=message.end_offset,
        watermark_offset=message.watermark_offset,
        finalized=message.finalized,
        stream_epoch=message.stream_epoch,
    )


def encode_chunk(chunk: ShuffleChunk) -> wire.ShufflePartitionChunk:
    return wire.ShufflePartitionChunk(
        payload=chunk.payload,
        start_offset=chunk.start_offset,
        end_offset=chunk.end_offset,
        watermark_offset=chunk.watermark_offset,
        finalized=chunk.finalized,
        stream_epoch=chunk.stream_epoch,
    )
