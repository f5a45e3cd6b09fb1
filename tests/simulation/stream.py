"""A worker's stream over the simulated network: in order, or broken; slow, or standing still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from ffq.actors import ActorCoordinator
from ffq.actors.exchange import WINDOW
from ffq.errors import FfqError, Unavailable
from ffq.messages import EndAnswer, FromWorker, ToWorker
from ffq.testing import checks
from tests.simulation.channel import Crashing
from tests.simulation.faults import FaultKind
from tests.simulation.injector import COORDINATOR
from tests.simulation.invariants import require
from tests.simulation.monitor import Monitor
from tests.simulation.network import RPC_TIMEOUT_MS, Network, answered
from tests.simulation.server import SimServer

METHOD = "Work"
_BREAKS = {FaultKind.REQUEST_LOST, FaultKind.ANSWER_LOST}
"""Nothing on a stream is lost alone: what comes after it is lost as well."""
_LOOKS_S = 0.05
_LINGERS_S = 3.0
"""So long a coordinator may not hear that a worker has closed its end."""


@attrs.define(eq=False)
class SimStream:
    """`ffq.service.Exchange`, and the coordinator's end, which may outlive it."""

    name: str
    node: Crashing
    network: Network
    monitor: Monitor | None
    failure: FfqError | None = None
    _limit: int = 0
    _received: int = 0
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _up: tuple[trio.MemorySendChannel[FromWorker], trio.MemoryReceiveChannel[FromWorker]] = (
        attrs.field(factory=lambda: trio.open_memory_channel[FromWorker](WINDOW))
    )
    _down: tuple[trio.MemorySendChannel[ToWorker], trio.MemoryReceiveChannel[ToWorker]] = (
        attrs.field(factory=lambda: trio.open_memory_channel[ToWorker](WINDOW))
    )

    async def serve(self, door: ActorCoordinator) -> None:
        """The coordinator's end."""
        with self._scope, self._down[0]:
            try:
                await answered(lambda: door.serve_exchange(self._up[1], self._down[0].send))
            except FfqError as error:
                self.failure = error
        self._up[1].close()

    async def close_in_time(self) -> None:
        await trio.sleep(self.network.chance.uniform(0.0, _LINGERS_S))
        self._scope.cancel()

    async def send(self, message: FromWorker) -> None:
        await self._travel(self.name, COORDINATOR)
        self._limit = max(self._limit, message.limit + message.ahead)
        try:
            await self._up[0].send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise self.failure or Unavailable("the stream has ended") from None

    async def receive(self) -> ToWorker | None:
        try:
            message = await self._down[1].receive()
        except trio.EndOfChannel:
            if self.failure is not None:
                raise self.failure from None
            return None
        await self._travel(COORDINATOR, self.name)
        self._check(message)
        if EndAnswer.COUNTED in message.answers:
            await self.node.crash_at(FaultKind.CRASH_AFTER_COMMIT)
        return message

    def finish(self) -> None:
        self._up[0].close()

    async def _travel(self, source: str, target: str) -> None:
        """Raises Unavailable: it broke on the way."""
        network = self.network
        network.count()
        await self.node.gate()
        struck = network.faults.message_faults(self.name, METHOD)
        await trio.sleep(network.latency_s(struck))
        if FaultKind.DELAY in struck:
            await trio.sleep(RPC_TIMEOUT_MS / 1000 * network.chance.uniform(1.1, 5.0))
        while network.faults.is_cut(source, target):  # noqa: ASYNC110 - faults have no event
            await trio.sleep(_LOOKS_S)
        await self.node.gate()
        if _BREAKS.intersection(struck):
            raise Unavailable("the stream broke")

    def _check(self, message: ToWorker) -> None:
        with self.network.trace.failing():
            room = self._limit - self._received
            checks.within_capacity(require, room, [str(each.key) for each in message.tasks])
            for each in message.tasks:
                self._received += 1
                right = None if self.monitor is None else self.monitor.committed.get(each.key)
                if right is not None:
                    right.check(each)


@asynccontextmanager
async def open_stream(
    name: str, node: Crashing, network: Network, server: SimServer
) -> AsyncIterator[SimStream]:
    """An `ffq.service.OpenExchange`. Raises Unavailable: the coordinator is down."""
    door = server.up()
    stream = SimStream(name, node, network, server.monitor)
    network.nursery.start_soon(stream.serve, door)
    try:
        yield stream
    finally:
        network.nursery.start_soon(stream.close_in_time)
