"""Watches over gRPC: with the result where it is small, and no hindrance to a gateway that ends."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import trio

from ffq.errors import Unavailable
from ffq.gateway.watching import INLINE_BYTES
from ffq.ids import QueryId
from ffq.messages import QueryState, QueryUpdate, WatchQuery
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_ext_pb2 as ext
from ffq.rpc.client import open_channel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.options import RpcOptions
from ffq.shuffle.ipc import decode_stream
from tests.gateway.harness import ONE_STAGE, Wire, open_gateway
from tests.gateway.test_gateway_services import open_with_two_parts, run_sink, stream_of


async def last(gateway: Wire, *, result: bool) -> ext.QueryUpdate:
    request = ext.WatchQueryRequest(query_id="1", result=result)
    *_, update = await gateway.call("WatchQuery", request)
    assert isinstance(update, ext.QueryUpdate)
    assert update.status.state == wire.QUERY_STATE_SUCCEEDED
    return update


async def test_a_small_result_comes_with_the_end_for_those_who_want_it() -> None:
    async with open_gateway() as gateway:
        await run_sink(gateway, "1", stream_of(1, 2))
        assert (await last(gateway, result=True)).result == stream_of(1, 2)
        assert not (await last(gateway, result=False)).HasField("result")


@pytest.mark.parametrize(("size", "inline"), [(INLINE_BYTES, True), (INLINE_BYTES + 1, False)])
async def test_a_result_is_small_up_to_a_bound(size: int, inline: bool) -> None:
    async with open_gateway() as gateway:
        await run_sink(gateway, "1", bytes(size))
        assert (await last(gateway, result=True)).HasField("result") == inline


async def test_a_result_of_no_bytes_is_an_empty_arrow_stream() -> None:
    async with open_gateway() as gateway:
        await run_sink(gateway, "1", b"")
        table = decode_stream([(await last(gateway, result=True)).result]).read_all()
        assert (table.num_rows, table.num_columns) == (0, 0)


async def test_small_parts_of_several_sink_tasks_come_as_one_stream(tmp_path: Path) -> None:
    first, second = stream_of(0), stream_of(1)
    async with open_with_two_parts(tmp_path, first, second, len(first)) as gateway:
        table = decode_stream([(await last(gateway, result=True)).result]).read_all()
        assert table.column("v").to_pylist() == [0, 1]


async def test_parts_that_make_no_stream_are_left_to_who_fetches_them(tmp_path: Path) -> None:
    async with open_with_two_parts(tmp_path, stream_of(0), b"no stream", 100) as gateway:
        assert not (await last(gateway, result=True)).HasField("result")


class Follower:
    """A client of ours that watches one query."""

    def __init__(self) -> None:
        self.updates: list[QueryUpdate] = []
        self.begun, self.ended = trio.Event(), trio.Event()

    async def follow(self, endpoint: str, query_id: str) -> None:
        message = WatchQuery(QueryId(query_id), result=True)
        async with open_channel(endpoint) as channel:
            with suppress(Unavailable):
                async with RemoteCoordinator(channel).stream(message) as updates:
                    async for update in updates:
                        self.updates.append(update)
                        self.begun.set()
        self.ended.set()


async def test_a_watch_follows_a_query_to_its_end() -> None:
    follower = Follower()
    async with open_gateway() as gateway, trio.open_nursery() as nursery:
        await gateway.submit("1", ONE_STAGE)
        nursery.start_soon(follower.follow, gateway.endpoint, "1")
        await follower.begun.wait()
        (task,) = await gateway.pull()
        await gateway.upload("1", stream_of(7))
        await gateway.report(task)
        await follower.ended.wait()
    assert follower.updates[0].status.state is QueryState.QUEUED
    assert follower.updates[-1].status.state is QueryState.SUCCEEDED
    assert follower.updates[-1].result == stream_of(7)


async def test_a_watch_holds_up_no_gateway_that_ends() -> None:
    """It would wait an hour for a call that is under way."""
    follower = Follower()
    async with trio.open_nursery() as nursery:
        async with open_gateway(rpc=RpcOptions(grace_s=3_600)) as gateway:
            await gateway.submit("1", ONE_STAGE)
            nursery.start_soon(follower.follow, gateway.endpoint, "1")
            await follower.begun.wait()
        await follower.ended.wait()
    assert [each.status.state for each in follower.updates] == [QueryState.QUEUED]
