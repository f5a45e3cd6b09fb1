"""A sink's result: in memory while it is small, then in a file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ffq.messages import NO_USAGE
from ffq.worker import results
from ffq.worker.results import IN_MEMORY_BYTES, ResultSpool


def spooled(folder: Path, size: int) -> ResultSpool:
    schema = pa.schema([("v", pa.binary())])
    spool = ResultSpool(folder, schema)
    spool.write(pa.record_batch([pa.array([b"x" * size], pa.binary())], schema))
    spool.finish(NO_USAGE)
    return spool


async def _no_thread(*_: object) -> object:
    raise AssertionError("a thread for what is in memory")


async def test_a_small_result_needs_neither_folder_nor_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "run_blocking", _no_thread)
    spool = spooled(tmp_path / "attempt", IN_MEMORY_BYTES // 2)
    whole = await spool.read(0, spool.size)
    assert pa.ipc.open_stream(whole).read_all().num_rows == 1
    assert await spool.read(10, 20) == whole[10:30]
    assert not (tmp_path / "attempt").exists()
    spool.close()


async def test_a_large_one_makes_its_folder_and_is_read_whole(tmp_path: Path) -> None:
    spool = spooled(tmp_path / "attempt", IN_MEMORY_BYTES + 1)
    assert (tmp_path / "attempt").is_dir()
    data = b"".join([await spool.read(at, 1 << 20) for at in range(0, spool.size, 1 << 20)])
    (row,) = pa.ipc.open_stream(data).read_all().to_pylist()
    assert row == {"v": b"x" * (IN_MEMORY_BYTES + 1)}
    spool.close()
