"""A gateway on loopback in this Trio run, and a plain synchronous gRPC client on threads.

The client is grpc's own, so that what it sees is what any peer sees: status code, ErrorInfo and
RetryInfo, and messages without extension fields unless a test sets them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import grpc
import trio
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ffq import plan as p
from ffq.gateway import serve_gateway
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_distributed_pb2_grpc as wire_grpc
from ffq.proto import ffq_ext_pb2_grpc as ext_grpc
from ffq.rpc.options import RpcOptions
from ffq.settings import GatewaySettings

PLAN = p.scan("t", ["k", "v"]).aggregate(["k"], [p.col("v").sum().alias("s")], partitions=4)
ONE_STAGE = p.scan("t", ["k", "v"]).filter(p.col("v") > 1)
CALL_TIMEOUT_S = 20


@attrs.frozen
class Refusal:
    """How a call failed, as a foreign client sees it."""

    code: grpc.StatusCode
    reason: str
    text: str
    retry_ms: int | None


@attrs.frozen
class Wire:
    """Calls over one channel. Each runs on a thread; `call("GetTask", request)`."""

    endpoint: str
    channel: grpc.Channel

    async def call(self, method: str, request: Message, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """The reply; for a stream the list of its messages. Raises grpc.RpcError."""
        return await trio.to_thread.run_sync(
            partial(self._call, method, request, timeout_s), abandon_on_cancel=True
        )

    def _call(self, method: str, request: Message, timeout_s: float) -> Any:
        reply = self._stub(method)(request, timeout=timeout_s)
        return reply if isinstance(reply, Message) else list(reply)

    @asynccontextmanager
    async def reading(self, method: str, request: Message) -> AsyncIterator[None]:
        """A stream of which one message was taken, and 64 KiB are on their way at most."""
        window = [("grpc.http2.lookahead_bytes", 1 << 16), ("grpc.http2.bdp_probe", 0)]
        with grpc.insecure_channel(self.endpoint, options=window) as channel:
            stub = Wire(self.endpoint, channel)._stub(method)
            stream = stub(request, timeout=3 * CALL_TIMEOUT_S)
            await trio.to_thread.run_sync(next, stream, abandon_on_cancel=True)
            yield

    def _stub(self, method: str) -> Any:
        if method == "Work":
            work = ext_grpc.ExchangeStub(self.channel).Work
            return lambda request, timeout: work(iter([request]), timeout=timeout)
        for stub in (
            wire_grpc.ControlPlaneStub,
            wire_grpc.ShuffleServiceStub,
            wire_grpc.HeartbeatServiceStub,
            ext_grpc.InspectionStub,
            ext_grpc.SqlStub,
            ext_grpc.ExchangeStub,
        ):
            found = getattr(stub(self.channel), method, None)
            if found is not None:
                return found
        raise AssertionError(f"no service has {method}")

    async def refused(
        self, method: str, request: Message, timeout_s: float = CALL_TIMEOUT_S
    ) -> Refusal:
        """The call must fail: how."""
        try:
            reply = await self.call(method, request, timeout_s)
        except grpc.RpcError as error:
            return refusal(error)
        raise AssertionError(f"{method} was answered with {reply}")

    async def submit(self, query_id: str, plan: p.Relation = PLAN) -> Any:
        return await self.call(
            "SubmitQuery",
            wire.SubmitQueryRequest(query_id=query_id, physical_plan_json=plan.to_json()),
        )

    async def pull(self, worker_id: str = "w", capacity: int = 1) -> list[wire.TaskAssignment]:
        request = wire.GetTaskRequest(worker_id=worker_id, capacity=capacity)
        return list((await self.call("GetTask", request)).tasks)

    async def report(self, task: wire.TaskAssignment, state: str = "SUCCEEDED") -> Any:
        return await self.call(
            "ReportTaskStatus",
            wire.ReportTaskStatusRequest(
                query_id=task.query_id,
                stage_id=task.stage_id,
                task_id=task.task_id,
                attempt=task.attempt,
                state=wire.TaskState.Value(f"TASK_STATE_{state}"),
                layout_version=task.layout_version,
                layout_fingerprint=task.layout_fingerprint,
            ),
        )

    async def register(
        self, task: wire.TaskAssignment, *partitions: wire.MapOutputPartition, endpoint: str = ""
    ) -> Any:
        return await self.call(
            "RegisterMapOutput",
            wire.RegisterMapOutputRequest(
                query_id=task.query_id,
                stage_id=task.stage_id,
                map_task=task.task_id,
                attempt=task.attempt,
                partitions=partitions,
                layout_version=task.layout_version,
                layout_fingerprint=task.layout_fingerprint,
                shuffle_endpoint=endpoint,
            ),
        )

    async def upload(self, query_id: str, payload: bytes) -> Any:
        return await self.call(
            "RegisterQueryResults",
            wire.RegisterQueryResultsRequest(query_id=query_id, ipc_payload=payload),
        )

    async def status(self, query_id: str) -> wire.QueryStatus:
        request = wire.GetQueryStatusRequest(query_id=query_id)
        status: wire.QueryStatus = (await self.call("GetQueryStatus", request)).status
        return status

    async def fetch(self, query_id: str) -> list[bytes]:
        request = wire.FetchQueryResultsRequest(query_id=query_id)
        return [chunk.payload for chunk in await self.call("FetchQueryResults", request)]


def refusal(error: grpc.RpcError) -> Refusal:
    status = rpc_status.from_call(error)
    reason, retry_ms = "", None
    for detail in status.details if status is not None else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            assert info.domain == "ffq.dev"
            reason = info.reason
        elif detail.Unpack(retry):
            retry_ms = retry.retry_delay.ToMilliseconds()
    return Refusal(error.code(), reason, error.details() or "", retry_ms)


@asynccontextmanager
async def open_gateway(**settings: Any) -> AsyncIterator[Wire]:
    """A gateway on a free port; `settings` are those of GatewaySettings."""
    rpc = settings.pop("rpc", RpcOptions(grace_s=0.2))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(
            serve_gateway, GatewaySettings(bind="127.0.0.1:0", rpc=rpc, **settings)
        )
        with grpc.insecure_channel(address.endpoint) as channel:
            yield Wire(address.endpoint, channel)
        nursery.cancel_scope.cancel()
