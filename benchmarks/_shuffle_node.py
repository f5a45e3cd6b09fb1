"""`python -m benchmarks._shuffle_node KIND FOLDER`: a process that serves map outputs, and fetches.

KIND is `ffq`, our shuffle service and client as workers have them; `bare`, grpc.aio with the same
messages; or `flight`, Arrow Flight. The first two keep freed memory as workers do: as glibc is set
by itself, the same bare stream took 1.2 to 2.6 ms a MiB. A line on stdin, "PARTITION ENDPOINT ...",
has it fetch that partition from each of these at the same time, into memory; it says then how many
bytes those were. It ends when stdin closes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import pyarrow as pa
import pyarrow.flight as fl
import trio

from ffq.cli.allocator import keep_freed_memory
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.messages import FetchShufflePartition
from ffq.proto import ffq_distributed_pb2 as pb
from ffq.rpc.client import RpcChannel
from ffq.rpc.options import DEFAULT_OPTIONS
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import stream_route
from ffq.rpc.server import serve
from ffq.shuffle.layout import attempt_folder, part_file
from ffq.shuffle.store import DEFAULT_CHUNK_BYTES, ShuffleStore
from ffq.worker.inputs import FetchSettings, fetch_inputs
from ffq.worker.serving import ShuffleServer
from ffq.worker.spool import FragmentSpool, MemoryBudget
from ffq.worker.transport import GrpcTransport
from ffq.worker.wanted import InputPart

KEY: Final = AttemptKey(QueryId("benchmark"), StageId(1), TaskId(0), Attempt(1))
READY, FETCHED = "node ready on ", "fetched "
ANY_PORT: Final = "127.0.0.1:0"
METHOD: Final = "FetchShufflePartition"
SERVICE: Final = "ffq.distributed.v1.ShuffleService"
ROOM: Final = 1 << 40


def part_of(folder: Path, partition: int) -> Path:
    """The file of a partition that every node has."""
    return attempt_folder(folder, KEY) / part_file(partition)


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


async def fetch_ours(transport: GrpcTransport, partition: int, endpoints: list[str]) -> int:
    """As a task fetches what it reads. Its bytes."""
    budget = MemoryBudget(ROOM)
    parts = [InputPart(KEY, partition, endpoint) for endpoint in endpoints]
    spools = [FragmentSpool(Path(), budget) for _ in parts]
    left = iter(spools)
    await fetch_inputs({0: parts}, transport, FetchSettings(), lambda _: next(left))
    return sum(spool.size for spool in spools)


async def ours(folder: Path) -> None:
    """Our service and client, in one Trio run as in a worker."""
    server = ShuffleServer(ShuffleStore(folder), DEFAULT_CHUNK_BYTES)
    routes = (stream_route(FetchShufflePartition, server.stream),)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, routes, ANY_PORT)
        say(f"{READY}{address.endpoint}")
        with ChannelPool(DEFAULT_OPTIONS) as peers:
            transport = GrpcTransport(RpcChannel(ANY_PORT.replace(":0", ":1")), peers)
            async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
                async for line in stdin:
                    partition, *endpoints = line.decode().split()
                    size = await fetch_ours(transport, int(partition), endpoints)
                    say(f"{FETCHED}{size}")
        nursery.cancel_scope.cancel()


def bare_handler(folder: Path) -> Callable[..., AsyncIterator[Any]]:
    """Reads a file, and sends it, in messages as large as ours."""

    async def stream(request: Any, _context: Any) -> AsyncIterator[Any]:
        path = part_of(folder, request.reduce_partition)
        watermark, at = path.stat().st_size, 0
        with path.open("rb") as file:
            while data := file.read(DEFAULT_CHUNK_BYTES):
                yield pb.ShufflePartitionChunk(
                    payload=data,
                    start_offset=at,
                    end_offset=at + len(data),
                    watermark_offset=watermark,
                    finalized=True,
                )
                at += len(data)

    return stream


async def fetch_bare(channels: dict[str, Any], partition: int, endpoint: str) -> int:
    if endpoint not in channels:
        channels[endpoint] = grpc.aio.insecure_channel(endpoint)
    call = channels[endpoint].unary_stream(
        f"/{SERVICE}/{METHOD}",
        request_serializer=pb.FetchShufflePartitionRequest.SerializeToString,
        response_deserializer=pb.ShufflePartitionChunk.FromString,
    )
    request = pb.FetchShufflePartitionRequest(query_id="benchmark", reduce_partition=partition)
    kept = [chunk.payload async for chunk in call(request)]
    return sum(map(len, kept))


async def bare(folder: Path) -> None:
    """grpc.aio, and nothing else."""
    server = grpc.aio.server()
    method = grpc.unary_stream_rpc_method_handler(
        bare_handler(folder),
        request_deserializer=pb.FetchShufflePartitionRequest.FromString,
        response_serializer=pb.ShufflePartitionChunk.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})]
    )
    port = server.add_insecure_port(ANY_PORT)
    await server.start()
    say(f"{READY}127.0.0.1:{port}")
    channels: dict[str, Any] = {}
    while line := await asyncio.to_thread(sys.stdin.readline):
        partition, *endpoints = line.split()
        fetches = (fetch_bare(channels, int(partition), endpoint) for endpoint in endpoints)
        say(f"{FETCHED}{sum(await asyncio.gather(*fetches))}")
    for channel in channels.values():
        await channel.close()
    await server.stop(None)


class FlightServer(fl.FlightServerBase):  # type: ignore[misc]  # untyped
    """Serves the batches of a partition's file, which is mapped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"grpc://{ANY_PORT}")
        self._folder = folder

    def do_get(self, _context: Any, ticket: Any) -> Any:
        path = part_of(self._folder, int(ticket.ticket))
        return fl.RecordBatchStream(pa.ipc.open_stream(pa.memory_map(str(path))))


def fetch_flight(clients: dict[str, Any], partition: int, endpoint: str) -> int:
    if endpoint not in clients:
        clients[endpoint] = fl.connect(f"grpc://{endpoint}")
    reader = clients[endpoint].do_get(fl.Ticket(str(partition).encode()))
    size: int = reader.read_all().nbytes
    return size


def flight(folder: Path) -> None:
    """Arrow Flight, in C++ on both sides."""
    server = FlightServer(folder)
    say(f"{READY}127.0.0.1:{server.port}")
    clients: dict[str, Any] = {}
    with ThreadPoolExecutor(8) as threads:
        for line in sys.stdin:
            partition, *endpoints = line.split()
            fetch = partial(fetch_flight, clients, int(partition))
            say(f"{FETCHED}{sum(threads.map(fetch, endpoints))}")
    server.shutdown()


def main() -> None:
    """Serve and fetch until stdin closes."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind != "flight":
        keep_freed_memory()
    if kind == "flight":
        flight(folder)
    elif kind == "bare":
        asyncio.run(bare(folder))
    else:
        trio.run(ours, folder)


if __name__ == "__main__":
    main()
