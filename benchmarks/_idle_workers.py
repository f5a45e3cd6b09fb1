"""`python -m benchmarks._idle_workers ENDPOINT COUNT`: workers as they are, with nothing to do.

All in one process, so that twenty of them fit on any machine; each has channels, loop and shuffle
service of its own. They end when stdin closes.
"""

from __future__ import annotations

import os
import sys
from functools import partial

import trio

from ffq.ids import WorkerId
from ffq.worker import WorkerConfig, run_worker
from ffq.worker.loop import LoopSettings


async def run(endpoint: str, count: int) -> None:
    """Until stdin closes."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        for number in range(count):
            config = WorkerConfig(
                coordinator=endpoint,
                worker_id=WorkerId(f"idle-{number}"),
                loop=LoopSettings(1),
                shuffle_bind="127.0.0.1:0",
                shuffle_bind_given=True,
            )
            await nursery.start(partial(run_worker, config, stop=stop))
        print(f"{count} workers ready", file=sys.stderr, flush=True)
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
            while await stdin.receive_some():
                pass
        stop.set()


if __name__ == "__main__":
    trio.run(run, sys.argv[1], int(sys.argv[2]))
