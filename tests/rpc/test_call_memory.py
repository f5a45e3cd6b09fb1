"""What a call held is freed when it is over, without the collector, which looks seldom in servers.

Requests and replies may be large: they must not wait for someone to look for cycles.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
import trio

from ffq.errors import InvalidRequest
from ffq.rpc.bridge import Bridge
from ffq.rpc.loop import shared_loop
from ffq.rpc.options import RpcOptions
from ffq.rpc.routes import Post, Route, Send, ServerStream, Unary
from ffq.service import OnReply, Posted
from tests.rpc.echo import Reply, Request


class _Context:
    """What a handler asks of the call it serves."""

    def time_remaining(self) -> None:
        return None

    async def write(self, _message: bytes) -> None:
        return None

    async def abort(self, *_status: Any) -> None:
        return None


@attrs.define(eq=False)
class _Walking:
    """What was posted, and holds what it was posted with."""

    request: Request
    on_reply: OnReply
    awaited: bool = True

    def give_up(self) -> None:
        self.awaited = False


async def _answers(request: Request) -> Reply:
    await trio.lowlevel.checkpoint()
    return Reply(query_id=request.query_id)


async def _raises(request: Request) -> Reply:
    await trio.lowlevel.checkpoint()
    raise InvalidRequest(request.query_id)


async def _raises_in_a_nursery(request: Request) -> Reply:
    async with trio.open_nursery():
        return await _raises(request)


async def _raises_of_a_thread(request: Request) -> Reply:
    def work() -> Reply:
        try:
            int(request.query_id)
        except ValueError as error:
            raise InvalidRequest(request.query_id) from error
        return Reply()

    return await trio.to_thread.run_sync(work)


async def _sends_and_raises(request: Request, send: Send[Reply]) -> None:
    await send(Reply(query_id=request.query_id))
    raise InvalidRequest(request.query_id)


def _at_once(error: Exception | None) -> Post[Request]:
    def post(request: Request, on_reply: OnReply, _deadline: float) -> Posted:
        on_reply(Reply(), error)
        return _Walking(request, on_reply)

    return post


def _later(request: Request, on_reply: OnReply, _deadline: float) -> Posted:
    trio.lowlevel.current_trio_token().run_sync_soon(on_reply, Reply(), None)
    return _Walking(request, on_reply)


def _refuses(request: Request, _on_reply: OnReply, _deadline: float) -> Posted:
    raise InvalidRequest(request.query_id)


@contextmanager
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _route(post: Post[Request]) -> Route:
    return Unary("test.Echo", "Call", Request, _answers, post=post)


def _handler(bridge: Bridge, route: Route) -> Any:
    if isinstance(route, ServerStream):
        return bridge.stream(route)
    return bridge.unary(route)


ROUTES = {
    "a task answers": Unary("test.Echo", "Call", Request, _answers),
    "a task raises": Unary("test.Echo", "Call", Request, _raises),
    "a nursery raises": Unary("test.Echo", "Call", Request, _raises_in_a_nursery),
    "a thread raises": Unary("test.Echo", "Call", Request, _raises_of_a_thread),
    "a stream raises": ServerStream("test.Echo", "Stream", Request, _sends_and_raises),
    "answered at once": _route(_at_once(None)),
    "refused at once": _route(_at_once(InvalidRequest("no"))),
    "answered later": _route(_later),
    "the post raises": _route(_refuses),
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=list(ROUTES))
async def test_what_a_call_held_is_free_when_it_is_over(route: Route) -> None:
    async with shared_loop() as loop, trio.open_nursery() as nursery:
        bridge = Bridge(loop.loop, trio.lowlevel.current_trio_token(), nursery, RpcOptions())
        serve = _handler(bridge, route)
        with _without_collector():
            for _ in range(5):
                await loop.run(serve(Request(query_id="a").SerializeToString(), _Context()))
            # The frame that did the last one may still be there.
            assert sum(type(each) is Request for each in gc.get_objects()) <= 1
