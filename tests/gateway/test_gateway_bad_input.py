"""Bad input over gRPC: each gives its status code and a stable reason, and the gateway goes on."""

from __future__ import annotations

import grpc
import pytest
import trio
from google.protobuf.message import Message

from ffq.core import CoordinatorSettings
from ffq.errors import StartupError
from ffq.gateway import serve_gateway
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_ext_pb2 as ext
from ffq.rpc.options import RpcOptions
from ffq.settings import GatewaySettings
from tests.gateway.harness import PLAN, open_gateway

Code = grpc.StatusCode


def submit(query_id: str, plan: bytes) -> wire.SubmitQueryRequest:
    return wire.SubmitQueryRequest(query_id=query_id, physical_plan_json=plan)


def report(query_id: str, **fields: int) -> wire.ReportTaskStatusRequest:
    message = wire.ReportTaskStatusRequest(
        query_id=query_id, state=wire.TASK_STATE_SUCCEEDED, attempt=1
    )
    for name, value in fields.items():
        setattr(message, name, value)
    return message


STRANGER = wire.TaskAttempt(stage_id=0, task_id=0, attempt=9)
CASES: dict[str, tuple[str, Message, grpc.StatusCode, str, str]] = {
    "plan that is not JSON": (
        "SubmitQuery",
        submit("1", b"\x00{"),
        Code.INVALID_ARGUMENT,
        "INVALID_PLAN",
        "",
    ),
    "unknown node": (
        "SubmitQuery",
        submit("1", b'{"Teleport": {}}'),
        Code.INVALID_ARGUMENT,
        "INVALID_PLAN",
        "Teleport",
    ),
    "plan too deep": (
        "SubmitQuery",
        submit("1", b"[" * 100_000 + b"]" * 100_000),
        Code.INVALID_ARGUMENT,
        "INVALID_PLAN",
        "",
    ),
    "plan too large": (
        "SubmitQuery",
        submit("1", b" " * 3_600_000),
        Code.INVALID_ARGUMENT,
        "INVALID_PLAN",
        "",
    ),
    "id with a path in it": (
        "SubmitQuery",
        submit("../etc", PLAN.to_json()),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "../etc",
    ),
    "no id": (
        "SubmitQuery",
        submit("", PLAN.to_json()),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "",
    ),
    "same id, other plan": (
        "SubmitQuery",
        submit("known", PLAN.limit(3).to_json()),
        Code.ALREADY_EXISTS,
        "PLAN_CONFLICT",
        "known",
    ),
    "status of an unknown query": (
        "GetQueryStatus",
        wire.GetQueryStatusRequest(query_id="nobody"),
        Code.NOT_FOUND,
        "UNKNOWN_QUERY",
        "nobody",
    ),
    "cancel of an unknown query": (
        "CancelQuery",
        wire.CancelQueryRequest(query_id="nobody"),
        Code.NOT_FOUND,
        "UNKNOWN_QUERY",
        "nobody",
    ),
    "results of an unknown query": (
        "FetchQueryResults",
        wire.FetchQueryResultsRequest(query_id="nobody"),
        Code.NOT_FOUND,
        "UNKNOWN_QUERY",
        "nobody",
    ),
    "results before SUCCEEDED": (
        "FetchQueryResults",
        wire.FetchQueryResultsRequest(query_id="known"),
        Code.FAILED_PRECONDITION,
        "NOT_READY",
        "known",
    ),
    "worker id with a path in it": (
        "GetTask",
        wire.GetTaskRequest(worker_id="../w", capacity=1),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "../w",
    ),
    "report of an unknown query": (
        "ReportTaskStatus",
        report("nobody"),
        Code.NOT_FOUND,
        "UNKNOWN_QUERY",
        "nobody",
    ),
    "report of an attempt nobody was assigned": (
        "ReportTaskStatus",
        report("known", stage_id=1, attempt=7),
        Code.NOT_FOUND,
        "UNKNOWN_TASK",
        "known/1/0/7",
    ),
    "report without a state": (
        "ReportTaskStatus",
        report("known", state=wire.TASK_STATE_UNSPECIFIED),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "state 0",
    ),
    "report with an unknown error kind": (
        "ReportTaskStatus",
        report("known", error_kind=99),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "99",
    ),
    "map output of an attempt nobody was assigned": (
        "RegisterMapOutput",
        wire.RegisterMapOutputRequest(query_id="known", stage_id=1, map_task=5, attempt=1),
        Code.NOT_FOUND,
        "UNKNOWN_TASK",
        "known/1/5/1",
    ),
    "map output with an endpoint that is none": (
        "RegisterMapOutput",
        wire.RegisterMapOutputRequest(query_id="known", shuffle_endpoint="nowhere"),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "nowhere",
    ),
    "fetch of an unregistered attempt": (
        "FetchShufflePartition",
        wire.FetchShufflePartitionRequest(query_id="known", stage_id=1, attempt=1),
        Code.NOT_FOUND,
        "UNKNOWN_TASK",
        "known/1/0/1",
    ),
    "fetch of the committed attempt before there is one": (
        "FetchShufflePartition",
        wire.FetchShufflePartitionRequest(query_id="known", stage_id=1),
        Code.FAILED_PRECONDITION,
        "NOT_READY",
        "stage 1 of query known",
    ),
    "fetch from an unknown query": (
        "FetchShufflePartition",
        wire.FetchShufflePartitionRequest(query_id="nobody", attempt=1),
        Code.NOT_FOUND,
        "UNKNOWN_QUERY",
        "nobody",
    ),
    "result of an attempt nobody was assigned": (
        "RegisterQueryResults",
        wire.RegisterQueryResultsRequest(query_id="known", ipc_payload=b"x", attempt=STRANGER),
        Code.NOT_FOUND,
        "UNKNOWN_TASK",
        "known/0/0/9",
    ),
    "piece of a result without its attempt": (
        "RegisterQueryResults",
        wire.RegisterQueryResultsRequest(query_id="known", ipc_payload=b"x", offset=10),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "attempt",
    ),
    "heartbeat without a worker id": (
        "Heartbeat",
        wire.HeartbeatRequest(),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "worker_id",
    ),
    "heartbeat with too many capabilities": (
        "Heartbeat",
        wire.HeartbeatRequest(
            worker_id="w", custom_operator_capabilities=[f"op{n}" for n in range(1000)]
        ),
        Code.INVALID_ARGUMENT,
        "INVALID_CONFIG",
        "1000",
    ),
    "drain of an unknown worker": (
        "DrainWorker",
        ext.DrainWorkerRequest(worker_id="nobody"),
        Code.NOT_FOUND,
        "UNKNOWN_WORKER",
        "nobody",
    ),
    "attempts of an unknown query": (
        "ListAttempts",
        ext.ListAttemptsRequest(query_id="nobody"),
        Code.NOT_FOUND,
        "UNKNOWN_QUERY",
        "nobody",
    ),
}


async def test_R28_R29_bad_input_is_refused_with_code_and_reason() -> None:
    wrong: dict[str, object] = {}
    async with open_gateway() as gateway:
        await gateway.submit("known")
        for name, (method, request, code, reason, named) in CASES.items():
            got = await gateway.refused(method, request)
            one_line = "\n" not in got.text and "Traceback" not in got.text
            if (got.code, got.reason) != (code, reason) or named not in got.text or not one_line:
                wrong[name] = got
        # The process goes on, and nothing of the above has changed anything.
        assert (await gateway.status("known")).state == wire.QUERY_STATE_QUEUED
        assert [task.stage_id for task in await gateway.pull()] == [1]
    assert wrong == {}


async def test_R28_bytes_that_are_no_protobuf_are_an_invalid_request() -> None:
    async with open_gateway() as gateway:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = gateway.channel.unary_unary(
            "/ffq.distributed.v1.ControlPlane/GetTask"
        )
        with pytest.raises(grpc.RpcError) as caught:
            await trio.to_thread.run_sync(send, b"\xff\xff\xff")
        assert caught.value.code() is Code.INVALID_ARGUMENT


async def test_R30_a_message_over_the_bound_is_refused_and_the_gateway_goes_on() -> None:
    small = RpcOptions(max_message_bytes=100_000, grace_s=0.2)
    async with open_gateway(rpc=small) as gateway:
        got = await gateway.refused("SubmitQuery", submit("1", b" " * 200_000))
        assert got.code is Code.RESOURCE_EXHAUSTED
        assert (await gateway.submit("1")).state == wire.QUERY_STATE_QUEUED


async def test_R29_over_a_quota_comes_with_retry_info() -> None:
    async with open_gateway(coordinator=CoordinatorSettings(max_queries=1)) as gateway:
        await gateway.submit("1")
        got = await gateway.refused("SubmitQuery", submit("2", PLAN.to_json()))
        assert (got.code, got.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA")
        assert got.retry_ms is not None
        assert got.retry_ms > 0


async def test_a_taken_port_is_one_clear_line() -> None:
    async with open_gateway() as gateway, trio.open_nursery() as nursery:
        with pytest.raises(StartupError, match=rf"^cannot listen on {gateway.endpoint}: .+$"):
            await nursery.start(serve_gateway, GatewaySettings(bind=gateway.endpoint))
        # The first one still has it.
        assert (await gateway.submit("1")).state == wire.QUERY_STATE_QUEUED
