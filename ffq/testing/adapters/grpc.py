"""A coordinator reached over gRPC, by the fixed wire only: no field from 1000 up is set or read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Self, TypeVar, cast

import grpc

from ffq.errors import Unavailable
from ffq.proto import ffq_distributed_pb2 as pb
from ffq.proto import ffq_distributed_pb2_grpc as pb_grpc
from ffq.rpc.options import DEFAULT_OPTIONS, channel_arguments
from ffq.rpc.status import FailedCall, error_of
from ffq.testing.wire import (
    OutputPartition,
    PartitionView,
    QueryState,
    Refusal,
    StageView,
    StatusView,
    TaskState,
    TaskView,
)

T = TypeVar("T")

DEADLINE_S = 15.0
_GONE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class GrpcAdapter:
    """Blocking calls to one coordinator. Waiting takes real time.

    Raises:
        Unavailable: the coordinator cannot be reached, or does not answer within `deadline_s`.
    """

    def __init__(self, endpoint: str, deadline_s: float = DEADLINE_S) -> None:
        self._endpoint = endpoint
        self._deadline_s = deadline_s
        self._channel = grpc.insecure_channel(endpoint, options=channel_arguments(DEFAULT_OPTIONS))
        self._control = pb_grpc.ControlPlaneStub(self._channel)
        self._shuffle = pb_grpc.ShuffleServiceStub(self._channel)
        self._liveness = pb_grpc.HeartbeatServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._channel.close()

    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        request = pb.SubmitQueryRequest(query_id=query_id, physical_plan_json=plan)
        return self._answered(
            lambda: _state(self._control.SubmitQuery(request, timeout=self._deadline_s).state)
        )

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        request = pb.GetTaskRequest(worker_id=worker_id, capacity=capacity)
        return self._answered(
            lambda: tuple(
                map(_task_view, self._control.GetTask(request, timeout=self._deadline_s).tasks)
            )
        )

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        request = pb.ReportTaskStatusRequest(
            query_id=task.query_id,
            stage_id=task.stage_id,
            task_id=task.task_id,
            attempt=task.attempt,
            state=pb.TaskState.ValueType(state.value),
            message=message,
            layout_version=task.layout_version,
            layout_fingerprint=task.layout_fingerprint,
        )
        return self._acknowledged(
            lambda: self._control.ReportTaskStatus(request, timeout=self._deadline_s)
        )

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        request = pb.HeartbeatRequest(
            worker_id=worker_id,
            at_ms=int(time.time() * 1000),
            custom_operator_capabilities=sorted(capabilities),
        )
        return self._answered(
            lambda: self._liveness.Heartbeat(request, timeout=self._deadline_s).accepted
        )

    def register_map_output(
        self, task: TaskView, partitions: tuple[OutputPartition, ...]
    ) -> Refusal | None:
        request = pb.RegisterMapOutputRequest(
            query_id=task.query_id,
            stage_id=task.stage_id,
            map_task=task.task_id,
            attempt=task.attempt,
            partitions=[
                pb.MapOutputPartition(
                    reduce_partition=each.reduce_partition,
                    bytes=each.bytes,
                    rows=each.rows,
                    batches=each.batches,
                    stream_epoch=each.stream_epoch,
                    committed_offset=each.committed_offset,
                    finalized=each.finalized,
                )
                for each in partitions
            ],
            layout_version=task.layout_version,
            layout_fingerprint=task.layout_fingerprint,
        )
        return self._acknowledged(
            lambda: self._shuffle.RegisterMapOutput(request, timeout=self._deadline_s)
        )

    def register_results(self, query_id: str, payload: bytes) -> Refusal | None:
        request = pb.RegisterQueryResultsRequest(query_id=query_id, ipc_payload=payload)
        return self._acknowledged(
            lambda: self._control.RegisterQueryResults(request, timeout=self._deadline_s)
        )

    def status(self, query_id: str) -> StatusView | Refusal:
        request = pb.GetQueryStatusRequest(query_id=query_id)
        return self._answered(
            lambda: _status_view(
                self._control.GetQueryStatus(request, timeout=self._deadline_s).status
            )
        )

    def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
        request = pb.CancelQueryRequest(query_id=query_id, reason=reason)
        return self._answered(
            lambda: _state(self._control.CancelQuery(request, timeout=self._deadline_s).state)
        )

    def fetch_results(self, query_id: str) -> bytes | Refusal:
        request = pb.FetchQueryResultsRequest(query_id=query_id)
        return self._answered(
            lambda: b"".join(
                chunk.payload
                for chunk in self._control.FetchQueryResults(request, timeout=self._deadline_s)
            )
        )

    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        request = pb.FetchShufflePartitionRequest(
            query_id=task.query_id,
            stage_id=task.stage_id,
            map_task=task.task_id,
            attempt=task.attempt,
            reduce_partition=reduce_partition,
            layout_version=task.layout_version,
        )
        return self._answered(
            lambda: _partition_view(
                self._shuffle.FetchShufflePartition(request, timeout=self._deadline_s)
            )
        )

    def advance(self, ms: int) -> None:
        time.sleep(ms / 1000)

    def _answered(self, call: Callable[[], T]) -> T | Refusal:
        try:
            return call()
        except grpc.RpcError as error:
            failed = cast(FailedCall, error)
            typed = error_of(failed, self._endpoint)
            if failed.code() in _GONE:
                raise Unavailable(typed.message) from error
            return Refusal(failed.code().name, typed.stable_reason, typed.message)

    def _acknowledged(self, call: Callable[[], object]) -> Refusal | None:
        reply = self._answered(call)
        return reply if isinstance(reply, Refusal) else None


def _state(number: int) -> QueryState:
    """Raises ValueError for a state that is not on the wire: no coordinator may answer it."""
    return QueryState(number)


def _task_view(task: pb.TaskAssignment) -> TaskView:
    return TaskView(
        query_id=task.query_id,
        stage_id=task.stage_id,
        task_id=task.task_id,
        attempt=task.attempt,
        plan=task.plan_fragment_json,
        reduce_partitions=tuple(task.assigned_reduce_partitions),
        split_index=task.assigned_reduce_split_index,
        split_count=task.assigned_reduce_split_count,
        layout_version=task.layout_version,
        layout_fingerprint=task.layout_fingerprint,
    )


def _status_view(status: pb.QueryStatus) -> StatusView:
    return StatusView(
        state=_state(status.state),
        submitted_at_ms=status.submitted_at_ms,
        started_at_ms=status.started_at_ms,
        finished_at_ms=status.finished_at_ms,
        message=status.message,
        stages=tuple(
            StageView(
                stage.stage_id,
                stage.queued_tasks,
                stage.running_tasks,
                stage.succeeded_tasks,
                stage.failed_tasks,
                stage.map_output_rows,
                stage.map_output_bytes,
            )
            for stage in status.stage_metrics
        ),
    )


def _partition_view(chunks: Iterable[pb.ShufflePartitionChunk]) -> PartitionView:
    payload, watermark, finalized = b"", 0, False
    for chunk in chunks:
        payload += chunk.payload
        watermark, finalized = chunk.watermark_offset, chunk.finalized
    return PartitionView(watermark, finalized, payload)
