"""Cost of one GetTask in the core, with 10 and with a million tasks that wait (R11).

Each figure is a kind of waiting work, each side how much of it there is. In `other queries` the
waiting tasks belong to queries of 100 tasks each; in `same query` to the query that is served.
Unrunnable ones need an operator that the asking worker has not. Measured is processor time of one
call that assigns one task, on the core machine alone: no actor, no wire.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable

from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Samples
from ffq.core import CoordinatorSettings
from ffq.core.scheduling import scheduling_machine
from ffq.ids import QueryId, StageId, WorkerId
from ffq.messages import AcceptQuery, GetTask, ScanSplit, StageScan, WorkerChanged
from ffq.plan import cut, dump_plan, model
from ffq.plan.codec import plan_digest
from ffq.plan.model import Node

OPERATOR = "rare"
PER_QUERY = 100
WORKER, STARTER = WorkerId("asks"), WorkerId("starts")
SHARE = (ScanSplit("t.parquet", 0, 1),)
SCAN = model.ParquetScan("t", None, ("k",), ())
RARE = model.Custom(OPERATOR, (), SCAN)
UNBOUNDED = CoordinatorSettings(
    max_concurrent_tasks_per_worker=10**9,
    max_concurrent_tasks_per_query=10**9,
    max_tasks_per_query=10**9,
    max_queries=10**9,
)


def _accept(query_id: QueryId, plan: Node, scans: tuple[StageScan, ...]) -> AcceptQuery:
    data = dump_plan(plan)
    return AcceptQuery(query_id, data, plan_digest(data), cut(plan), scans)


class _Bench:
    """One core with work in it. `WORKER` is the one that asks; `STARTER` has the operator."""

    def __init__(self) -> None:
        self.core = scheduling_machine(UNBOUNDED)
        self._worker(WORKER, frozenset({"ffq.splits"}))

    def _worker(self, worker: WorkerId, capabilities: frozenset[str]) -> None:
        self.core.step(WorkerChanged(worker, 1, capabilities, "", "f", True), 0)

    def submit(self, name: str, plan: Node, tasks: int) -> None:
        """A query whose scans have `tasks` shares each."""
        graph = cut(plan)
        scans = tuple(
            StageScan(stage.stage_id, source.leaf, "t", (SHARE,) * tasks)
            for stage in graph.stages
            for source in stage.scans
        )
        self.core.step(_accept(QueryId(name), plan, scans), 0)

    def start_all(self, queries: int) -> None:
        """Each query gets its first assignment, and so its tasks; the starter then goes."""
        self._worker(STARTER, frozenset({"ffq.splits", OPERATOR}))
        for _ in range(queries):
            self.core.step(GetTask(STARTER, 1, 1), 0)
        self._worker(STARTER, frozenset())

    def microseconds(self, calls: int) -> float:
        """Of one call, on average."""
        ask = GetTask(WORKER, 1, 1)
        assigned = 0
        gc.collect()
        gc.disable()
        started = time.process_time()
        for _ in range(calls):
            assigned += len(self.core.step(ask, 0).reply)
        elapsed = time.process_time() - started
        gc.enable()
        if assigned != calls:
            raise RuntimeError(f"{assigned} tasks were assigned in {calls} calls")
        return elapsed / calls * 1e6


def _others(plan: Node) -> Callable[[int, int], _Bench]:
    def build(waiting: int, calls: int) -> _Bench:
        bench = _Bench()
        queries = max(1, waiting // PER_QUERY)
        for number in range(queries):
            bench.submit(f"q{number}", plan, min(waiting, PER_QUERY))
        bench.start_all(queries)
        bench.submit("asked", SCAN, calls)
        return bench

    return build


def _same_runnable(waiting: int, calls: int) -> _Bench:
    bench = _Bench()
    bench.submit("asked", SCAN, waiting + calls)
    return bench


def _same_unrunnable(waiting: int, calls: int) -> _Bench:
    """Two scan stages, one of them with the operator."""
    bench = _Bench()
    single = model.SinglePartitioning()
    sides = [model.ShuffleRead(model.ShuffleWrite(each, single), single) for each in (RARE, SCAN)]
    plan = model.UnionAll(*sides)
    scans = (
        StageScan(StageId(1), 0, "t", (SHARE,) * waiting),
        StageScan(StageId(2), 0, "t", (SHARE,) * calls),
    )
    bench.core.step(_accept(QueryId("asked"), plan, scans), 0)
    return bench


CASES: dict[str, Callable[[int, int], _Bench]] = {
    "other queries, runnable": _others(SCAN),
    "other queries, unrunnable": _others(RARE),
    "same query, runnable": _same_runnable,
    "same query, unrunnable": _same_unrunnable,
}


def measure(request: Request) -> Outcome:
    """Each kind with ten and with many tasks that wait, in each round."""
    options, samples = request.options, Samples()
    amounts = {"10 waiting": 10, f"{options.waiting:,} waiting": options.waiting}
    few, many = amounts
    for number in range(request.rounds):
        for case, build in CASES.items():
            for side in in_turn(list(amounts), number):
                bench = build(amounts[side], options.calls)
                # The first call starts the query and lays out its tasks, whatever their number.
                bench.core.step(GetTask(WORKER, 1, 1), 0)
                samples.add(case, side, bench.microseconds(options.calls - 1))
                bench.core.validate_state()
    return Outcome(
        ratios=[samples.ratio(case, many, few) for case in CASES],
        amounts=[samples.amount(case, side, "us a call") for case in CASES for side in amounts],
        checks=["validate_state of the core, after each run"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--waiting", type=int, default=1_000_000, help="tasks that wait (1000000)")
    parser.add_argument("--calls", type=int, default=2_000, help="that are measured (2000)")


BENCHMARK = Benchmark(
    question="What does one GetTask in the core cost when a million tasks wait (R11)?",
    baseline="the same call when ten tasks wait",
    measure=measure,
    rounds=3,
    packages=("attrs",),
    options=_options,
)
