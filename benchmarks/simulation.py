"""Simulated clusters: simulations, queries and virtual hours in wall time, over all processors.

The sides: the harness as the tests use it, with faults and all checks; the same scenarios without
their faults; and, as the bare baseline, the same queries on the core machines alone, played to
their end by a worker that never fails: no actors, no worker loops, no network, no checks.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import attrs

from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Better, Samples
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
TARGET = f"{TARGET_SIMULATIONS:,} simulations"
PER_QUERY = "time a query"
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


def _timed(row: str, first: int, count: int, processes: int) -> tuple[Work, float]:
    """Some scenarios of one row, over the processes, and seconds; their start does not count."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(run_chunk, [row] * processes, [first] * processes, [1] * processes))
        firsts = range(first, first + count, CHUNK)
        counts = [min(CHUNK, first + count - each) for each in firsts]
        started = time.perf_counter()
        work = sum(pool.map(run_chunk, [row] * len(counts), firsts, counts), Work())
        return work, time.perf_counter() - started


def measure(request: Request) -> Outcome:
    """Each round takes scenarios of its own, the same ones on each side."""
    options, samples = request.options, Samples()
    share = max(1, options.count // request.rounds)
    for number in range(request.rounds):
        for row in in_turn(list(ROWS), number):
            work, seconds = _timed(row, options.first + number * share, share, options.processes)
            samples.add(PER_QUERY, row, seconds / work.queries)
            samples.add("virtual hours a minute", row, work.virtual_s / 60 / seconds)
            samples.add("faults", row, work.faults)
            samples.add(TARGET, row, seconds / share * TARGET_SIMULATIONS)
    bare, *others = reversed(ROWS)
    return Outcome(
        ratios=[samples.ratio(PER_QUERY, row, bare) for row in reversed(others)],
        amounts=[
            samples.amount(TARGET, "as tested", "s", target=TARGET_SECONDS),
            *(
                samples.amount("virtual hours a minute", row, "", better=Better.HIGHER)
                for row in others
            ),
            samples.amount("faults", "as tested", "a round"),
        ],
        checks=["every check of the harness, in each scenario that has one"],
        notes=[f"{share:,} scenarios a side and round, {options.processes} processes"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    processors = len(os.sched_getaffinity(0))
    parser.add_argument("--count", type=int, default=TARGET_SIMULATIONS, help="scenarios a side")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--processes", type=int, default=processors, help="(all processors)")


BENCHMARK = Benchmark(
    question="What does simulating a cluster cost, and how many fit into five minutes?",
    baseline="the same queries on the core machines alone, one worker that never fails, no checks",
    measure=measure,
    packages=("trio", "attrs", "hypothesis"),
    options=_options,
)
