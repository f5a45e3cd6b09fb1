"""Fetching partitions over gRPC, from the worker that serves them or from the coordinator."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

import attrs

from ffq.endpoint import parse_endpoint
from ffq.errors import InvalidRequest, Unavailable
from ffq.proto.codec.shuffle import FetchPartition, ShuffleChunk
from ffq.rpc.client import RpcChannel
from ffq.rpc.options import RpcOptions
from ffq.rpc.shuffle import fetch_partition
from ffq.worker.wanted import InputPart

MAX_CHANNELS = 256
"""Connections to other workers kept open; beyond that the one longest unused is closed."""


@attrs.define
class _PooledChannel:
    channel: RpcChannel
    users: int = 0


class GrpcTransport:
    """`ShuffleTransport` over gRPC; one connection per peer, kept open between fetches.

    Use as a context manager: leaving it closes all connections.

    Args:
        coordinator: asked for outputs without an endpoint; closed by whoever opened it.
    """

    def __init__(self, coordinator: RpcChannel, options: RpcOptions) -> None:
        self._coordinator = coordinator
        self._options = options
        self._channels: OrderedDict[str, _PooledChannel] = OrderedDict()

    def __enter__(self) -> GrpcTransport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pooled in self._channels.values():
            pooled.channel.close()
        self._channels.clear()

    @asynccontextmanager
    async def fetch(self, part: InputPart, start_offset: int) -> AsyncIterator[GrpcStream]:
        """As `ShuffleTransport.fetch`; an endpoint that is none counts as unreachable."""
        request = FetchPartition(part.key, part.reduce_partition, start_offset)
        if not part.endpoint:
            async with fetch_partition(self._coordinator, request) as chunks:
                yield GrpcStream(chunks)
            return
        pooled = self._acquire(part.endpoint)
        try:
            async with fetch_partition(pooled.channel, request) as chunks:
                yield GrpcStream(chunks)
        finally:
            pooled.users -= 1

    def _acquire(self, endpoint: str) -> _PooledChannel:
        pooled = self._channels.get(endpoint)
        if pooled is None:
            try:
                pooled = _PooledChannel(RpcChannel(parse_endpoint(endpoint), self._options))
            except InvalidRequest as error:
                raise Unavailable(error.message) from None
            self._channels[endpoint] = pooled
            self._close_longest_unused()
        self._channels.move_to_end(endpoint)
        pooled.users += 1
        return pooled

    def _close_longest_unused(self) -> None:
        if len(self._channels) <= MAX_CHANNELS:
            return
        for endpoint, pooled in self._channels.items():
            if pooled.users == 0:
                pooled.channel.close()
                del self._channels[endpoint]
                return


@attrs.frozen
class GrpcStream:
    _chunks: AsyncIterator[ShuffleChunk]

    async def receive(self) -> ShuffleChunk | None:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            return None
