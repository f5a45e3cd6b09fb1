"""Partitioning a table by hash, and writing and reading it as map output.

    python -m benchmarks partition [--rows 6000000] [--partitions 16] [--json]

Processor seconds of one thread, best of three, beside DuckDB's own hash as a column. The rows look
like TPC-H's lineitem: two keys, decimals, dates, short strings.
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

from benchmarks._report import table, write_json
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId
from ffq.plan.model import HashPartitioning
from ffq.shuffle import MapOutputWriter, ShuffleStore, decode_stream, partition_batch
from ffq.shuffle.writer import Compression

KEY: Final = AttemptKey(QueryId("1"), StageId(0), TaskId(0), Attempt(1))
BATCH_ROWS: Final = 64 * 1024
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
    """Processor time of one call, best of three."""
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def duckdb_seconds(rows: pa.Table, partitions: int) -> float:
    """DuckDB on one thread, its hash as one more column, read as Arrow: nothing is divided yet."""
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


def main(arguments: list[str]) -> int:
    """Measure and print a table; with --json, write results/partition.json too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks partition")
    parser.add_argument("--rows", type=int, default=6_000_000)
    parser.add_argument("--partitions", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows, partitions = lines(options.rows), options.partitions
    batches = rows.to_batches(max_chunksize=BATCH_ROWS)
    figures: dict[str, dict[str, float]] = {
        "DuckDB, hash as a column": {"write_s": duckdb_seconds(rows, partitions)},
        "partition in memory": {
            "write_s": seconds(lambda: [partition_batch(each, [0], partitions) for each in batches])
        },
    }
    root = Path(tempfile.mkdtemp(prefix="ffq-partition-"))
    try:
        how: Compression | None
        for how in (None, "lz4", "zstd"):
            figures[f"map output, {how or 'plain'}"] = {
                "write_s": seconds(lambda how=how: write(batches, root, partitions, how)),  # type: ignore[misc]
                "read_s": seconds(lambda: read(root, partitions)),
                "mib": write(batches, root, partitions, how) / 2**20,
            }
    finally:
        shutil.rmtree(root)
    title = f"{options.rows:,} rows, {rows.nbytes >> 20} MiB, into {partitions}; processor seconds"
    cells = [
        [name, each["write_s"], each.get("read_s"), each.get("mib")]
        for name, each in figures.items()
    ]
    print(table(title, ["", "partition, write", "read", "MiB"], cells))
    if options.json:
        print(f"written: {write_json('partition', figures, ('duckdb', 'pyarrow', 'numpy'))}")
    return 0
