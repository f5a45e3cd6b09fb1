"""`python -m benchmarks._noop_worker [FLAGS]`: `ffq worker`, whose fragments are not run.

All but the engine and the data is as it is: beats, pulls, plans, reports. An attempt ends at once,
with an empty output, and what another one reads of it is empty. Where BENCHMARK_TIMES is set it
says when each was started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from benchmarks._gateway import TIMES, say
from ffq.cli.main import main as ffq_command
from ffq.messages import NO_USAGE, AttemptUsage, ShuffleChunk
from ffq.worker.executor import EngineExecutor
from ffq.worker.ports import MapOutput, ShuffleStream, TaskOutput, Work
from ffq.worker.transport import GrpcTransport
from ffq.worker.wanted import InputPart

EMPTY = MapOutput(())
LAST = ShuffleChunk(b"", 0, 0, 0, finalized=True)


class NoResult:
    """A result without bytes."""

    size = 0
    usage: AttemptUsage = NO_USAGE

    async def read(self, _offset: int, _max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""


class NoData:
    """A stream that has nothing but its end."""

    async def receive(self) -> ShuffleChunk | None:
        await trio.lowlevel.checkpoint()
        return LAST


async def run_nothing(_executor: EngineExecutor, work: Work) -> TaskOutput:
    """In place of `EngineExecutor.run`."""
    if os.environ.get(TIMES):
        say("started", work.assignment.key.query_id)
    await trio.lowlevel.checkpoint()
    return NoResult() if work.stage.output is None else EMPTY


@asynccontextmanager
async def fetch_nothing(
    _transport: GrpcTransport, _part: InputPart, _start_offset: int
) -> AsyncIterator[ShuffleStream]:
    """In place of `GrpcTransport.fetch`."""
    yield NoData()


def main() -> int:
    """Work until stopped."""
    setattr(EngineExecutor, "run", run_nothing)  # noqa: B010  # no assignment to a method
    setattr(GrpcTransport, "fetch", fetch_nothing)  # noqa: B010
    return ffq_command(["worker", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
