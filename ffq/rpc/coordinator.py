"""A coordinator somewhere else, asked over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from google.protobuf.message import Message

from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    Assignment,
    AttemptStatus,
    CancelQuery,
    CancelReply,
    DrainWorker,
    FetchQueryResults,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    ListAttempts,
    ListQueries,
    ListWorkers,
    QueryStatus,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    ResultParts,
    SubmitReply,
    WorkerStatus,
)
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec import inspection, liveness, outputs, queries, tasks
from ffq.rpc.client import RpcChannel
from ffq.rpc.methods import CONTROL_PLANE, HEARTBEAT_SERVICE, INSPECTION, SHUFFLE_SERVICE, path

R = TypeVar("R", bound=Message)


class RemoteCoordinator:
    """`ffq.service.Coordinator` over a channel. Times in its replies are unix ms.

    A foreign coordinator answers UnsupportedPlan to the list_* and drain_worker calls, which are
    extensions, and `counted` is then always False: it never says.
    """

    def __init__(self, channel: RpcChannel) -> None:
        self._channel = channel

    async def submit_plan(self, query_id: QueryId, plan_bytes: bytes) -> SubmitReply:
        request = wire.SubmitQueryRequest(query_id=query_id, physical_plan_json=plan_bytes)
        reply = await self._control("SubmitQuery", request, wire.SubmitQueryResponse)
        return queries.decode_submit_reply(reply)

    async def get_query_status(self, msg: GetQueryStatus) -> QueryStatus:
        request = wire.GetQueryStatusRequest(query_id=msg.query_id)
        reply = await self._control("GetQueryStatus", request, wire.GetQueryStatusResponse)
        return queries.decode_status(reply.status)

    async def cancel_query(self, msg: CancelQuery) -> CancelReply:
        request = wire.CancelQueryRequest(query_id=msg.query_id, reason=msg.reason)
        reply = await self._control("CancelQuery", request, wire.CancelQueryResponse)
        return queries.decode_cancel_reply(reply)

    async def fetch_query_results(self, msg: FetchQueryResults) -> ResultParts:
        """The whole result in memory, as one part; see `stream_query_results`."""
        async with self.stream_query_results(msg.query_id) as chunks:
            return ResultParts((tuple([chunk async for chunk in chunks]),))

    @asynccontextmanager
    async def stream_query_results(self, query_id: QueryId) -> AsyncIterator[AsyncIterator[bytes]]:
        """One Arrow IPC stream, in pieces, while the block is open (R26)."""
        async with self._channel.stream(
            path(CONTROL_PLANE, "FetchQueryResults"),
            wire.FetchQueryResultsRequest(query_id=query_id),
            wire.QueryResultsChunk,
        ) as chunks:
            yield chunks.map(_payload)

    async def get_task(self, msg: GetTask) -> tuple[Assignment, ...]:
        reply = await self._control("GetTask", tasks.encode_get_task(msg), wire.GetTaskResponse)
        return tuple(tasks.decode_assignment(task) for task in reply.tasks)

    async def report_task_status(self, msg: ReportTaskStatus) -> ReportReply:
        """The reply's worker_id is the reporter's own: the wire does not name the holder."""
        reply = await self._control(
            "ReportTaskStatus", tasks.encode_report(msg), wire.ReportTaskStatusResponse
        )
        return ReportReply(reply.counted, msg.worker_id or WorkerId(""))

    async def register_map_output(self, msg: RegisterMapOutput) -> RegisterReply:
        reply = await self._channel.unary(
            path(SHUFFLE_SERVICE, "RegisterMapOutput"),
            outputs.encode_map_output(msg),
            wire.RegisterMapOutputResponse,
        )
        return RegisterReply(reply.counted, msg.worker_id)

    async def register_query_results(self, msg: RegisterQueryResults) -> RegisterReply:
        reply = await self._control(
            "RegisterQueryResults", outputs.encode_results(msg), wire.RegisterQueryResultsResponse
        )
        return RegisterReply(reply.counted, None)

    async def heartbeat(self, msg: Heartbeat) -> HeartbeatReply:
        reply = await self._channel.unary(
            path(HEARTBEAT_SERVICE, "Heartbeat"),
            liveness.encode_heartbeat(msg),
            wire.HeartbeatResponse,
        )
        return liveness.decode_heartbeat_reply(reply)

    async def list_queries(self, msg: ListQueries) -> tuple[QueryStatus, ...]:
        request = ext.ListQueriesRequest(limit=msg.limit)
        reply = await self._inspect("ListQueries", request, ext.ListQueriesResponse)
        return tuple(queries.decode_status(status) for status in reply.queries)

    async def list_attempts(self, msg: ListAttempts) -> tuple[AttemptStatus, ...]:
        request = ext.ListAttemptsRequest(query_id=msg.query_id)
        reply = await self._inspect("ListAttempts", request, ext.ListAttemptsResponse)
        return tuple(inspection.decode_attempt(status) for status in reply.attempts)

    async def list_workers(self, msg: ListWorkers) -> tuple[WorkerStatus, ...]:
        reply = await self._inspect(
            "ListWorkers", ext.ListWorkersRequest(), ext.ListWorkersResponse
        )
        return tuple(inspection.decode_worker(status) for status in reply.workers)

    async def drain_worker(self, msg: DrainWorker) -> None:
        request = ext.DrainWorkerRequest(worker_id=msg.worker_id)
        await self._inspect("DrainWorker", request, ext.DrainWorkerResponse)

    async def _control(self, method: str, request: Message, reply_type: type[R]) -> R:
        return await self._channel.unary(path(CONTROL_PLANE, method), request, reply_type)

    async def _inspect(self, method: str, request: Message, reply_type: type[R]) -> R:
        return await self._channel.unary(path(INSPECTION, method), request, reply_type)


def _payload(chunk: wire.QueryResultsChunk) -> bytes:
    return chunk.payload
