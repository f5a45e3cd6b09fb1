"""Workers as far as a server sees them: they pull tasks, and report each without running it.

Bare grpc.aio calls in this process, the same ones for whatever server there is: a GetTask for
several tasks, and for each of these RegisterMapOutput, or RegisterQueryResults for a sink, and
ReportTaskStatus.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import attrs
import grpc

from ffq.plan.codec import dump_plan
from ffq.plan.model import Node
from ffq.proto import ffq_distributed_pb2 as pb

PACKAGE: Final = "/ffq.distributed.v1"
SINK = 0
_IDLE_S = 0.002


@attrs.frozen
class Calls:
    """The calls of workers to one server."""

    channel: grpc.aio.Channel

    async def call(self, method: str, message: Any, reply: Any) -> Any:
        """`method`: Service/Method."""
        unary = self.channel.unary_unary(
            f"{PACKAGE}.{method}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=reply.FromString,
        )
        return await unary(message)

    async def submit(self, query_id: str, plan: Node) -> None:
        request = pb.SubmitQueryRequest(query_id=query_id, physical_plan_json=dump_plan(plan))
        await self.call("ControlPlane/SubmitQuery", request, pb.SubmitQueryResponse)

    async def beat(self, worker: str) -> None:
        request = pb.HeartbeatRequest(
            worker_id=worker,
            at_ms=1,
            custom_operator_capabilities=["ffq.splits"],
            incarnation=1,
            shuffle_endpoint="127.0.0.1:1",
            engine_family="benchmark",
            slots=1_000,
        )
        await self.call("HeartbeatService/Heartbeat", request, pb.HeartbeatResponse)

    async def pull(self, worker: str, capacity: int) -> Any:
        request = pb.GetTaskRequest(worker_id=worker, capacity=capacity, incarnation=1)
        return await self.call("ControlPlane/GetTask", request, pb.GetTaskResponse)

    async def finish(self, worker: str, task: Any) -> None:
        """Output or result, then the report."""
        if task.stage_id == SINK:
            await self._result(task)
        else:
            await self._output(worker, task)
        report = pb.ReportTaskStatusRequest(
            query_id=task.query_id,
            stage_id=task.stage_id,
            task_id=task.task_id,
            attempt=task.attempt,
            state=pb.TASK_STATE_SUCCEEDED,
            layout_version=task.layout_version,
            layout_fingerprint=task.layout_fingerprint,
            worker_id=worker,
            incarnation=1,
        )
        await self.call("ControlPlane/ReportTaskStatus", report, pb.ReportTaskStatusResponse)

    async def _result(self, task: Any) -> None:
        attempt = pb.TaskAttempt(stage_id=task.stage_id, task_id=task.task_id, attempt=task.attempt)
        request = pb.RegisterQueryResultsRequest(query_id=task.query_id, attempt=attempt)
        reply = pb.RegisterQueryResultsResponse
        await self.call("ControlPlane/RegisterQueryResults", request, reply)

    async def _output(self, worker: str, task: Any) -> None:
        row = pb.MapOutputPartition(
            reduce_partition=0, bytes=8, rows=1, batches=1, committed_offset=8, finalized=True
        )
        request = pb.RegisterMapOutputRequest(
            query_id=task.query_id,
            stage_id=task.stage_id,
            map_task=task.task_id,
            attempt=task.attempt,
            partitions=[row],
            layout_version=task.layout_version,
            layout_fingerprint=task.layout_fingerprint,
            worker_id=worker,
            incarnation=1,
            shuffle_endpoint="127.0.0.1:1",
        )
        reply = pb.RegisterMapOutputResponse
        await self.call("ShuffleService/RegisterMapOutput", request, reply)


async def work_off(calls: Calls, tasks: int, workers: int, capacity: int) -> None:
    """Workers that pull until so many tasks are done; each finishes those of an answer at once."""
    left = tasks

    async def one(worker: str) -> None:
        nonlocal left
        while left > 0:
            answer = (await calls.pull(worker, min(capacity, left))).tasks
            left -= len(answer)
            if answer:
                await asyncio.gather(*(calls.finish(worker, task) for task in answer))
            else:
                await asyncio.sleep(_IDLE_S)

    await asyncio.gather(*(one(f"puller-{number}") for number in range(workers)))
