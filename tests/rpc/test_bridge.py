"""The gRPC shell: calls and streams between Trio tasks, their errors, bounds and cancellation."""

from __future__ import annotations

import threading
from functools import partial

import grpc
import pytest
import trio

from ffq.errors import (
    FfqError,
    InvalidRequest,
    NotReady,
    QuotaExceeded,
    StartupError,
    Unavailable,
    UnknownMethod,
)
from ffq.rpc.client import open_channel
from ffq.rpc.options import RpcOptions
from ffq.rpc.routes import Send, Unary
from ffq.rpc.server import serve
from ffq.rpc.status import INTERNAL_TEXT
from tests.rpc.echo import CALL, OPTIONS, STREAM, Chunk, Reply, Request, call, open_echo


async def raising(error: Exception, _: Request) -> Reply:
    raise error


async def test_many_calls_at_once_get_their_own_replies() -> None:
    replies: dict[str, str] = {}

    async def one(text: str) -> None:
        replies[text] = await call(channel, text)

    async with open_echo() as channel, trio.open_nursery() as nursery:
        for n in range(50):
            nursery.start_soon(one, str(n))
    assert replies == {str(n): str(n) for n in range(50)}


async def test_a_typed_error_arrives_as_itself_with_its_reason() -> None:
    error = NotReady("not yet", reason="SOON")
    async with open_echo(partial(raising, error)) as channel:
        with pytest.raises(NotReady, match="^not yet$") as caught:
            await call(channel)
    assert caught.value.stable_reason == "SOON"


async def test_a_quota_error_keeps_its_retry_delay() -> None:
    async with open_echo(partial(raising, QuotaExceeded("full", retry_after_ms=1234))) as channel:
        with pytest.raises(QuotaExceeded) as caught:
            await call(channel)
    assert caught.value.retry_after_ms == 1234


async def test_an_unexpected_error_is_internal_and_says_nothing_of_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_echo(partial(raising, ValueError("secret"))) as channel:
        with pytest.raises(FfqError) as caught:
            await call(channel)
        assert caught.value.message == INTERNAL_TEXT
        assert caught.value.stable_reason == "INTERNAL"
    assert "secret" in caplog.text


async def test_a_method_that_is_not_there_is_unsupported() -> None:
    async with open_echo() as channel:
        with pytest.raises(UnknownMethod):
            await channel.unary("/test.Echo/Nothing", Request(), Reply)


async def test_a_caller_that_gives_up_cancels_the_handler() -> None:
    started, cancelled = trio.Event(), trio.Event()

    async def wait(_: Request) -> Reply:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_echo(wait) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(call, channel)
        await started.wait()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await cancelled.wait()


async def test_a_foreign_callers_deadline_cancels_the_handler() -> None:
    cancelled = trio.Event()

    async def wait(_: Request) -> Reply:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_echo(wait) as channel:
        with grpc.insecure_channel(channel.endpoint) as foreign:
            method: grpc.UnaryUnaryMultiCallable[Request, Reply] = foreign.unary_unary(
                CALL, request_serializer=Request.SerializeToString, response_deserializer=None
            )
            with pytest.raises(grpc.RpcError) as caught:
                await trio.to_thread.run_sync(partial(method, Request(), timeout=0.2))
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await cancelled.wait()


async def test_a_call_that_is_not_answered_in_time_is_unavailable() -> None:
    async def wait(_: Request) -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    async with open_echo(wait) as channel:
        with pytest.raises(Unavailable, match="no answer"):
            await call(channel, timeout_s=0.1)


async def test_nobody_there_is_unavailable_and_named() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        with pytest.raises(Unavailable, match=r"^127\.0\.0\.1:1: "):
            await call(channel)


async def test_a_closed_channel_is_unavailable() -> None:
    async with open_echo() as channel:
        channel.close()
        with pytest.raises(Unavailable):
            await call(channel)


async def test_R30_over_the_bound_of_calls_the_next_is_refused_with_a_retry_delay() -> None:
    release = trio.Event()
    started = trio.Event()

    async def wait(_: Request) -> Reply:
        started.set()
        await release.wait()
        return Reply()

    options = RpcOptions(max_concurrent_rpcs=1, grace_s=0.2)
    async with open_echo(wait, options=options) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, channel)
            await started.wait()
            with pytest.raises(QuotaExceeded, match="1 calls") as caught:
                await call(channel)
            assert caught.value.retry_after_ms > 0
            release.set()
        assert await call(channel) == ""


async def test_a_stream_arrives_in_order_and_ends() -> None:
    async with (
        open_echo() as channel,
        channel.stream(STREAM, Request(query_id="100"), Chunk) as chunks,
    ):
        got = [int(chunk.payload) async for chunk in chunks]
    assert got == list(range(100))


async def test_an_error_in_a_stream_comes_after_what_was_sent_before_it() -> None:
    async def two_then_fail(_: Request, send: Send[Chunk]) -> None:
        await send(Chunk(payload=bytes(1_000_000)))
        await send(Chunk(payload=b"2"))
        raise InvalidRequest("enough")

    got = 0
    async with open_echo(stream=two_then_fail) as channel:
        with pytest.raises(InvalidRequest, match="enough"):
            async with channel.stream(STREAM, Request(), Chunk) as chunks:
                async for _ in chunks:
                    got += 1
    assert got == 2


async def test_R30_a_slow_receiver_holds_the_sender_back() -> None:
    sent = 0

    async def endless(_: Request, send: Send[Chunk]) -> None:
        nonlocal sent
        while True:
            await send(Chunk(payload=bytes(1_000_000)))
            sent += 1

    async with (
        open_echo(stream=endless) as channel,
        channel.stream(STREAM, Request(), Chunk) as chunks,
    ):
        await anext(chunks)
        before = -1
        while before != sent:
            before = sent
            await trio.sleep(0.2)
        # Windows of both ends, and what TCP and HTTP/2 buffer: mostly 14 MB, 33 in some runs, since
        # both let their windows grow on a fast line (Linux to 32 MB in the receiver's socket).
        assert sent < 100


async def test_leaving_a_stream_early_ends_its_handler() -> None:
    ended = trio.Event()

    async def endless(_: Request, send: Send[Chunk]) -> None:
        try:
            while True:
                await send(Chunk(payload=b"x"))
        finally:
            ended.set()

    async with open_echo(stream=endless) as channel:
        async with channel.stream(STREAM, Request(), Chunk) as chunks:
            await anext(chunks)
        await ended.wait()


async def test_an_error_of_who_reads_a_stream_keeps_its_cause() -> None:
    cause = ZeroDivisionError()
    async with open_echo() as channel:
        with pytest.raises(ValueError, match="mine") as caught:
            async with channel.stream(STREAM, Request(query_id="100"), Chunk) as chunks:
                await anext(chunks)
                raise ValueError("mine") from cause
    assert caught.value.__cause__ is cause


async def test_a_stream_that_sends_nothing_is_unavailable() -> None:
    async def silent(_: Request, _send: Send[Chunk]) -> None:
        await trio.sleep_forever()

    client = RpcOptions(idle_timeout_s=0.1)
    async with open_echo(stream=silent, client_options=client) as channel:
        with pytest.raises(Unavailable, match="sent nothing"):
            async with channel.stream(STREAM, Request(), Chunk) as chunks:
                await anext(chunks)


async def test_R30_over_the_bound_of_streams_the_next_is_refused() -> None:
    async def one_then_wait(_: Request, send: Send[Chunk]) -> None:
        await send(Chunk())
        await trio.sleep_forever()

    options = RpcOptions(max_streams=1, grace_s=0.2)
    async with (
        open_echo(stream=one_then_wait, options=options) as channel,
        channel.stream(STREAM, Request(), Chunk) as chunks,
    ):
        await anext(chunks)
        async with channel.stream(STREAM, Request(), Chunk) as second:
            with pytest.raises(QuotaExceeded, match="1 streams"):
                await anext(second)


async def test_a_closing_server_lets_a_call_finish() -> None:
    started, release = trio.Event(), trio.Event()
    replies: list[str] = []

    async def wait(_: Request) -> Reply:
        started.set()
        await release.wait()
        return Reply(query_id="done")

    async def ask() -> None:
        replies.append(await call(channel))

    routes = (Unary("test.Echo", "Call", Request, wait),)
    async with trio.open_nursery() as outer:
        scope = trio.CancelScope()

        async def served(*, task_status: trio.TaskStatus[str]) -> None:
            async with trio.open_nursery() as nursery:
                address = await nursery.start(
                    serve, routes, "127.0.0.1:0", RpcOptions(grace_s=20.0)
                )
                task_status.started(address.endpoint)
                with scope:
                    await trio.sleep_forever()
                nursery.cancel_scope.cancel()

        endpoint = await outer.start(served)
        async with open_channel(endpoint, OPTIONS) as channel, trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await started.wait()
            scope.cancel()
            await trio.sleep(0.1)
            release.set()
    assert replies == ["done"]


async def test_an_address_that_is_not_ours_cannot_be_bound() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(StartupError, match=r"^cannot listen on 192\.0\.2\.1:1"):
            await nursery.start(serve, (), "192.0.2.1:1")


async def test_servers_leave_no_thread_behind() -> None:
    async with open_echo() as first, open_echo() as second:
        assert await call(first) == await call(second) == "x"
    assert not [thread for thread in threading.enumerate() if thread.name == "ffq-grpc"]
