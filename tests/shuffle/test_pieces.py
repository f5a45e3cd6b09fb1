"""Chunks of pieces: those that are at hand are the ones that iterating gives."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffq.shuffle.pieces import Piece, PieceChunks, read_pieces

DATA = bytes(range(251)) * 4


def places(folder: Path) -> tuple[list[Piece], bytes]:
    """Memory, nothing, two stretches of one file, and another file, which is open."""
    file, opened = folder / "file", folder / "opened"
    for path in (file, opened):
        path.write_bytes(DATA)
    pieces = [
        Piece.of(DATA[:70]),
        Piece.of(b""),
        Piece(100, path=file, offset=30),
        Piece(33, path=file, offset=500),
        Piece(60, descriptor=os.open(opened, os.O_RDONLY), offset=9),
    ]
    whole = DATA[:70] + DATA[30:130] + DATA[500:533] + DATA[9:69]
    return pieces, whole


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Piece], bytes]:
    return places(tmp_path_factory.mktemp("pieces"))


def taken(chunks: PieceChunks, at_hand: Callable[[], bool]) -> tuple[bytes, int]:
    """All bytes, taken in one way or the other; and how many chunks were at hand."""
    found, count = b"", 0
    while True:
        try:
            chunk = chunks.now() if at_hand() else None
            count += chunk is not None
            chunk = next(chunks) if chunk is None else chunk
        except StopIteration:
            return found, count
        assert (chunk.start_offset, chunk.end_offset) == (
            len(found),
            len(found) + len(chunk.payload),
        )
        assert chunk.finalized
        found += chunk.payload


@given(st.integers(1, 90), st.lists(st.booleans(), min_size=1))
def test_R24_chunks_taken_in_either_way_are_the_same(
    laid_out: tuple[list[Piece], bytes], chunk_bytes: int, ways: list[bool]
) -> None:
    pieces, whole = laid_out
    asked = iter(ways * len(whole))
    found, _ = taken(read_pieces(pieces, 0, 0, chunk_bytes), lambda: next(asked))
    assert found == whole


def test_what_is_in_the_cache_of_an_open_file_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preadv(file: int, buffers: Sequence[memoryview], offset: int, _flags: int) -> int:
        (buffer,) = buffers
        found = os.pread(file, len(buffer), offset)
        buffer[: len(found)] = found
        return len(found)

    pieces, whole = places(tmp_path)
    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr("ffq.shuffle.pieces._NOWAIT", 8)
    chunks = read_pieces(pieces[-1:], 0, 0, 10)
    assert taken(chunks, lambda: True) == (whole[-60:], 6)


def test_a_file_is_opened_by_iterating_alone(tmp_path: Path) -> None:
    pieces, _ = places(tmp_path)
    chunks = read_pieces(pieces[2:3], 0, 0, 10)
    assert chunks.now() is None
    assert next(chunks).end_offset == 10
    chunks.close()


@pytest.mark.parametrize("found", [BlockingIOError(), OSError(errno.EOPNOTSUPP, ""), 3])
def test_what_must_be_waited_for_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: OSError | int
) -> None:
    def preadv(*_: object) -> int:
        if isinstance(found, int):
            return found
        raise found

    pieces, whole = places(tmp_path)
    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr("ffq.shuffle.pieces._NOWAIT", 8)
    chunks = read_pieces([Piece.of(b"abc"), pieces[-1]], 0, 0, 10)
    assert chunks.now() is None
    assert next(chunks).payload == (b"abc" + whole[-60:])[:10]
    chunks.close()


def test_after_the_last_chunk_there_is_none(tmp_path: Path) -> None:
    pieces, _ = places(tmp_path)
    chunks = read_pieces(pieces, 10**6, 0, 10)
    empty = next(chunks)
    assert (empty.payload, empty.start_offset, empty.watermark_offset) == (b"", 263, 263)
    for take in (chunks.now, chunks.__next__):
        with pytest.raises(StopIteration):
            take()


def test_a_chunk_at_hand_holds_until_the_next(tmp_path: Path) -> None:
    chunks = read_pieces([Piece.of(b"abcd")], 0, 0, 2)
    first = chunks.now()
    assert first is not None
    assert bytes(first.payload) == b"ab"
    second = chunks.now()
    assert second is not None
    assert bytes(second.payload) == b"cd"


def test_closed_it_has_no_file_open_and_no_chunk(tmp_path: Path) -> None:
    pieces, _ = places(tmp_path)
    before = os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else []
    chunks = read_pieces(pieces[2:4], 0, 0, 10)
    next(chunks)
    chunks.close()
    with pytest.raises(StopIteration):
        next(chunks)
    if before:
        assert len(os.listdir("/proc/self/fd")) == len(before)
