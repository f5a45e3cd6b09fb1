"""Partitioning a table by hash, and writing and reading it as map output.

Processor time of one thread. The rows look like TPC-H's lineitem: two keys, decimals, dates, short
strings. The baseline divides nothing yet: what is above it is the price of dividing and writing.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Samples
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.plan.model import HashPartitioning
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream, partition_batch
from ffq.shuffle.writer import Compression

KEY: Final = AttemptKey(QueryId("1"), StageId(0), TaskId(0), Attempt(1))
BATCH_ROWS: Final = 64 * 1024
WRITE: Final = "partition and write"
READ: Final = "read"
BARE: Final = "DuckDB's hash"
MEMORY: Final = "in memory"
OUTPUTS: Final[dict[str, Compression | None]] = {"plain": None, "lz4": "lz4", "zstd": "zstd"}
MODES: Final = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]


def lines(rows: int) -> pa.Table:
    """Rows that look like lineitem's; the same ones each time."""
    draw = np.random.default_rng(1)
    prices = [Decimal(cents) / 100 for cents in range(90_000, 10_000_000, 100)]
    money = pa.array(prices, pa.decimal128(15, 2))
    return pa.table(
        {
            "orderkey": np.sort(draw.integers(0, max(1, rows // 4), rows)),
            "partkey": draw.integers(0, 200_000, rows),
            "price": money.take(pa.array(draw.integers(0, len(money), rows))),
            "day": pa.array(draw.integers(8_000, 10_500, rows), pa.int32()).cast(pa.date32()),
            "mode": pa.array(MODES).take(pa.array(draw.integers(0, len(MODES), rows))),
        }
    ).combine_chunks()


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def duckdb_seconds(rows: pa.Table, partitions: int) -> float:
    """DuckDB on one thread, its hash as one more column, read as Arrow."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("lines", rows)
        sql = f"SELECT *, hash(orderkey) % {partitions} AS part FROM lines"
        return seconds(lambda: [None for _ in connection.sql(sql).to_arrow_reader(BATCH_ROWS)])


def write(
    batches: list[pa.RecordBatch], root: Path, partitions: int, how: Compression | None
) -> int:
    """Write them as map output; returns its bytes."""
    partitioning = HashPartitioning(("orderkey",), partitions)
    with MapOutputWriter(
        root, KEY, partitioning, batches[0].schema, family="benchmark", compression=how
    ) as writer:
        for batch in batches:
            writer.write(batch)
        return sum(part.bytes for part in writer.finish())


def read(root: Path, partitions: int) -> int:
    """Read the map output whole; returns its rows."""
    store = ShuffleStore(root)
    return sum(
        batch.num_rows
        for part in range(partitions)
        for batch in decode_stream(chunk.payload for chunk in store.read_range(KEY, part))
    )


def measure(request: Request) -> Outcome:
    """All ways in each round."""
    options, samples = request.options, Samples()
    rows, partitions = lines(options.rows), options.partitions
    batches = rows.to_batches(max_chunksize=BATCH_ROWS)
    root = Path(tempfile.mkdtemp(prefix="ffq-partition-"))

    def in_memory() -> object:
        return [partition_batch(each, [0], partitions) for each in batches]

    def one(side: str) -> None:
        if side == BARE:
            samples.add(WRITE, side, duckdb_seconds(rows, partitions))
        elif side == MEMORY:
            samples.add(WRITE, side, seconds(in_memory))
        else:
            how = OUTPUTS[side]
            samples.add(WRITE, side, seconds(lambda: write(batches, root, partitions, how)))
            samples.add(READ, side, seconds(lambda: read(root, partitions)))
            samples.add("size", side, write(batches, root, partitions, how) / 2**20)

    sides = [BARE, MEMORY, *OUTPUTS]
    try:
        for number in range(request.rounds):
            for side in in_turn(sides, number):
                one(side)
            # What reading costs is told beside the same bare side.
            samples.add(READ, BARE, samples.values(WRITE, BARE)[-1])
    finally:
        shutil.rmtree(root)
    return Outcome(
        ratios=[
            *(samples.ratio(WRITE, side, BARE) for side in sides[1:]),
            *(samples.ratio(READ, side, BARE) for side in OUTPUTS),
        ],
        amounts=[samples.amount("size", side, "MiB") for side in OUTPUTS],
        notes=[f"{options.rows:,} rows, {rows.nbytes >> 20} MiB, into {partitions}"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=6_000_000, help="(6000000)")
    parser.add_argument("--partitions", type=int, default=16, help="(16)")


BENCHMARK = Benchmark(
    question="What does dividing rows by hash cost, and writing and reading them as map output?",
    baseline="DuckDB on one thread, its own hash as one more column, nothing divided",
    measure=measure,
    packages=("duckdb", "pyarrow", "numpy"),
    options=_options,
)
