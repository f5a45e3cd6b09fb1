"""RemoteCoordinator over gRPC is the coordinator: a worker of ours and a client, all extensions."""

from __future__ import annotations

import pytest

from ffq.errors import InvalidPlan, PlanConflict, UnknownId
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    CancelQuery,
    DrainWorker,
    FetchQueryResults,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    ListAttempts,
    ListQueries,
    ListWorkers,
    OutputPartition,
    QueryState,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    SubmitQuery,
    TaskState,
)
from ffq.rpc.client import open_channel
from ffq.rpc.coordinator import RemoteCoordinator
from ffq.service import Coordinator
from tests.gateway.harness import PLAN, open_gateway

Q, W = QueryId("q-1"), WorkerId("w")


async def test_a_worker_and_a_client_of_ours_over_grpc() -> None:
    async with open_gateway() as gateway, open_channel(gateway.endpoint) as channel:
        remote: Coordinator = RemoteCoordinator(channel)
        assert (await remote.ask(SubmitQuery(Q, PLAN.to_json()))).state is QueryState.QUEUED
        beat = Heartbeat(W, 0, 0, frozenset({"ffq.splits"}), 1, "127.0.0.1:1", "test", (), (Q,))
        reply = await remote.ask(beat)
        assert (reply.accepted, reply.stop_attempts, reply.ended_queries) == (True, (), ())
        (task,) = await remote.ask(GetTask(W, 4, 1))
        part = OutputPartition(2, 10, 1, 1)
        output = RegisterMapOutput(task.key, (part,), task.layout, W, 1, "127.0.0.1:1")
        assert await remote.ask(output) == RegisterReply(counted=True, worker_id=None)
        done = ReportTaskStatus(task.key, TaskState.SUCCEEDED, "", task.layout, W, 1)
        assert await remote.ask(done) == ReportReply(counted=True, worker_id=None)
        assert not (await remote.ask(done)).counted
        (reducer,) = await remote.ask(GetTask(W, 4, 1))
        (source,) = reducer.inputs
        assert (source.endpoint, [size.reduce_partition for size in source.partitions]) == (
            "127.0.0.1:1",
            [2],
        )
        for offset, payload in ((0, b"ro"), (2, b"ws")):
            piece = RegisterQueryResults(Q, payload, reducer.key, offset, last=offset == 2)
            assert (await remote.ask(piece)).counted
        done = ReportTaskStatus(reducer.key, TaskState.SUCCEEDED, "", reducer.layout, W, 1)
        await remote.ask(done)
        assert (await remote.ask(GetQueryStatus(Q))).state is QueryState.SUCCEEDED
        async with remote.stream(FetchQueryResults(Q)) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"rows"
        assert (await remote.ask(CancelQuery(Q, "late"))).state is QueryState.SUCCEEDED
        assert (await remote.ask(beat)).ended_queries == (Q,)
        (query,) = await remote.ask(ListQueries())
        assert (query.query_id, query.finished_at_ms is not None) == (Q, True)
        attempts = await remote.ask(ListAttempts(Q))
        assert [attempt.committed for attempt in attempts] == [True, True]
        (worker,) = await remote.ask(ListWorkers())
        assert (worker.worker_id, worker.capabilities) == (W, ("ffq.splits",))
        await remote.ask(DrainWorker(W))
        assert not (await remote.ask(beat)).accepted


async def test_errors_of_the_coordinator_arrive_as_themselves() -> None:
    async with open_gateway() as gateway, open_channel(gateway.endpoint) as channel:
        remote = RemoteCoordinator(channel)
        await remote.ask(SubmitQuery(Q, PLAN.to_json()))
        with pytest.raises(PlanConflict, match="q-1"):
            await remote.ask(SubmitQuery(Q, PLAN.limit(1).to_json()))
        with pytest.raises(InvalidPlan):
            await remote.ask(SubmitQuery(QueryId("2"), b"not json"))
        with pytest.raises(UnknownId) as caught:
            await remote.ask(GetQueryStatus(QueryId("2")))
        assert caught.value.stable_reason == "UNKNOWN_QUERY"
