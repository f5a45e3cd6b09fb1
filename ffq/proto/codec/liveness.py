"""Heartbeats."""

from __future__ import annotations

from ffq.ids import parse_query_id, parse_worker_id
from ffq.messages import Heartbeat, HeartbeatReply
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec.outputs import parse_optional_endpoint
from ffq.proto.codec.values import bounded, decode_key, encode_ref


def decode_heartbeat(message: wire.HeartbeatRequest) -> Heartbeat:
    refs, held = message.running_attempts, message.held_queries
    running = tuple(map(decode_key, bounded(refs, "running_attempts"))) if refs else ()
    return Heartbeat(
        parse_worker_id(message.worker_id),
        message.at_ms,
        message.running_tasks,
        frozenset(message.custom_operator_capabilities),
        message.incarnation,
        parse_optional_endpoint(message.shuffle_endpoint),
        message.engine_family,
        running if message.reports_attempts else None,
        tuple(map(parse_query_id, bounded(held, "held_queries"))) if held else (),
        message.slots,
        message.stuck_tasks,
    )


def encode_heartbeat(beat: Heartbeat) -> wire.HeartbeatRequest:
    return wire.HeartbeatRequest(
        worker_id=beat.worker_id,
        at_ms=beat.at_ms,
        running_tasks=beat.running_tasks,
        custom_operator_capabilities=sorted(beat.capabilities),
        incarnation=beat.incarnation,
        shuffle_endpoint=beat.endpoint,
        engine_family=beat.family,
        reports_attempts=beat.running_attempts is not None,
        running_attempts=[encode_ref(key) for key in beat.running_attempts or ()],
        held_queries=beat.held_queries,
        slots=beat.slots,
        stuck_tasks=beat.stuck_tasks,
    )


def encode_heartbeat_reply(reply: HeartbeatReply) -> wire.HeartbeatResponse:
    return wire.HeartbeatResponse(
        accepted=reply.accepted,
        stop_attempts=[encode_ref(key) for key in reply.stop_attempts],
        ended_queries=reply.ended_queries,
        superseded=reply.superseded,
    )


def decode_heartbeat_reply(message: wire.HeartbeatResponse) -> HeartbeatReply:
    return HeartbeatReply(
        accepted=message.accepted,
        stop_attempts=tuple(decode_key(ref) for ref in message.stop_attempts),
        ended_queries=tuple(parse_query_id(query_id) for query_id in message.ended_queries),
        superseded=message.superseded,
    )
