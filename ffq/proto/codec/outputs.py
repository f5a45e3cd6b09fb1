"""Map outputs and results: what finished attempts leave behind."""

from __future__ import annotations

from functools import lru_cache

from ffq.endpoint import parse_endpoint
from ffq.errors import InvalidRequest
from ffq.ids import parse_query_id
from ffq.messages import (
    FetchQueryResults,
    OutputPartition,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
)
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec.values import (
    attempt_key,
    bounded,
    decode_layout,
    parse_optional_worker_id,
)


def decode_map_output(message: wire.RegisterMapOutputRequest) -> RegisterMapOutput:
    return RegisterMapOutput(
        key=attempt_key(message.query_id, message.stage_id, message.map_task, message.attempt),
        partitions=tuple(
            _decode_partition(part) for part in bounded(message.partitions, "partitions")
        ),
        layout=decode_layout(message),
        worker_id=parse_optional_worker_id(message.worker_id),
        incarnation=message.incarnation,
        endpoint=parse_optional_endpoint(message.shuffle_endpoint),
    )


def encode_map_output(request: RegisterMapOutput) -> wire.RegisterMapOutputRequest:
    key = request.key
    return wire.RegisterMapOutputRequest(
        query_id=key.query_id,
        stage_id=key.stage_id,
        map_task=key.task_id,
        attempt=key.attempt,
        partitions=[_encode_partition(part) for part in request.partitions],
        layout_version=request.layout.version,
        layout_fingerprint=request.layout.fingerprint,
        worker_id=request.worker_id or "",
        incarnation=request.incarnation,
        shuffle_endpoint=request.endpoint,
    )


def encode_map_output_reply(reply: RegisterReply) -> wire.RegisterMapOutputResponse:
    return wire.RegisterMapOutputResponse(counted=reply.counted)


def decode_map_output_reply(message: wire.RegisterMapOutputResponse) -> RegisterReply:
    """The wire does not name the attempt's holder."""
    return RegisterReply(message.counted, None)


def _decode_partition(message: wire.MapOutputPartition) -> OutputPartition:
    return OutputPartition(
        reduce_partition=message.reduce_partition,
        bytes=message.bytes,
        rows=message.rows,
        batches=message.batches,
        stream_epoch=message.stream_epoch,
        committed_offset=message.committed_offset,
        finalized=message.finalized,
    )


def _encode_partition(part: OutputPartition) -> wire.MapOutputPartition:
    return wire.MapOutputPartition(
        reduce_partition=part.reduce_partition,
        bytes=part.bytes,
        rows=part.rows,
        batches=part.batches,
        stream_epoch=part.stream_epoch,
        committed_offset=part.committed_offset,
        finalized=part.finalized,
    )


@lru_cache(1024)  # a worker's is the same in all of its messages
def parse_optional_endpoint(text: str) -> str:
    """host:port, or empty. Raises InvalidRequest."""
    return parse_endpoint(text, "shuffle_endpoint") if text else ""


def decode_results(message: wire.RegisterQueryResultsRequest) -> RegisterQueryResults:
    query_id = parse_query_id(message.query_id)
    if not message.HasField("attempt"):
        if message.offset or message.more:
            raise InvalidRequest("a result in pieces needs the attempt it belongs to")
        return RegisterQueryResults(query_id, message.ipc_payload)
    owner = message.attempt
    return RegisterQueryResults(
        query_id=query_id,
        payload=message.ipc_payload,
        key=attempt_key(query_id, owner.stage_id, owner.task_id, owner.attempt),
        offset=message.offset,
        last=not message.more,
    )


def encode_results(request: RegisterQueryResults) -> wire.RegisterQueryResultsRequest:
    message = wire.RegisterQueryResultsRequest(
        query_id=request.query_id,
        ipc_payload=request.payload,
        offset=request.offset,
        more=not request.last,
    )
    if request.key is not None:
        message.attempt.stage_id = request.key.stage_id
        message.attempt.task_id = request.key.task_id
        message.attempt.attempt = request.key.attempt
        # A key of zeros is still a key: assigning defaults does not set the field.
        message.attempt.SetInParent()
    return message


def encode_results_reply(reply: RegisterReply) -> wire.RegisterQueryResultsResponse:
    return wire.RegisterQueryResultsResponse(counted=reply.counted)


def decode_results_reply(message: wire.RegisterQueryResultsResponse) -> RegisterReply:
    """The wire does not name the attempt's holder."""
    return RegisterReply(message.counted, None)


def encode_fetch_results(request: FetchQueryResults) -> wire.FetchQueryResultsRequest:
    return wire.FetchQueryResultsRequest(query_id=request.query_id)


def encode_results_chunk(payload: bytes) -> wire.QueryResultsChunk:
    return wire.QueryResultsChunk(payload=payload)


def decode_results_chunk(message: wire.QueryResultsChunk) -> bytes:
    return message.payload


def decode_fetch_results(message: wire.FetchQueryResultsRequest) -> FetchQueryResults:
    return FetchQueryResults(parse_query_id(message.query_id))
