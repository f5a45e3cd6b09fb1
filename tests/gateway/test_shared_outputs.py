"""Files of the shared shuffle folder are closed by who reads only the first bytes of them, too."""

from __future__ import annotations

import gc
from pathlib import Path

import trio

from ffq.gateway.shuffle import ShuffleChunks
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.messages import FetchShufflePartition, OutputLocation, OutputPartition
from ffq.rpc.pool import ChannelPool
from ffq.rpc.routes import AHEAD
from ffq.shuffle.layout import SHARED_FOLDER, attempt_folder, part_file

KEY = AttemptKey(QueryId("1"), StageId(1), TaskId(0), Attempt(1))
CHUNK = 1000


async def test_a_reader_that_leaves_in_the_middle_has_the_file_closed(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path / SHARED_FOLDER, KEY)
    folder.mkdir(parents=True)
    size = 10 * AHEAD * CHUNK
    (folder / part_file(0)).write_bytes(bytes(size))
    with ChannelPool() as peers:
        shared = ShuffleChunks(peers, tmp_path, CHUNK, trio.CapacityLimiter(1))
        location = OutputLocation(KEY, "", OutputPartition(0, size, 1, 1))
        async with shared(FetchShufflePartition(KEY, 0), location) as chunks:
            first = await anext(chunks)
        rest = [chunk async for chunk in chunks]
    assert (first.start_offset, first.end_offset) == (0, CHUNK)
    assert len(rest) == AHEAD - 1, "no more than what had been read already"
    del chunks
    gc.collect()  # a file that is still open warns now, and warnings are errors
