"""Partitions for peers without endpoints: where an output is served, the bytes are passed on (R23).

A partition that a worker of ours serves is passed on from there. One that lies on a folder shared
by all, in whatever framing its writer chose, is passed through as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import attrs
import trio

from ffq.errors import NotReady, StorageError
from ffq.messages import FetchShufflePartition, OutputLocation, OutputPartition, ShuffleChunk
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import OnThreads
from ffq.shuffle.layout import SHARED_FOLDER, attempt_folder, part_file
from ffq.shuffle.pieces import Piece, read_pieces


@attrs.frozen
class ShuffleChunks:
    """From where a partition is to its bytes.

    Attributes:
        peers: channels to the workers that serve partitions.
        shared_root: the folder that peers on the fixed wire share; None: there is none.
        chunk_bytes: largest payload of a chunk.
        reads: threads that read the shared folder at a time.
    """

    peers: ChannelPool
    shared_root: Path | None
    chunk_bytes: int
    reads: trio.CapacityLimiter

    @asynccontextmanager
    async def __call__(
        self, asked: FetchShufflePartition, location: OutputLocation
    ) -> AsyncIterator[AsyncIterator[ShuffleChunk]]:
        """R23, R24. Raises NotReady, Unavailable, StorageError, and what a worker answers."""
        epoch = location.size.stream_epoch if location.size is not None else 0
        if asked.min_stream_epoch > epoch:
            raise NotReady(
                f"map output {location.key} is registered up to stream epoch {epoch}, "
                f"asked for was {asked.min_stream_epoch} or later"
            )
        # The others may be elsewhere, and who asks may be on another host.
        exact = attrs.evolve(asked, key=location.key, also=(), opens=False)
        if location.endpoint:
            with self.peers.use(location.endpoint) as channel:
                async with RemoteCoordinator(channel).stream(exact) as chunks:
                    yield chunks
        elif location.size is None:
            # Its writer named no such partition: it is empty, and in whose framing is not known.
            empty = ShuffleChunk(b"", 0, 0, 0, finalized=True)
            yield OnThreads(iter((empty,)), self.reads)
        else:
            with closing(self._shared(exact, location.size)) as chunks:
                yield OnThreads(chunks, self.reads)

    def _shared(
        self, exact: FetchShufflePartition, size: OutputPartition
    ) -> Generator[ShuffleChunk, None, None]:
        """Whoever reads less than all of it closes it: the file is open between chunks."""
        if self.shared_root is None:
            raise NotReady(
                f"map output {exact.key} is served by no worker, and this coordinator was "
                f"given no shared shuffle folder"
            )
        folder = attempt_folder(self.shared_root / SHARED_FOLDER, exact.key)
        path = folder / part_file(exact.reduce_partition)
        try:
            pieces = [Piece.file(path)]
            with closing(
                read_pieces(pieces, exact.start_offset, exact.max_bytes, self.chunk_bytes)
            ) as chunks:
                for chunk in chunks:
                    yield attrs.evolve(
                        chunk, finalized=size.finalized, stream_epoch=size.stream_epoch
                    )
        except OSError as error:
            raise StorageError(f"cannot read map output {path}: {error.strerror}") from error
