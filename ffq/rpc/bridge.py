"""From grpc.aio handlers, on the loop's thread, to Trio handlers and back.

A call comes in on the asyncio loop and is decoded once. Where its route can be posted to, that is
done in Trio at once, and the reply comes back without a task of its own; else it runs as one Trio
task. When the caller cancels or its deadline passes, gRPC cancels the handler on the loop, and that
gives up what was posted, or cancels the task. The counts of open calls belong to the loop's thread
alone. Each side reaches the other by a `Handover`, which keeps order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Any, Never

import attrs
import grpc
import trio
from google.protobuf.message import Message

from ffq.errors import InvalidRequest, QuotaExceeded, Unavailable
from ffq.rpc.handover import Handover, Here, Puts
from ffq.rpc.options import RpcOptions
from ffq.rpc.outgoing import Outgoing
from ffq.rpc.routes import Duplex, Route, Routes, Send, ServerStream, Unary
from ffq.rpc.status import BUSY_RETRY_MS, INTERNAL_TEXT, RpcStatus, status_of
from ffq.runtime.errors import MessageExpired
from ffq.service import OnReply, Posted

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[bytes, Context], Awaitable[Any]]

CLOSING = "the server is shutting down"
GONE = "the call's deadline passed, or its caller has gone"


@attrs.define
class _Call:
    """One call under way. `finished` completes on the loop when the Trio task has ended."""

    work: Callable[[], Awaitable[Any]]
    timeout_s: float | None
    finished: asyncio.Future[Any]
    on_end: Callable[[], None] | None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class _PostedCall:
    """One call without a Trio task. `under_way`, in Trio, is what was posted, until its answer: the
    two hold each other, and with them the request and the reply.
    """

    post: Callable[[Any, OnReply, float], Posted]
    request: Message
    timeout_s: float | None
    finished: asyncio.Future[Any]
    under_way: Posted | None = None


class Bridge:
    """Runs the calls of one server in a Trio nursery.

    Args:
        one_thread: Trio is a guest of the loop.

    Attributes:
        to_trio: what the loop's thread has Trio do.
        to_loop: what Trio has the loop do.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        token: trio.lowlevel.TrioToken,
        nursery: trio.Nursery,
        options: RpcOptions,
        *,
        one_thread: bool = False,
    ) -> None:
        self._loop = loop
        self.to_trio: Puts = Here()
        self.to_loop: Puts = Here()
        if not one_thread:
            self.to_loop = back = Handover(loop.call_soon_threadsafe)
            self.to_trio = Handover(
                token.run_sync_soon, later=loop.call_soon, lost=self._lost, back=back
            )
        self._nursery = nursery
        self._options = options
        self._open_calls = 0
        self._open_streams = 0
        self._closed = False
        self._posted: set[_PostedCall] = set()
        """In Trio: calls that wait for the reply to what was posted."""

    def close(self) -> None:
        """In Trio, before the nursery goes: calls that still come are refused."""
        self._closed = True
        for call in list(self._posted):
            self._give_up(call)
        self._nursery.cancel_scope.cancel()

    def unary(self, route: Unary[Any, Any]) -> Handler:
        """The grpc.aio handler of a unary route: bytes in, bytes out."""

        async def handler(raw: bytes, context: Context) -> bytes:  # noqa: RET503  # abort raises
            try:
                return await self._serve(route, raw, context)
            except Exception as error:  # noqa: BLE001  # each becomes a status
                status = _refusal(error)
            # Out here, and without it: gRPC's own error is in a cycle with this frame, and would be
            # with all that it has in context.
            del raw
            await _abort(context, status)

        return handler

    async def _serve(self, route: Unary[Any, Any], raw: bytes, context: Context) -> bytes:
        self._check_calls()
        request = parse(route, raw)
        call: _Call | _PostedCall = (
            self._begin(partial(route.handle, request), context)
            if route.post is None
            else self._begin_posted(route.post, request, context)
        )
        try:
            reply: Message = await call.finished
        except BaseException:
            self._abandon(call)
            raise
        return reply.SerializeToString()

    def stream(self, route: ServerStream[Any, Any]) -> Handler:
        """The grpc.aio handler of a server-streaming route."""

        async def handler(raw: bytes, context: Context) -> None:
            try:
                await self._serve_stream(route, raw, context)
            except Exception as error:  # noqa: BLE001  # each becomes a status
                status = _refusal(error)
            else:
                return
            del raw  # as above
            await _abort(context, status)

        return handler

    async def _serve_stream(
        self, route: ServerStream[Any, Any], raw: bytes, context: Context
    ) -> None:
        self._check_calls()
        if route.counted:
            self._check_streams()
        request = parse(route, raw)
        self._open_streams += route.counted
        try:
            await self._pump(partial(route.handle, request), context)
        finally:
            self._open_streams -= route.counted

    async def _pump(
        self,
        handle: Callable[[Send[Any]], Awaitable[None]],
        context: Context,
    ) -> None:
        outgoing = Outgoing(self.to_trio, self.to_loop, self._options.stream_window)
        call = self._begin(partial(handle, outgoing), context, outgoing.end)
        try:
            # Also after an error everything sent before it goes out first: gRPC allows one
            # operation at a time, so a status must not overtake a message being written.
            await outgoing.write_to(context)
            await call.finished
        except BaseException:
            self._abandon(call)
            raise

    def _begin(
        self,
        work: Callable[[], Awaitable[Any]],
        context: Context,
        on_end: Callable[[], None] | None = None,
    ) -> _Call:
        """Run `work` as a Trio task. `on_end` is called on the loop when it has ended."""
        call = _Call(work, context.time_remaining(), self._loop.create_future(), on_end)
        self._hand_over(self._start, call)
        return call

    def _begin_posted(self, post: Any, request: Message, context: Context) -> _PostedCall:
        call = _PostedCall(post, request, context.time_remaining(), self._loop.create_future())
        self._hand_over(self._post, call)
        return call

    def _hand_over(self, begin: Callable[[Any], None], call: _Call | _PostedCall) -> None:
        self._open_calls += 1
        self.to_trio.put(begin, call)

    def _lost(self, action: Callable[..., object], *args: Any) -> None:
        """On the loop's thread: there is no Trio any more. Calls that were to begin are over."""
        if action in {self._start, self._post}:
            self._end(args[0], None, Unavailable(CLOSING))

    def _abandon(self, call: _Call | _PostedCall) -> None:
        """The caller has gone, or has its error: nobody waits for the call in Trio any more."""
        if call.finished.done() and not call.finished.cancelled():
            return  # nor is it under way there
        call.finished.cancel()
        if isinstance(call, _Call):
            self.to_trio.put(call.scope.cancel)
        else:
            self.to_trio.put(self._give_up, call)

    def _post(self, call: _PostedCall) -> None:
        """In Trio: begin a call that needs no task."""
        if self._closed:
            self._ended(call, None, Unavailable(CLOSING))
            return
        left = call.timeout_s
        deadline = inf if left is None else trio.current_time() + left
        self._posted.add(call)
        try:
            under_way = call.post(call.request, partial(self._answer, call), deadline)
        except Exception as error:  # noqa: BLE001  # travels to the caller as a status
            self._answer(call, None, error)
            return
        if call in self._posted:
            call.under_way = under_way

    def _answer(self, call: _PostedCall, reply: Any, error: BaseException | None) -> None:
        """In Trio: what was posted has been answered."""
        self._posted.discard(call)
        call.under_way = None
        self._ended(call, reply, error)

    def _give_up(self, call: _PostedCall) -> None:
        """In Trio: nobody wants the reply any more, or the server ends; it may be there already."""
        if call in self._posted:
            self._posted.discard(call)
            assert call.under_way is not None
            call.under_way.give_up()
            call.under_way = None
            self._ended(call, None, Unavailable(CLOSING))

    def _start(self, call: _Call) -> None:
        """In Trio: begin a call's task."""
        if self._closed:
            self._ended(call, None, Unavailable(CLOSING))
        else:
            self._nursery.start_soon(self._run, call)

    async def _run(self, call: _Call) -> None:
        """One call's Trio task."""
        error: Exception | None = Unavailable(CLOSING)
        result = None
        try:
            with call.scope:
                if call.timeout_s is not None:
                    call.scope.deadline = trio.current_time() + call.timeout_s
                result = await call.work()
            error = MessageExpired(GONE) if call.scope.cancelled_caught else None
        except Exception as failure:  # noqa: BLE001  # travels to the caller as a status
            error = failure
        finally:
            self._ended(call, result, error)

    def _ended(self, call: _Call | _PostedCall, result: Any, error: BaseException | None) -> None:
        self.to_loop.put(self._end, call, result, error)

    def _end(self, call: _Call | _PostedCall, result: Any, error: BaseException | None) -> None:
        """On the loop's thread: the call is over in Trio."""
        self._open_calls -= 1
        if isinstance(call, _Call) and call.on_end is not None:
            call.on_end()
        if call.finished.done():
            return
        if error is None:
            call.finished.set_result(result)
        else:
            call.finished.set_exception(error)

    def _check_calls(self) -> None:
        bound = self._options.max_concurrent_rpcs
        if self._open_calls >= bound:
            raise QuotaExceeded(f"{bound} calls are open already", retry_after_ms=BUSY_RETRY_MS)

    def _check_streams(self) -> None:
        bound = self._options.max_streams
        if self._open_streams >= bound:
            raise QuotaExceeded(
                f"{bound} streams are open already", retry_after_ms=10 * BUSY_RETRY_MS
            )


def parse(route: Route | Duplex[Any, Any], raw: bytes) -> Message:
    """Size is checked before sense. Raises InvalidRequest, DecodeError."""
    bound = route.max_request_bytes
    if bound is not None and len(raw) > bound:
        raise InvalidRequest(
            f"{route.method}: the request has {len(raw)} bytes; at most {bound} are allowed"
        )
    message: Message = route.request_type.FromString(raw)
    return message


def _refusal(error: Exception) -> RpcStatus:
    """What the caller is told. Raises grpc.aio's own: no connection, or it has answered already."""
    if isinstance(error, grpc.aio.BaseError):
        raise error
    status = status_of(error)
    if status.text != INTERNAL_TEXT:
        _let_go(error)
    return status


async def refuse(context: Context, error: Exception) -> Never:
    """End a call with an error's status."""
    await _abort(context, _refusal(error))


async def _abort(context: Context, status: RpcStatus) -> Never:
    await context.abort(status.code, status.text, status.metadata)


def _let_go(error: BaseException) -> None:
    """Have it hold no frames any more. They are in cycles with it, Trio's of threads among them,
    and have the request, which may be large; the collector looks seldom in servers.
    """
    each: BaseException | None = error
    while each is not None and each.__traceback__ is not None:
        each.__traceback__ = None
        if isinstance(each, BaseExceptionGroup):
            for one in each.exceptions:
                _let_go(one)
        each = each.__cause__ or each.__context__


def handlers_of(bridge: Bridge, routes: Routes) -> list[grpc.GenericRpcHandler]:
    """One generic handler per service. Bytes stay bytes: the bridge decodes them itself."""
    services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for route in routes:
        handler: grpc.RpcMethodHandler[Any, Any] = (
            grpc.unary_unary_rpc_method_handler(bridge.unary(route))
            if isinstance(route, Unary)
            else grpc.unary_stream_rpc_method_handler(bridge.stream(route))
        )
        services.setdefault(route.service, {})[route.method] = handler
    return [
        grpc.method_handlers_generic_handler(service, methods)
        for service, methods in services.items()
    ]
