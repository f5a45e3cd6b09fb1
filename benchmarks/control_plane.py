"""Tasks that do nothing, through the gateway's process: what assigning and completing them takes.

Queries of 128 scan tasks and one that gathers them. `gateway`: workers that are nothing but their
calls (a GetTask for eight, RegisterMapOutput and ReportTaskStatus for each), against a bare
grpc.aio server process, which gets the same calls from the same callers and gives answers that
were recorded. `workers`: real worker processes, all of which runs but the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import attrs
import grpc
import pyarrow as pa
import pyarrow.parquet as pq

import ffq
from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Better, Ratio, Samples
from benchmarks._processes import INVARIANTS, Server, bare_server, cpu_seconds, gateway
from benchmarks._pullers import Calls, work_off
from ffq import plan as p
from tests.processes import Running, running

OURS, BARE, WORKERS = "gateway", "bare grpc.aio", "workers"
RATE, CPU, WORKER_CPU = "tasks a second", "server CPU a task", "workers' CPU a task"
PLANNING = "planning, server CPU a task"
GATEWAY_US = 100.0
"""Of the gateway's processor, a task, where eight are assigned at once."""
SHARES = 128
"""Tasks of one scan: no scan has more."""
TASKS_A_QUERY = SHARES + 1
PLAN: Final = p.scan("t", ["k"]).aggregate([], [p.count().alias("n")])
TARGET = 0.7
PEER_TARGETS: Final = {"ray": 5.0, "dask": 15.0}
LIMITS: Final = (
    "--scan-target-bytes=1",
    "--max-concurrent-tasks-per-worker=1024",
    "--max-concurrent-tasks-per-query=1024",
)


@contextmanager
def tables() -> Iterator[Path]:
    """A catalog with one table, a file of as many row groups as a scan has shares."""
    with tempfile.TemporaryDirectory(prefix="ffq-control-") as name:
        folder = Path(name)
        rows = pa.table({"k": list(range(SHARES))})
        pq.write_table(rows, folder / "t.parquet", row_group_size=1)
        catalog = folder / "tables.json"
        catalog.write_text('[{"name": "t", "paths": ["t.parquet"]}]')
        yield catalog


@attrs.frozen
class _Pulled:
    """Of all tasks: time, and the server's processor time; before that, of planning. In seconds."""

    clock: float
    cpu: float
    planning: float


async def _pulled(server: Server, ids: list[str], options: argparse.Namespace) -> _Pulled:
    """`ids`: of the queries to submit before."""
    async with grpc.aio.insecure_channel(server.endpoint) as channel:
        calls = Calls(channel)
        first = cpu_seconds(server.pid)
        for each in ids:
            await calls.submit(each, PLAN.node)
        for number in range(options.workers):
            await calls.beat(f"puller-{number}")
        began, before = time.perf_counter(), cpu_seconds(server.pid)
        tasks = options.queries * TASKS_A_QUERY
        await work_off(calls, tasks, options.workers, options.capacity)
        clock, cpu = time.perf_counter() - began, cpu_seconds(server.pid) - before
        return _Pulled(clock, cpu, before - first)


async def _recorded(server: Server, capacity: int) -> bytes:
    """An answer with so many tasks, as the gateway gave it."""
    async with grpc.aio.insecure_channel(server.endpoint) as channel:
        calls = Calls(channel)
        await calls.submit("recorded", PLAN.node)
        await calls.beat("recorder")
        answer = await calls.pull("recorder", capacity)
    if len(answer.tasks) != capacity:
        raise RuntimeError(f"{len(answer.tasks)} tasks were assigned; right would be {capacity}")
    data: bytes = answer.SerializeToString()
    return data


def _until_succeeded(client: ffq.SyncClient, ids: list[str]) -> None:
    """Raises QueryFailed, QueryCanceled: one ended otherwise."""
    for each in ids:
        client.wait(each)


@attrs.define
class _Run:
    """The servers, and what they were seen to take."""

    options: argparse.Namespace
    pulled: Server
    bare: Server
    worked: Server
    workers: list[Running]
    samples: Samples = attrs.field(factory=Samples)

    def side(self, side: str, number: int) -> None:
        """One side, one round."""
        ids = [f"{number}-{each}" for each in range(self.options.queries)]
        if side == WORKERS:
            self._work(ids)
            return
        server = self.pulled if side == OURS else self.bare
        submitted = ids if side == OURS else []
        found = asyncio.run(_pulled(server, submitted, self.options))
        tasks = len(ids) * TASKS_A_QUERY
        self.samples.add(RATE, side, tasks / found.clock)
        self.samples.add(CPU, side, found.cpu / tasks * 1e6)
        if side == OURS:
            self.samples.add(PLANNING, side, found.planning / tasks * 1e6)
            with ffq.SyncClient(server.endpoint) as client:
                _until_succeeded(client, ids)

    def _work(self, ids: list[str]) -> None:
        """Real workers begin at once, so that planning is a part of it."""
        workers = [each.pid for each in self.workers]
        before, theirs = cpu_seconds(self.worked.pid), sum(map(cpu_seconds, workers))
        began = time.perf_counter()
        with ffq.SyncClient(self.worked.endpoint) as client:
            for each in ids:
                client.submit(PLAN, each)
            _until_succeeded(client, ids)
        tasks = len(ids) * TASKS_A_QUERY
        self.samples.add(RATE, WORKERS, tasks / (time.perf_counter() - began))
        cpu, spent = cpu_seconds(self.worked.pid) - before, sum(map(cpu_seconds, workers)) - theirs
        self.samples.add(CPU, WORKERS, cpu / tasks * 1e6)
        self.samples.add(WORKER_CPU, WORKERS, spent / tasks * 1e6)


@contextmanager
def _running(options: argparse.Namespace) -> Iterator[_Run]:
    with ExitStack() as closing:
        catalog = closing.enter_context(tables())
        flags = (f"--catalog={catalog}", *LIMITS)
        recording = closing.enter_context(ExitStack())
        first = recording.enter_context(gateway(*flags))
        answer = catalog.with_name("answer")
        answer.write_bytes(asyncio.run(_recorded(first, options.capacity)))
        recording.close()
        pulled = closing.enter_context(gateway(*flags))
        bare = closing.enter_context(bare_server(str(answer)))
        worked = closing.enter_context(gateway(*flags))
        workers = []
        for number in range(options.workers):
            each = (f"--worker-id=w{number}", f"--slots={options.capacity}")
            address = (f"--coordinator={worked.endpoint}", "--shuffle-bind=127.0.0.1:0")
            worker = running(*address, *each, module="benchmarks._noop_worker")
            workers.append(closing.enter_context(worker))
            workers[-1].wait_for(f"worker w{number} ready")
        yield _Run(options, pulled, bare, worked, workers)


def _peer_rate(peer: str, tasks: int) -> float:
    command = [sys.executable, "-m", f"benchmarks.task_frameworks.{peer}", str(tasks)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _ratios(samples: Samples, peers: list[str]) -> list[Ratio]:
    higher = Better.HIGHER
    return [
        samples.ratio(RATE, OURS, BARE, better=higher, target=TARGET),
        samples.ratio(CPU, OURS, BARE),
        samples.ratio(RATE, WORKERS, BARE, better=higher),
        samples.ratio(CPU, WORKERS, BARE),
        *(
            samples.ratio(RATE, WORKERS, peer, better=higher, target=PEER_TARGETS[peer])
            for peer in peers
        ),
    ]


def measure(request: Request) -> Outcome:
    """All sides in each round, over queries of their own."""
    peers = sorted(request.peers)
    sides = [OURS, BARE, WORKERS]
    with _running(request.options) as run:
        samples = run.samples
        for number in range(request.rounds):
            for side in in_turn([*sides, *peers], number):
                if side in peers:
                    tasks = request.options.queries * TASKS_A_QUERY
                    samples.add(RATE, side, _peer_rate(side, tasks))
                else:
                    run.side(side, number)
    options = request.options
    return Outcome(
        ratios=_ratios(samples, peers),
        amounts=[
            *(samples.amount(RATE, side, "", better=Better.HIGHER) for side in (*sides, *peers)),
            samples.amount(CPU, OURS, "us"),
            samples.amount(CPU, BARE, "us"),
            samples.amount(CPU, WORKERS, "us", target=GATEWAY_US),
            samples.amount(WORKER_CPU, WORKERS, "us"),
            samples.amount(PLANNING, OURS, "us"),
        ],
        checks=["every query succeeded", INVARIANTS],
        notes=[
            f"{options.workers} workers that ask for {options.capacity} tasks;"
            f" {options.queries * TASKS_A_QUERY:,} tasks a side and round",
            "of workers, the gateway's time has planning in it; of the others it has not",
        ],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=int, default=12, help="of 129 tasks, a round (12)")
    parser.add_argument("--workers", type=int, default=2, help="(2)")
    parser.add_argument("--capacity", type=int, default=8, help="tasks an answer, and slots (8)")


BENCHMARK = Benchmark(
    question="How many tasks that do nothing go through the gateway in a second?",
    baseline="a bare grpc.aio server process, the same calls, answers recorded from the gateway",
    measure=measure,
    peers={"ray": "ray", "dask": "distributed"},
    packages=("grpcio", "protobuf", "trio", "ray", "distributed"),
    options=_options,
)
