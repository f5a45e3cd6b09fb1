"""How long SQL takes: TPC-H or TPC-DS in a session of worker processes, beside DuckDB in one.

The question: what does a user pay for workers that may die? Peer and bare baseline are one, the
engine that runs our fragments, with as many threads as there are workers, over the same files. Of
each query all sides run in the same round, so that a busy machine slows both; the ratio is of
medians. Answers are compared as multisets, floats to nine digits.

    python -m benchmarks sql --scale 1
    python -m benchmarks sql --suite tpcds
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from math import exp, log
from pathlib import Path
from statistics import median
from time import perf_counter

import attrs
import duckdb
import pyarrow as pa

import ffq
from benchmarks._report import Cell, table, write_json
from ffq.client.session.blocking import Session
from tests.sql import tpcds, tpch
from tests.sql.compared import reading, rows_of


@attrs.frozen
class Measured:
    """One query: ms of each round. `equal`: to DuckDB's answer; `error`: why there is none."""

    name: str
    rows: int
    equal: bool
    ffq_ms: Sequence[float]
    duckdb_ms: Sequence[float]
    error: str = ""

    @property
    def ratio(self) -> float | None:
        return median(self.ffq_ms) / median(self.duckdb_ms) if self.ffq_ms else None

    def row(self) -> Sequence[Cell]:
        if self.error:
            return (self.name, None, self.error[:60], None, None, None)
        equal = "equal" if self.equal else "DIFFERS"
        ms = (median(self.ffq_ms), median(self.duckdb_ms))
        return (self.name, self.rows, equal, *ms, self.ratio)


def measure(
    name: str, sql: str, session: Session, con: duckdb.DuckDBPyConnection, rounds: int
) -> Measured:
    """After one round that is not counted, in which files and plans become warm."""
    sides: tuple[Callable[[], pa.Table], ...] = (
        lambda: session.sql(sql).collect(),
        lambda: con.sql(sql).to_arrow_table(),
    )
    times: tuple[list[float], list[float]] = ([], [])
    try:
        got, want = (side() for side in sides)
    except ffq.FfqError as error:
        return Measured(name, 0, False, (), (), error.message)
    for _ in range(rounds):
        for side, taken in zip(sides, times, strict=True):
            began = perf_counter()
            side()
            taken.append((perf_counter() - began) * 1000)
    equal = sorted(rows_of(got), key=repr) == sorted(rows_of(want), key=repr)
    return Measured(name, got.num_rows, equal, *times)


def tpch_files(scale: str, folder: Path) -> Mapping[str, list[Path]]:
    command = Path(sys.executable).with_name("tpchgen-cli")
    subprocess.run(
        [command, "parquet", "-s", scale, "--parts=8", f"--output-dir={folder}"],
        check=True,
        capture_output=True,
    )
    return {each.name: sorted(each.glob("*.parquet")) for each in folder.iterdir()}


def main(arguments: list[str]) -> int:
    """Exit status 1 when an answer differs or is lacking."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sql", description=__doc__)
    parser.add_argument("--suite", choices=("tpch", "tpcds"), default="tpch")
    parser.add_argument("--scale", default="0.1", help="of TPC-H (0.1)")
    parser.add_argument("--workers", type=int, default=2, help="processes of one slot (2)")
    parser.add_argument("--rounds", type=int, default=3, help="that count (3)")
    parser.add_argument("--only", nargs="*", help="names of queries")
    options = parser.parse_args(arguments)
    with ExitStack() as closing:
        if options.suite == "tpch":
            folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="ffq-benchmark-"))
            files, queries = tpch_files(options.scale, Path(folder)), tpch.QUERIES
        else:
            files = tpcds.tables()
            queries = {f"q{number}": sql for number, sql in tpcds.queries().items()}
        con = closing.enter_context(duckdb.connect(config={"threads": options.workers}))
        session = closing.enter_context(ffq.connect(workers=options.workers, slots=1))
        for name, paths in files.items():
            con.execute(f"CREATE VIEW {name} AS {reading(paths)}")
            session.register(name, [str(path) for path in paths])
        found = [
            measure(name, sql, session, con, options.rounds)
            for name, sql in queries.items()
            if not options.only or name in options.only
        ]
    ratios = [one.ratio for one in found if one.ratio is not None]
    title = f"{options.suite}, {options.workers} workers: medians of {options.rounds} rounds, ms"
    columns = ("query", "rows", "answer", "ffq", "duckdb", "ratio")
    print(table(title, columns, [one.row() for one in found]))
    equal = sum(one.equal for one in found)
    mean = exp(sum(map(log, ratios)) / len(ratios)) if ratios else None
    print(f"\n{equal} of {len(found)} equal; geometric mean of the ratios: {mean or 0:.2f}")
    write_json(f"sql-{options.suite}", {one.name: attrs.asdict(one) for one in found}, ["duckdb"])
    return 0 if equal == len(found) else 1
