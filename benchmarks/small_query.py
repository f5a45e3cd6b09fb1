"""A query over five rows: what it takes when there is nothing to compute.

One after the other, in a session with a cluster of its own and in one of a gateway process, and
then 32 clients at once. `planned`: a plan that the client has already, so that no SQL is planned.
DuckDB answers the same text over the same file in this process, for the clients from as many
threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import trio

import ffq
from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Better, Samples, percentile
from benchmarks._processes import INVARIANTS, checked_inside, cluster
from ffq import plan as p

EMBEDDED, REMOTE, PLANNED, BARE = "embedded", "remote", "remote, planned", "duckdb"
COLUMNS: Final = {"k": [1, 2, 3, 4, 5], "v": [10, 20, 30, 40, 50]}
SQL = "SELECT count(*) AS n, sum(v) AS total FROM five WHERE k > 1"
PLAN: Final = (
    p.scan("five", ["k", "v"])
    .filter(p.col("k") > 1)
    .aggregate([], [p.count().alias("n"), p.col("v").sum().alias("total")])
)
ANSWER: Final = [{"n": 4, "total": 140}]
P50, P99, RATE = "time, p50", "time, p99", "queries a second"
CLIENTS = 32
TARGETS_MS: Final = {REMOTE: 10.0, PLANNED: 10.0, EMBEDDED: 6.0}

Side = Callable[[], pa.Table]


def _check(side: str, table: pa.Table) -> None:
    if table.to_pylist() != ANSWER:
        raise RuntimeError(f"{side} answers {table.to_pylist()}; right would be {ANSWER}")


def _latencies_ms(ask: Side, queries: int) -> list[float]:
    found = []
    for _ in range(queries):
        began = time.perf_counter()
        ask()
        found.append((time.perf_counter() - began) * 1_000)
    return found


async def _clients(endpoint: str, queries: int) -> None:
    async with ffq.connect(endpoint) as client, trio.open_nursery() as nursery:

        async def one() -> None:
            for _ in range(queries // CLIENTS):
                _check(REMOTE, await client.run_sql(SQL))

        for _ in range(CLIENTS):
            nursery.start_soon(one)


def _threads(con: duckdb.DuckDBPyConnection, queries: int) -> None:
    def one(_number: int) -> None:
        with con.cursor() as cursor:
            for _ in range(queries // CLIENTS):
                _check(BARE, cursor.sql(SQL).to_arrow_table())

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(CLIENTS)))


def measure(request: Request) -> Outcome:
    """Both clusters stay for all rounds; each side in turn."""
    options, samples = request.options, Samples()
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="ffq-small-")))
        file = folder / "five.parquet"
        pq.write_table(pa.table(COLUMNS), file)
        check = closing.enter_context(checked_inside())
        con = closing.enter_context(duckdb.connect(config={"threads": options.workers}))
        con.execute(f"CREATE VIEW five AS SELECT * FROM '{file}'")
        slots = f"--slots={options.slots}"
        server = closing.enter_context(cluster({"five": [file]}, folder, options.workers, slots))
        remote = closing.enter_context(ffq.connect(server.endpoint))
        embedded = closing.enter_context(ffq.connect(workers=options.workers, slots=options.slots))
        embedded.register("five", str(file))
        client = closing.enter_context(ffq.SyncClient(server.endpoint))
        sides: dict[str, Side] = {
            EMBEDDED: lambda: embedded.sql(SQL).collect(),
            REMOTE: lambda: remote.sql(SQL).collect(),
            PLANNED: lambda: client.run(PLAN),
            BARE: lambda: con.sql(SQL).to_arrow_table(),
        }
        rates: dict[str, Callable[[int], None]] = {
            REMOTE: lambda queries: trio.run(_clients, server.endpoint, queries),
            BARE: lambda queries: _threads(con, queries),
        }
        for side, ask in sides.items():
            _check(side, ask())
        for number in range(request.rounds):
            for side in in_turn(list(sides), number):
                found = _latencies_ms(sides[side], options.queries)
                samples.add(P50, side, percentile(found, 50))
                samples.add(P99, side, percentile(found, 99))
            for side in in_turn(list(rates), number):
                began = time.perf_counter()
                rates[side](options.at_once)
                made = options.at_once // CLIENTS * CLIENTS
                samples.add(RATE, side, made / (time.perf_counter() - began))
        check()
    ours = (EMBEDDED, REMOTE, PLANNED)
    return Outcome(
        ratios=[
            *(samples.ratio(figure, side, BARE) for figure in (P50, P99) for side in ours),
            samples.ratio(RATE, REMOTE, BARE, better=Better.HIGHER),
        ],
        amounts=[
            *(samples.amount(P50, side, "ms", target=TARGETS_MS.get(side)) for side in sides),
            *(samples.amount(P99, side, "ms") for side in sides),
            *(samples.amount(RATE, side, "", better=Better.HIGHER) for side in rates),
        ],
        checks=["every answer is right", INVARIANTS],
        notes=[f"{CLIENTS} clients; {options.workers} workers of {options.slots} slots"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=int, default=40, help="one by one, a side and round (40)")
    parser.add_argument("--at-once", type=int, default=320, help="of all clients, a round (320)")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--slots", type=int, default=2, help="of each worker (2)")


BENCHMARK = Benchmark(
    question="How long does a query take that has nothing to do, and how many fit into a second?",
    baseline="DuckDB in process, the same text over the same file of five rows",
    measure=measure,
    packages=("duckdb", "pyarrow", "grpcio", "trio"),
    options=_options,
)
