"""Results lie in files, for as long as somebody has them."""

from __future__ import annotations

import gc
import os
import tempfile
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ffq.errors import DiskError, QuotaExceeded
from ffq.gateway.payloads import (
    IN_MEMORY_BYTES,
    KeepsResultsOnDisk,
    PayloadFolder,
    payload_folder,
)
from ffq.gateway.results import ResultChunks
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    FetchQueryResults,
    RegisterQueryResults,
    RegisterReply,
    ResultParts,
    loaded,
)
from ffq.service import OnReply, Posted
from ffq.shuffle.ipc import decode_stream, encode_stream

QUERY = QueryId("q")
LARGE = os.urandom(IN_MEMORY_BYTES)


class Coordinator:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[RegisterQueryResults] = []

    async def ask(self, message: Any, /) -> Any:
        self.asked.append(message)
        return RegisterReply(True, WorkerId("w"))

    def stream(self, message: Any, /) -> AbstractAsyncContextManager[Any]:
        raise NotImplementedError

    def posts(self, _message: type, /) -> bool:
        return True

    def post(self, _message: Any, _on_reply: OnReply, _deadline: float, /) -> Posted:
        raise NotImplementedError

    async def serve_exchange(self, _incoming: Any, _send: Any, /) -> None:
        raise NotImplementedError


def test_what_may_go_to_a_file_takes_a_thread_and_so_is_not_posted(tmp_path: Path) -> None:
    coordinator = KeepsResultsOnDisk(Coordinator(), PayloadFolder(tmp_path))
    assert not coordinator.posts(RegisterQueryResults)
    assert coordinator.posts(FetchQueryResults)


async def test_large_pieces_go_to_files_and_small_ones_do_not(tmp_path: Path) -> None:
    inner = Coordinator()
    coordinator = KeepsResultsOnDisk(inner, PayloadFolder(tmp_path))
    await coordinator.ask(RegisterQueryResults(QUERY, LARGE, offset=3, last=False))
    await coordinator.ask(RegisterQueryResults(QUERY, b"small"))
    large, small = inner.asked
    assert (large.offset, large.last, large.payload) == (3, False, b"")
    assert len(large.content) == len(LARGE)
    assert loaded(large.content) == LARGE
    assert small.content == b"small"
    assert len(os.listdir(tmp_path)) == 1


def test_a_piece_that_comes_twice_is_the_same_one(tmp_path: Path) -> None:
    folder = PayloadFolder(tmp_path)
    once = folder.keep(LARGE)
    assert folder.keep(LARGE) == once
    assert folder.keep(LARGE[::-1]) != once


def test_a_file_goes_with_the_last_who_has_it(tmp_path: Path) -> None:
    kept = {0: PayloadFolder(tmp_path).keep(LARGE)}
    assert list(tmp_path.iterdir())
    kept.clear()
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(QuotaExceeded, match="cannot keep results in .*: No such file"):
        PayloadFolder(tmp_path / "gone").keep(LARGE)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    stored = PayloadFolder(tmp_path).keep(LARGE)
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(DiskError, match="cannot read a result: No such file"):
        stored.load()


async def test_results_are_served_from_files(tmp_path: Path) -> None:
    folder = PayloadFolder(tmp_path)
    table = pa.table({"v": [os.urandom(64) for _ in range(20_000)]})
    whole = b"".join(encode_stream(table.schema, table.to_batches(max_chunksize=1_000)))
    pieces = tuple(folder.keep(whole[at : at + (1 << 19)]) for at in range(0, len(whole), 1 << 19))
    for parts, times in (((pieces,), 1), ((pieces, pieces), 2)):
        async with ResultChunks(1 << 16)(FetchQueryResults(QUERY), ResultParts(parts)) as chunks:
            served = [chunk async for chunk in chunks]
        assert max(map(len, served)) <= 1 << 16
        assert decode_stream(served).read_all().num_rows == times * table.num_rows


def test_what_a_killed_coordinator_left_is_removed_and_a_living_ones_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "ffq-results-left"
    left.mkdir()
    (left / "lock").touch()
    with payload_folder(None) as living:
        living.keep(b"")
        assert not left.exists()
        with payload_folder(None):
            assert living.folder.exists()
    assert not list(tmp_path.iterdir())
