"""Reads a query's result as it comes, in a process of its own, and prints what it took: JSON.

`python -m tests.scale.stream_client ENDPOINT QUERY_ID`
"""

from __future__ import annotations

import json
import os
import sys

import pyarrow as pa
import trio

from ffq.client import Client
from ffq.ids import QueryId
from ffq.messages import FetchQueryResults
from ffq.rpc.client import open_channel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.rpc.options import DEFAULT_OPTIONS
from tests.scale.memory import peak_mib


async def main(endpoint: str, query_id: str) -> None:
    ends = os.pipe()
    rows: list[int] = []
    size = 0

    def count() -> None:
        with os.fdopen(ends[0], "rb") as pipe, pa.ipc.open_stream(pipe) as stream:
            rows.append(sum(batch.num_rows for batch in stream))

    async with open_channel(endpoint, DEFAULT_OPTIONS) as channel, trio.open_nursery() as nursery:
        coordinator = RemoteCoordinator(channel)
        await Client(coordinator).status(query_id)  # a stream is tried once: this is tried again
        nursery.start_soon(trio.to_thread.run_sync, count)
        async with coordinator.stream(FetchQueryResults(QueryId(query_id))) as chunks:
            with os.fdopen(ends[1], "wb") as pipe:
                async for chunk in chunks:
                    size += len(chunk)
                    await trio.to_thread.run_sync(pipe.write, chunk)
    print(json.dumps({"rows": sum(rows), "bytes": size, "peak_mib": peak_mib(os.getpid())}))


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
