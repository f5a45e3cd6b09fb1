"""Fetching over real gRPC on loopback, from a store on disk."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from math import inf
from pathlib import Path

import attrs
import pyarrow as pa
import pytest
import trio

from ffq.errors import InvalidRequest, ShuffleInputError, Unavailable
from ffq.ids import Attempt, AttemptKey
from ffq.messages import FetchShufflePartition, ShuffleChunk
from ffq.plan.model import HashPartitioning
from ffq.rpc.client import open_channel
from ffq.rpc.options import RpcOptions
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import stream_route
from ffq.rpc.server import serve
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream
from ffq.shuffle.pieces import Piece
from ffq.shuffle.places import places_of, read_places
from ffq.worker.addresses import advertised_endpoint
from ffq.worker.inputs import FetchSettings, fetch_inputs
from ffq.worker.network import Network
from ffq.worker.serving import MAX_PARTS, ShuffleServer
from ffq.worker.transport import OPENED_BYTES, GrpcStream, GrpcTransport
from ffq.worker.wanted import InputPart
from tests.worker.fakes import MemorySpool, key

OPTIONS = RpcOptions(chunk_bytes=4096)
ROWS = 20_000


@attrs.frozen
class Peer:
    """A worker's shuffle service; `breaks` streams are cut after their first chunk.

    What was asked for: offsets, and whether files may be opened. `sent`: the sum of bytes. `lies`:
    not empty where the files that it tells of are others.
    """

    endpoint: str
    store: ShuffleStore
    starts: list[int]
    opens: list[bool]
    sent: list[int]
    lies: list[bool]


@attrs.frozen
class Told:
    """Chunks, each as `told` makes it."""

    chunks: AsyncIterator[ShuffleChunk]
    told: Callable[[ShuffleChunk], ShuffleChunk]

    def __aiter__(self) -> Told:
        return self

    async def __anext__(self) -> ShuffleChunk:
        return self.told(await anext(self.chunks))


@asynccontextmanager
async def peer(root: Path, *, breaks: int = 0, memory_bytes: int = 0) -> AsyncIterator[Peer]:
    store = ShuffleStore(root, memory_bytes=memory_bytes)
    server = ShuffleServer(store, OPTIONS.chunk_bytes)
    starts: list[int] = []
    opens: list[bool] = []
    sent = [0]
    lies: list[bool] = []

    def told(chunk: ShuffleChunk) -> ShuffleChunk:
        sent[0] += len(chunk.payload)
        if not lies:
            return chunk
        places = (attrs.evolve(place, inode=place.inode + 1) for place in chunk.places)
        return attrs.evolve(chunk, places=tuple(places))

    @asynccontextmanager
    async def stream(request: FetchShufflePartition) -> AsyncIterator[AsyncIterator[ShuffleChunk]]:
        starts.append(request.start_offset)
        opens.append(request.opens)
        if len(starts) <= breaks:
            request = attrs.evolve(request, max_bytes=OPTIONS.chunk_bytes)
        async with server.stream(request) as chunks:
            yield Told(chunks, told)

    async with trio.open_nursery() as nursery:
        address = await nursery.start(
            serve, (stream_route(FetchShufflePartition, stream),), "127.0.0.1:0", OPTIONS
        )
        yield Peer(address.endpoint, store, starts, opens, sent, lies)
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


def written(root: Path, store: ShuffleStore) -> list[InputPart]:
    """Parts of an output in one file, large enough to be opened; no endpoint."""
    schema = pa.schema([("k", pa.int64()), ("s", pa.string())])
    rows = OPENED_BYTES // 15
    with MapOutputWriter(
        root,
        key(1),
        HashPartitioning(("k",), 3),
        schema,
        family="test",
        compression=None,
        small=store.small,
    ) as writer:
        text = [f"row {at} of some length" for at in range(rows)]
        writer.write(pa.record_batch([pa.array(range(rows)), pa.array(text)], schema=schema))
        parts = writer.finish()
    return [InputPart(key(1), part.reduce_partition, "", part.bytes) for part in parts]


@attrs.define
class Nearby:
    """A peer's fetches: what a transport of `host` got, how much was sent to it, and what it has
    seen of the network to those who read.
    """

    got: list[bytes]
    sent: int
    rate: float


async def fetched_nearby(root: Path, host: str) -> tuple[Nearby, list[bytes]]:
    async with peer(root, memory_bytes=1) as it, open_channel(it.endpoint, OPTIONS) as channel:
        parts = [attrs.evolve(part, endpoint=it.endpoint) for part in written(root, it.store)]
        whole = [
            b"".join(
                chunk.payload for chunk in it.store.read_range(part.key, part.reduce_partition)
            )
            for part in parts
        ]
        network = Network(1.0)
        with ChannelPool(OPTIONS) as peers:
            items = await fetch_inputs(
                {0: parts},
                GrpcTransport(channel, peers, host, network),
                FetchSettings(),
                lambda part: MemorySpool(),
            )
        got = [item.spool.data for item in items[0]]  # type: ignore[attr-defined]
        return Nearby(got, it.sent[0], network.to_readers_bytes_per_s()), whole


async def test_large_parts_of_a_worker_of_this_host_are_read_from_its_file(tmp_path: Path) -> None:
    near, whole = await fetched_nearby(tmp_path, "127.0.0.1")
    assert (near.got, near.sent, near.rate) == (whole, 0, inf)


@pytest.mark.parametrize("host", ["", "127.0.0.2"])
async def test_those_of_another_host_are_sent(tmp_path: Path, host: str) -> None:
    near, whole = await fetched_nearby(tmp_path, host)
    assert (near.got, near.sent) == (whole, sum(map(len, whole)))
    assert 1.0 < near.rate < inf


def another(file: Path) -> None:
    """Of the same path, size and bytes, all but one of them."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    other = file.with_name("other")
    other.write_bytes(data)
    other.rename(file)


def test_a_file_is_read_only_if_it_is_the_one_that_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"0123456789")
    places = places_of([Piece(3, path=file, offset=2), Piece(4, path=file, offset=6)])
    assert places is not None
    assert b"".join(chunk.payload for chunk in read_places(places, 2)) == b"2346789"
    assert places_of([Piece.of(b"x"), Piece.file(file)]) is None
    link = tmp_path / "link"
    link.symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    for wrong in (
        attrs.evolve(places[0], device=places[0].device + 1),
        attrs.evolve(places[0], inode=places[0].inode + 1),
        attrs.evolve(places[0], file_bytes=9),
        attrs.evolve(places[0], path=str(link)),
        attrs.evolve(places[0], path=str(tmp_path / "pipe")),
        attrs.evolve(places[0], path=str(tmp_path)),
        attrs.evolve(places[0], path=str(tmp_path / "none")),
    ):
        with pytest.raises(OSError, match=r".+"):
            next(read_places([wrong], 2))
    another(file)
    with pytest.raises(OSError, match="another file"):
        next(read_places(places, 2))


async def test_where_the_file_is_another_one_the_bytes_are_sent(tmp_path: Path) -> None:
    """As where a worker in another container has an output of the same path."""
    async with peer(tmp_path, memory_bytes=1) as it, open_channel(it.endpoint, OPTIONS) as channel:
        parts = [attrs.evolve(part, endpoint=it.endpoint) for part in written(tmp_path, it.store)]
        whole = [
            b"".join(
                chunk.payload for chunk in it.store.read_range(part.key, part.reduce_partition)
            )
            for part in parts
        ]
        it.lies.append(True)
        with ChannelPool(OPTIONS) as peers:
            transport = GrpcTransport(channel, peers, "127.0.0.1")
            for _ in range(2):
                items = await fetch_inputs(
                    {0: parts}, transport, FetchSettings(), lambda part: MemorySpool()
                )
                assert [item.spool.data for item in items[0]] == whole  # type: ignore[attr-defined]
    assert it.opens == [True] + [False] * (len(it.opens) - 1)


@pytest.mark.parametrize("opens", [True, False])
async def test_no_file_is_opened_that_was_not_asked_for(tmp_path: Path, opens: bool) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"0123456789")
    places = places_of([Piece(10, path=file)])
    assert places is not None

    async def chunks() -> AsyncGenerator[ShuffleChunk, None]:
        yield ShuffleChunk(b"", 0, 0, 10, finalized=True, places=places)

    async with aclosing(chunks()) as told:
        stream = GrpcStream(told, lambda: None, opens=opens)
        if opens:
            chunk = await stream.receive()
            assert chunk is not None
            assert chunk.payload == b"0123456789"
        else:
            with pytest.raises(Unavailable, match="not asked for"):
                await stream.receive()
        stream.close()


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
