"""Ranges of shuffle bytes (R23, R24)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from ffq.messages import FetchShufflePartition, ShuffleChunk, ShufflePart
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
