"""What one key with half of the rows costs a shuffled join, with and without sharing it out.

A gateway and two workers of one slot and one engine thread, as processes, for each side. Both
tables are exchanged by the key into a partition for each slot, joined, and counted in groups. The
rows are as many in the even case, in which all keys have about as many of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

import ffq
from benchmarks._benchmark import Benchmark, Outcome, Request
from benchmarks._figures import Samples
from benchmarks._processes import INVARIANTS, gateway
from benchmarks._rounds import run_rounds
from ffq import plan as p
from tests.processes import worker

TIME = "time"
TARGET = 1.5
EVEN, SHARED, WHOLE = "even", "skewed", "skewed, not shared out"
BARE_EVEN, BARE = "duckdb, even", "duckdb, skewed"
FILES, KEYS, WORKERS = 8, 20_000, 2
NEVER = str(2**50)
TABLES = {EVEN: "even", SHARED: "skewed", WHOLE: "skewed", BARE_EVEN: "even", BARE: "skewed"}
KEY = {
    "even": f"(random() * {KEYS})::BIGINT",
    "skewed": f"CASE WHEN random() < 0.5 THEN 7 ELSE (random() * {KEYS})::BIGINT END",
}
TEXT = "SELECT g, count(*) n, sum(v) s FROM {} JOIN dim ON k = j GROUP BY g ORDER BY g"


def _query(table: str) -> p.Relation:
    rows = p.scan(table, ["k", "v"]).join(
        p.scan("dim", ["j", "g"]), on=[("k", "j")], partitions=WORKERS
    )
    sums = [p.count().alias("n"), p.col("v").sum().alias("s")]
    return rows.aggregate(["g"], sums, partitions=1)


def _write_world(folder: Path, rows: int) -> None:
    entries = []
    with duckdb.connect() as connection:
        for table, key in KEY.items():
            (folder / table).mkdir()
            for number in range(FILES):
                text = f"SELECT {key} k, (random() * 1e9)::BIGINT v FROM range({rows // FILES})"
                connection.execute(f"COPY ({text}) TO '{folder / table / str(number)}.parquet'")
            entries.append({"name": table, "uri": str(folder / table)})
        dim = f"SELECT range j, range % 10 g FROM range({KEYS + 1})"
        connection.execute(f"COPY ({dim}) TO '{folder / 'dim.parquet'}'")
    entries.append({"name": "dim", "uri": str(folder / "dim.parquet")})
    (folder / "tables.json").write_text(json.dumps(entries))


@contextmanager
def _cluster(folder: Path, **env: str) -> Iterator[ffq.SyncClient]:
    """A client of a gateway whose workers are ready."""
    with ExitStack() as stack:
        # As many shares as there are ranges to be made.
        flags = (f"--catalog={folder / 'tables.json'}", "--scan-target-bytes=1000000")
        server = stack.enter_context(gateway(*flags, env=env))
        options = ("--slots=1", "--engine-threads=1", "--log-level=warning")
        for number in range(WORKERS):
            stack.enter_context(worker(server.endpoint, f"w{number}", *options))
        yield stack.enter_context(ffq.SyncClient(server.endpoint))


def measure(request: Request) -> Outcome:
    """All sides in each round."""
    samples = Samples()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        _write_world(folder, request.options.rows)
        shared = stack.enter_context(_cluster(folder))
        clients = {
            EVEN: shared,
            SHARED: shared,
            WHOLE: stack.enter_context(_cluster(folder, FFQ_ADAPTIVE_SKEW_BYTES=NEVER)),
        }
        bare = stack.enter_context(duckdb.connect(config={"threads": WORKERS}))
        for table in (*KEY, "dim"):
            files = folder / table / "*.parquet" if table in KEY else folder / "dim.parquet"
            bare.execute(f"CREATE VIEW {table} AS FROM '{files}'")
        right = {table: bare.execute(TEXT.format(table)).fetchall() for table in KEY}

        def run(side: str) -> list[tuple[object, ...]]:
            table = TABLES[side]
            if side not in clients:
                return bare.execute(TEXT.format(table)).fetchall()
            found = clients[side].run(_query(table))
            return sorted(zip(*(c.to_pylist() for c in found.columns), strict=True))

        sides = list(TABLES)
        wrong = run_rounds(
            samples,
            TIME,
            request.rounds,
            sides,
            run,
            lambda side, rows: rows == right[TABLES[side]],
        )
    return Outcome(
        ratios=[
            samples.ratio(TIME, SHARED, EVEN, target=TARGET),
            samples.ratio(TIME, WHOLE, EVEN),
            samples.ratio(TIME, BARE, BARE_EVEN),
        ],
        amounts=[samples.amount(TIME, side, "ms") for side in TABLES],
        checks=[INVARIANTS, "answers are DuckDB's"],
        failures=[f"{side}: another answer than DuckDB's" for side in wrong],
        notes=[f"{request.options.rows} rows, {FILES} files, {KEYS} keys"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=8_000_000, help="of the large side (8000000)")


BENCHMARK = Benchmark(
    question="What does one key with half of the rows cost a shuffled join?",
    baseline="as many rows of even keys; and DuckDB in process over both",
    measure=measure,
    packages=("duckdb", "grpcio", "trio"),
    options=_options,
)
