"""How long a user waits before anything happens: imports, help, the first row of a query.

Each is a fresh process. The baselines: a Python that does nothing; and, for the query, one that
imports the engine and Arrow and asks the engine itself. Files of code are compiled, and in the
system's cache, after a round that is not counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Samples

PYTHON, LIBRARIES, BARE_QUERY = "python -c pass", "import duckdb, pyarrow", "duckdb alone"
WALL, CPU = "time", "CPU"
COLUMNS: Final = {"k": [1, 2, 3, 4, 5], "v": ["a", "b", "c", "d", "e"]}
TARGETS_MS: Final = {"import ffq": 60.0, "ffq --help": 250.0, "ffq sql, first row": 900.0}
PAIRS: Final = (
    ("import ffq", PYTHON),
    ("import ffq.client", LIBRARIES),
    ("ffq --help", PYTHON),
    ("ffq sql, first row", BARE_QUERY),
    ("ffq sql, first row", LIBRARIES),
)


def commands(file: Path) -> dict[str, list[str]]:
    """Each side's command line; the queries are over that file."""
    text = f"SELECT k, v FROM '{file}' ORDER BY k"
    alone = f"import duckdb, pyarrow; print(duckdb.sql({text!r}).to_arrow_table())"
    return {
        PYTHON: ["-c", "pass"],
        LIBRARIES: ["-c", LIBRARIES],
        BARE_QUERY: ["-c", alone],
        "import ffq": ["-c", "import ffq"],
        "import ffq.client": ["-c", "import ffq.client"],
        "ffq --help": ["-m", "ffq", "--help"],
        "ffq sql, first row": ["-m", "ffq", "sql", "--format=csv", text],
    }


def run(arguments: list[str], expected: str) -> tuple[float, float]:
    """Ms until the first line with `expected`, or until the end; ms of processor time of it all.

    Raises RuntimeError: it failed, or said nothing of the kind.
    """
    began, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    # Where Python may not keep what it compiles, each round would measure the compiler.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen: float | None = None
        for line in process.stdout:
            if expected and expected in line and seen is None:
                seen = time.perf_counter()
        complaint = process.stderr.read()
    ended, after = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    if process.returncode or (expected and seen is None):
        raise RuntimeError(f"{arguments}: status {process.returncode}, {complaint[:500]!r}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ((seen or ended) - began) * 1_000, spent * 1_000


def measure(request: Request) -> Outcome:
    """All sides in each round."""
    samples = Samples()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "five.parquet"
        pq.write_table(pa.table(COLUMNS), file)
        sides = commands(file)
        for number in range(-1, request.rounds):
            for side in in_turn(list(sides), number):
                wall, cpu = run(sides[side], "1,a" if side.startswith("ffq sql") else "")
                if number >= 0:
                    samples.add(WALL, side, wall)
                    samples.add(CPU, side, cpu)
    return Outcome(
        ratios=[samples.ratio(figure, *pair) for figure in (WALL, CPU) for pair in PAIRS],
        amounts=[samples.amount(WALL, side, "ms", target=TARGETS_MS.get(side)) for side in sides],
    )


BENCHMARK = Benchmark(
    question="How long does a user wait for imports, for help, and for a query's first row?",
    baseline="processes of python -c pass, of import duckdb, pyarrow, and of DuckDB with the query",
    measure=measure,
    rounds=7,
    packages=("duckdb", "pyarrow", "grpcio", "typer"),
)
