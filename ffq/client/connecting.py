"""A client of a coordinator somewhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ffq.client.client import Client
from ffq.errors import InvalidRequest
from ffq.rpc.client import open_channel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.options import DEFAULT_OPTIONS, RpcOptions


def require_trio(what: str) -> None:
    """Raise InvalidRequest outside of Trio, with what to use instead."""
    if not trio.lowlevel.in_trio_task():
        raise InvalidRequest(
            f"{what} works under Trio, as in trio.run(main), and not under asyncio or another "
            "event loop. There use ffq.SyncClient, whose calls block, on a thread: "
            "`await asyncio.to_thread(client.run, plan)`"
        )


@asynccontextmanager
async def open_client(
    endpoint: str,
    *,
    timeout_ms: int = 30_000,
    poll_ms: int = 50,
    options: RpcOptions = DEFAULT_OPTIONS,
) -> AsyncIterator[Client]:
    """A client of the coordinator at `host:port` or `http://host:port`.

    Nothing is sent before the first call; see `Client` for the other arguments.

    Raises:
        InvalidRequest: the endpoint is malformed, or this is not Trio.
    """
    require_trio("ffq.connect")
    async with open_channel(endpoint, options) as channel:
        yield Client(
            RemoteCoordinator(channel),
            timeout_ms=timeout_ms,
            poll_ms=poll_ms,
            endpoint=channel.endpoint,
            one_call=True,
        )
