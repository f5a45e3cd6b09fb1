"""What one slow worker of several costs a query, with and without second attempts.

Each side has a gateway and workers of one slot, as processes. The query has four tasks a worker,
each of which pauses: so nothing but the coordinator's choices decides how long it takes, also where
there are fewer processors than workers. In the slow sides one worker pauses so many times as long.
As workers pull, a slow one takes fewer tasks; second attempts are for the last one it took, and
tell the more the slower it is (`--slower 10`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import ffq
from benchmarks._benchmark import Benchmark, Outcome, Request
from benchmarks._figures import Samples
from benchmarks._processes import INVARIANTS, gateway
from benchmarks._rounds import run_rounds
from ffq import plan as p
from tests.processes import worker

TIME = "time"
TARGET = 1.4
EVEN, SPECULATING, PLAIN = "even", "one slow, second attempts", "one slow"
PAUSE = "BENCHMARK_PAUSE_MS"
TASKS = 4  # a worker
OPERATORS = f"""
import os
import time
import ffq

@ffq.operator("pauses")
def pauses(batches, config):
    time.sleep(float(os.environ["{PAUSE}"]) / 1_000)
    yield from batches
"""
QUERY = p.scan("t", ["v"]).custom("pauses")


@contextmanager
def _cluster(
    folder: Path, options: argparse.Namespace, *flags: str, slow: bool
) -> Iterator[ffq.SyncClient]:
    """A client of a gateway whose workers are ready."""
    with ExitStack() as stack:
        catalog = f"--catalog={folder / 'tables.json'}"
        server = stack.enter_context(gateway(catalog, "--scan-target-bytes=1", *flags))
        for number in range(options.workers):
            factor = options.slower if slow and number == 0 else 1
            env = {
                PAUSE: str(options.pause_ms * factor),
                "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
            }
            flags = ("--slots=1", "--operators=pausing_operators", "--log-level=warning")
            stack.enter_context(worker(server.endpoint, f"w{number}", *flags, env=env))
        yield stack.enter_context(ffq.SyncClient(server.endpoint))


def _write_world(folder: Path, tasks: int) -> None:
    (folder / "t").mkdir()
    for number in range(tasks):
        pq.write_table(pa.table({"v": [number]}), folder / "t" / f"{number:04}.parquet")
    (folder / "tables.json").write_text(json.dumps([{"name": "t", "uri": str(folder / "t")}]))
    (folder / "pausing_operators.py").write_text(OPERATORS)


def measure(request: Request) -> Outcome:
    """All sides in each round, each in a cluster of its own that stays."""
    options = request.options
    samples = Samples()
    tasks = TASKS * options.workers
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        _write_world(folder, tasks)
        second = "--speculation=150"
        clients: Mapping[str, ffq.SyncClient] = {
            EVEN: stack.enter_context(_cluster(folder, options, second, slow=False)),
            SPECULATING: stack.enter_context(_cluster(folder, options, second, slow=True)),
            PLAIN: stack.enter_context(_cluster(folder, options, slow=True)),
        }
        wrong = run_rounds(
            samples,
            TIME,
            request.rounds,
            list(clients),
            lambda side: clients[side].run(QUERY).column(0).to_pylist(),
            lambda _, rows: sorted(rows) == list(range(tasks)),
        )
    return Outcome(
        ratios=[
            samples.ratio(TIME, SPECULATING, EVEN, target=TARGET),
            samples.ratio(TIME, PLAIN, EVEN),
        ],
        amounts=[samples.amount(TIME, side, "ms") for side in clients],
        checks=[INVARIANTS, "each row once"],
        failures=[f"{side}: rows are missing, or come twice" for side in wrong],
        notes=[
            f"{options.workers} workers, {tasks} tasks of {options.pause_ms} ms; the slow one "
            f"takes {options.slower} times as long",
            "even work among them would take "
            f"{options.workers / (options.workers - 1 + 1 / options.slower):.2f} times the even "
            "case, could tasks be divided",
        ],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=4, help="of each side (4)")
    parser.add_argument("--pause-ms", type=int, default=200, help="of each task (200)")
    parser.add_argument("--slower", type=int, default=3, help="how many times the slow one (3)")


BENCHMARK = Benchmark(
    question="What does one worker that is three times slower cost a query?",
    baseline="the same query where no worker is slow",
    measure=measure,
    packages=("duckdb", "grpcio", "trio"),
    options=_options,
)
