"""A coordinator of actors under the mock clock, and what clients and workers say to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

import attrs

from ffq import plan as p
from ffq.actors import ActorCoordinator, ActorSettings, open_coordinator
from ffq.core import CoordinatorSettings
from ffq.core.planning import PLANNER
from ffq.core.walks import TABLES
from ffq.ids import AttemptKey, QueryId, WorkerId
from ffq.messages import (
    Assignment,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    ListAttempts,
    OutputPartition,
    QueryStatus,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    TaskState,
)
from ffq.runtime import Request

R = TypeVar("R")
PLAN = p.scan("t", ["k"]).aggregate(["k"], [p.col("k").count().alias("n")], partitions=4)
Q = QueryId("1")
W = WorkerId("w")


class InlinePlanner:
    """Reads plans at once, in the Trio thread."""

    async def ask(self, message: Request[R]) -> R:
        answer: Any = PLANNER[type(message)](message)
        return cast("R", answer)


@contextmanager
def step_replaced(message: type, step: Callable[[Any, Any, int], Any]) -> Iterator[None]:
    """Within the block the machine that owns this message takes this step for it."""
    (rows,) = (table.rows for table in TABLES if message in table.rows)
    row = rows[message]
    rows[message] = attrs.evolve(row, step=step)
    try:
        yield
    finally:
        rows[message] = row


@asynccontextmanager
async def open_actors(
    settings: CoordinatorSettings | None = None, actors: ActorSettings | None = None
) -> AsyncIterator[ActorCoordinator]:
    async with open_coordinator(InlinePlanner(), settings, actors) as coordinator:
        yield coordinator
        await coordinator.validate_state()


def beat(worker: WorkerId = W, incarnation: int = 1) -> Heartbeat:
    return Heartbeat(worker, 0, 0, frozenset(), incarnation, f"{worker}:1", "test")


def pull(worker: WorkerId = W, incarnation: int = 1) -> GetTask:
    return GetTask(worker, 8, incarnation)


def output(of: Assignment, *partitions: int) -> RegisterMapOutput:
    parts = tuple(OutputPartition(n, 10, 1, 1) for n in partitions)
    return RegisterMapOutput(of.key, parts, of.layout, W, 1, "w:1")


def result(of: Assignment, payload: bytes) -> RegisterQueryResults:
    return RegisterQueryResults(of.key.query_id, payload, of.key)


def report(of: Assignment, state: TaskState = TaskState.SUCCEEDED) -> ReportTaskStatus:
    return ReportTaskStatus(of.key, state, "", of.layout, W, 1)


async def status(coordinator: ActorCoordinator, query_id: QueryId = Q) -> QueryStatus:
    return await coordinator.ask(GetQueryStatus(query_id))


async def attempts(coordinator: ActorCoordinator) -> dict[AttemptKey, TaskState]:
    found = await coordinator.ask(ListAttempts(Q))
    return {attempt.key: attempt.state for attempt in found}
