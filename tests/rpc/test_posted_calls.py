"""Calls that take no Trio task: what is posted to an actor and answered by a function."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
import trio

from ffq.errors import FfqError, InvalidRequest, NotReady, QuotaExceeded, Unavailable
from ffq.rpc.bridge import CLOSING, Bridge
from ffq.rpc.client import RpcChannel, open_channel
from ffq.rpc.loop import shared_loop
from ffq.rpc.options import RpcOptions
from ffq.rpc.routes import Post, Unary
from ffq.rpc.server import serve
from ffq.rpc.status import INTERNAL_TEXT
from ffq.runtime import Actor, ActorRef, ActorSystem, handles
from ffq.service import OnReply, Posted
from tests.rpc.echo import CALL, OPTIONS, Reply, Request, call
from tests.runtime.stock import Gate, Hold, Holder, settle


async def never(_: Request) -> Reply:
    raise AssertionError("a call that can be posted was given a task")


def to(ref: ActorRef[Any]) -> Post[Request]:
    """A route's `post`: `Hold` for this actor, made from the request's text."""

    def post(request: Request, on_reply: OnReply, deadline: float) -> Posted:
        def answer(reply: Any, error: BaseException | None) -> None:
            on_reply(None if error is not None else Reply(query_id=reply), error)

        return ref.post(Hold(request.query_id), answer, deadline=deadline)

    return post


@asynccontextmanager
async def open_posting(
    post: Post[Request], options: RpcOptions = OPTIONS
) -> AsyncIterator[RpcChannel]:
    routes = (Unary("test.Echo", "Call", Request, never, post=post),)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, routes, "127.0.0.1:0", options)
        async with open_channel(address.endpoint, OPTIONS) as channel:
            yield channel
        nursery.cancel_scope.cancel()


async def until(condition: Any) -> None:
    """Wait for what other threads bring about."""
    while not condition():  # noqa: ASYNC110  # no event says it: gRPC's threads do it
        await trio.sleep(0.001)


@asynccontextmanager
async def open_holder(gate: Gate, mailbox: int = 64) -> AsyncIterator[ActorRef[Any]]:
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, mailbox=mailbox)
        yield ref
        await ref.kill()
        ref.cell.check_ledger()


async def test_many_calls_at_once_get_their_own_replies_in_the_order_they_came() -> None:
    gate, replies = Gate(), dict[str, str]()
    gate.open.set()

    async def one(channel: RpcChannel, text: str) -> None:
        replies[text] = await call(channel, text)

    async with open_holder(gate) as ref, open_posting(to(ref)) as channel:
        async with trio.open_nursery() as nursery:
            for n in range(200):
                nursery.start_soon(one, channel, str(n))
        assert replies == {str(n): str(n) for n in range(200)}


async def test_a_caller_that_leaves_takes_its_message_out_of_a_full_mailbox() -> None:
    gate = Gate()
    async with open_holder(gate, mailbox=1) as ref, open_posting(to(ref)) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, channel, "first")
            await until(lambda: gate.log == ["first waits"])
            nursery.start_soon(call, channel, "second")
            await until(lambda: ref.cell.queued() == 1)
            with trio.CancelScope() as leaving:
                async with trio.open_nursery() as leavers:
                    leavers.start_soon(call, channel, "third")
                    await until(lambda: ref.cell.overflow)
                    leaving.cancel()
            await until(lambda: not ref.cell.overflow)
            gate.open.set()
        assert gate.log == ["first waits", "first done", "second waits", "second done"]


async def test_a_caller_that_leaves_cancels_the_handler() -> None:
    gate = Gate()
    async with open_holder(gate) as ref, open_posting(to(ref)) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, channel, "a")
            await until(lambda: gate.log)
            nursery.cancel_scope.cancel()
        await until(lambda: gate.log == ["a waits", "a cancelled"])


async def test_a_foreign_callers_deadline_ends_the_wait_behind_a_busy_actor() -> None:
    gate = Gate()
    async with open_holder(gate) as ref, open_posting(to(ref)) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, channel, "busy")
            await until(lambda: gate.log)
            with grpc.insecure_channel(channel.endpoint) as foreign:
                method: grpc.UnaryUnaryMultiCallable[Request, Reply] = foreign.unary_unary(
                    CALL, request_serializer=Request.SerializeToString, response_deserializer=None
                )
                late = partial(method, Request(query_id="late"), timeout=0.2)
                with pytest.raises(grpc.RpcError) as caught:
                    await trio.to_thread.run_sync(late)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await until(lambda: ref.cell.queued() == 0)
            gate.open.set()
        assert gate.log == ["busy waits", "busy done"]


async def test_a_typed_error_of_the_handler_arrives_as_itself() -> None:
    def not_ready(_request: Request, on_reply: OnReply, _deadline: float) -> Posted:
        return _Answered(lambda: on_reply(None, NotReady("not yet", reason="SOON")))

    async with open_posting(not_ready) as channel:
        with pytest.raises(NotReady, match="^not yet$") as caught:
            await call(channel)
    assert caught.value.stable_reason == "SOON"


class Touchy(Actor[Hold]):
    @handles(Hold)
    def hold(self, message: Hold) -> str:
        if message.who != "good":
            raise ValueError(message.who)
        return message.who


class _Answered:
    """Answers at the next turn."""

    awaited = True

    def __init__(self, answer: Any) -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(answer)

    def give_up(self) -> None:
        raise AssertionError


async def test_a_bug_of_the_handler_is_internal_and_the_next_call_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        ActorSystem() as system,
        open_posting(to(await system.spawn(Touchy))) as channel,
    ):
        for _ in range(2):
            with pytest.raises(FfqError) as caught:
                await call(channel, "secret")
            assert caught.value.message == INTERNAL_TEXT
        assert await call(channel, "good") == "good"
    assert "secret" in caplog.text


async def test_what_a_post_raises_is_the_answer() -> None:
    def refuse(_request: Request, _on_reply: OnReply, _deadline: float) -> Posted:
        raise InvalidRequest("no such thing")

    options = RpcOptions(max_concurrent_rpcs=1, grace_s=0.2)
    async with open_posting(refuse, options) as channel:
        for _ in range(3):
            with pytest.raises(InvalidRequest, match="^no such thing$"):
                await call(channel)


async def test_R30_over_the_bound_of_calls_the_next_is_refused_and_leaving_frees_a_place() -> None:
    gate = Gate()
    options = RpcOptions(max_concurrent_rpcs=1, grace_s=0.2)
    async with open_holder(gate) as ref, open_posting(to(ref), options) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, channel, "a")
            await until(lambda: gate.log)
            with pytest.raises(QuotaExceeded, match="1 calls"):
                await call(channel, "b")
            nursery.cancel_scope.cancel()
        await until(lambda: "a cancelled" in gate.log)
        gate.open.set()
        assert await call(channel, "c") == "c"


async def test_a_closing_server_lets_a_call_finish() -> None:
    await _close(grace_s=20.0, opens=True)


async def test_a_closing_server_gives_up_what_is_not_done_within_its_grace() -> None:
    await _close(grace_s=0.1, opens=False)


async def _close(grace_s: float, opens: bool) -> None:
    gate = Gate()
    outcome: list[str] = []

    async def ask(channel: RpcChannel) -> None:
        try:
            outcome.append(await call(channel, "a"))
        except Unavailable:
            outcome.append("unavailable")

    async with open_holder(gate) as ref, trio.open_nursery() as nursery:
        routes = (Unary("test.Echo", "Call", Request, never, post=to(ref)),)
        scope = trio.CancelScope()

        async def served(*, task_status: trio.TaskStatus[Any]) -> None:
            with scope:
                await serve(
                    routes, "127.0.0.1:0", RpcOptions(grace_s=grace_s), task_status=task_status
                )

        address = await nursery.start(served)
        async with (
            open_channel(address.endpoint, OPTIONS) as channel,
            trio.open_nursery() as asking,
        ):
            asking.start_soon(ask, channel)
            await until(lambda: gate.log)
            scope.cancel()
            if opens:
                await settle()
                gate.open.set()
    last = "a done" if opens else "a cancelled"
    assert gate.log == ["a waits", last]
    assert outcome == (["a"] if opens else ["unavailable"])


class _Context:
    """Of a call whose end the test looks at itself."""

    def __init__(self) -> None:
        self.aborted: list[tuple[Any, ...]] = []

    def time_remaining(self) -> None:
        return None

    async def abort(self, *status: Any) -> None:
        self.aborted.append(status)


@pytest.mark.parametrize("posted", [True, False])
def test_a_call_that_comes_when_the_trio_run_has_ended_is_refused(posted: bool) -> None:
    """It must not wait for an answer that nobody will give."""

    def post(_request: Request, _on_reply: OnReply, _deadline: float) -> Posted:
        raise AssertionError

    async def ended() -> Bridge:
        async with trio.open_nursery() as nursery:
            token = trio.lowlevel.current_trio_token()
            return Bridge(loops[0], token, nursery, RpcOptions(max_concurrent_rpcs=1))

    loops: list[Any] = []

    async def main() -> None:
        async with shared_loop() as loop:
            loops.append(loop.loop)
            bridge = await trio.to_thread.run_sync(trio.run, ended)
            route = Unary("test.Echo", "Call", Request, never, post=post if posted else None)
            handler: Any = bridge.unary(route)
            for _ in range(2):
                context = _Context()
                await loop.run(handler(b"", context))
                assert context.aborted[0][:2] == (grpc.StatusCode.UNAVAILABLE, CLOSING)

    trio.run(main)


async def test_calls_that_come_to_a_closed_bridge_are_refused() -> None:
    async with open_holder(Gate()) as ref, shared_loop() as loop, trio.open_nursery() as nursery:
        bridge = Bridge(loop.loop, trio.lowlevel.current_trio_token(), nursery, RpcOptions())
        handler: Any = bridge.unary(Unary("test.Echo", "Call", Request, never, post=to(ref)))
        context = _Context()
        bridge.close()
        with trio.CancelScope(shield=True):
            await loop.run(handler(b"", context))
        assert context.aborted[0][:2] == (grpc.StatusCode.UNAVAILABLE, CLOSING)
