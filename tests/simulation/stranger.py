"""Somebody who asks about a query that nobody has, and never stays for the answer."""

from __future__ import annotations

import random
from typing import Any, Final

import trio

from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import (
    CancelQuery,
    FetchQueryResults,
    FetchShufflePartition,
    GetQueryStatus,
    Layout,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    Rpc,
    StreamRpc,
    TaskState,
)
from tests.simulation.network import Network
from tests.simulation.server import SimServer

_QUERY: Final = QueryId("nobody-has-this")
_KEY: Final = AttemptKey(_QUERY, StageId(0), TaskId(0), Attempt(1))
_LAYOUT: Final = Layout(1, 1)
MESSAGES: Final[tuple[Rpc[Any] | StreamRpc[Any, Any], ...]] = (
    RegisterMapOutput(_KEY, (), _LAYOUT),
    RegisterQueryResults(_QUERY, b"no result"),
    ReportTaskStatus(_KEY, TaskState.FAILED, "no task", _LAYOUT, WorkerId("nobody")),
    CancelQuery(_QUERY, "no reason"),
    GetQueryStatus(_QUERY),
    FetchQueryResults(_QUERY),
    FetchShufflePartition(_KEY, 0),
)


async def ask_and_leave(network: Network, server: SimServer, leaving: random.Random) -> None:
    """For as long as callers leave: each message again and again, left after a few steps."""
    while network.someone_leaves():
        for message in MESSAGES:

            async def handle(message: Rpc[Any] | StreamRpc[Any, Any] = message) -> object:
                return await server.up().ask(message)

            await network.cut_short(handle, leaving.randrange(12))
        await trio.sleep(leaving.uniform(0.01, 0.5))
