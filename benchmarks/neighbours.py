"""Latency of good queries beside a bad one in a loop, on two workers: what one user costs another.

A gateway and two workers of two slots each, as processes. A worker that ends is replaced by one of
another id; the coordinator takes it for dead when it was silent for two seconds. One caller runs a
good query over and over: a scan of four files and a sum. Beside it another runs a bad one over and
over, of one kind per side. `bare` is the good query alone, and each ratio is to it. `failed`: good
queries that did not succeed. `excluded`: how often a worker was seen to be newly excluded. `ended`:
worker processes that ended. Each kind has a cluster of its own in each round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import trio

import ffq
from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Samples
from benchmarks._processes import INVARIANTS, gateway
from ffq import plan as p

FILES = 4
ROWS = 50_000
LATENCY = "median latency"
COUNTS = ("failed", "bad", "excluded", "ended")
LIVENESS = {"FFQ_WORKER_LIVENESS_TIMEOUT_MS": "2000"}
CATALOG = '[{"name": "t", "paths": ["t"]}]'
OPERATORS = """
import os
import ffq

@ffq.operator("raises")
def raises(batches, config):
    raise ValueError("a bug of its author")
    yield

@ffq.operator("kills")
def kills(batches, config):
    os.kill(os.getpid(), 9)
    yield
"""
SCAN = p.scan("t", ["k", "s", "v"])
GOOD = SCAN.aggregate(["k"], [p.col("v").sum().alias("sum")], partitions=2)
BAD: dict[str, p.Relation | None] = {
    "bare": None,
    "as good": GOOD,
    "a cast that cannot be": SCAN.project(p.col("s").cast("Int64").alias("n")),
    "division by zero": SCAN.project((p.lit(1) / (p.col("k") - p.col("k"))).alias("x")),
    "an operator raises": SCAN.custom("raises"),
    "an operator kills its worker": SCAN.custom("kills"),
}


@attrs.define
class Row:
    """What was seen beside one kind of query; `latencies_ms`: of each good one that succeeded."""

    latencies_ms: list[float] = attrs.field(factory=list)
    failed: int = 0
    bad: int = 0
    excluded: int = 0
    ended: int = 0


@attrs.define(eq=False)
class Workers:
    """Two worker processes. `watch` replaces the ones that ended."""

    endpoint: str
    folder: Path
    row: Row
    _running: list[subprocess.Popen[bytes]] = attrs.field(factory=list)
    _started: int = 0

    def start(self) -> None:
        self._started += 1
        command = ["worker", f"--coordinator={self.endpoint}", f"--worker-id=w{self._started}"]
        options = ["--slots=2", "--operators=bad_operators", "--shuffle-bind=127.0.0.1:0"]
        self._running.append(_process(self.folder, *command, *options))

    def watch(self) -> None:
        for worker in [each for each in self._running if each.poll() is not None]:
            self._running.remove(worker)
            self.row.ended += 1
            self.start()

    def stop(self) -> None:
        for worker in self._running:
            worker.kill()
            worker.wait()


def _process(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """It writes to a file of the name of its command."""
    path = os.pathsep.join([str(folder), *sys.path])
    with (folder / arguments[0]).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ffq", *arguments],
            env=os.environ | LIVENESS | {"PYTHONPATH": path},
            cwd=folder,
            stdout=log,
            stderr=log,
        )


async def _measure(endpoint: str, workers: Workers, bad: p.Relation | None, seconds: float) -> None:
    row = workers.row
    async with ffq.connect(endpoint) as client:
        while len(await client.workers()) < 2:  # noqa: ASYNC110  # processes that come up
            await trio.sleep(0.05)
        await client.run(GOOD)
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, client, workers)
                if bad is not None:
                    nursery.start_soon(_bad, client, bad, row)
                while True:
                    began = monotonic()
                    try:
                        await client.run(GOOD)
                    except ffq.QueryFailed:
                        row.failed += 1
                    else:
                        row.latencies_ms.append((monotonic() - began) * 1_000)


async def _bad(client: ffq.Client, plan: p.Relation, row: Row) -> None:
    while True:
        with suppress(ffq.QueryFailed):
            await client.run(plan)
        row.bad += 1


async def _watch(client: ffq.Client, workers: Workers) -> None:
    excluded: set[str] = set()
    while True:
        workers.watch()
        now = {str(worker.worker_id) for worker in await client.workers() if worker.excluded}
        workers.row.excluded += len(now - excluded)
        excluded = now
        await trio.sleep(0.1)


def _run(folder: Path, bad: p.Relation | None, seconds: float) -> Row:
    """A cluster of its own for each kind, so that none inherits what another did to the workers."""
    with ExitStack() as stack:
        server = stack.enter_context(gateway(f"--catalog={folder / 'tables.json'}", env=LIVENESS))
        workers = Workers(server.endpoint, folder, Row())
        stack.callback(workers.stop)
        workers.start()
        workers.start()
        trio.run(_measure, server.endpoint, workers, bad, seconds)
        return workers.row


def _write_world(folder: Path) -> None:
    (folder / "t").mkdir()
    for number in range(FILES):
        data = {"k": [at % 7 for at in range(ROWS)], "s": ["zz"] * ROWS, "v": [1.0] * ROWS}
        pq.write_table(pa.table(data), folder / "t" / f"{number}.parquet")
    (folder / "tables.json").write_text(CATALOG)
    (folder / "bad_operators.py").write_text(OPERATORS)


def measure(request: Request) -> Outcome:
    """Every kind in each round."""
    samples, lost = Samples(), set[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_world(folder)
        for number in range(request.rounds):
            for kind in in_turn(list(BAD), number):
                row = _run(folder, BAD[kind], request.options.seconds)
                # Where none succeeded the row says so, and its latency is all the time there was.
                latencies = row.latencies_ms or [request.options.seconds * 1_000]
                samples.add(LATENCY, kind, statistics.median(latencies))
                samples.add("worst", kind, max(latencies))
                if not row.latencies_ms:
                    lost.add(kind)
                for count in COUNTS:
                    samples.add(count, kind, getattr(row, count))
    kinds = [kind for kind in BAD if kind != "bare"]
    return Outcome(
        ratios=[samples.ratio(LATENCY, kind, "bare") for kind in kinds],
        amounts=[
            *(samples.amount(LATENCY, kind, "ms") for kind in BAD),
            *(samples.amount("worst", kind, "ms") for kind in BAD),
            *(
                samples.amount(count, kind, "")
                for count in COUNTS
                for kind in BAD
                if any(samples.values(count, kind))
            ),
        ],
        checks=[INVARIANTS],
        failures=[f"no good query succeeded beside {kind}" for kind in sorted(lost)],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=5.0, help="per kind and round (5)")


BENCHMARK = Benchmark(
    question="What does one user's bad query cost another user's good one?",
    baseline="the good query in a loop, alone",
    measure=measure,
    rounds=3,
    packages=("trio", "duckdb", "pyarrow"),
    options=_options,
)
