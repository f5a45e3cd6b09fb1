"""A class operator in a cluster: its setup holds up nothing but the tasks that need it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import trio

import ffq
from ffq import plan as p
from tests.processes import END_TIMEOUT_S


@ffq.operator("setup.slow")
class Slow:
    begun: ClassVar[threading.Event] = threading.Event()
    go: ClassVar[threading.Event] = threading.Event()
    made: ClassVar[list[int]] = []
    closed: ClassVar[list[int]] = []

    def __init__(self, add: int) -> None:
        self.add = add
        self.made.append(add)
        self.begun.set()
        assert self.go.wait(END_TIMEOUT_S)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        values = pa.array([value + self.add for value in batch["v"].to_pylist()], pa.int64())
        return pa.record_batch({"v": values})

    def close(self) -> None:
        self.closed.append(self.add)


async def all_have(name: str, client: ffq.Client) -> bool:
    return all(name in worker.capabilities for worker in await client.workers())


async def test_heartbeats_and_other_queries_go_on_while_a_model_is_set_up(tmp_path: Path) -> None:
    rows = pa.table({"v": pa.array(range(1000), pa.int64())})
    # One row group is one task: other slots stay free for the other query.
    pq.write_table(rows, tmp_path / "t.parquet")
    scan = p.scan("t", ["v"])
    results: list[pa.Table] = []
    async with (
        ffq.LocalCluster(workers=2, tables={"t": tmp_path}) as cluster,
        trio.open_nursery() as nursery,
    ):

        async def run() -> None:
            results.append(await cluster.run(scan.map_batches("setup.slow", add=1)))

        nursery.start_soon(run)
        while not Slow.begun.is_set():  # noqa: ASYNC110  # set from another thread
            await trio.sleep(0.01)

        @ffq.operator("setup.later")
        def later(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return batches

        # Workers say what they have in heartbeats, and in nothing else.
        while not await all_have("setup.later", cluster.client):  # noqa: ASYNC110  # theirs
            await trio.sleep(0.01)
        assert (await cluster.run(scan)).num_rows == 1000
        assert results == []
        Slow.go.set()
    assert sorted(results[0]["v"].to_pylist()) == list(range(1, 1001))
    assert (Slow.made, Slow.closed) == ([1], [1])
