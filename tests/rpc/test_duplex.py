"""Streams that go both ways, between Trio tasks: their order, errors, bounds, and ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ffq.errors import (
    InvalidRequest,
    NotReady,
    QuotaExceeded,
    Unavailable,
    UnknownMethod,
)
from ffq.rpc.client import RpcChannel, open_channel
from ffq.rpc.duplex import Call, open_duplex
from ffq.rpc.options import RpcOptions
from ffq.rpc.routes import Duplex, Send
from ffq.rpc.server import serve
from tests.rpc.echo import OPTIONS, Chunk, Request

PATH = "/test.Echo/Talk"
Handle = Callable[[AsyncIterator[Request], Send[Chunk]], Awaitable[None]]


async def repeat(requests: AsyncIterator[Request], send: Send[Chunk]) -> None:
    async for request in requests:
        await send(Chunk(payload=request.query_id.encode()))


@asynccontextmanager
async def open_server(
    handle: Handle = repeat, options: RpcOptions = OPTIONS, max_bytes: int | None = None
) -> AsyncIterator[tuple[RpcChannel, trio.CancelScope]]:
    """And what ends the server."""
    async with trio.open_nursery() as nursery:
        routes = (Duplex("test.Echo", "Talk", Request, handle, max_bytes),)
        address = await nursery.start(serve, routes, "127.0.0.1:0", options)
        async with open_channel(address.endpoint) as channel:
            yield channel, nursery.cancel_scope
        nursery.cancel_scope.cancel()


def talk(channel: RpcChannel, path: str = PATH) -> AbstractAsyncContextManager[Call[Chunk]]:
    return open_duplex(channel, path, Chunk, 4)


async def hear(call: Call[Chunk]) -> str | None:
    with trio.fail_after(20):
        chunk = await call.receive()
    return None if chunk is None else chunk.payload.decode()


async def test_messages_go_both_ways_in_order_while_the_stream_is_open() -> None:
    async with open_server() as (channel, _), talk(channel) as call:
        for number in range(50):
            await call.send(Request(query_id=str(number)))
            assert await hear(call) == str(number)


async def test_a_stream_that_the_caller_finishes_ends_after_what_was_sent() -> None:
    async with open_server() as (channel, _), talk(channel) as call:
        for number in range(3):
            await call.send(Request(query_id=str(number)))
        call.finish()
        assert [await hear(call) for _ in range(4)] == ["0", "1", "2", None]


async def test_R30_a_handler_that_is_behind_slows_the_caller() -> None:
    release = trio.Event()

    async def wait(requests: AsyncIterator[Request], send: Send[Chunk]) -> None:
        await release.wait()
        await repeat(requests, send)

    async with open_server(wait) as (channel, _), talk(channel) as call:
        sent = 0

        async def send_many() -> None:
            nonlocal sent
            for number in range(100):
                await call.send(Request(query_id="x" * 1_000_000 + str(number)))
                sent += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_many)
            await wait_all_tasks_blocked(0.3)
            assert sent < 50
            release.set()
            for number in range(100):
                heard = await hear(call)
                assert heard is not None
                assert heard.lstrip("x") == str(number)


async def test_an_error_comes_as_itself_after_what_was_sent_before_it() -> None:
    async def refuse(requests: AsyncIterator[Request], send: Send[Chunk]) -> None:
        await send(Chunk(payload=b"first"))
        raise NotReady("not yet", reason="SOON")

    async with open_server(refuse) as (channel, _), talk(channel) as call:
        await call.send(Request())
        assert await hear(call) == "first"
        with pytest.raises(NotReady, match="^not yet$") as caught:
            await hear(call)
    assert caught.value.stable_reason == "SOON"


async def test_a_method_that_is_not_there_is_unknown() -> None:
    async with open_server() as (channel, _), talk(channel, "/test.Echo/Nothing") as call:
        await call.send(Request())
        with pytest.raises(UnknownMethod):
            await hear(call)


async def test_nobody_there_is_unavailable() -> None:
    async with open_channel("127.0.0.1:1") as channel, talk(channel) as call:
        await call.send(Request())
        with pytest.raises(Unavailable):
            await hear(call)


@pytest.mark.parametrize("before", [0, 1])
async def test_R30_a_message_that_is_too_large_is_refused(before: int) -> None:
    async with open_server(max_bytes=1000) as (channel, _), talk(channel) as call:
        for _ in range(before):
            await call.send(Request(query_id="x"))
            assert await hear(call) == "x"
        await call.send(Request(query_id="x" * 2000))
        with pytest.raises(InvalidRequest, match="Talk: the request has 200. bytes; at most 1000"):
            await hear(call)


@pytest.mark.parametrize("before", [0, 1])
async def test_R28_what_is_no_message_is_refused(before: int) -> None:
    async with open_server() as (channel, _):

        def send_rubbish() -> grpc.StatusCode:
            with grpc.insecure_channel(channel.endpoint) as raw:
                talk_raw: grpc.StreamStreamMultiCallable[bytes, bytes] = raw.stream_stream(PATH)
                call = talk_raw(iter([b""] * before + [b"\xff"]), timeout=20)
                with pytest.raises(grpc.RpcError) as caught:
                    list(call)
                return caught.value.code()

        assert await trio.to_thread.run_sync(send_rubbish) is grpc.StatusCode.INVALID_ARGUMENT


async def test_R30_no_more_are_open_than_may_be_and_they_are_no_other_streams() -> None:
    options = RpcOptions(grace_s=0.2, max_duplex=2, max_streams=1)
    async with open_server(options=options) as (channel, _):
        async with talk(channel) as call, talk(channel) as second:
            for each in (call, second):
                await each.send(Request(query_id="x"))
                assert await hear(each) == "x"
            async with talk(channel) as another:
                await another.send(Request(query_id="y"))
                with pytest.raises(QuotaExceeded, match="2 such streams are open already"):
                    await hear(another)
        with trio.fail_after(20):
            while True:
                async with talk(channel) as call:
                    await call.send(Request(query_id="x"))
                    try:
                        assert await hear(call) == "x"
                    except QuotaExceeded:
                        continue  # the server has not yet heard that the others have gone
                    break


async def test_a_caller_that_leaves_cancels_the_handler() -> None:
    cancelled = trio.Event()

    async def wait(requests: AsyncIterator[Request], send: Send[Chunk]) -> None:
        await send(Chunk(payload=b"here"))
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_server(wait) as (channel, _):
        async with talk(channel) as call:
            await call.send(Request())
            assert await hear(call) == "here"
        with trio.fail_after(20):
            await cancelled.wait()


async def test_a_server_that_ends_does_not_wait_for_its_streams_and_they_end_in_order() -> None:
    options = RpcOptions(grace_s=3600)
    async with open_server(options=options) as (channel, server), talk(channel) as call:
        await call.send(Request(query_id="x"))
        assert await hear(call) == "x"
        server.cancel()
        with trio.CancelScope(shield=True):
            assert await hear(call) is None
