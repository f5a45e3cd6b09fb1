"""A coordinator of actors under the mock clock, and what clients and workers say to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ffq import plan as p
from ffq.actors import ActorSettings, CoordinatorActors, open_coordinator
from ffq.core import CoordinatorSettings
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
    SubmitQuery,
    TaskState,
)
from ffq.plan import parse_plan
from ffq.plan.stages import cut

PLAN = p.scan("t", ["k"]).aggregate(["k"], [p.col("k").count().alias("n")], partitions=4)
Q = QueryId("1")
W = WorkerId("w")


async def plan_query(query_id: QueryId, plan_bytes: bytes) -> SubmitQuery:
    return SubmitQuery(query_id, plan_bytes, cut(parse_plan(plan_bytes)))


@asynccontextmanager
async def open_actors(
    settings: CoordinatorSettings | None = None, actors: ActorSettings | None = None
) -> AsyncIterator[CoordinatorActors]:
    async with open_coordinator(plan_query, settings, actors) as coordinator:
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


async def status(coordinator: CoordinatorActors, query_id: QueryId = Q) -> QueryStatus:
    return await coordinator.get_query_status(GetQueryStatus(query_id))


async def attempts(coordinator: CoordinatorActors) -> dict[AttemptKey, TaskState]:
    found = await coordinator.list_attempts(ListAttempts(Q))
    return {attempt.key: attempt.state for attempt in found}
