"""A worker's stream over gRPC, against a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from ffq.errors import InvalidRequest, Unavailable
from ffq.ids import Attempt, QueryId, StageId, TaskId, WorkerId
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
    PartitionSize,
    PartitionValue,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    ScanInput,
    ScanSplit,
    ShuffleInput,
    TableFormat,
    TaskState,
    ToWorker,
)
from ffq.plan.codec import dump_plan
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec import exchange as codec
from ffq.proto.codec.grouped import decode_group, encode_grouped
from ffq.rpc.client import RpcChannel, open_channel
from ffq.rpc.duplex import open_duplex
from ffq.rpc.exchange import PATH, RemoteExchange, open_exchange
from ffq.rpc.polling import open_polled
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

PLAN = dump_plan(ONE_STAGE.node)

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
        (b"it",),
    ),
    AttemptEnd(REPORT, RegisterQueryResults(key(0).query_id, b"rows", key(0))),
)


Way = Callable[[RpcChannel], AbstractAsyncContextManager[RemoteExchange]]

either_way = pytest.mark.parametrize("way", [open_exchange, open_polled], ids=["stream", "calls"])


@asynccontextmanager
async def connected(gateway: Wire, way: Way = open_exchange) -> AsyncIterator[RemoteExchange]:
    async with open_channel(gateway.endpoint) as channel, way(channel) as exchange:
        yield exchange


async def heard(exchange: RemoteExchange) -> ToWorker | None:
    with trio.fail_after(20):
        return await exchange.receive()


@pytest.mark.parametrize(
    "message",
    [FromWorker(BEAT, 1 << 40, 2_500, ENDS, 128), FromWorker(None, 3, 0), FromWorker(BEAT)],
    ids=["all", "no beat", "no limit"],
)
def test_what_a_worker_says_stays_what_it_is_on_its_way(message: FromWorker) -> None:
    raw = codec.encode_from_worker(message).SerializeToString()
    assert codec.decode_from_worker(ext.WorkRequest.FromString(raw)) == message


def test_what_a_coordinator_says_stays_what_it_is_on_its_way() -> None:
    task = Assignment(key(1), b"{}", (0, 1), Layout(1, 2))
    reply = HeartbeatReply(True, stop_attempts=(key(0),), ended_queries=(QueryId("9"),))
    for message in (
        ToWorker((task,), reply, tuple(EndAnswer), recalled=(key(1, 2),)),
        ToWorker((task,)),
        ToWorker(beat=reply),
        ToWorker(beat=reply, rest_ms=3_000),
    ):
        raw = codec.encode_to_worker(message).SerializeToString()
        assert codec.decode_to_worker(ext.WorkResponse.FromString(raw)) == message


@either_way
async def test_a_beat_is_answered_and_a_task_comes_when_there_is_one(way: Way) -> None:
    async with open_gateway() as gateway, connected(gateway, way) as exchange:
        await exchange.send(FromWorker(BEAT, 1, 60_000))
        assert await heard(exchange) == ToWorker(
            beat=HeartbeatReply(accepted=True, ended_queries=(QueryId("1"),)), rest_ms=3_000
        )
        await gateway.submit("2", ONE_STAGE)
        answer = await heard(exchange)
        assert answer is not None
        assert [each.key.query_id for each in answer.tasks] == ["2"]
        exchange.finish()
        assert await heard(exchange) is None


def _dressed(task: int) -> Assignment:
    """With all that an assignment can have."""
    scan = ScanInput(
        1,
        "t",
        (ScanSplit("a.parquet", 0, 2, 10, 20, 30, (PartitionValue("p", "Int64", None),)),),
        TableFormat("csv", (("a", "Int64"),), (("delim", ","),)),
    )
    source = ShuffleInput(StageId(2), TaskId(3), Attempt(4), "h:1", (PartitionSize(5, 6, 7),))
    return Assignment(
        key(1, task), b"{}", (0, task), Layout(1, 2), (scan,), (source,), 3, 2, (StageId(2),)
    )


def test_assignments_by_stage_stay_what_they_are_and_in_their_order() -> None:
    plain = Assignment(key(0), b"{2}", (), Layout(9, 8))
    one, two = _dressed(0), _dressed(1)
    other = attrs.evolve(two, layout=Layout(1, 3))
    tasks = (one, two, plain, other, attrs.evolve(other, plan_bytes=b"{3}"))
    groups = encode_grouped(tasks, lambda plan: b"name of " + plan)
    assert [len(each.tasks) for each in groups] == [2, 1, 1, 1]
    back = [
        task
        for each in groups
        for task in decode_group(
            ext.StageTasks.FromString(each.SerializeToString()),
            each.plan_digest.removeprefix(b"name of "),
        )
    ]
    assert tuple(back) == tasks


async def test_a_plan_goes_over_a_stream_once_and_is_said_again_where_it_is_missing() -> None:
    """What the ends of a stream remember of plans changes nothing of what a worker hears."""
    async with (
        open_gateway() as gateway,
        open_channel(gateway.endpoint) as channel,
        open_duplex(channel, PATH, ext.WorkResponse, 4) as raw,
    ):
        worker = RemoteExchange(raw)
        beats = codec.encode_from_worker(FromWorker(BEAT, 9, 60_000))
        await raw.send(beats)
        first = await raw.receive()
        assert first is not None
        assert first.HasField("beat")
        plans = []
        for query_id in ("2", "3"):
            await gateway.submit(query_id, ONE_STAGE)
            with trio.fail_after(20):
                answer = await raw.receive()
            assert answer is not None
            assert not answer.tasks
            assert [each.query_id for each in answer.stages] == [query_id]
            plans.append([each.json for each in answer.plans])
            name = answer.stages[0].plan_digest
        assert plans == [[PLAN], []]
        # This end has not seen what was received so far.
        await gateway.submit("4", ONE_STAGE)
        assert await heard(worker) == ToWorker()
        answered = await heard(worker)
        assert answered is not None
        assert [(each.key.query_id, each.plan_bytes) for each in answered.tasks] == [("4", PLAN)]
        await raw.send(ext.WorkRequest(missing=[name, name]))
        with trio.fail_after(20):
            again = await raw.receive()
        assert again is not None
        assert [(each.digest, each.json) for each in again.plans] == [(name, PLAN)]
        await raw.send(ext.WorkRequest(missing=[b"never named"]))
        with pytest.raises(Unavailable, match="was named too long ago"), trio.fail_after(20):
            await raw.receive()


async def test_a_worker_that_does_not_take_them_by_stage_gets_assignments_one_by_one() -> None:
    async with (
        open_gateway() as gateway,
        open_channel(gateway.endpoint) as channel,
        open_duplex(channel, PATH, ext.WorkResponse, 4) as raw,
    ):
        beats = codec.encode_from_worker(FromWorker(BEAT, 9, 60_000))
        beats.by_stage = False
        await raw.send(beats)
        await raw.receive()
        await gateway.submit("2", ONE_STAGE)
        with trio.fail_after(20):
            answer = await raw.receive()
        assert answer is not None
        assert not answer.stages
        assert not answer.plans
        assert [each.plan_fragment_json for each in answer.tasks] == [PLAN]


@either_way
async def test_a_stream_that_is_refused_says_why(way: Way) -> None:
    async with open_gateway() as gateway, connected(gateway, way) as exchange:
        await exchange.send(FromWorker(None, 1, 60_000))
        with pytest.raises(InvalidRequest, match="its first message has no beat"):
            await heard(exchange)


@either_way
async def test_a_second_stream_of_a_worker_closes_the_first(way: Way) -> None:
    async with open_gateway() as gateway, connected(gateway, way) as first:
        await first.send(FromWorker(BEAT, 1, 60_000))
        await heard(first)
        async with connected(gateway, way) as second:
            await second.send(FromWorker(BEAT, 1, 60_000))
            await heard(second)
            with pytest.raises(Unavailable, match="w has opened another stream"):
                await heard(first)


@either_way
async def test_a_worker_may_listen_before_it_speaks(way: Way) -> None:
    async with (
        open_gateway() as gateway,
        connected(gateway, way) as exchange,
        trio.open_nursery() as nursery,
    ):

        async def listen() -> None:
            answer = await heard(exchange)
            assert answer is not None
            assert answer.beat is not None

        nursery.start_soon(listen)
        await trio.testing.wait_all_tasks_blocked()
        await exchange.send(FromWorker(BEAT, 1, 60_000))
