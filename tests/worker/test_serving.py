"""The shuffle service over gRPC, from files: what is in the system's cache, and what is not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs
import pyarrow as pa
import pytest
import trio

from ffq.messages import FetchShufflePartition
from ffq.plan.model import HashPartitioning
from ffq.rpc.client import open_channel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.options import RpcOptions
from ffq.rpc.routes import stream_route
from ffq.rpc.server import serve
from ffq.shuffle import MapOutputWriter, ShuffleStore
from ffq.worker.serving import ShuffleServer
from tests.worker.fakes import key

OPTIONS = RpcOptions(grace_s=0.2)
CHUNK = 1000
ROWS = 20_000


def write_output(root: Path) -> None:
    schema = pa.schema([("k", pa.int64())])
    partitioning = HashPartitioning(("k",), 2)
    with MapOutputWriter(root, key(1), partitioning, schema, family="test") as writer:
        writer.write(pa.record_batch([pa.array(range(ROWS))], schema=schema))
        writer.finish()


@attrs.define
class Cache:
    """Stands in for the system's: it has of every `one_in` reads all, and of the others nothing.

    0: it never has anything. `had` counts reads.
    """

    one_in: int
    asked: int = 0
    had: int = 0

    def preadv(self, file: int, buffers: Sequence[memoryview], offset: int, _flags: int) -> int:
        self.asked += 1
        if not self.one_in or self.asked % self.one_in:
            raise BlockingIOError
        self.had += 1
        (buffer,) = buffers
        found = os.pread(file, len(buffer), offset)
        buffer[: len(found)] = found
        return len(found)


@pytest.mark.parametrize("one_in", [0, 1, 2, 3])
async def test_R24_a_partition_comes_whole_whatever_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_in: int
) -> None:
    write_output(tmp_path)
    store, cache = ShuffleStore(tmp_path), Cache(one_in)
    whole = b"".join(chunk.payload for chunk in store.read_range(key(1), 1))
    monkeypatch.setattr(os, "preadv", cache.preadv)
    monkeypatch.setattr("ffq.shuffle.pieces._NOWAIT", 8)
    routes = (stream_route(FetchShufflePartition, ShuffleServer(store, CHUNK).stream),)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, routes, "127.0.0.1:0", OPTIONS)
        async with open_channel(address.endpoint, OPTIONS) as channel:
            for start in (0, 7):
                asked = FetchShufflePartition(key(1), 1, start)
                found = b""
                async with RemoteCoordinator(channel).stream(asked) as chunks:
                    async for chunk in chunks:
                        assert chunk.start_offset == start + len(found)
                        found += chunk.payload
                assert found == whole[start:]
        nursery.cancel_scope.cancel()
    assert bool(cache.had) == bool(one_in)
    assert cache.asked > 10
