"""What it is worth that a build's keys go first, where its rows are too many to be sent whole.

A gateway and two workers of one slot and one engine thread, as processes. Of a large table each row
has a partner in one of wide rows, of which a condition leaves a twentieth: more than a join may
broadcast. `keys first` is the plan that the planner makes; `both as they are` is that plan, but
the wide side gives out no keys. What is joined is counted and summed in a thousand groups.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

import duckdb

import ffq
from benchmarks._benchmark import Benchmark, CannotRun, Outcome, Request, in_turn
from benchmarks._figures import Samples
from benchmarks._processes import INVARIANTS, cpu_seconds, gateway
from ffq.catalog import Catalog
from ffq.messages import ClusterSize
from ffq.plan import dump_plan
from ffq.sql.prepare import Preparer, Query
from tests.processes import worker
from tests.sql.compared import rows_of

FIRST, BOTH, BARE = "keys first", "both as they are", "duckdb"
TIME, CPU, BYTES = "time", "CPU", "bytes exchanged"
FILES, WORKERS = 4, 2
_WIDE: Final = "||".join(f"sha256((i + {at})::VARCHAR)" for at in range(25))
_TABLES: Final = {
    "large": "SELECT (hash(i) % {keys})::BIGINT k, (hash(i + 7) % 1000)::INTEGER g, i v, "
    "(hash(i + 1) >> 4)::BIGINT x, (hash(i + 2) >> 4)::BIGINT y",
    "wide": "SELECT i j, (hash(i) % 100)::INTEGER f, "
    f"CASE WHEN hash(i) % 100 < 5 THEN {_WIDE} ELSE '' END text",
}
TEXT: Final = (
    "SELECT g, count(*) n, sum(v) v, max(text[3:20]) t, sum(x % 10) x, sum(y % 7) y "
    "FROM large JOIN wide ON k = j WHERE f < 5 GROUP BY g"
)


def _write_world(folder: Path, rows: int) -> Mapping[str, str]:
    """Tables, and what reads each; one in six rows has a key of its own."""
    keys = rows // 6
    entries, reads = [], {}
    with duckdb.connect() as connection:
        for table, columns in _TABLES.items():
            (folder / table).mkdir()
            share = (rows if table == "large" else keys) // FILES
            for number in range(FILES):
                text = columns.format(keys=keys)
                text += f" FROM range({number * share}, {(number + 1) * share}) r(i)"
                path = folder / table / f"{number}.parquet"
                connection.execute(f"COPY ({text} ORDER BY hash(i)) TO '{path}'")
            entries.append(f'{{"name": "{table}", "uri": "{folder / table}"}}')
            reads[table] = f"FROM '{folder / table / '*.parquet'}'"
    (folder / "tables.json").write_text(f"[{', '.join(entries)}]")
    return reads


def _plans(catalog: Path) -> Mapping[str, bytes]:
    """Of both sides of ours. Raises CannotRun: the planner lets no keys go first."""
    preparer = Preparer(Catalog.load(catalog))
    try:
        cluster = ClusterSize(slots=WORKERS, workers=WORKERS)
        plan = dump_plan(preparer.prepare(Query(TEXT, cluster=cluster)).plan)
    finally:
        preparer.close()
    both = plan.replace(b'"ffq.KeyedHash"', b'"HashKeys"')
    if both == plan:
        raise CannotRun("with so few rows the planner lets no keys go first")
    return {FIRST: plan, BOTH: both}


def measure(request: Request) -> Outcome:
    """All sides in each round."""
    samples, wrong = Samples(), set[str]()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        reads = _write_world(folder, request.options.rows)
        catalog = folder / "tables.json"
        plans = _plans(catalog)
        server = stack.enter_context(gateway(f"--catalog={catalog}"))
        options = ("--slots=1", "--engine-threads=1", "--log-level=warning")
        workers = [
            stack.enter_context(worker(server.endpoint, f"w{number}", *options))
            for number in range(WORKERS)
        ]
        pids = [server.pid, *(each.pid for each in workers)]
        client = stack.enter_context(ffq.SyncClient(server.endpoint))
        bare = stack.enter_context(duckdb.connect(config={"threads": WORKERS}))
        for table, text in reads.items():
            bare.execute(f"CREATE VIEW {table} AS {text}")
        right = sorted(bare.execute(TEXT).fetchall())
        for number in range(-1, request.rounds):
            for side in in_turn([FIRST, BOTH, BARE], number):
                began, cpu = perf_counter(), sum(map(cpu_seconds, pids))
                alone = process_time()
                if side == BARE:
                    rows = sorted(bare.execute(TEXT).fetchall())
                    cpu, exchanged = process_time() - alone, 0
                else:
                    query = client.submit(plans[side])
                    status = client.wait(query)
                    rows = sorted(rows_of(client.fetch(query)))
                    cpu = sum(map(cpu_seconds, pids)) - cpu
                    exchanged = sum(each.map_output_bytes for each in status.stages)
                    told = any("reduced: the keys" in text for text in _decided(status))
                    wrong |= {side} if told != (side == FIRST) else set()
                took = perf_counter() - began
                wrong |= {side} if rows != right else set()
                if number >= 0:
                    samples.add(TIME, side, took * 1_000)
                    samples.add(CPU, side, cpu * 1_000)
                    if exchanged:
                        samples.add(BYTES, side, exchanged / 2**20)
    return Outcome(
        ratios=[
            samples.ratio(TIME, FIRST, BOTH),
            samples.ratio(CPU, FIRST, BOTH),
            samples.ratio(BYTES, FIRST, BOTH),
            samples.ratio(TIME, FIRST, BARE),
            samples.ratio(TIME, BOTH, BARE),
        ],
        amounts=[
            *(samples.amount(TIME, side, "ms") for side in (FIRST, BOTH, BARE)),
            *(samples.amount(CPU, side, "ms") for side in (FIRST, BOTH, BARE)),
            *(samples.amount(BYTES, side, "MiB") for side in (FIRST, BOTH)),
        ],
        checks=[INVARIANTS, "answers are DuckDB's", "keys go first where they are to"],
        failures=[f"{side}: another answer, or another way, than expected" for side in wrong],
        notes=[f"{request.options.rows} rows, a sixth as many keys, of which a twentieth is left"],
    )


def _decided(status: ffq.QueryStatus) -> list[str]:
    return [text for stage in status.stages for text in stage.decisions]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=6_000_000, help="of the large side (6000000)")


BENCHMARK = Benchmark(
    question="What is it worth that the keys of a large side of a join go before its rows?",
    baseline="both sides exchanged as they are; and DuckDB in process",
    measure=measure,
    rounds=5,
    packages=("duckdb", "grpcio", "trio"),
    options=_options,
)
