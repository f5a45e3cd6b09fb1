"""A worker's stream over gRPC: the gateway's route, and the worker's end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs

from ffq.messages import FromWorker, ToWorker
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec.exchange import (
    decode_from_worker,
    decode_to_worker,
    encode_from_worker,
    encode_to_worker,
)
from ffq.rpc.client import RpcChannel
from ffq.rpc.duplex import Call, open_duplex
from ffq.rpc.routes import Duplex, Send
from ffq.service import ServesExchange

_SERVICE: Final = ext.DESCRIPTOR.services_by_name["Exchange"].full_name
_METHOD: Final = "Work"
PATH: Final = f"/{_SERVICE}/{_METHOD}"
WINDOW: Final = 4
"""Messages that the worker's end may be behind, each way."""


@attrs.frozen
class _Decoded:
    """(No async generator: those must be closed by their user.)"""

    requests: AsyncIterator[ext.WorkRequest]

    def __aiter__(self) -> _Decoded:
        return self

    async def __anext__(self) -> FromWorker:
        return decode_from_worker(await anext(self.requests))


def exchange_route(coordinator: ServesExchange) -> Duplex[ext.WorkRequest, ext.WorkResponse]:
    """The route by which a gateway serves its workers' streams."""

    async def handle(
        requests: AsyncIterator[ext.WorkRequest], send: Send[ext.WorkResponse]
    ) -> None:
        async def send_encoded(message: ToWorker) -> None:
            await send(encode_to_worker(message))

        await coordinator.serve_exchange(_Decoded(requests), send_encoded)

    return Duplex(_SERVICE, _METHOD, ext.WorkRequest, handle)


@attrs.frozen
class RemoteExchange:
    """`ffq.service.Exchange` over gRPC."""

    _call: Call[ext.WorkResponse]

    async def send(self, message: FromWorker) -> None:
        await self._call.send(encode_from_worker(message))

    async def receive(self) -> ToWorker | None:
        message = await self._call.receive()
        return None if message is None else decode_to_worker(message)

    def finish(self) -> None:
        self._call.finish()


@asynccontextmanager
async def open_exchange(channel: RpcChannel) -> AsyncIterator[RemoteExchange]:
    """A stream to the coordinator at the channel's end; errors come with what is received."""
    async with open_duplex(channel, PATH, ext.WorkResponse, WINDOW) as call:
        yield RemoteExchange(call)
