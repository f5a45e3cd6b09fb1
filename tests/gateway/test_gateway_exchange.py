"""A worker's stream over gRPC, against a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from ffq.errors import InvalidRequest, Unavailable
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    NO_USAGE,
    Assignment,
    AttemptEnd,
    EndAnswer,
    FromWorker,
    Heartbeat,
    HeartbeatReply,
    Layout,
    OutputPartition,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    TaskState,
    ToWorker,
)
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec import exchange as codec
from ffq.rpc.client import open_channel
from ffq.rpc.exchange import RemoteExchange, open_exchange
from tests.gateway.harness import ONE_STAGE, Wire, open_gateway
from tests.worker.fakes import key

BEAT = Heartbeat(
    WorkerId("w"),
    at_ms=5,
    running_tasks=1,
    capabilities=frozenset({"ffq.splits", "op"}),
    incarnation=7,
    endpoint="127.0.0.1:1",
    family="f",
    running_attempts=(),
    held_queries=(QueryId("1"),),
    slots=2,
    stuck_tasks=1,
)

REPORT = ReportTaskStatus(
    key(1), TaskState.SUCCEEDED, "", Layout(1, 2), WorkerId("w"), 7, usage=NO_USAGE
)
ENDS = (
    AttemptEnd(REPORT),
    AttemptEnd(
        REPORT,
        RegisterMapOutput(
            key(1), (OutputPartition(1, 2, 3, 4),), Layout(1, 2), WorkerId("w"), 7, "127.0.0.1:1"
        ),
    ),
    AttemptEnd(REPORT, RegisterQueryResults(key(0).query_id, b"rows", key(0))),
)


@asynccontextmanager
async def connected(gateway: Wire) -> AsyncIterator[RemoteExchange]:
    async with open_channel(gateway.endpoint) as channel, open_exchange(channel) as exchange:
        yield exchange


async def heard(exchange: RemoteExchange) -> ToWorker | None:
    with trio.fail_after(20):
        return await exchange.receive()


@pytest.mark.parametrize(
    "message",
    [FromWorker(BEAT, 1 << 40, 2_500, ENDS), FromWorker(None, 3, 0), FromWorker(BEAT)],
    ids=["all", "no beat", "no limit"],
)
def test_what_a_worker_says_stays_what_it_is_on_its_way(message: FromWorker) -> None:
    raw = codec.encode_from_worker(message).SerializeToString()
    assert codec.decode_from_worker(ext.WorkRequest.FromString(raw)) == message


def test_what_a_coordinator_says_stays_what_it_is_on_its_way() -> None:
    task = Assignment(key(1), b"{}", (0, 1), Layout(1, 2))
    reply = HeartbeatReply(True, stop_attempts=(key(0),), ended_queries=(QueryId("9"),))
    for message in (
        ToWorker((task,), reply, tuple(EndAnswer)),
        ToWorker((task,)),
        ToWorker(beat=reply),
    ):
        raw = codec.encode_to_worker(message).SerializeToString()
        assert codec.decode_to_worker(ext.WorkResponse.FromString(raw)) == message


async def test_a_beat_is_answered_and_a_task_comes_when_there_is_one() -> None:
    async with open_gateway() as gateway, connected(gateway) as exchange:
        await exchange.send(FromWorker(BEAT, 1, 60_000))
        assert await heard(exchange) == ToWorker(
            beat=HeartbeatReply(accepted=True, ended_queries=(QueryId("1"),))
        )
        await gateway.submit("2", ONE_STAGE)
        answer = await heard(exchange)
        assert answer is not None
        assert [each.key.query_id for each in answer.tasks] == ["2"]
        exchange.finish()
        assert await heard(exchange) is None


async def test_a_stream_that_is_refused_says_why() -> None:
    async with open_gateway() as gateway, connected(gateway) as exchange:
        await exchange.send(FromWorker(None, 1, 60_000))
        with pytest.raises(InvalidRequest, match="its first message has no beat"):
            await heard(exchange)


async def test_a_second_stream_of_a_worker_closes_the_first() -> None:
    async with open_gateway() as gateway, connected(gateway) as first:
        await first.send(FromWorker(BEAT, 1, 60_000))
        await heard(first)
        async with connected(gateway) as second:
            await second.send(FromWorker(BEAT, 1, 60_000))
            await heard(second)
            with pytest.raises(Unavailable, match="w has opened another stream"):
                await heard(first)
