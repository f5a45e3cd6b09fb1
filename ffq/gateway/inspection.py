"""ffq.ext.v1.Inspection: lists for people and tools, and draining."""

from __future__ import annotations

import attrs

from ffq.messages import ListWorkers
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec import inspection
from ffq.proto.codec.queries import encode_status
from ffq.rpc.methods import INSPECTION
from ffq.rpc.routes import Routes, Unary
from ffq.service import Coordinator


@attrs.frozen
class Inspection:
    """Handlers of the Inspection service. `unix_offset_ms`: unix time - the coordinator's clock."""

    coordinator: Coordinator
    unix_offset_ms: int

    async def list_queries(self, message: ext.ListQueriesRequest) -> ext.ListQueriesResponse:
        found = await self.coordinator.list_queries(inspection.decode_list_queries(message))
        return ext.ListQueriesResponse(
            queries=[encode_status(status, self.unix_offset_ms) for status in found]
        )

    async def list_attempts(self, message: ext.ListAttemptsRequest) -> ext.ListAttemptsResponse:
        found = await self.coordinator.list_attempts(inspection.decode_list_attempts(message))
        return ext.ListAttemptsResponse(
            attempts=[inspection.encode_attempt(status, self.unix_offset_ms) for status in found]
        )

    async def list_workers(self, _: ext.ListWorkersRequest) -> ext.ListWorkersResponse:
        found = await self.coordinator.list_workers(ListWorkers())
        return ext.ListWorkersResponse(
            workers=[inspection.encode_worker(status) for status in found]
        )

    async def drain_worker(self, message: ext.DrainWorkerRequest) -> ext.DrainWorkerResponse:
        await self.coordinator.drain_worker(inspection.decode_drain(message))
        return ext.DrainWorkerResponse()

    def routes(self) -> Routes:
        return (
            Unary(INSPECTION, "ListQueries", ext.ListQueriesRequest, self.list_queries),
            Unary(INSPECTION, "ListAttempts", ext.ListAttemptsRequest, self.list_attempts),
            Unary(INSPECTION, "ListWorkers", ext.ListWorkersRequest, self.list_workers),
            Unary(INSPECTION, "DrainWorker", ext.DrainWorkerRequest, self.drain_worker),
        )
