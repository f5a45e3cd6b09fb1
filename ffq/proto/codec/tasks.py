"""Tasks: assignments to workers and their reports."""

from __future__ import annotations

from collections.abc import Iterable

from ffq.errors import InvalidRequest
from ffq.ids import Attempt, StageId, TaskId, parse_worker_id
from ffq.messages import (
    Assignment,
    ErrorKind,
    GetTask,
    LostInput,
    PartitionSize,
    PartitionValue,
    ReportReply,
    ReportTaskStatus,
    ScanInput,
    ScanSplit,
    ShuffleInput,
    TableFormat,
)
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec.values import (
    bounded,
    decode_key,
    decode_layout,
    decode_task_state,
    decode_usage,
    encode_task_state,
    encode_usage,
    parse_optional_worker_id,
    short,
)


def decode_get_task(message: wire.GetTaskRequest) -> GetTask:
    return GetTask(parse_worker_id(message.worker_id), message.capacity, message.incarnation)


def encode_get_task(request: GetTask) -> wire.GetTaskRequest:
    return wire.GetTaskRequest(
        worker_id=request.worker_id, capacity=request.capacity, incarnation=request.incarnation
    )


def encode_assignments(assignments: tuple[Assignment, ...]) -> wire.GetTaskResponse:
    return wire.GetTaskResponse(tasks=[encode_assignment(each) for each in assignments])


def decode_assignments(message: wire.GetTaskResponse) -> tuple[Assignment, ...]:
    return tuple(decode_assignment(each) for each in message.tasks)


def encode_assignment(assignment: Assignment) -> wire.TaskAssignment:
    key = assignment.key
    return wire.TaskAssignment(
        query_id=key.query_id,
        stage_id=key.stage_id,
        task_id=key.task_id,
        attempt=key.attempt,
        plan_fragment_json=assignment.plan_bytes,
        assigned_reduce_partitions=assignment.reduce_partitions,
        assigned_reduce_split_count=assignment.split_count,
        layout_version=assignment.layout.version,
        layout_fingerprint=assignment.layout.fingerprint,
        scans=encode_scans(assignment.scans),
        inputs=encode_inputs(assignment.inputs),
        task_count=assignment.task_count,
        inlined_stages=assignment.inlined,
    )


def decode_assignment(message: wire.TaskAssignment) -> Assignment:
    return Assignment(
        key=decode_key(message),
        plan_bytes=message.plan_fragment_json,
        reduce_partitions=tuple(message.assigned_reduce_partitions),
        layout=decode_layout(message),
        scans=decode_scans(message.scans),
        inputs=decode_inputs(message.inputs),
        task_count=message.task_count,
        split_count=message.assigned_reduce_split_count,
        inlined=tuple(map(StageId, message.inlined_stages)),
    )


def encode_scans(scans: Iterable[ScanInput]) -> list[wire.ScanInput]:
    return [_encode_scan(scan) for scan in scans]


def encode_inputs(inputs: Iterable[ShuffleInput]) -> list[wire.ShuffleInput]:
    return [_encode_input(source) for source in inputs]


def decode_scans(messages: Iterable[wire.ScanInput]) -> tuple[ScanInput, ...]:
    return tuple([_decode_scan(each) for each in messages])


def decode_inputs(messages: Iterable[wire.ShuffleInput]) -> tuple[ShuffleInput, ...]:
    return tuple([_decode_input(each) for each in messages])


def _encode_scan(scan: ScanInput) -> wire.ScanInput:
    return wire.ScanInput(
        leaf=scan.leaf,
        table=scan.table,
        splits=[
            wire.ScanSplit(
                path=split.path,
                row_group_start=split.row_group_start,
                row_group_end=split.row_group_end,
                bytes=split.bytes,
                file_bytes=split.file_bytes,
                modified_us=split.modified_us,
                partition=[
                    wire.PartitionValue(name=each.name, data_type=each.data_type, value=each.value)
                    for each in split.partition
                ],
            )
            for split in scan.splits
        ],
        format=None if scan.format is None else _encode_format(scan.format),
    )


def _encode_format(format_: TableFormat) -> wire.TableFormat:
    return wire.TableFormat(
        name=format_.name,
        columns=[wire.TableColumn(name=name, type=kind) for name, kind in format_.columns],
        options=[wire.FormatOption(name=name, value=value) for name, value in format_.options],
    )


def _decode_format(message: wire.TableFormat) -> TableFormat:
    return TableFormat(
        message.name,
        tuple((each.name, each.type) for each in message.columns),
        tuple((each.name, each.value) for each in message.options),
    )


def _decode_scan(message: wire.ScanInput) -> ScanInput:
    splits = tuple(_decode_split(split) for split in message.splits)
    format_ = _decode_format(message.format) if message.HasField("format") else None
    return ScanInput(message.leaf, message.table, splits, format_)


def _decode_split(message: wire.ScanSplit) -> ScanSplit:
    return ScanSplit(
        path=message.path,
        row_group_start=message.row_group_start,
        row_group_end=message.row_group_end,
        bytes=message.bytes,
        file_bytes=message.file_bytes,
        modified_us=message.modified_us,
        partition=tuple(
            PartitionValue(
                each.name, each.data_type, each.value if each.HasField("value") else None
            )
            for each in message.partition
        ),
    )


def _encode_input(source: ShuffleInput) -> wire.ShuffleInput:
    return wire.ShuffleInput(
        stage_id=source.stage_id,
        map_task=source.map_task,
        attempt=source.attempt,
        endpoint=source.endpoint,
        partitions=[
            wire.PartitionSize(
                reduce_partition=size.reduce_partition,
                bytes=size.bytes,
                rows=size.rows,
                content=size.content,
            )
            for size in source.partitions
        ],
    )


def _decode_input(message: wire.ShuffleInput) -> ShuffleInput:
    return ShuffleInput(
        stage_id=StageId(message.stage_id),
        map_task=TaskId(message.map_task),
        attempt=Attempt(message.attempt),
        endpoint=message.endpoint,
        partitions=tuple(
            PartitionSize(size.reduce_partition, size.bytes, size.rows, size.content)
            for size in message.partitions
        ),
    )


def decode_report(message: wire.ReportTaskStatusRequest) -> ReportTaskStatus:
    lost = message.lost_inputs
    return ReportTaskStatus(
        key=decode_key(message),
        state=decode_task_state(message.state),
        message=short(message.message),
        layout=decode_layout(message),
        worker_id=parse_optional_worker_id(message.worker_id),
        incarnation=message.incarnation,
        kind=_decode_kind(message.error_kind),
        lost_inputs=tuple(map(_decode_lost, bounded(lost, "lost_inputs"))) if lost else (),
        usage=decode_usage(message.usage) if message.HasField("usage") else None,
    )


def _decode_lost(lost: wire.LostInput) -> LostInput:
    return LostInput(StageId(lost.stage_id), TaskId(lost.map_task), Attempt(lost.attempt))


def encode_report(report: ReportTaskStatus) -> wire.ReportTaskStatusRequest:
    key = report.key
    return wire.ReportTaskStatusRequest(
        query_id=key.query_id,
        stage_id=key.stage_id,
        task_id=key.task_id,
        attempt=key.attempt,
        state=encode_task_state(report.state),
        message=short(report.message),
        layout_version=report.layout.version,
        layout_fingerprint=report.layout.fingerprint,
        worker_id=report.worker_id or "",
        incarnation=report.incarnation,
        error_kind=wire.ErrorKind.ValueType(report.kind.value if report.kind else 0),
        lost_inputs=[
            wire.LostInput(stage_id=lost.stage_id, map_task=lost.map_task, attempt=lost.attempt)
            for lost in report.lost_inputs
        ],
        usage=None if report.usage is None else encode_usage(report.usage),
    )


def _decode_kind(number: int) -> ErrorKind | None:
    if number == wire.ERROR_KIND_UNSPECIFIED:
        return None
    try:
        return ErrorKind(number)
    except ValueError:
        raise InvalidRequest(f"error_kind {number} is not a kind of error") from None


def encode_report_reply(reply: ReportReply) -> wire.ReportTaskStatusResponse:
    return wire.ReportTaskStatusResponse(counted=reply.counted)


def decode_report_reply(message: wire.ReportTaskStatusResponse) -> ReportReply:
    """The wire does not name the attempt's holder."""
    return ReportReply(message.counted, None)
