"""Fetching map output over the simulated network (`ffq.worker.ports.ShuffleTransport`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Protocol

import attrs
import trio

from ffq.errors import Unavailable
from ffq.messages import FetchShufflePartition, OutputLocation, ShuffleChunk
from ffq.worker.wanted import InputPart
from tests.simulation.disk import Disk
from tests.simulation.injector import COORDINATOR
from tests.simulation.network import Network

CHUNK_BYTES = 40


class Peer(Protocol):
    """A worker as others reach it: by its endpoint, which a new incarnation has anew."""

    disk: Disk

    @property
    def name(self) -> str: ...

    async def gate(self) -> None: ...


class Locator(Protocol):
    async def locate(self, msg: FetchShufflePartition) -> OutputLocation:
        """Ask the coordinator that is up. Raises Unavailable, UnknownId, NotReady."""


@attrs.define
class SimTransport:
    """What `reader` fetches; from a worker, or through the coordinator."""

    reader: str
    network: Network
    peers: Mapping[str, Peer]
    coordinator: Locator

    @asynccontextmanager
    async def fetch(
        self, part: InputPart, start_offset: int, also: Sequence[InputPart] = ()
    ) -> AsyncIterator[SimStream]:
        """As `ShuffleTransport.fetch`; nothing is asked before the first chunk is."""
        yield SimStream(self, part, start_offset, also)

    async def locate(self, part: InputPart) -> OutputLocation:
        """Where the coordinator says that a part is. Raises Unavailable, UnknownId, NotReady."""
        message = FetchShufflePartition(part.key, part.reduce_partition)
        return await self.network.call(
            self.reader, None, "FetchShufflePartition", lambda: self.coordinator.locate(message)
        )


@attrs.define
class SimStream:
    """One fetch; every chunk passes the network, through the coordinator where it was asked."""

    _transport: SimTransport
    _part: InputPart
    _offset: int
    _also: Sequence[InputPart] = ()
    _where: OutputLocation | None = None

    async def receive(self) -> ShuffleChunk | None:
        """The next chunk. Raises Unavailable, UnknownId, NotReady."""
        transport, part = self._transport, self._part
        if self._where is None:
            asks = not part.endpoint
            here = OutputLocation(part.key, part.endpoint, None)
            self._where = await transport.locate(part) if asks else here
        peer = transport.peers.get(self._where.endpoint)
        await trio.sleep(transport.network.chance.uniform(0.0001, 0.002))
        if peer is None:
            raise Unavailable(f"{self._where.endpoint}: connection refused")
        await peer.gate()
        if self._is_cut(peer.name):
            await trio.sleep_forever()
        data = peer.disk.read(self._where.key, part.reduce_partition)
        for each in self._also:
            data += peer.disk.read(each.key, each.reduce_partition)
        start, self._offset = self._offset, min(self._offset + CHUNK_BYTES, len(data))
        piece = data[start : self._offset]
        return ShuffleChunk(piece, start, start + len(piece), len(data), finalized=True)

    def _is_cut(self, server: str) -> bool:
        reader = self._transport.reader
        stops = [reader, server] if self._part.endpoint else [reader, COORDINATOR, server]
        faults = self._transport.network.faults
        return any(
            faults.is_cut(one, other) or faults.is_cut(other, one) for one, other in pairwise(stops)
        )
