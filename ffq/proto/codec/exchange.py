"""The messages of a worker's stream."""

from __future__ import annotations

from ffq.messages import FromWorker, ToWorker
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec.liveness import (
    decode_heartbeat,
    decode_heartbeat_reply,
    encode_heartbeat,
    encode_heartbeat_reply,
)
from ffq.proto.codec.tasks import decode_assignment, encode_assignment


def encode_from_worker(message: FromWorker) -> ext.WorkRequest:
    return ext.WorkRequest(
        beat=None if message.beat is None else encode_heartbeat(message.beat),
        limit=message.limit,
        limit_ms=message.limit_ms,
    )


def decode_from_worker(message: ext.WorkRequest) -> FromWorker:
    """Raises InvalidRequest."""
    beat = decode_heartbeat(message.beat) if message.HasField("beat") else None
    return FromWorker(beat, message.limit, message.limit_ms)


def encode_to_worker(message: ToWorker) -> ext.WorkResponse:
    return ext.WorkResponse(
        tasks=[encode_assignment(each) for each in message.tasks],
        beat=None if message.beat is None else encode_heartbeat_reply(message.beat),
    )


def decode_to_worker(message: ext.WorkResponse) -> ToWorker:
    beat = decode_heartbeat_reply(message.beat) if message.HasField("beat") else None
    return ToWorker(tuple(decode_assignment(each) for each in message.tasks), beat)
