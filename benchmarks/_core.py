"""A scheduling machine under a load: so many tasks, queries, workers and sets of capabilities."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from ffq.core import CoordinatorSettings
from ffq.core.machine import Machine
from ffq.core.scheduling import scheduling_machine
from ffq.core.state import SchedulingState
from ffq.ids import QueryId, StageId, WorkerId
from ffq.messages import (
    AcceptQuery,
    Assignment,
    GetTask,
    OutputPartition,
    ScanSplit,
    StageScan,
    WorkerChanged,
)
from ffq.plan import cut, dump_plan, model
from ffq.plan.codec import plan_digest
from ffq.runtime import message as messages

BATCH = 32
SHARE = (ScanSplit("t.parquet", 0, 1),)
SINGLE = model.SinglePartitioning()
OUTPUT = (OutputPartition(0, 10, 1, 1),)
UNBOUNDED = CoordinatorSettings(
    max_concurrent_tasks_per_worker=10**9,
    max_concurrent_tasks_per_query=10**9,
    max_tasks_per_query=10**9,
    max_queries=10**9,
    max_workers=10**9,
)


@attrs.frozen
class Case:
    """How much there is. `sets`: of capabilities, each of which a query needs."""

    tasks: int
    queries: int = 1
    workers: int = 1
    sets: int = 1

    @property
    def name(self) -> str:
        return f"{self.tasks:,} tasks, {self.queries:,} q, {self.workers:,} w, {self.sets} sets"


@attrs.define
class Core:
    """A scheduling machine under such a load; workers ask in turn."""

    case: Case
    machine: Machine[SchedulingState] = attrs.field(init=False)
    asked: int = 0

    def __attrs_post_init__(self) -> None:
        self.machine = scheduling_machine(UNBOUNDED)
        for number in range(self.case.workers):
            able = frozenset({"ffq.splits", f"op{number % self.case.sets}"})
            self.step(WorkerChanged(self.worker(number), 1, able, "w:1", "f", True))
        for number in range(self.case.queries):
            self.submit(QueryId(f"q{number}"), f"op{number % self.case.sets}")

    def worker(self, number: int) -> WorkerId:
        return WorkerId(f"w{number}")

    def submit(self, query_id: QueryId, operator: str) -> None:
        scan = model.Custom(operator, (), model.ParquetScan("t", None, ("k",), ()))
        plan = model.ShuffleRead(model.ShuffleWrite(scan, SINGLE), SINGLE)
        data = dump_plan(plan)
        shares = (SHARE,) * max(1, self.case.tasks // self.case.queries)
        scans = (StageScan(StageId(1), 0, "t", shares),)
        self.step(AcceptQuery(query_id, data, plan_digest(data), cut(plan), scans))

    def step(self, message: messages.Request[Any]) -> Any:
        return self.machine.step(message, 0).reply

    def take(self, most: int) -> tuple[WorkerId, tuple[Assignment, ...]]:
        worker = self.worker(self.asked % self.case.workers)
        self.asked += 1
        taken: tuple[Assignment, ...] = self.step(GetTask(worker, most, 1))
        return worker, taken


@contextmanager
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
