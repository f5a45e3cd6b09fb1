"""All 22 queries of TPC-H through a gateway and worker processes, warm, beside DuckDB.

By default two workers of one slot and one engine thread each, against DuckDB with two threads over
the same files; `--workers 1 --threads 2` is one worker with both. Answers of ours are compared as
multisets, floats to nine digits. Peers run the same texts, as far as they can; nobody looks at
their answers. Polars runs in this process; Sail, a driver and two workers that speak gRPC, and
PySpark, with two threads, in one each. Dask is not among them: it has no SQL any more.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

import ffq
from benchmarks._benchmark import Benchmark, CannotRun, Outcome, Request
from benchmarks._figures import Ratio, Samples
from benchmarks._processes import INVARIANTS, cluster
from benchmarks._sql_peer import PACKAGES, SAIL, SPARK, sql_peer
from benchmarks.sql import (
    BARE,
    GEOMETRIC_MEAN,
    OURS,
    Answers,
    Sides,
    chosen,
    compare_answers,
    time_round,
    tpch_files,
)
from tests.sql.compared import reading
from tests.sql.tpch import QUERIES

POLARS = "polars"
PEERS: Final = {POLARS: "polars", **PACKAGES}
EACH: Final = {SAIL: 1.0, SPARK: 0.1}
"""What the ratio to a peer may be at most, of each query."""
TABLES: Final = "customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"
MEAN_SPLIT, MEAN_WHOLE = 1.4, 1.15
MOST_TIMES, MOST_MS = 3.0, 80.0
"""No query may take more than so many times as long, or so much longer: whichever is larger."""

Files = Mapping[str, list[Path]]
Ask = Callable[[str], object]
Lacking = Mapping[str, set[str]]
"""By peer, the queries that it has no answer for."""


def _polars(files: Files) -> Callable[[str], pa.Table]:
    import polars  # noqa: PLC0415  # a peer, of the extra `polars`

    context = polars.SQLContext(
        {name: polars.scan_parquet(paths) for name, paths in files.items()}, eager=True
    )
    return lambda sql: context.execute(sql).to_arrow()


def _tried(ask: Ask, lacking: set[str], name: str, sql: str) -> None:
    """Have a peer answer; where it does not, whatever it says about it, the query is `lacking`."""
    try:
        ask(sql)
    except Exception:  # noqa: BLE001  # a peer may raise what it likes
        lacking.add(name)


def _most(samples: Samples, name: str) -> float:
    """What the query's ratio may be."""
    bare_ms = samples.median(name, BARE)
    return max(MOST_TIMES, (bare_ms + MOST_MS) / bare_ms)


def _ratios(samples: Samples, right: list[str], lacking: Lacking, mean: float) -> list[Ratio]:
    found = [samples.ratio(name, OURS, BARE, target=_most(samples, name)) for name in right]
    if right:
        found.append(samples.mean_ratio(GEOMETRIC_MEAN, right, OURS, BARE, target=mean))
    for peer in PEERS:
        both = [name for name in right if peer in lacking and name not in lacking[peer]]
        most = EACH.get(peer)
        if most is not None:
            found += [samples.ratio(name, OURS, peer, target=most) for name in both]
        if both:
            found.append(samples.mean_ratio(f"{GEOMETRIC_MEAN} of {len(both)}", both, OURS, peer))
    return found


def _peers(request: Request, files: Files, closing: ExitStack, notes: list[str]) -> Sides:
    """Those that were asked for, and that start here."""
    asks: dict[str, Ask] = {}
    if POLARS in request.peers:
        asks[POLARS] = _polars(files)
    for name in request.peers & set(PACKAGES):
        try:
            asks[name] = closing.enter_context(sql_peer(name, files)).ask
        except CannotRun as error:
            notes.append(f"left out: {error}")
    return asks


def measure(request: Request) -> Outcome:
    """Each query in turn on all sides, in each round; those that were answered rightly before."""
    options, samples = request.options, Samples()
    notes: list[str] = []
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="ffq-tpch-")))
        data = options.data or folder / "data"
        if not (data / "lineitem").is_dir():
            tpch_files(options.scale, data)
        files: Files = {name: sorted((data / name).glob("*.parquet")) for name in TABLES}
        con = closing.enter_context(
            duckdb.connect(config={"threads": options.workers * options.threads})
        )
        for name, paths in files.items():
            con.execute(f"CREATE VIEW {name} AS {reading(paths)}")
        each = ("--slots=1", f"--engine-threads={options.threads}")
        server = closing.enter_context(cluster(files, folder, options.workers, *each))
        session = closing.enter_context(ffq.connect(server.endpoint))
        sides: Answers = {
            OURS: lambda sql: session.sql(sql).collect(),
            BARE: lambda sql: con.sql(sql).to_arrow_table(),
        }
        queries = chosen(QUERIES, options.only)
        wrong = {name: compare_answers(name, sql, sides, BARE) for name, sql in queries.items()}
        right = {name: sql for name, sql in queries.items() if not wrong[name]}
        peers = _peers(request, files, closing, notes)
        lacking: Lacking = {peer: set() for peer in peers}
        for peer, ask in peers.items():
            for name, sql in right.items():
                _tried(ask, lacking[peer], name, sql)
        for number in range(request.rounds):
            for name, sql in right.items():
                able = {
                    peer: partial(_tried, ask, lacking[peer], name)
                    for peer, ask in peers.items()
                    if name not in lacking[peer]
                }
                time_round(samples, {name: sql}, {**sides, **able}, number)
    notes += [
        f"{peer} has no answer to {', '.join(sorted(names)) or 'none'}"
        for peer, names in lacking.items()
    ]
    mean = MEAN_WHOLE if options.workers == 1 else MEAN_SPLIT
    return Outcome(
        ratios=_ratios(samples, list(right), lacking, mean),
        amounts=[
            samples.amount(name, side, "ms")
            for name in right
            for side in samples.sides(name)
            if name not in lacking.get(side, ())
        ],
        checks=[f"{len(right)} of {len(queries)} answers equal", INVARIANTS],
        failures=[text for texts in wrong.values() for text in texts],
        notes=[*notes, f"scale {options.scale}; {options.workers} workers of {options.threads}"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="1", help="of the tables (1)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the tables there")
    parser.add_argument("--workers", type=int, default=2, help="processes of one slot (2)")
    parser.add_argument("--threads", type=int, default=1, help="of each worker's engine (1)")
    parser.add_argument("--only", nargs="*", help="names of queries")


BENCHMARK = Benchmark(
    question="How much slower than DuckDB are queries of TPC-H through gateway and workers?",
    baseline="DuckDB in process over the same files, with as many threads as the workers together",
    measure=measure,
    peers=PEERS,
    packages=("duckdb", "pyarrow", "polars", "pysail", "pyspark"),
    options=_options,
)
