"""Fetching partitions over gRPC, from the worker that serves them or from the coordinator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

import attrs

from ffq.errors import InvalidRequest, Unavailable
from ffq.messages import FetchShufflePartition, ShuffleChunk, ShufflePart
from ffq.rpc.client import RpcChannel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.pool import ChannelPool
from ffq.worker.wanted import InputPart


@attrs.frozen
class GrpcTransport:
    """`ShuffleTransport` over gRPC.

    Attributes:
        coordinator: asked for outputs without an endpoint.
        peers: channels to other workers.
    """

    coordinator: RpcChannel
    peers: ChannelPool

    @asynccontextmanager
    async def fetch(
        self, part: InputPart, start_offset: int, also: Sequence[InputPart] = ()
    ) -> AsyncIterator[GrpcStream]:
        """As `ShuffleTransport.fetch`; an endpoint that is none counts as unreachable."""
        more = tuple(ShufflePart(each.key, each.reduce_partition) for each in also)
        request = FetchShufflePartition(part.key, part.reduce_partition, start_offset, also=more)
        with ExitStack() as using:
            channel = self.coordinator
            if part.endpoint:
                try:
                    channel = using.enter_context(self.peers.use(part.endpoint))
                except InvalidRequest as error:
                    raise Unavailable(error.message) from None
            async with RemoteCoordinator(channel).stream(request) as chunks:
                yield GrpcStream(chunks)


@attrs.frozen
class GrpcStream:
    _chunks: AsyncIterator[ShuffleChunk]

    async def receive(self) -> ShuffleChunk | None:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            return None
