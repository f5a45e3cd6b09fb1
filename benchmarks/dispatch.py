"""From "runnable" to "started on a worker": what a task waits for where there is room for it.

A query of one task is submitted after a random pause, so that nobody is just about to look. Counted
is the time from its acceptance in the gateway's process, when its task can be assigned, to the
start of its fragment in a worker's process, by the clock that both share. Idle: nothing else goes
on. Loaded: another client runs queries of many tasks over and over, on the same worker.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import attrs
import grpc
import pyarrow as pa
import pyarrow.parquet as pq

import ffq
from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Samples, percentile
from benchmarks._gateway import TIMES
from benchmarks._processes import INVARIANTS, Server, bare_server, gateway
from benchmarks._pullers import Calls
from ffq import plan as p
from tests.processes import Running, running

IDLE, LOADED, BARE = "idle", "loaded", "bare round trip"
P50, P99 = "p50", "p99"
TARGET_MS = 2.0
MANY = 128
ONE_TASK: Final = p.scan("one", ["k"])
MANY_TASKS: Final = p.scan("many", ["k"]).aggregate([], [p.count().alias("n")])
LONGEST_PAUSE_S = 0.15


@attrs.frozen
class _World:
    """The processes; `pauses`: the same ones in each run."""

    server: Server
    worker: Running
    bare: Server
    client: ffq.SyncClient
    pauses: random.Random

    def pause(self) -> None:
        time.sleep(self.pauses.uniform(0, LONGEST_PAUSE_S))

    def dispatched_ms(self, name: str, count: int) -> list[float]:
        """Of so many queries, one after the other."""
        found = []
        for number in range(count):
            query_id = f"{name}-{number}"
            self.pause()
            self.client.submit(ONE_TASK, query_id)
            accepted = _nanoseconds(self.server.process, f"accepted {query_id} ")
            started = _nanoseconds(self.worker, f"started {query_id} ")
            found.append((started - accepted) / 1e6)
            self.client.wait(query_id)
        return found

    async def round_trips_ms(self, count: int) -> list[float]:
        """Of a call that a bare server answers at once, after the same pauses."""
        found = []
        async with grpc.aio.insecure_channel(self.bare.endpoint) as channel:
            calls = Calls(channel)
            await calls.pull("bare", 1)
            for _ in range(count):
                await asyncio.sleep(self.pauses.uniform(0, LONGEST_PAUSE_S))
                began = time.perf_counter()
                await calls.pull("bare", 1)
                found.append((time.perf_counter() - began) * 1_000)
        return found

    @contextmanager
    def load(self) -> Iterator[None]:
        """Queries of many tasks, over and over, until the block ends."""
        over = threading.Event()

        def submit_on() -> None:
            with ffq.SyncClient(self.server.endpoint) as client:
                while not over.is_set():
                    client.wait(client.submit(MANY_TASKS))

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(submit_on)
            try:
                yield
            finally:
                over.set()
            done.result()


def _nanoseconds(process: Running, text: str) -> int:
    return int(process.wait_for(text).split()[-1])


@contextmanager
def _world() -> Iterator[_World]:
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="ffq-dispatch-")))
        pq.write_table(pa.table({"k": [1]}), folder / "one.parquet")
        pq.write_table(
            pa.table({"k": list(range(MANY))}), folder / "many.parquet", row_group_size=1
        )
        catalog = folder / "tables.json"
        catalog.write_text(
            '[{"name": "one", "paths": ["one.parquet"]},'
            ' {"name": "many", "paths": ["many.parquet"]}]'
        )
        telling = {TIMES: "1"}
        flags = (f"--catalog={catalog}", "--scan-target-bytes=1")
        server = closing.enter_context(gateway(*flags, env=telling))
        address = (f"--coordinator={server.endpoint}", "--shuffle-bind=127.0.0.1:0")
        options = ("--worker-id=w", "--slots=4", "--log-level=warning")
        worker = closing.enter_context(
            running(*address, *options, module="benchmarks._noop_worker", env=telling)
        )
        worker.wait_for("worker w ready")
        bare = closing.enter_context(bare_server())
        client = closing.enter_context(ffq.SyncClient(server.endpoint))
        yield _World(server, worker, bare, client, random.Random(1))


def measure(request: Request) -> Outcome:
    """Idle, loaded and bare in each round."""
    samples, count = Samples(), request.options.queries
    with _world() as world:

        def loaded(number: int) -> list[float]:
            with world.load():
                return world.dispatched_ms(f"loaded-{number}", count)

        sides: dict[str, Callable[[int], list[float]]] = {
            IDLE: lambda number: world.dispatched_ms(f"idle-{number}", count),
            LOADED: loaded,
            BARE: lambda _number: asyncio.run(world.round_trips_ms(count)),
        }
        for number in range(request.rounds):
            for side in in_turn(list(sides), number):
                found = sides[side](number)
                samples.add(P50, side, percentile(found, 50))
                samples.add(P99, side, percentile(found, 99))
    figures = (P50, P99)
    return Outcome(
        ratios=[samples.ratio(each, side, BARE) for each in figures for side in (IDLE, LOADED)],
        amounts=[
            samples.amount(
                each, side, "ms", target=TARGET_MS if (each, side) == (P50, IDLE) else None
            )
            for each in figures
            for side in sides
        ],
        checks=["every query succeeded", INVARIANTS],
        notes=[f"{count} queries a side and round; p99 of fewer than 100 is the worst"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=int, default=50, help="a side and round (50)")


BENCHMARK = Benchmark(
    question="How long does a runnable task wait until a worker with room has started it?",
    baseline="a call's round trip to a bare grpc.aio server process, after the same pauses",
    measure=measure,
    packages=("grpcio", "trio"),
    options=_options,
)
