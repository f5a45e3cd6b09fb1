"""How long SQL takes: TPC-H or TPC-DS in a session of worker processes, beside DuckDB in one.

Peer and bare baseline are one, the engine that runs our fragments, with as many threads as there
are workers, over the same files. Answers are compared as multisets, floats to nine digits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import duckdb
import pyarrow as pa

import ffq
from benchmarks._benchmark import Benchmark, CannotRun, Outcome, Request, in_turn
from benchmarks._figures import Samples
from benchmarks._processes import INVARIANTS, checked_inside
from tests.sql import tpcds, tpch
from tests.sql.compared import reading, rows_of

OURS, BARE = "ffq", "duckdb"
GEOMETRIC_MEAN = "geometric mean"
Answers = Mapping[str, Callable[[str], pa.Table]]
"""By name, who answers a query's text."""
Sides = Mapping[str, Callable[[str], object]]
"""The same, where nobody looks at the answers."""


def compare_answers(name: str, sql: str, sides: Answers, of: str) -> list[str]:
    """One round that is not counted, in which files and plans become warm; how answers differ.

    Args:
        of: the side whose answers are right.
    """
    wrong = []
    want = sorted(rows_of(sides[of](sql)), key=repr)
    for side, ask in sides.items():
        try:
            if side != of and sorted(rows_of(ask(sql)), key=repr) != want:
                wrong.append(f"{name}: the answer of {side} differs from that of {of}")
        except ffq.FfqError as error:
            wrong.append(f"{name}: {side} has no answer: {error.message[:200]}")
    return wrong


def time_round(samples: Samples, queries: Mapping[str, str], sides: Sides, number: int) -> None:
    """Every query once on each side, in ms: one after the other, so that a busy moment hits all."""
    for name, sql in queries.items():
        for side in in_turn(list(sides), number):
            began = perf_counter()
            sides[side](sql)
            samples.add(name, side, (perf_counter() - began) * 1_000)


def tpch_files(scale: str, folder: Path, tables: str = "") -> Mapping[str, list[Path]]:
    """Files of TPC-H by table, each in eight parts; `tables`: only these, with commas between.

    Raises CannotRun: what writes them is not installed.
    """
    command = Path(sys.executable).with_name("tpchgen-cli")
    if not command.is_file():
        raise CannotRun('TPC-H is written by tpchgen-cli: pip install "ffq-runtime[bench]"')
    only = [f"--tables={tables}"] if tables else []
    subprocess.run(
        [command, "parquet", "-s", scale, "--parts=8", f"--output-dir={folder}", *only],
        check=True,
        capture_output=True,
    )
    return {each.name: sorted(each.glob("*.parquet")) for each in folder.iterdir() if each.is_dir()}


def chosen(queries: Mapping[str, str], only: list[str] | None) -> Mapping[str, str]:
    """Raises CannotRun: one of the names is no query's."""
    if unknown := set(only or ()) - set(queries):
        raise CannotRun(f"no query is called {sorted(unknown)}; there are {', '.join(queries)}")
    return {name: sql for name, sql in queries.items() if not only or name in only}


def _suite(
    options: argparse.Namespace, closing: ExitStack
) -> tuple[Mapping[str, list[Path]], Mapping[str, str]]:
    if options.suite == "tpch":
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="ffq-benchmark-"))
        return tpch_files(options.scale, Path(folder)), tpch.QUERIES
    return tpcds.tables(), {f"q{number}": sql for number, sql in tpcds.queries().items()}


def measure(request: Request) -> Outcome:
    """Queries that are answered on both sides are timed."""
    options, samples = request.options, Samples()
    with ExitStack() as closing:
        files, texts = _suite(options, closing)
        con = closing.enter_context(duckdb.connect(config={"threads": options.workers}))
        check = closing.enter_context(checked_inside())
        session = closing.enter_context(ffq.connect(workers=options.workers, slots=1))
        for name, paths in files.items():
            con.execute(f"CREATE VIEW {name} AS {reading(paths)}")
            session.register(name, [str(path) for path in paths])
        sides: Answers = {
            OURS: lambda sql: session.sql(sql).collect(),
            BARE: lambda sql: con.sql(sql).to_arrow_table(),
        }
        queries = chosen(texts, options.only)
        wrong = {name: compare_answers(name, sql, sides, BARE) for name, sql in queries.items()}
        right = {name: sql for name, sql in queries.items() if not wrong[name]}
        for number in range(request.rounds):
            time_round(samples, right, sides, number)
        check()
    return Outcome(
        ratios=[
            *(samples.ratio(name, OURS, BARE) for name in right),
            *([samples.mean_ratio(GEOMETRIC_MEAN, list(right), OURS, BARE)] if right else []),
        ],
        amounts=[samples.amount(name, side, "ms") for name in right for side in sides],
        checks=[f"{len(right)} of {len(queries)} answers equal", INVARIANTS],
        failures=[text for texts in wrong.values() for text in texts],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--suite", choices=("tpch", "tpcds"), default="tpch")
    parser.add_argument("--scale", default="0.1", help="of TPC-H (0.1)")
    parser.add_argument("--workers", type=int, default=2, help="processes of one slot (2)")
    parser.add_argument("--only", nargs="*", help="names of queries")


BENCHMARK = Benchmark(
    question="What does a user of SQL pay for workers that may die, in a session of their own?",
    baseline="DuckDB in process, a thread for each worker, over the same files",
    measure=measure,
    rounds=3,
    packages=("duckdb", "pyarrow"),
    options=_options,
)
