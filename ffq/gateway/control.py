"""ControlPlane and HeartbeatService: decode once, ask the coordinator, encode the reply."""

from __future__ import annotations

import attrs

from ffq.gateway.results import ResultStreams
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec import liveness, outputs, queries, tasks
from ffq.proto.codec.values import parse_query_id
from ffq.rpc.methods import CONTROL_PLANE, HEARTBEAT_SERVICE
from ffq.rpc.routes import Routes, Send, ServerStream, Unary
from ffq.service import Coordinator


@attrs.frozen
class ControlPlane:
    """Handlers of the RPCs of clients and workers. `unix_offset_ms`: unix time - clock."""

    coordinator: Coordinator
    results: ResultStreams
    unix_offset_ms: int

    async def submit_query(self, message: wire.SubmitQueryRequest) -> wire.SubmitQueryResponse:
        query_id = parse_query_id(message.query_id)
        reply = await self.coordinator.submit_plan(query_id, message.physical_plan_json)
        return queries.encode_submit_reply(reply)

    async def get_task(self, message: wire.GetTaskRequest) -> wire.GetTaskResponse:
        assignments = await self.coordinator.get_task(tasks.decode_get_task(message))
        return wire.GetTaskResponse(tasks=[tasks.encode_assignment(each) for each in assignments])

    async def report_task_status(
        self, message: wire.ReportTaskStatusRequest
    ) -> wire.ReportTaskStatusResponse:
        reply = await self.coordinator.report_task_status(tasks.decode_report(message))
        return tasks.encode_report_reply(reply)

    async def get_query_status(
        self, message: wire.GetQueryStatusRequest
    ) -> wire.GetQueryStatusResponse:
        status = await self.coordinator.get_query_status(queries.decode_get_status(message))
        return wire.GetQueryStatusResponse(
            status=queries.encode_status(status, self.unix_offset_ms)
        )

    async def cancel_query(self, message: wire.CancelQueryRequest) -> wire.CancelQueryResponse:
        reply = await self.coordinator.cancel_query(queries.decode_cancel(message))
        return queries.encode_cancel_reply(reply)

    async def register_query_results(
        self, message: wire.RegisterQueryResultsRequest
    ) -> wire.RegisterQueryResultsResponse:
        reply = await self.coordinator.register_query_results(outputs.decode_results(message))
        return outputs.encode_results_reply(reply)

    async def fetch_query_results(
        self, message: wire.FetchQueryResultsRequest, send: Send[wire.QueryResultsChunk]
    ) -> None:
        found = await self.coordinator.fetch_query_results(outputs.decode_fetch_results(message))

        async def send_bytes(payload: bytes) -> None:
            await send(wire.QueryResultsChunk(payload=payload))

        await self.results.send(found, send_bytes)

    async def heartbeat(self, message: wire.HeartbeatRequest) -> wire.HeartbeatResponse:
        reply = await self.coordinator.heartbeat(liveness.decode_heartbeat(message))
        return liveness.encode_heartbeat_reply(reply)

    def routes(self) -> Routes:
        service = CONTROL_PLANE
        return (
            Unary(service, "SubmitQuery", wire.SubmitQueryRequest, self.submit_query),
            Unary(service, "GetTask", wire.GetTaskRequest, self.get_task),
            Unary(
                service, "ReportTaskStatus", wire.ReportTaskStatusRequest, self.report_task_status
            ),
            Unary(service, "GetQueryStatus", wire.GetQueryStatusRequest, self.get_query_status),
            Unary(service, "CancelQuery", wire.CancelQueryRequest, self.cancel_query),
            Unary(
                service,
                "RegisterQueryResults",
                wire.RegisterQueryResultsRequest,
                self.register_query_results,
            ),
            ServerStream(
                service,
                "FetchQueryResults",
                wire.FetchQueryResultsRequest,
                self.fetch_query_results,
            ),
            Unary(HEARTBEAT_SERVICE, "Heartbeat", wire.HeartbeatRequest, self.heartbeat),
        )
