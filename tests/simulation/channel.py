"""The coordinator as workers and clients reach it: over the simulated network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import attrs

from ffq.actors import ActorCoordinator
from ffq.errors import NotReady, UnknownId
from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    FetchQueryResults,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    Rpc,
    StreamRpc,
    TaskState,
)
from ffq.testing import checks
from tests.simulation.faults import FaultKind
from tests.simulation.invariants import require
from tests.simulation.network import Network
from tests.simulation.query_account import Inputs
from tests.simulation.server import SimServer
from tests.simulation.transport import Peer

C = TypeVar("C")
R = TypeVar("R")


class Crashing(Peer, Protocol):
    """A worker that may crash where the faults say so."""

    async def crash_at(self, point: FaultKind) -> None: ...


@attrs.define
class SimChannel:
    """`ffq.service.Coordinator` for one node; `node` is None for clients."""

    name: str
    node: Crashing | None
    network: Network
    server: SimServer

    async def ask(self, message: Rpc[R] | StreamRpc[Any, R]) -> R:
        """A stream's value comes whole: nothing in a simulation is cut into chunks."""
        if isinstance(message, ReportTaskStatus):
            self._note(message.key, f"reports {message.state.name} {message.message}".rstrip())

        async def handle() -> R:
            up = self.server.up()
            # Before the reply is awaited: a coordinator that is started anew has another monitor.
            monitor = self.server.monitor
            reply = await up.ask(message)
            if isinstance(message, GetTask):
                self._check_given(message, reply, {} if monitor is None else monitor.committed)
            if isinstance(message, RegisterQueryResults) and message.last:
                await self._check_not_served(up, message.query_id)
            return reply

        reply = await self.network.call(self.name, self.node, type(message).__name__, handle)
        await self._answered(message, reply)
        return reply

    def stream(self, message: StreamRpc[C, R]) -> AbstractAsyncContextManager[AsyncIterator[C]]:
        raise AssertionError(f"nobody streams {message}")

    async def _answered(self, message: object, reply: Any) -> None:
        """What is written down of an answer, and where a worker may crash after it."""
        match message:
            case Heartbeat():
                self._note_told(reply)
            case ReportTaskStatus():
                if not reply.counted:
                    self._note(message.key, "its report does not count")
                if message.state is TaskState.SUCCEEDED:
                    await self._crash_at(FaultKind.CRASH_AFTER_COMMIT)
            case RegisterMapOutput():
                self._note(message.key, f"registered its output, counted={reply.counted}")
                await self._crash_at(FaultKind.CRASH_BEFORE_REPORT)
            case RegisterQueryResults(key=AttemptKey() as key, last=True):
                self._note(key, f"uploaded its result, counted={reply.counted}")
                await self._crash_at(FaultKind.CRASH_BEFORE_REPORT)

    def _note_told(self, reply: HeartbeatReply) -> None:
        if reply.stop_attempts or not reply.accepted:
            stopped = ", ".join(map(str, reply.stop_attempts))
            self.network.trace.note(f"{self.name} is told: accepted={reply.accepted} [{stopped}]")

    async def _crash_at(self, point: FaultKind) -> None:
        if self.node is not None:
            await self.node.crash_at(point)

    def _check_given(self, asked: GetTask, given: Any, committed: dict[AttemptKey, Inputs]) -> None:
        with self.network.trace.failing():
            checks.within_capacity(require, asked.capacity, [str(each.key) for each in given])
            for each in given:
                right = committed.get(each.key)
                if right is not None:
                    right.check(each)

    async def _check_not_served(self, up: ActorCoordinator, query_id: QueryId) -> None:
        """An uploaded result is no result before its query has SUCCEEDED (R26)."""
        try:
            await up.ask(FetchQueryResults(query_id))
        except (NotReady, UnknownId):
            return
        status = await up.ask(GetQueryStatus(query_id))
        with self.network.trace.failing():
            checks.served_after_success(require, str(query_id), status.state, served=True)

    def _note(self, key: AttemptKey, line: str) -> None:
        self.network.trace.note(f"{self.name}: {key} {line}")
