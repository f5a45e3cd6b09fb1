"""Fetching map output over the simulated network (`ffq.worker.ports.ShuffleTransport`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import attrs
import trio

from ffq.errors import Unavailable
from ffq.ids import AttemptKey
from ffq.messages import LocateMapOutput, OutputLocation
from ffq.proto.codec.shuffle import ShuffleChunk
from ffq.testing.simulation.disk import Disk
from ffq.testing.simulation.network import Network
from ffq.testing.simulation.weather import COORDINATOR
from ffq.worker.wanted import InputPart

CHUNK_BYTES = 40


class Peer(Protocol):
    """A worker as others reach it: by its endpoint, which a new incarnation has anew."""

    disk: Disk

    @property
    def name(self) -> str: ...

    async def gate(self) -> None: ...


class Locator(Protocol):
    async def locate(self, msg: LocateMapOutput) -> OutputLocation:
        """Ask the coordinator that is up. Raises Unavailable, UnknownId, NotReady."""


@attrs.define
class SimTransport:
    """What `reader` fetches; from a worker, or through the coordinator."""

    reader: str
    network: Network
    peers: Mapping[str, Peer]
    coordinator: Locator

    @asynccontextmanager
    async def fetch(self, part: InputPart, start_offset: int) -> AsyncIterator[SimStream]:
        """As `ShuffleTransport.fetch`."""
        if part.endpoint:
            yield SimStream(self, part.endpoint, self.reader, part.key, part, start_offset)
            return
        message = LocateMapOutput(part.key, part.reduce_partition)

        async def locate() -> OutputLocation:
            return await self.coordinator.locate(message)

        where = await self.network.call(self.reader, None, "FetchShufflePartition", locate)
        yield SimStream(self, where.endpoint, COORDINATOR, where.key, part, start_offset)


@attrs.define
class SimStream:
    """One fetch; every chunk passes the network."""

    _transport: SimTransport
    _endpoint: str
    _asker: str
    _key: AttemptKey
    _part: InputPart
    _offset: int

    async def receive(self) -> ShuffleChunk | None:
        """The next chunk. Raises Unavailable, UnknownId."""
        transport = self._transport
        peer = transport.peers.get(self._endpoint)
        await trio.sleep(transport.network.chance.uniform(0.0001, 0.002))
        if peer is None:
            raise Unavailable(f"{self._endpoint}: connection refused")
        await peer.gate()
        weather = transport.network.weather
        ways = {(self._asker, peer.name), (peer.name, self._asker)}
        if self._asker == COORDINATOR:
            ways |= {(transport.reader, COORDINATOR), (COORDINATOR, transport.reader)}
        if any(weather.is_cut(*way) for way in sorted(ways)):
            await trio.sleep_forever()
        data = peer.disk.read(self._key, self._part.reduce_partition)
        start, self._offset = self._offset, min(self._offset + CHUNK_BYTES, len(data))
        piece = data[start : self._offset]
        return ShuffleChunk(piece, start, start + len(piece), len(data), finalized=True)
