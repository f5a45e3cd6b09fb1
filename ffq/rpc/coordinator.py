"""A coordinator somewhere else, asked over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from ffq.errors import UnknownMethod
from ffq.messages import Rpc, StreamRpc
from ffq.proto.rows import row_of
from ffq.rpc.client import RpcChannel

C = TypeVar("C")
R = TypeVar("R")


class RemoteCoordinator:
    """`ffq.service.Coordinator` over a channel.

    At a foreign coordinator an extension is UnknownMethod, which says so, and `counted` is always
    False: it never says. A worker's shuffle service answers FetchShufflePartition alone.
    """

    def __init__(self, channel: RpcChannel) -> None:
        self._channel = channel

    async def ask(self, message: Rpc[R]) -> R:
        row = row_of(message)
        try:
            answer = await self._channel.unary(row.path, row.encode(message), row.reply_type)
        except UnknownMethod:
            if not row.extension:
                raise
            raise UnknownMethod(
                f"the coordinator at {self._channel.endpoint} is another implementation of FFQ: it "
                f"has no {row.service}, so that {row.method} is not known there"
            ) from None
        reply: R = row.decode_reply(answer)
        return reply

    @asynccontextmanager
    async def stream(self, message: StreamRpc[C, R]) -> AsyncIterator[AsyncIterator[C]]:
        row = row_of(message)
        request = row.encode(message)
        async with self._channel.stream(row.path, request, row.reply_type) as chunks:
            yield chunks.map(row.decode_reply)
