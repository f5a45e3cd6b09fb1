"""Fetching partitions over gRPC, from the worker that serves them or from the coordinator.

From a worker of this host large ones are read where they lie: that costs a tenth of sending them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from functools import partial
from typing import Final

import attrs

from ffq.errors import InvalidRequest, Unavailable
from ffq.messages import FetchShufflePartition, ShuffleChunk, ShufflePart
from ffq.rpc.client import RpcChannel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.pool import ChannelPool
from ffq.shuffle.places import read_places
from ffq.shuffle.store import DEFAULT_CHUNK_BYTES
from ffq.threads import run_blocking
from ffq.worker.network import Network
from ffq.worker.wanted import InputPart

OPENED_BYTES: Final = 512 * 1024
"""From here on a file is opened: below it the answer has the bytes in the same time."""
_MOST_FAR: Final = 4096


def _not_noted(_size: int) -> None:
    """Nobody is told."""


@attrs.frozen
class GrpcTransport:
    """`ShuffleTransport` over gRPC.

    Attributes:
        coordinator: asked for outputs without an endpoint.
        peers: channels to other workers.
        host: of this worker, as others reach it; files of workers there are opened. Empty: none.
        network: is told what comes from this host, and from others.
    """

    coordinator: RpcChannel
    peers: ChannelPool
    host: str = ""
    network: Network = attrs.field(factory=Network)
    _far: set[str] = attrs.field(factory=set, repr=False)
    """Endpoints whose files are not here: in another container, or another user's."""

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
            size = part.bytes + sum(each.bytes for each in also)
            near = self._is_near(part.endpoint)
            opens = not start_offset and size >= OPENED_BYTES and near
            came = using.enter_context(self._noting(part.endpoint, size, near=near))
            asked = attrs.evolve(request, opens=opens)
            async with RemoteCoordinator(channel).stream(asked) as chunks:
                far = partial(self._note_far, part.endpoint)
                stream = GrpcStream(chunks, far, opens=opens, came=came)
                try:
                    yield stream
                finally:
                    stream.close()

    def _noting(
        self, endpoint: str, size: int, *, near: bool
    ) -> AbstractContextManager[Callable[[int], None]]:
        """To be told how many bytes came."""
        if near:
            return nullcontext(self.network.near)
        # Where a coordinator has it from, and at which rate, is not known.
        return self.network.fetching(size) if endpoint else nullcontext(_not_noted)

    def _is_near(self, endpoint: str) -> bool:
        here = bool(self.host) and endpoint.rpartition(":")[0] == self.host
        return here and endpoint not in self._far

    def _note_far(self, endpoint: str) -> None:
        if len(self._far) >= _MOST_FAR:
            self._far.clear()
        self._far.add(endpoint)


@attrs.define
class GrpcStream:
    """The chunks that come, or those of the files where the first one says that the bytes lie.

    `not_here`: called when such files are others than are meant, or cannot be opened. `opens`:
    whether files were asked for; whoever tells of some unasked has none opened. `came`: told the
    bytes of each chunk.
    """

    _chunks: AsyncIterator[ShuffleChunk]
    _not_here: Callable[[], None]
    _opens: bool = attrs.field(kw_only=True, alias="opens")
    _came: Callable[[int], None] = attrs.field(
        default=_not_noted, kw_only=True, alias="came", repr=False
    )
    _opened: Generator[ShuffleChunk, None, None] | None = attrs.field(default=None, init=False)

    async def receive(self) -> ShuffleChunk | None:
        chunk = await self._next()
        if chunk is not None:
            self._came(len(chunk.payload))
        return chunk

    async def _next(self) -> ShuffleChunk | None:
        if self._opened is None:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                return None
            if not chunk.places:
                return chunk
            if not self._opens:
                raise Unavailable("it tells of files that it was not asked for")
            self._opened = read_places(chunk.places, DEFAULT_CHUNK_BYTES)
        try:
            return await run_blocking(next, self._opened, None)
        except OSError as error:
            self._not_here()
            raise Unavailable(f"files of a worker on this host: {error}") from error

    def close(self) -> None:
        """Close the files."""
        if self._opened is not None:
            self._opened.close()
