"""The longest that one step keeps scheduling, or the registry, where all tasks of a query started.

It begins with the steps by which they are assigned and reported, in batches: tables grow meanwhile.
What such a query's end, or the loss of the worker that served all it gave out, asks for is done in
slices: it is the longest of them that counts. Attempts that run are ended in one go; settings bound
how many there are, and that is measured with a thousand.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any, Final

from benchmarks._core import BATCH, OUTPUT, Case, Core, no_collections
from ffq.core.machine import Machine, Outcome, Slice
from ffq.core.registry import registry_machine
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    AttemptReport,
    CancelQuery,
    DropQueryOutputs,
    FinishAttempts,
    GetQueryStatus,
    TaskState,
    Tick,
    WorkerLost,
)
from ffq.runtime.message import Request

QUERY: Final = QueryId("q0")
LATER_MS: Final = 10**9
RUNNING: Final = 1_000
"""Attempts of one query on one worker: by default a query may have 32, a worker 8 and 128 ahead."""


class Started:
    """One worker has run all tasks of a query but one, and serves what they gave out.

    `taken_ms`, `reported_ms`, `registered_ms`: the longest step for a batch on the way there, in
    scheduling and in the registry.
    """

    def __init__(self, tasks: int) -> None:
        self.core = Core(Case(tasks))
        self.registry = registry_machine()
        self.taken_ms = self.reported_ms = self.registered_ms = 0.0
        done = 0
        while done < tasks - 1:
            times = [time.process_time()]
            worker, taken = self.core.take(BATCH)
            times.append(time.process_time())
            told = [each for each in taken if each.key.task_id < tasks - 1]
            reports = [AttemptReport(t.key, TaskState.SUCCEEDED, t.layout, OUTPUT) for t in told]
            finish = FinishAttempts(worker, 1, tuple(reports), "w:1")
            times.append(time.process_time())
            notices = self.core.machine.step(finish, 0).notices
            times.append(time.process_time())
            for notice in notices:
                self.registry.step(notice, 0)
            times.append(time.process_time())
            took, _, reported, registered = [
                (after - before) * 1e3 for before, after in pairwise(times)
            ]
            self.taken_ms = max(self.taken_ms, took)
            self.reported_ms = max(self.reported_ms, reported)
            self.registered_ms = max(self.registered_ms, registered)
            done += len(told)

    def longest_ms(self, first: Request[Any], now_ms: int = 0) -> float:
        """Of the step that takes this message, and of those by which scheduling goes on."""
        return _longest_ms(self.core.machine, first, now_ms)

    def forgets_ms(self) -> float:
        """The same of the registry, when the query has ended."""
        return _longest_ms(self.registry, DropQueryOutputs(QUERY), 0)


def _running_ms() -> dict[str, float]:
    """Of a cancel and of a worker's loss that end so many running attempts: those in one go."""
    kept: dict[str, float] = {}
    ends: dict[str, Request[Any]] = {
        "cancel": CancelQuery(QUERY, ""),
        "worker lost": WorkerLost(WorkerId("w0"), "silent"),
    }
    for name, message in ends.items():
        core = Core(Case(RUNNING))
        core.take(RUNNING)
        kept[f"{name}, {RUNNING:,} running"] = _longest_ms(core.machine, message, 0)
        core.machine.validate_state()
    return kept


def _longest_ms(machine: Machine[Any], first: Request[Any], now_ms: int) -> float:
    longest = 0.0
    going: Request[Any] | None = first
    while going is not None:
        started = time.process_time()
        outcome: Outcome[Any] = machine.step(going, now_ms)
        longest = max(longest, time.process_time() - started)
        going = next((each for each in outcome.notices if isinstance(each, Slice)), None)
    return longest * 1e3


def holds(tasks: int) -> dict[str, float]:
    """Milliseconds, by what is done."""
    with no_collections():
        ended = Started(tasks)
        kept = {
            "a batch taken": ended.taken_ms,
            "a batch reported": ended.reported_ms,
            "a batch registered": ended.registered_ms,
            "status": ended.longest_ms(GetQueryStatus(QUERY)),
            "cancel": ended.longest_ms(CancelQuery(QUERY, "")),
            "outputs forgotten": ended.forgets_ms(),
            "query forgotten": ended.longest_ms(Tick(), LATER_MS),
        }
        ended.core.machine.validate_state()
        del ended
        lost = Started(tasks)
        kept["worker lost"] = lost.longest_ms(WorkerLost(lost.core.worker(0), "silent"))
        lost.core.machine.validate_state()
        running = _running_ms()
    return {f"{name}, all started": ms for name, ms in kept.items()} | running
