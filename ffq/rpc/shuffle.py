"""The shuffle service over gRPC: how partitions are fetched and served (R23, R24)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec.shuffle import (
    FetchPartition,
    ShuffleChunk,
    decode_chunk,
    decode_fetch,
    encode_chunk,
    encode_fetch,
)
from ffq.rpc.client import RpcChannel
from ffq.rpc.methods import SHUFFLE_SERVICE, path
from ffq.rpc.routes import Send, ServerStream

SendChunk = Callable[[ShuffleChunk], Awaitable[None]]
FetchHandler = Callable[[FetchPartition, SendChunk], Awaitable[None]]

FETCH = "FetchShufflePartition"


@asynccontextmanager
async def fetch_partition(
    channel: RpcChannel, request: FetchPartition
) -> AsyncIterator[AsyncIterator[ShuffleChunk]]:
    """The chunks of a partition, while the block is open.

    Raises, when iterated: UnknownId or NotReady for an attempt that is not there, Unavailable.
    """
    async with channel.stream(
        path(SHUFFLE_SERVICE, FETCH), encode_fetch(request), wire.ShufflePartitionChunk
    ) as chunks:
        yield chunks.map(decode_chunk)


def fetch_route(
    handle: FetchHandler,
) -> ServerStream[wire.FetchShufflePartitionRequest, wire.ShufflePartitionChunk]:
    """The route of FetchShufflePartition over a handler of typed values.

    `handle(request, send)` sends at least one chunk, each within the server's chunk_bytes, or
    raises the FfqError that the caller shall see.
    """

    async def serve(
        message: wire.FetchShufflePartitionRequest, send: Send[wire.ShufflePartitionChunk]
    ) -> None:
        async def send_chunk(chunk: ShuffleChunk) -> None:
            await send(encode_chunk(chunk))

        await handle(decode_fetch(message), send_chunk)

    return ServerStream(SHUFFLE_SERVICE, FETCH, wire.FetchShufflePartitionRequest, serve)
