"""A small gRPC service to test the shell with: two routes and both ends in one Trio run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from ffq.proto import ffq_distributed_pb2 as wire
from ffq.rpc.client import RpcChannel, open_channel
from ffq.rpc.options import RpcOptions
from ffq.rpc.routes import Send, ServerStream, Unary
from ffq.rpc.server import serve

CALL = "/test.Echo/Call"
STREAM = "/test.Echo/Stream"
OPTIONS = RpcOptions(grace_s=0.2)

Request = wire.CancelQueryRequest
Reply = wire.CancelQueryResponse
Chunk = wire.QueryResultsChunk
Handle = Callable[[Request], Awaitable[Reply]]
HandleStream = Callable[[Request, Send[Chunk]], Awaitable[None]]


async def echo(request: Request) -> Reply:
    return Reply(query_id=request.query_id)


async def count(request: Request, send: Send[Chunk]) -> None:
    """Sends "0", "1", ... below the number that the request names."""
    for n in range(int(request.query_id)):
        await send(Chunk(payload=str(n).encode()))


@asynccontextmanager
async def open_echo(
    handle: Handle = echo,
    stream: HandleStream = count,
    options: RpcOptions = OPTIONS,
    client_options: RpcOptions = OPTIONS,
) -> AsyncIterator[RpcChannel]:
    routes = (
        Unary("test.Echo", "Call", Request, handle),
        ServerStream("test.Echo", "Stream", Request, stream),
    )
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, routes, "127.0.0.1:0", options)
        async with open_channel(address.endpoint, client_options) as channel:
            yield channel
        nursery.cancel_scope.cancel()


async def call(channel: RpcChannel, text: str = "x", timeout_s: float | None = None) -> str:
    reply = await channel.unary(CALL, Request(query_id=text), Reply, timeout_s=timeout_s)
    return reply.query_id
