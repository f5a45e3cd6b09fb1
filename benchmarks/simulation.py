"""Simulated clusters: simulations, queries and virtual hours in wall time, over all processors.

    python -m benchmarks simulation [--count 2000] [--first 0] [--processes N]

Rows: the harness as the tests use it, with faults and all checks; the same scenarios without their
faults; and, as the bare baseline, the same queries on the core machines alone, played to their end
by a worker that never fails: no actors, no worker loops, no network, no checks.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import attrs

from benchmarks._report import Cell, table, write_json
from ffq.core import CoreCoordinator
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    GetTask,
    Heartbeat,
    ListQueries,
    OutputPartition,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    TaskState,
)
from tests.simulation import Scenario, scenario_of, simulate_cluster
from tests.simulation.queries import OPERATOR, plans
from tests.simulation.settings import COORDINATOR_SETTINGS

TARGET_SIMULATIONS, TARGET_SECONDS = 2_000, 300
CHUNK = 20
"""Scenarios that a process takes at a time."""


@attrs.frozen
class Work:
    """What some scenarios came to. `virtual_s`: time that passed in them."""

    queries: int = 0
    calls: int = 0
    faults: int = 0
    virtual_s: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.queries + other.queries,
            self.calls + other.calls,
            self.faults + other.faults,
            self.virtual_s + other.virtual_s,
        )


def as_tested(seed: int) -> Work:
    """The whole scenario. Raises RuntimeError: a check failed."""
    return _simulate(scenario_of(seed))


def without_faults(seed: int) -> Work:
    """The same cluster and queries on a good day. Raises RuntimeError: a check failed."""
    return _simulate(attrs.evolve(scenario_of(seed), faults=()))


def _simulate(scenario: Scenario) -> Work:
    simulated = simulate_cluster(scenario)
    if simulated.violation is not None:
        raise RuntimeError(simulated.report())
    return Work(simulated.queries, simulated.calls, simulated.struck.total(), simulated.seconds)


def core_alone(seed: int) -> Work:
    """The scenario's queries on the core machines, with one worker that does all at once."""
    core, worker = CoreCoordinator(COORDINATOR_SETTINGS), WorkerId("w")
    capabilities = frozenset({OPERATOR, "ffq.splits"})
    core.ask(Heartbeat(worker, 0, 0, capabilities, incarnation=1), 0)
    queries = scenario_of(seed).queries
    for number, query in enumerate(queries):
        submission = plans()[query.plan].accepted(QueryId(str(number)), query.shares)
        core.ask(submission, 0)
    calls = 1 + len(queries)
    while tasks := core.ask(GetTask(worker, 3, 1), 0):
        calls += 1
        for task in tasks:
            key, layout = task.key, task.layout
            if key.stage_id == 0:
                core.ask(RegisterQueryResults(key.query_id, b"", key), 0)
            else:
                rows = (OutputPartition(0, 8, 1, 1, 0, 8, True),)
                output = RegisterMapOutput(key, rows, layout, worker_id=worker, incarnation=1)
                core.ask(output, 0)
            done = ReportTaskStatus(
                key, TaskState.SUCCEEDED, "", layout, worker_id=worker, incarnation=1
            )
            core.ask(done, 0)
            calls += 2
    left = [each.query_id for each in core.ask(ListQueries(100), 0) if not each.state.terminal]
    if left:
        raise RuntimeError(f"seed {seed}: queries {left} did not end")
    return Work(len(queries), calls)


ROWS: dict[str, Callable[[int], Work]] = {
    "as tested": as_tested,
    "without faults": without_faults,
    "core alone": core_alone,
}


def run_chunk(row: str, first: int, count: int) -> Work:
    """Some scenarios of one row, in this process."""
    return sum(map(ROWS[row], range(first, first + count)), Work())


def measure(row: str, first: int, count: int, processes: int) -> dict[str, Any]:
    """All scenarios of one row, over the processes; the time does not count their start."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(run_chunk, [row] * processes, [first] * processes, [1] * processes))
        firsts = range(first, first + count, CHUNK)
        counts = [min(CHUNK, first + count - each) for each in firsts]
        started = time.perf_counter()
        work = sum(pool.map(run_chunk, [row] * len(counts), firsts, counts), Work())
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "simulations_per_second": count / seconds,
        "queries_per_second": work.queries / seconds,
        "calls_per_second": work.calls / seconds,
        "virtual_hours_per_minute": work.virtual_s / 3600 / (seconds / 60),
        **attrs.asdict(work),
    }


def main(arguments: list[str]) -> int:
    """Print the table and write results/simulation.json; status 1 when the target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks simulation")
    parser.add_argument("--count", type=int, default=TARGET_SIMULATIONS, help="scenarios a row")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(arguments)
    figures = {row: measure(row, options.first, options.count, options.processes) for row in ROWS}
    bare = figures["core alone"]["queries_per_second"]
    rows: list[tuple[Cell, ...]] = [
        (
            row,
            each["seconds"],
            each["simulations_per_second"],
            each["queries_per_second"],
            each["virtual_hours_per_minute"] or None,
            each["faults"],
            bare / each["queries_per_second"],
        )
        for row, each in figures.items()
    ]
    columns = ("", "s", "simulations/s", "queries/s", "virtual h/min", "faults", "times the core")
    title = f"{options.count:,} scenarios, {options.processes} processes"
    print(table(title, columns, rows), end="\n\n")
    needed = figures["as tested"]["seconds"] / options.count * TARGET_SIMULATIONS
    met = needed <= TARGET_SECONDS
    target = f"{TARGET_SIMULATIONS:,} simulations, s"
    line = (target, f"<= {TARGET_SECONDS}", f"{needed:.0f}", "met" if met else "MISSED")
    print(table("Target", ("", "target", "measured", ""), [line]))
    written = write_json(
        "simulation",
        {"figures": figures, "scenarios": options.count, "processes": options.processes},
        packages=("trio", "attrs", "hypothesis"),
    )
    print(f"\nwritten to {written.relative_to(written.parents[1])}")
    return 0 if met else 1
