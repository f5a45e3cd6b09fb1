"""Nonsense over gRPC: whatever is sent, and whenever its sender leaves, the gateway serves on.

What stands in a request's fields gets a status of ours as its answer. Values are drawn from those
that break things: the ends of integer ranges, empty and huge strings, NUL characters, ids that
exist and ids that do not. Then bytes that are no message at all, and callers who leave at any
moment of a call.
"""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

import grpc
import pytest
import trio
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_ext_pb2 as ext
from tests.gateway.harness import ONE_STAGE, PLAN, Wire, open_gateway
from tests.profiles import variants

REQUESTS: dict[str, type[Message]] = {
    "SubmitQuery": wire.SubmitQueryRequest,
    "GetTask": wire.GetTaskRequest,
    "ReportTaskStatus": wire.ReportTaskStatusRequest,
    "GetQueryStatus": wire.GetQueryStatusRequest,
    "CancelQuery": wire.CancelQueryRequest,
    "RegisterQueryResults": wire.RegisterQueryResultsRequest,
    "FetchQueryResults": wire.FetchQueryResultsRequest,
    "RegisterMapOutput": wire.RegisterMapOutputRequest,
    "FetchShufflePartition": wire.FetchShufflePartitionRequest,
    "Heartbeat": wire.HeartbeatRequest,
    "ListQueries": ext.ListQueriesRequest,
    "ListAttempts": ext.ListAttemptsRequest,
    "ListWorkers": ext.ListWorkersRequest,
    "DrainWorker": ext.DrainWorkerRequest,
    "WatchQuery": ext.WatchQueryRequest,
    "PlanSql": ext.PlanSqlRequest,
    "RunQuery": ext.RunQueryRequest,
    "ListTables": ext.ListTablesRequest,
    "Work": ext.WorkRequest,  # of which one is sent, and no more
    "Poll": ext.PollRequest,
}
LASTING = {"WatchQuery", "RunQuery"}
"""Streams that end with what they are about: of these the first message is taken."""
STRINGS = (
    "q0", "q1", "q2", "w", "", "nobody", "..", "../etc", "a/b", "nul\0", "x" * 129, "é" * 3000,
    "\U0001f600" * 2000, "127.0.0.1:1", "host:0", "[::1]:99999", "\n%s%n{}",
)  # fmt: skip
BYTES = (
    b"",
    b"\xff\xfe",
    b"{}",
    b"null",
    b'"\\ud800"',
    b"[" * 300,
    PLAN.to_json(),
    b"\0" * 100_000,
)
SERVICES = (
    *wire.DESCRIPTOR.services_by_name.values(),
    *ext.DESCRIPTOR.services_by_name.values(),
)
PATHS = {
    f"/{service.full_name}/{method.name}": method.name
    for service in SERVICES
    for method in service.methods
}
FIELD = FieldDescriptor
UNSIGNED = {FIELD.TYPE_UINT32: 2**32 - 1, FIELD.TYPE_UINT64: 2**64 - 1}
CALLS = 400
FINE = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.UNAVAILABLE,  # a shuffle endpoint that nobody listens on
}


def fill(message: Message, rng: random.Random) -> None:
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.2:
            continue
        if field.is_repeated:
            for _ in range(rng.choice((0, 1, 3))):
                if field.type == FIELD.TYPE_MESSAGE:
                    fill(getattr(message, field.name).add(), rng)
                else:
                    getattr(message, field.name).append(value(field, rng))
        elif field.type == FIELD.TYPE_MESSAGE:
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name), rng)
        else:
            setattr(message, field.name, value(field, rng))


def value(field: Any, rng: random.Random) -> Any:
    match field.type:
        case FIELD.TYPE_STRING:
            # Most calls shall get past the ids.
            known = "w" if field.name == "worker_id" else rng.choice(("q0", "q1", "q2"))
            return known if rng.random() < 0.7 else rng.choice(STRINGS)
        case FIELD.TYPE_BYTES:
            return rng.choice(BYTES)
        case FIELD.TYPE_BOOL:
            return rng.random() < 0.5
        case FIELD.TYPE_ENUM:
            return rng.choice((*range(7), -1, 2**31 - 1))
        case kind:
            return rng.choice((0, 1, 1, 1, 2, 7, UNSIGNED[kind] // 2 + 1, UNSIGNED[kind]))


async def calls(client: Wire, rng: random.Random, count: int) -> set[grpc.StatusCode]:
    seen = set()
    for _ in range(count):
        method = rng.choice(tuple(REQUESTS))
        request = REQUESTS[method]()
        fill(request, rng)
        if method == "SubmitQuery" and rng.random() < 0.5:
            request.physical_plan_json = rng.choice((PLAN, ONE_STAGE)).to_json()  # type: ignore[attr-defined]
        if method == "Poll" and rng.random() < 0.8:
            request.stream = rng.choice((b"0", b"1")) * 16  # type: ignore[attr-defined]
            request.wait_ms %= 2  # type: ignore[attr-defined]
        try:
            if method in LASTING:
                async with client.reading(method, request):
                    pass
            else:
                await client.call(method, request)
        except grpc.RpcError as error:
            if error.code() not in FINE:
                pytest.fail(f"{method} of {request} gave {error.code()}: {error.details()}")
            seen.add(error.code())
    return seen


@pytest.mark.parametrize("seed", variants(range(3)))
async def test_R28_R29_whatever_stands_in_a_request_gets_a_status_of_ours(seed: int) -> None:
    async with open_gateway() as client:
        for query_id in ("q0", "q1"):
            await client.submit(query_id)
            tasks = await client.pull("w", 8)
            for task in tasks:
                await client.register(
                    task, wire.MapOutputPartition(reduce_partition=1, finalized=True)
                )
        seen = await calls(client, random.Random(seed), CALLS)
        assert {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND} <= seen
        await client.call("ListQueries", ext.ListQueriesRequest())
        await client.call("ListWorkers", ext.ListWorkersRequest())


def test_R28_every_rpc_of_every_service_is_tried() -> None:
    assert sorted(PATHS.values()) == sorted(REQUESTS)


async def busy(client: Wire) -> None:
    """Queries under way, so that nonsense meets something."""
    for query_id in ("q0", "q1"):
        await client.submit(query_id)
        for task in await client.pull("w", 8):
            await client.register(task, wire.MapOutputPartition(reduce_partition=1, finalized=True))


async def serves_on(client: Wire) -> None:
    await client.submit("afterwards", ONE_STAGE)
    (task,) = await client.pull("somebody", 1)
    while task.query_id != "afterwards":
        (task,) = await client.pull("somebody", 1)
    await client.upload("afterwards", b"rows")
    await client.report(task)
    assert (await client.status("afterwards")).state == wire.QUERY_STATE_SUCCEEDED
    assert await client.fetch("afterwards") == [b"rows"]
    assert (await client.status("q0")).query_id == "q0"


@pytest.mark.parametrize("seed", range(2))
async def test_R29_bytes_that_are_no_message_get_a_status(seed: int) -> None:
    rng = random.Random(seed)

    def send(channel: grpc.Channel, path: str, data: bytes) -> grpc.StatusCode:
        stub: Any = channel.unary_stream(path)
        try:
            answer = stub(data, timeout=20)
            if PATHS[path] in LASTING:
                next(answer)
                answer.cancel()
            else:
                list(answer)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    async with open_gateway() as client:
        await busy(client)
        for path, method in PATHS.items():
            for _ in range(12):
                message = REQUESTS[method]()
                fill(message, rng)
                data = bytearray(message.SerializeToString(deterministic=True)[:2000])
                for _ in range(rng.choice((1, 3, 30))):
                    data.insert(rng.randrange(len(data) + 1), rng.randrange(256))
                code = await trio.to_thread.run_sync(send, client.channel, path, bytes(data))
                # Bytes that no message of this type has are refused by gRPC itself: INTERNAL.
                assert code in {*FINE, grpc.StatusCode.OK, grpc.StatusCode.INTERNAL}, (path, code)
        await serves_on(client)


@pytest.mark.parametrize("seed", variants(range(2)))
async def test_R29_callers_who_leave_at_any_moment_hurt_nobody(seed: int) -> None:
    """Also those whose message is carried through without them, and fails for want of a query."""
    rng = random.Random(seed)

    def come_and_go(channel: grpc.Channel) -> None:
        for _ in range(60):
            for path, method in PATHS.items():
                message = REQUESTS[method]()
                fill(message, rng)
                if "query_id" in message.DESCRIPTOR.fields_by_name and rng.random() < 0.5:
                    message.query_id = "nobody"  # type: ignore[attr-defined]
                data = message.SerializeToString()
                stub: Any = channel.unary_stream(path)
                call = stub(data)
                time.sleep(rng.random() ** 3 * 0.003)
                call.cancel()

    async with open_gateway() as client:
        await busy(client)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(trio.to_thread.run_sync, partial(come_and_go, client.channel))
        await serves_on(client)


@pytest.mark.parametrize("reason", ["\U0001f600" * 3000, "%" * 4000, "\0\x7f\n" * 1000])
async def test_R29_a_long_reason_does_not_hide_the_status_it_is_told_with(reason: str) -> None:
    async with open_gateway() as client:
        await client.submit("q0")
        await client.call("CancelQuery", wire.CancelQueryRequest(query_id="q0", reason=reason))
        fetch = wire.FetchQueryResultsRequest(query_id="q0")
        refusal = await client.refused("FetchQueryResults", fetch)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "QUERY_CANCELED",
        )


async def test_R28_sizes_that_no_field_holds_in_sum_do_not_spoil_the_status() -> None:
    most = 2**64 - 1
    async with open_gateway() as client:
        await client.submit("q0")
        (task,) = await client.pull()
        named = [
            wire.MapOutputPartition(
                reduce_partition=at, bytes=most, rows=most, batches=most, finalized=True
            )
            for at in range(2)
        ]
        await client.register(task, *named)
        await client.report(task)
        stage = (await client.status("q0")).stage_metrics[1]
        assert (stage.map_output_bytes, stage.map_output_rows) == (most, most)
