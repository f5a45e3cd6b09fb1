"""Assign and report in the pure core, whatever waits: tasks, queries, workers, capability sets.

A pair is one task assigned and reported SUCCEEDED with its map output: singly by GetTask,
RegisterMapOutput and ReportTaskStatus, in batches by GetTask and FinishAttempts. The figures are
microseconds of processor time for a pair, on the scheduling machine alone: no actor, no wire.

Then what one query of so many tasks costs while they wait: bytes for each, and the longest that
any one step keeps the machine from others: the layout (with the first assignment), a look at
leases, a tick, a worker's loss, a status, a cancel; and the same where all of them have started,
of which the longest slice counts. And the longest pause of the garbage collector while pairs are
made: as Python sets it, and as gateways and workers do.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from benchmarks import _started
from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._core import BATCH, OUTPUT, Case, Core, no_collections
from benchmarks._figures import Samples
from ffq.cli.collector import settle
from ffq.ids import QueryId
from ffq.messages import (
    AttemptReport,
    CancelQuery,
    ConfirmHeartbeat,
    FinishAttempts,
    GetQueryStatus,
    GetTask,
    RegisterMapOutput,
    ReportTaskStatus,
    TaskState,
    Tick,
    WorkerLost,
)
from ffq.runtime import message as messages

TARGET_US = {"singly": 20, "in batches": 10}
BYTES, PAUSE, SETTLED = "a task that waits", "collector's pause", "collector's pause, settled"


def singly(core: Core, pairs: int) -> int:
    done = 0
    while done < pairs:
        worker, (task,) = core.take(1)
        core.step(RegisterMapOutput(task.key, OUTPUT, task.layout, worker, 1, "w:1"))
        core.step(ReportTaskStatus(task.key, TaskState.SUCCEEDED, "", task.layout, worker, 1))
        done += 1
    return done


def in_batches(core: Core, pairs: int) -> int:
    done = 0
    while done < pairs:
        worker, taken = core.take(BATCH)
        reports = [AttemptReport(t.key, TaskState.SUCCEEDED, t.layout, OUTPUT) for t in taken]
        core.step(FinishAttempts(worker, 1, tuple(reports), "w:1"))
        done += len(taken)
    return done


SIDES: dict[str, Callable[[Core, int], int]] = {"singly": singly, "in batches": in_batches}


def cases(most: int) -> list[Case]:
    few = 1_000
    return [
        Case(few),
        Case(most),
        Case(most, queries=1_000),
        Case(most, workers=10_000),
        Case(most, queries=1_000, workers=1_000, sets=100),
    ]


def microseconds(case: Case, run: Callable[[Core, int], int], pairs: int) -> float:
    """Of a pair. A small case is asked for no more than it has."""
    core = Core(case)
    for _ in range(case.queries):
        core.take(1)  # the first of a query starts it and lays out its tasks
    with no_collections():
        started = time.process_time()
        done = run(core, min(pairs, case.tasks // 2))
        took = time.process_time() - started
    core.machine.validate_state()
    return took / done * 1e6


def held_ms(core: Core, message: messages.Request[Any]) -> float:
    """How long the machine is kept by one step."""
    with no_collections():
        started = time.process_time()
        core.step(message)
        return (time.process_time() - started) * 1e3


def holds(case: Case) -> dict[str, float]:
    """Milliseconds of the steps that might depend on how much waits."""
    core = Core(case)
    first = core.worker(0)
    kept = {
        "layout": held_ms(core, GetTask(first, 1, 1)),
        "leases": held_ms(core, ConfirmHeartbeat(first, (), ())),
        "tick": held_ms(core, Tick()),
        "status": held_ms(core, GetQueryStatus(QueryId("q0"))),
        "worker lost": held_ms(core, WorkerLost(first, "silent")),
        "cancel": held_ms(core, CancelQuery(QueryId("q0"), "")),
    }
    core.machine.validate_state()
    return kept


def bytes_each(case: Case) -> float:
    """What the tasks of a query take from its start, each; the scan's listing is not the core's."""
    core = Core(case)
    gc.collect()
    tracemalloc.start()
    core.take(1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / case.tasks


def longest_pause_ms(case: Case, pairs: int) -> float:
    """The longest that the garbage collector stops the process while pairs are made."""
    core = Core(case)
    pauses = [0.0]
    began = 0.0

    def watch(phase: str, _info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.process_time()
        else:
            pauses.append((time.process_time() - began) * 1e3)

    gc.collect()
    gc.callbacks.append(watch)
    try:
        in_batches(core, min(pairs, case.tasks // 2))
    finally:
        gc.callbacks.remove(watch)
    return max(pauses)


def measure(request: Request) -> Outcome:
    """Every load, singly and in batches, in each round; then what waits, once a round."""
    options, samples = request.options, Samples()
    drawn = {case.name: case for case in cases(options.tasks)}
    few, largest, *_ = drawn
    for number in range(request.rounds):
        for side, run in SIDES.items():
            for name in in_turn(list(drawn), number):
                samples.add(side, name, microseconds(drawn[name], run, options.pairs))
        for step, ms in holds(drawn[largest]).items():
            samples.add(step, largest, ms)
        samples.add(BYTES, largest, bytes_each(drawn[largest]))
        samples.add(PAUSE, largest, longest_pause_ms(drawn[largest], options.pairs))
    for step, ms in _started.holds(options.tasks).items():
        samples.add(step, largest, ms)
    settle()  # as gateways and workers do; last, since the process keeps it
    samples.add(SETTLED, largest, longest_pause_ms(drawn[largest], options.pairs))
    held = [step for step in samples.figures if step not in {*SIDES, BYTES, PAUSE, SETTLED}]
    return Outcome(
        ratios=[
            samples.ratio(side, name, few, target=1.3 if name == largest else None)
            for side in SIDES
            for name in drawn
            if name != few
        ],
        amounts=[
            *(samples.amount(side, few, "us a pair", target=TARGET_US[side]) for side in SIDES),
            *(samples.amount(step, largest, "ms", target=10) for step in held),
            samples.amount(BYTES, largest, "bytes", target=64),
            *(samples.amount(pause, largest, "ms") for pause in (PAUSE, SETTLED)),
        ],
        checks=["validate_state of the core, after each run"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=1_000_000, help="that wait (1000000)")
    parser.add_argument("--pairs", type=int, default=20_000, help="that are measured (20000)")


BENCHMARK = Benchmark(
    question="What does a task cost the pure core when a million wait?",
    baseline="the same when a thousand wait",
    measure=measure,
    rounds=3,
    packages=("attrs",),
    options=_options,
)
