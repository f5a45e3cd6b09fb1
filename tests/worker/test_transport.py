"""Fetching over real gRPC on loopback, from a store on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import attrs
import pyarrow as pa
import pytest
import trio

from ffq.errors import InvalidRequest, ShuffleInputError
from ffq.ids import Attempt, AttemptKey
from ffq.messages import FetchShufflePartition, ShuffleChunk
from ffq.plan.model import HashPartitioning
from ffq.rpc.client import open_channel
from ffq.rpc.options import RpcOptions
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import stream_route
from ffq.rpc.server import serve
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream
from ffq.worker.addresses import advertised_endpoint
from ffq.worker.inputs import FetchSettings, fetch_inputs
from ffq.worker.serving import MAX_PARTS, ShuffleServer
from ffq.worker.transport import GrpcTransport
from ffq.worker.wanted import InputPart
from tests.worker.fakes import MemorySpool, key

OPTIONS = RpcOptions(chunk_bytes=4096)
ROWS = 20_000


@attrs.frozen
class Peer:
    """A worker's shuffle service; `breaks` streams are cut after their first chunk."""

    endpoint: str
    store: ShuffleStore
    starts: list[int]


@asynccontextmanager
async def peer(root: Path, *, breaks: int = 0, memory_bytes: int = 0) -> AsyncIterator[Peer]:
    store = ShuffleStore(root, memory_bytes=memory_bytes)
    server = ShuffleServer(store, OPTIONS.chunk_bytes)
    starts: list[int] = []

    def stream(
        request: FetchShufflePartition,
    ) -> AbstractAsyncContextManager[AsyncIterator[ShuffleChunk]]:
        starts.append(request.start_offset)
        if len(starts) <= breaks:
            request = attrs.evolve(request, max_bytes=OPTIONS.chunk_bytes)
        return server.stream(request)

    async with trio.open_nursery() as nursery:
        address = await nursery.start(
            serve, (stream_route(FetchShufflePartition, stream),), "127.0.0.1:0", OPTIONS
        )
        yield Peer(address.endpoint, store, starts)
        nursery.cancel_scope.cancel()


def write_output(root: Path) -> None:
    schema = pa.schema([("k", pa.int64())])
    with MapOutputWriter(
        root, key(1), HashPartitioning(("k",), 2), schema, family="test"
    ) as writer:
        writer.write(pa.record_batch([pa.array(range(ROWS))], schema=schema))
        writer.finish()


async def test_partitions_arrive_whole_over_broken_streams(tmp_path: Path) -> None:
    """R24: each new stream begins where the last one broke."""
    write_output(tmp_path)
    async with peer(tmp_path, breaks=3) as it, open_channel(it.endpoint, OPTIONS) as channel:
        with ChannelPool(OPTIONS) as peers:
            wanted = {0: [InputPart(key(1), part, it.endpoint) for part in (0, 1)]}
            fetched = await fetch_inputs(
                wanted,
                GrpcTransport(channel, peers),
                FetchSettings(concurrency=1),
                lambda part: MemorySpool(),
            )
    assert it.starts[:4] == [0, 4096, 8192, 12288]
    rows = [
        value
        for item in fetched[0]
        for value in decode_stream([item.spool.data]).read_all()["k"].to_pylist()  # type: ignore[attr-defined]
    ]
    assert sorted(rows) == list(range(ROWS))


async def test_all_parts_of_a_worker_arrive_in_one_call(tmp_path: Path) -> None:
    """Those on disk and those in memory, and one without rows, for its schema."""
    schema = pa.schema([("k", pa.int64())])
    whole: dict[tuple[AttemptKey, int], bytes] = {}
    async with peer(tmp_path, memory_bytes=1 << 20) as it:
        for task, rows in ((0, ROWS), (1, 5)):
            with MapOutputWriter(
                tmp_path,
                key(1, task),
                HashPartitioning(("k",), 7),
                schema,
                family="test",
                small=it.store.small,
            ) as writer:
                writer.write(pa.record_batch([pa.array(range(rows))], schema=schema))
                writer.finish()
            for at in range(7):
                chunks = it.store.read_range(key(1, task), at)
                whole[key(1, task), at] = b"".join(chunk.payload for chunk in chunks)
        wanted = [InputPart(*of, it.endpoint, len(data)) for of, data in whole.items()]
        async with open_channel(it.endpoint, OPTIONS) as channel:
            with ChannelPool(OPTIONS) as peers:
                fetched = await fetch_inputs(
                    {0: wanted},
                    GrpcTransport(channel, peers),
                    FetchSettings(),
                    lambda part: MemorySpool(),
                )
                assert it.starts == [0]
                first = wanted[0]
                too_many = GrpcTransport(channel, peers).fetch(first, 0, [first] * MAX_PARTS)
                with pytest.raises(InvalidRequest, match="at most are 1024"):
                    async with too_many as stream:
                        await stream.receive()
                committed = attrs.evolve(first, key=attrs.evolve(first.key, attempt=Attempt(0)))
                with pytest.raises(InvalidRequest, match="exact attempts"):
                    async with GrpcTransport(channel, peers).fetch(first, 0, [committed]) as stream:
                        await stream.receive()
    assert [item.spool.data for item in fetched[0]] == list(whole.values())  # type: ignore[attr-defined]


async def test_a_dead_endpoint_is_a_lost_input(tmp_path: Path) -> None:
    settings = FetchSettings(patience_ms=200)
    async with peer(tmp_path) as it, open_channel(it.endpoint, OPTIONS) as channel:
        with ChannelPool(OPTIONS) as peers:
            for endpoint in ("127.0.0.1:1", "no endpoint"):
                wanted = {0: [InputPart(key(1), 0, endpoint)]}
                with pytest.raises(ShuffleInputError) as info:
                    await fetch_inputs(
                        wanted, GrpcTransport(channel, peers), settings, lambda part: MemorySpool()
                    )
                assert info.value.inputs == ((1, 0, 1),)


@pytest.mark.parametrize(
    ("advertise", "bound", "expected"),
    [
        ("", "127.0.0.1:7", "127.0.0.1:7"),
        ("", "0.0.0.0:7", "127.0.0.1:7"),
        ("", "[::]:7", "127.0.0.1:7"),
        ("db7.example.org", "0.0.0.0:7", "db7.example.org:7"),
        ("db7.example.org:9", "0.0.0.0:7", "db7.example.org:9"),
    ],
)
def test_the_address_told_to_others_is_one_that_they_can_reach(
    advertise: str, bound: str, expected: str
) -> None:
    assert advertised_endpoint(advertise, bound, "127.0.0.1:50051") == expected
