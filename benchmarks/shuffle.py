"""What the way between workers takes: a fetch, and all-to-alls, beside bare gRPC and Arrow Flight.

Every worker is a process that serves and fetches; so are those of bare grpc.aio, which send and
read the same messages, and those of Arrow Flight, whose sides are C++ alone. All read files that
are in the system's cache, and keep what they fetched in memory. One fetch: one worker reads `--mib`
from another. All to all: every worker reads from every other one, as many bytes in all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import attrs
import numpy as np
import pyarrow as pa

from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Better, Samples
from benchmarks._processes import Server, cpu_seconds
from benchmarks._shuffle_node import FETCHED, KEY, READY, part_of
from ffq.shuffle.layout import SCHEMA_FILE, attempt_folder
from tests.processes import running

OURS, BARE, FLIGHT = "ffq", "bare grpc.aio", "arrow flight"
KINDS: Final = {OURS: "ffq", BARE: "bare", FLIGHT: "flight"}
TARGET = 0.8
MIB = 2**20
BATCH_ROWS = MIB // 8


@attrs.frozen
class Pattern:
    """Who reads from whom. `sources`: by a reader's number, the numbers of whom it reads from."""

    name: str
    partition: int
    sources: Mapping[int, Sequence[int]]

    @property
    def streams(self) -> int:
        return sum(map(len, self.sources.values()))


def all_to_all(workers: int, partition: int) -> Pattern:
    everyone = range(workers)
    sources = {reader: [each for each in everyone if each != reader] for reader in everyone}
    return Pattern(f"all to all, {workers} workers", partition, sources)


PATTERNS: Final = (Pattern("one fetch", 0, {0: [1]}), all_to_all(2, 1), all_to_all(8, 2))


def write_part(path: Path, batches: int) -> None:
    """An Arrow IPC stream of so many batches of 1 MiB, of which none is like another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(batches).integers(0, 2**62, BATCH_ROWS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as stream:
        for each in range(batches):
            stream.write_batch(pa.record_batch([pa.array(numbers + each)], SCHEMA))


SCHEMA: Final = pa.schema([("number", pa.int64())])


def exchange(nodes: Sequence[Server], pattern: Pattern) -> tuple[float, float, int]:
    """Seconds until every reader has everything, processor time of all, and the bytes."""
    cpu, began = sum(cpu_seconds(each.pid) for each in nodes), time.perf_counter()
    for reader, sources in pattern.sources.items():
        stdin = nodes[reader].process.process.stdin
        assert stdin is not None
        endpoints = " ".join(nodes[each].endpoint for each in sources)
        stdin.write(f"{pattern.partition} {endpoints}\n")
        stdin.flush()
    said = [nodes[reader].process.wait_for(FETCHED) for reader in pattern.sources]
    passed = time.perf_counter() - began
    spent = sum(cpu_seconds(each.pid) for each in nodes) - cpu
    return passed, spent, sum(int(line.removeprefix(FETCHED)) for line in said)


def _nodes(closing: ExitStack, kind: str, folder: Path) -> list[Server]:
    started = [
        closing.enter_context(running(kind, str(folder), module="benchmarks._shuffle_node"))
        for _ in range(max(len(each.sources) for each in PATTERNS))
    ]
    return [Server(each, each.wait_for(READY).removeprefix(READY).strip()) for each in started]


def measure(request: Request) -> Outcome:
    """Every pattern on every side, in each round."""
    samples, failures = Samples(), []
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="ffq-shuffle-")))
        batches = [max(1, request.options.mib // each.streams) for each in PATTERNS]
        for each, count in zip(PATTERNS, batches, strict=True):
            write_part(part_of(folder, each.partition), count)
        write_part(attempt_folder(folder, KEY) / SCHEMA_FILE, 0)
        nodes = {side: _nodes(closing, kind, folder) for side, kind in KINDS.items()}
        for each in PATTERNS:
            for of_side in nodes.values():  # connections are made once
                exchange(of_side, each)
        for number in range(request.rounds):
            for each, count in zip(PATTERNS, batches, strict=True):
                least = count * each.streams * MIB
                for side in in_turn(list(nodes), number):
                    passed, spent, size = exchange(nodes[side], each)
                    samples.add(f"{each.name}: bytes a second", side, size / passed / MIB)
                    samples.add(f"{each.name}: CPU", side, spent / size * MIB * 1e3)
                    if size < least:
                        failures.append(f"{each.name}, {side}: {size} bytes, not {least}")
    rates = [each for each in samples.figures if each.endswith("second")]
    return Outcome(
        ratios=[
            *(
                samples.ratio(
                    figure,
                    OURS,
                    other,
                    better=Better.HIGHER if figure in rates else Better.LOWER,
                    target=TARGET if figure in rates and other == BARE else None,
                )
                for other in (BARE, FLIGHT)
                for figure in samples.figures
            )
        ],
        amounts=[
            samples.amount(figure, side, "MiB/s" if figure in rates else "ms a MiB")
            for figure in samples.figures
            for side in nodes
        ],
        checks=["every byte arrived; no coordinator takes part"],
        failures=failures,
        notes=["CPU is of all processes, those that serve and those that fetch"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mib", type=int, default=200, help="of all fetches together (200)")


BENCHMARK = Benchmark(
    question="How fast do map outputs go from worker to worker?",
    baseline="bare grpc.aio processes that send and read the same messages, and keep freed memory",
    measure=measure,
    packages=("grpcio", "protobuf", "pyarrow", "trio"),
    options=_options,
)
