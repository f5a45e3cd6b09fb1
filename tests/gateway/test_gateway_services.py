"""The services over gRPC, to a peer on the fixed wire unless a test sets extension fields."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ffq.catalog import ScanSettings
from ffq.errors import UnknownId
from ffq.ids import AttemptKey
from ffq.messages import FetchShufflePartition, ShuffleChunk
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_ext_pb2 as ext
from ffq.rpc.routes import OnThreads, stream_route
from ffq.rpc.server import serve
from ffq.shuffle.ipc import decode_stream, encode_stream
from tests.gateway.harness import ONE_STAGE, Wire, open_gateway


def stream_of(*values: int) -> bytes:
    schema = pa.schema([("v", pa.int64())])
    batches = [pa.record_batch([pa.array([value])], schema=schema) for value in values]
    return b"".join(encode_stream(schema, batches))


async def run_sink(gateway: Wire, query_id: str, payload: bytes) -> None:
    """A one-stage query whose result is `payload`."""
    await gateway.submit(query_id, ONE_STAGE)
    (task,) = await gateway.pull()
    await gateway.upload(query_id, payload)
    await gateway.report(task)


async def test_R3_R22_R26_a_query_of_two_stages_by_a_peer_on_the_fixed_wire() -> None:
    before_ms = int(time.time() * 1000)
    async with open_gateway() as gateway:
        assert (await gateway.submit("7")).state == wire.QUERY_STATE_QUEUED
        (task,) = await gateway.pull(capacity=4)
        assert (task.stage_id, task.task_id, task.attempt) == (1, 0, 1)
        assert task.assigned_reduce_split_count == 1
        part = wire.MapOutputPartition(reduce_partition=2, bytes=10, rows=1, batches=1)
        await gateway.register(task, part)
        part.finalized = True
        await gateway.register(task, part)
        assert (await gateway.report(task)).counted
        (reducer,) = await gateway.pull(capacity=4)
        assert (reducer.stage_id, list(reducer.assigned_reduce_partitions)) == (0, [0, 1, 2, 3])
        assert (await gateway.upload("7", stream_of(5))).counted
        await gateway.report(reducer)
        status = await gateway.status("7")
        assert status.state == wire.QUERY_STATE_SUCCEEDED
        assert before_ms - 1 <= status.submitted_at_ms <= status.started_at_ms
        assert status.started_at_ms <= status.finished_at_ms <= time.time() * 1000 + 1
        assert b"".join(await gateway.fetch("7")) == stream_of(5)


async def test_R26_an_empty_payload_is_an_empty_arrow_stream() -> None:
    async with open_gateway() as gateway:
        await run_sink(gateway, "1", b"")
        table = decode_stream(await gateway.fetch("1")).read_all()
        assert (table.num_rows, table.num_columns) == (0, 0)


async def test_a_large_result_comes_in_chunks_below_a_peers_limit() -> None:
    payload = stream_of(1) + bytes(5_000_000)
    async with open_gateway() as gateway:
        await run_sink(gateway, "1", payload)
        chunks = await gateway.fetch("1")
        assert b"".join(chunks) == payload
        assert max(len(chunk) for chunk in chunks) <= 1024 * 1024


@asynccontextmanager
async def open_with_two_parts(
    folder: Path, first: bytes, second: bytes, piece_bytes: int, **settings: Any
) -> AsyncIterator[Wire]:
    """A gateway with a finished query "1" of two sink tasks; each gave a part, in pieces."""
    table = folder / "table"
    table.mkdir()
    for name in "ab":
        pq.write_table(pa.table({"k": [1], "v": [2]}), table / f"{name}.parquet")
    catalog = folder / "tables.json"
    catalog.write_text(json.dumps([{"name": "t", "paths": [str(table)]}]))
    scans = ScanSettings(target_bytes=1)
    async with open_gateway(catalog_path=catalog, scans=scans, **settings) as gateway:
        await gateway.call(
            "Heartbeat",
            wire.HeartbeatRequest(
                worker_id="w",
                custom_operator_capabilities=["ffq.splits"],
                incarnation=1,
                engine_family="test",
                shuffle_endpoint="127.0.0.1:1",
            ),
        )
        await gateway.submit("1", ONE_STAGE)
        request = wire.GetTaskRequest(worker_id="w", capacity=8, incarnation=1)
        tasks = sorted((await gateway.call("GetTask", request)).tasks, key=lambda t: t.task_id)
        assert [task.task_id for task in tasks] == [0, 1]
        assert all(task.scans and task.task_count == 2 for task in tasks)
        for task, payload in ((tasks[1], second), (tasks[0], first)):
            owner = wire.TaskAttempt(stage_id=0, task_id=task.task_id, attempt=1)
            for offset in range(0, len(payload), piece_bytes):
                end = offset + piece_bytes
                reply = await gateway.call(
                    "RegisterQueryResults",
                    wire.RegisterQueryResultsRequest(
                        query_id="1",
                        ipc_payload=payload[offset:end],
                        attempt=owner,
                        offset=offset,
                        more=end < len(payload),
                    ),
                )
                assert reply.counted
            await gateway.report(task)
        yield gateway


async def test_R26_parts_of_several_sink_tasks_become_one_stream_in_task_order(
    tmp_path: Path,
) -> None:
    first, second = stream_of(0), stream_of(1)
    async with open_with_two_parts(tmp_path, first, second, len(first) - 9) as gateway:
        table = decode_stream(await gateway.fetch("1")).read_all()
        assert table.column("v").to_pylist() == [0, 1]


async def test_R23_R24_fetch_is_passed_on_to_the_worker_that_serves_the_attempt() -> None:
    asked: list[FetchShufflePartition] = []
    chunks = [ShuffleChunk(b"xy", start, start + 2, 8, finalized=True) for start in (4, 6)]

    @asynccontextmanager
    async def stream(request: FetchShufflePartition) -> AsyncIterator[AsyncIterator[ShuffleChunk]]:
        asked.append(request)
        if request.reduce_partition == 3:
            raise UnknownId("gone", reason="UNKNOWN_ATTEMPT")
        yield OnThreads(iter(chunks), trio.CapacityLimiter(1))

    async with open_gateway() as gateway, trio.open_nursery() as nursery:
        address = await nursery.start(
            serve, (stream_route(FetchShufflePartition, stream),), "127.0.0.1:0"
        )
        await gateway.submit("1")
        (task,) = await gateway.pull()
        await gateway.register(
            task,
            *(wire.MapOutputPartition(reduce_partition=n, rows=1, finalized=True) for n in (2, 3)),
            endpoint=address.endpoint,
        )
        await gateway.report(task)
        request = wire.FetchShufflePartitionRequest(
            query_id="1", stage_id=1, reduce_partition=2, start_offset=4, max_bytes=4
        )
        chunks = await gateway.call("FetchShufflePartition", request)
        assert b"".join(chunk.payload for chunk in chunks) == b"xyxy"
        assert [(c.start_offset, c.end_offset, c.watermark_offset) for c in chunks] == [
            (4, 6, 8),
            (6, 8, 8),
        ]
        # Attempt 0 was asked for; the worker was asked for the committed one.
        assert asked[0].key == AttemptKey("1", 1, 0, 1)  # type: ignore[arg-type]
        request.reduce_partition = 3
        got = await gateway.refused("FetchShufflePartition", request)
        assert (got.code, got.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_ATTEMPT")
        nursery.cancel_scope.cancel()


async def test_a_worker_that_is_gone_is_unavailable_not_unknown() -> None:
    async with open_gateway() as gateway:
        await gateway.submit("1")
        (task,) = await gateway.pull()
        part = wire.MapOutputPartition(reduce_partition=0, rows=1, finalized=True)
        await gateway.register(task, part, endpoint="127.0.0.1:1")
        request = wire.FetchShufflePartitionRequest(query_id="1", stage_id=1, attempt=1)
        got = await gateway.refused("FetchShufflePartition", request)
        assert (got.code, got.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")


@pytest.fixture
def shared_root(tmp_path: Path) -> Path:
    """A peer's shuffle folder that holds partition 2 of attempt 1/1/0/1: 2.5 MB, own framing."""
    folder = tmp_path / "shuffle" / "1" / "1" / "0" / "1"
    folder.mkdir(parents=True)
    (folder / "part-2.ipc").write_bytes(b"PEER" + bytes(2_500_000))
    return tmp_path


async def test_R23_R24_bytes_of_a_shared_folder_are_passed_through_by_range(
    shared_root: Path,
) -> None:
    async with open_gateway(shuffle_root=shared_root) as gateway:
        await gateway.submit("1")
        (task,) = await gateway.pull()
        await gateway.register(
            task,
            wire.MapOutputPartition(reduce_partition=2, bytes=2_500_004, rows=1, finalized=True),
            wire.MapOutputPartition(reduce_partition=3, bytes=9, rows=1, finalized=True),
        )
        await gateway.report(task)

        async def fetch(**fields: int) -> list[wire.ShufflePartitionChunk]:
            request = wire.FetchShufflePartitionRequest(query_id="1", stage_id=1)
            for name, value in fields.items():
                setattr(request, name, value)
            chunks: list[wire.ShufflePartitionChunk] = await gateway.call(
                "FetchShufflePartition", request
            )
            return chunks

        whole = await fetch(reduce_partition=2)
        assert b"".join(chunk.payload for chunk in whole) == b"PEER" + bytes(2_500_000)
        assert [chunk.start_offset for chunk in whole[1:]] == [c.end_offset for c in whole[:-1]]
        assert whole[-1].finalized
        assert whole[-1].end_offset == whole[-1].watermark_offset == 2_500_004
        (middle,) = await fetch(reduce_partition=2, start_offset=2, max_bytes=4)
        assert (middle.payload, middle.start_offset, middle.end_offset) == (b"ER\0\0", 2, 6)
        (past,) = await fetch(reduce_partition=2, start_offset=2_500_004)
        assert (past.payload, past.finalized) == (b"", True)
        (empty,) = await fetch(reduce_partition=1)
        assert (empty.payload, empty.finalized, empty.watermark_offset) == (b"", True, 0)
        request = wire.FetchShufflePartitionRequest(query_id="1", stage_id=1, reduce_partition=3)
        got = await gateway.refused("FetchShufflePartition", request)
        assert (got.code, got.reason) == (grpc.StatusCode.INTERNAL, "IO")
        request = wire.FetchShufflePartitionRequest(
            query_id="1", stage_id=1, reduce_partition=2, min_stream_epoch=1
        )
        got = await gateway.refused("FetchShufflePartition", request)
        assert (got.code, got.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_READY")


async def test_inspection_lists_queries_attempts_and_workers_and_drains() -> None:
    async with open_gateway() as gateway:
        await gateway.submit("1")
        await gateway.submit("2")
        (task,) = await gateway.pull("w")
        queries = (await gateway.call("ListQueries", ext.ListQueriesRequest())).queries
        assert [query.query_id for query in queries] == ["2", "1"]
        request = ext.ListAttemptsRequest(query_id=task.query_id)
        (attempt,) = (await gateway.call("ListAttempts", request)).attempts
        assert (attempt.worker_id, attempt.state) == ("w", wire.TASK_STATE_RUNNING)
        assert abs(attempt.assigned_at_ms - time.time() * 1000) < 60_000
        (worker,) = (await gateway.call("ListWorkers", ext.ListWorkersRequest())).workers
        assert (worker.worker_id, worker.running_attempts, worker.draining) == ("w", 1, False)
        await gateway.call("DrainWorker", ext.DrainWorkerRequest(worker_id="w"))
        assert await gateway.pull("w") == []
        beat = await gateway.call("Heartbeat", wire.HeartbeatRequest(worker_id="w"))
        assert not beat.accepted


async def test_the_health_service_knows_the_services() -> None:
    async with open_gateway() as gateway:
        stub = health_pb2_grpc.HealthStub(gateway.channel)
        for service in ("", "ffq.distributed.v1.ControlPlane", "ffq.ext.v1.Inspection"):
            request = health_pb2.HealthCheckRequest(service=service)
            reply = await trio.to_thread.run_sync(stub.Check, request)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


SLOW_READERS = 24
"""More than there are threads that merge results or read for others."""


async def test_slow_readers_hold_up_nobody_else(tmp_path: Path) -> None:
    """They take one chunk, and no more: what a notebook does that shows the first rows."""
    schema = pa.schema([("v", pa.binary())])
    batch = pa.record_batch([pa.array([bytes(1 << 20)])], schema=schema)
    part = b"".join(encode_stream(schema, [batch] * 8))
    async with open_with_two_parts(tmp_path, part, part, 2 << 20, shuffle_root=tmp_path) as gateway:
        await gateway.submit("2")
        (task,) = await gateway.pull("peer")
        folder = tmp_path / "shuffle" / "2" / str(task.stage_id) / "0" / "1"
        folder.mkdir(parents=True)
        with (folder / "part-2.ipc").open("wb") as file:
            file.truncate(16 << 20)
        size = wire.MapOutputPartition(reduce_partition=2, bytes=16 << 20, rows=1, finalized=True)
        await gateway.register(task, size)
        await gateway.report(task)
        whole = wire.FetchShufflePartitionRequest(
            query_id="2", stage_id=task.stage_id, attempt=1, reduce_partition=2
        )
        result = wire.FetchQueryResultsRequest(query_id="1")
        async with AsyncExitStack() as stack:
            for _ in range(SLOW_READERS):
                await stack.enter_async_context(gateway.reading("FetchQueryResults", result))
                await stack.enter_async_context(gateway.reading("FetchShufflePartition", whole))
            table = decode_stream(await gateway.fetch("1")).read_all()
            assert table.num_rows == 16
            chunks = await gateway.call("FetchShufflePartition", whole)
            assert chunks[-1].end_offset == 16 << 20
            (task,) = await gateway.pull("peer")
            await gateway.upload("2", stream_of(2))
            await gateway.report(task)
            assert decode_stream(await gateway.fetch("2")).read_all()["v"].to_pylist() == [2]
