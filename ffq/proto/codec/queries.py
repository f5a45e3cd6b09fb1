"""Queries: submit, status, cancel."""

from __future__ import annotations

from ffq.ids import StageId, parse_query_id
from ffq.messages import (
    CancelQuery,
    CancelReply,
    GetQueryStatus,
    QueryStatus,
    StageStatus,
    SubmitQuery,
    SubmitReply,
    Timeouts,
)
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec.values import (
    decode_query_state,
    encode_query_state,
    short,
)

_MAX_UINT64 = 2**64 - 1


def encode_submit(request: SubmitQuery) -> wire.SubmitQueryRequest:
    return wire.SubmitQueryRequest(
        query_id=request.query_id,
        physical_plan_json=request.plan_bytes,
        query_timeout_ms=request.timeouts.query_ms,
        task_timeout_ms=request.timeouts.task_ms,
    )


def decode_submit(message: wire.SubmitQueryRequest) -> SubmitQuery:
    timeouts = Timeouts(message.query_timeout_ms, message.task_timeout_ms)
    return SubmitQuery(parse_query_id(message.query_id), message.physical_plan_json, timeouts)


def encode_submit_reply(reply: SubmitReply) -> wire.SubmitQueryResponse:
    return wire.SubmitQueryResponse(query_id=reply.query_id, state=encode_query_state(reply.state))


def decode_submit_reply(message: wire.SubmitQueryResponse) -> SubmitReply:
    return SubmitReply(parse_query_id(message.query_id), decode_query_state(message.state))


def encode_get_status(request: GetQueryStatus) -> wire.GetQueryStatusRequest:
    return wire.GetQueryStatusRequest(query_id=request.query_id)


def decode_get_status(message: wire.GetQueryStatusRequest) -> GetQueryStatus:
    return GetQueryStatus(parse_query_id(message.query_id))


def decode_cancel(message: wire.CancelQueryRequest) -> CancelQuery:
    return CancelQuery(parse_query_id(message.query_id), short(message.reason))


def encode_cancel(request: CancelQuery) -> wire.CancelQueryRequest:
    return wire.CancelQueryRequest(query_id=request.query_id, reason=request.reason)


def encode_cancel_reply(reply: CancelReply) -> wire.CancelQueryResponse:
    return wire.CancelQueryResponse(query_id=reply.query_id, state=encode_query_state(reply.state))


def decode_cancel_reply(message: wire.CancelQueryResponse) -> CancelReply:
    return CancelReply(parse_query_id(message.query_id), decode_query_state(message.state))


def encode_status_reply(status: QueryStatus) -> wire.GetQueryStatusResponse:
    return wire.GetQueryStatusResponse(status=encode_status(status))


def decode_status_reply(message: wire.GetQueryStatusResponse) -> QueryStatus:
    return decode_status(message.status)


def encode_status(status: QueryStatus) -> wire.QueryStatus:
    return wire.QueryStatus(
        query_id=status.query_id,
        state=encode_query_state(status.state),
        submitted_at_ms=encode_time(status.submitted_at_ms),
        started_at_ms=encode_time(status.started_at_ms),
        finished_at_ms=encode_time(status.finished_at_ms),
        message=status.message,
        stage_metrics=[_encode_stage(stage) for stage in status.stages],
    )


def decode_status(message: wire.QueryStatus) -> QueryStatus:
    return QueryStatus(
        query_id=parse_query_id(message.query_id),
        state=decode_query_state(message.state),
        submitted_at_ms=message.submitted_at_ms,
        started_at_ms=decode_time(message.started_at_ms),
        finished_at_ms=decode_time(message.finished_at_ms),
        message=message.message,
        stages=tuple(_decode_stage(stage) for stage in message.stage_metrics),
    )


def encode_time(time_ms: int | None) -> int:
    """0 stands for: not yet."""
    return 0 if time_ms is None else time_ms


def decode_time(time_ms: int) -> int | None:
    return time_ms or None


def _encode_stage(stage: StageStatus) -> wire.StageMetrics:
    # Sizes are what workers say; their sum may be more than the field holds.
    return wire.StageMetrics(
        stage_id=stage.stage_id,
        queued_tasks=stage.queued_tasks,
        running_tasks=stage.running_tasks,
        succeeded_tasks=stage.succeeded_tasks,
        failed_tasks=stage.failed_tasks,
        map_output_rows=min(stage.map_output_rows, _MAX_UINT64),
        map_output_bytes=min(stage.map_output_bytes, _MAX_UINT64),
        map_output_batches=min(stage.map_output_batches, _MAX_UINT64),
        map_output_partitions=stage.map_output_partitions,
        planned_reduce_tasks=stage.planned_reduce_tasks,
        adaptive_reduce_tasks=stage.adaptive_reduce_tasks,
        adaptive_target_bytes=stage.adaptive_target_bytes,
        layout_finalize_count=stage.layout_finalize_count,
        aqe_events=stage.decisions,
        skipped=stage.skipped,
    )


def _decode_stage(message: wire.StageMetrics) -> StageStatus:
    return StageStatus(
        stage_id=StageId(message.stage_id),
        queued_tasks=message.queued_tasks,
        running_tasks=message.running_tasks,
        succeeded_tasks=message.succeeded_tasks,
        failed_tasks=message.failed_tasks,
        map_output_rows=message.map_output_rows,
        map_output_bytes=message.map_output_bytes,
        map_output_batches=message.map_output_batches,
        map_output_partitions=message.map_output_partitions,
        planned_reduce_tasks=message.planned_reduce_tasks,
        adaptive_reduce_tasks=message.adaptive_reduce_tasks,
        adaptive_target_bytes=message.adaptive_target_bytes,
        layout_finalize_count=message.layout_finalize_count,
        decisions=tuple(message.aqe_events),
        skipped=message.skipped,
    )
