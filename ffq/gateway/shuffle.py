"""The coordinator's ShuffleService: registration, and partitions for peers without endpoints.

A partition that a worker of ours serves is passed on from there. One that lies on a folder shared
by all, in whatever framing its writer chose, is passed through as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import trio

from ffq.errors import NotReady, StorageError
from ffq.messages import LocateMapOutput, OutputLocation
from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto.codec import outputs
from ffq.proto.codec.shuffle import FetchPartition, ShuffleChunk
from ffq.rpc.methods import SHUFFLE_SERVICE
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import Routes, Unary
from ffq.rpc.shuffle import SendChunk, fetch_partition, fetch_route
from ffq.service import ServedCoordinator
from ffq.shuffle.layout import attempt_folder, part_file
from ffq.shuffle.store import RangeChunk, read_file_range

SHARED_FOLDER = "shuffle"


@attrs.frozen
class ShuffleFrontend:
    """Handlers of the ShuffleService.

    Attributes:
        peers: channels to the workers that serve partitions.
        shared_root: the folder that peers on the fixed wire share; None: there is none.
        chunk_bytes: largest payload of a chunk.
        reads: threads that read the shared folder at a time.
    """

    coordinator: ServedCoordinator
    peers: ChannelPool
    shared_root: Path | None
    chunk_bytes: int
    reads: trio.CapacityLimiter

    async def register_map_output(
        self, message: wire.RegisterMapOutputRequest
    ) -> wire.RegisterMapOutputResponse:
        request = outputs.decode_map_output(message)
        return outputs.encode_map_output_reply(await self.coordinator.register_map_output(request))

    async def fetch(self, request: FetchPartition, send: SendChunk) -> None:
        """R23, R24. Raises UnknownId, NotReady, Unavailable, StorageError."""
        location = await self.coordinator.locate_map_output(
            LocateMapOutput(request.key, request.reduce_partition)
        )
        epoch = location.size.stream_epoch if location.size is not None else 0
        if request.min_stream_epoch > epoch:
            raise NotReady(
                f"map output {location.key} is registered up to stream epoch {epoch}, "
                f"asked for was {request.min_stream_epoch} or later"
            )
        exact = attrs.evolve(request, key=location.key)
        if location.endpoint:
            await self._pass_on(exact, location.endpoint, send)
        elif location.size is None:
            # Its writer named no such partition: it is empty, and in whose framing is not known.
            await send(ShuffleChunk(b"", 0, 0, 0, finalized=True))
        else:
            await self._send_shared(exact, location, send)

    async def _pass_on(self, request: FetchPartition, endpoint: str, send: SendChunk) -> None:
        with self.peers.use(endpoint) as channel:
            async with fetch_partition(channel, request) as chunks:
                async for chunk in chunks:
                    await send(chunk)

    async def _send_shared(
        self, request: FetchPartition, location: OutputLocation, send: SendChunk
    ) -> None:
        assert location.size is not None
        if self.shared_root is None:
            raise NotReady(
                f"map output {location.key} is served by no worker, and this coordinator was "
                f"given no shared shuffle folder"
            )
        folder = attempt_folder(self.shared_root / SHARED_FOLDER, location.key)
        path = folder / part_file(request.reduce_partition)
        ranges = read_file_range(path, request.start_offset, request.max_bytes, self.chunk_bytes)
        while True:
            piece = await self._next(ranges, path)
            if piece is None:
                return
            await send(
                ShuffleChunk(
                    payload=piece.payload,
                    start_offset=piece.start,
                    end_offset=piece.end,
                    watermark_offset=piece.watermark,
                    finalized=location.size.finalized,
                    stream_epoch=location.size.stream_epoch,
                )
            )

    async def _next(self, ranges: Iterator[RangeChunk], path: Path) -> RangeChunk | None:
        try:
            return await trio.to_thread.run_sync(next, ranges, None, limiter=self.reads)
        except OSError as error:
            raise StorageError(f"cannot read map output {path}: {error.strerror}") from error

    def routes(self) -> Routes:
        return (
            Unary(
                SHUFFLE_SERVICE,
                "RegisterMapOutput",
                wire.RegisterMapOutputRequest,
                self.register_map_output,
            ),
            fetch_route(self.fetch),
        )
