"""A worker's stream over calls, at the gateway's end: what its calls may say, and how it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from ffq.errors import FfqError, InvalidRequest, QuotaExceeded, Unavailable
from ffq.ids import WorkerId
from ffq.messages import FromWorker, Heartbeat, HeartbeatReply, ToWorker
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec.exchange import decode_to_worker, encode_from_worker
from ffq.rpc.options import RpcOptions
from ffq.rpc.polling import LAPSE_S, NAME_BYTES, Polls, open_polls

BEAT = FromWorker(Heartbeat(WorkerId("w"), 5, 0, frozenset(), incarnation=7), 1, 60_000)
ANSWER = ToWorker(beat=HeartbeatReply(accepted=True))
NAME = b"n" * NAME_BYTES


@attrs.define
class Echo:
    """Answers each beat `answers` times, until the worker says no more. `serving`: streams now."""

    answers: int = 1
    failure: FfqError | None = None
    serving: int = 0
    heard: list[FromWorker] = attrs.field(factory=list)

    async def serve_exchange(
        self, incoming: AsyncIterator[FromWorker], send: Callable[[ToWorker], Awaitable[None]]
    ) -> None:
        self.serving += 1
        try:
            async for message in incoming:
                self.heard.append(message)
                for _ in range(self.answers if message.beat is not None else 0):
                    await send(ANSWER)
                if self.failure is not None:
                    raise self.failure
        finally:
            self.serving -= 1


@asynccontextmanager
async def polled(echo: Echo, options: RpcOptions | None = None) -> AsyncIterator[Polls]:
    async with open_polls(echo, options or RpcOptions()) as polls:
        yield polls


async def poll(
    polls: Polls,
    *says: FromWorker,
    name: bytes = NAME,
    opens: bool = False,
    finished: bool = False,
    wait_ms: int = 0,
) -> ext.PollResponse:
    return await polls.route.handle(
        ext.PollRequest(
            stream=name,
            opens=opens,
            says=map(encode_from_worker, says),
            finished=finished,
            wait_ms=wait_ms,
        )
    )


def said(answer: ext.PollResponse) -> list[ToWorker]:
    return [decode_to_worker(each) for each in answer.says]


@pytest.mark.parametrize("length", [0, NAME_BYTES - 1, NAME_BYTES + 1])
async def test_a_name_has_its_length(length: int) -> None:
    async with polled(Echo()) as polls:
        with pytest.raises(InvalidRequest, match=f"has {length} bytes, not 16"):
            await poll(polls, BEAT, name=b"n" * length, opens=True)


async def test_a_stream_that_nobody_opened_is_none() -> None:
    async with polled(Echo()) as polls:
        with pytest.raises(Unavailable, match="no such stream is open any more"):
            await poll(polls, BEAT)


async def test_a_stream_is_opened_once() -> None:
    async with polled(Echo()) as polls:
        await poll(polls, BEAT, opens=True)
        with pytest.raises(InvalidRequest, match="open already"):
            await poll(polls, BEAT, opens=True)


async def test_streams_are_bounded() -> None:
    async with polled(Echo(), RpcOptions(max_duplex=1)) as polls:
        await poll(polls, BEAT, opens=True)
        with pytest.raises(QuotaExceeded, match="1 such streams are open already"):
            await poll(polls, BEAT, name=b"m" * NAME_BYTES, opens=True)


async def test_one_call_hears_at_a_time(autojump_clock: trio.testing.MockClock) -> None:
    async with polled(Echo(answers=0)) as polls, trio.open_nursery() as nursery:
        await poll(polls, BEAT, opens=True)
        nursery.start_soon(lambda: poll(polls, wait_ms=5_000))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(InvalidRequest, match="another call waits on this stream"):
            await poll(polls, wait_ms=1)


async def test_a_call_waits_no_longer_than_it_may(autojump_clock: trio.testing.MockClock) -> None:
    async with polled(Echo(answers=0)) as polls:
        await poll(polls, BEAT, opens=True)
        for asked_ms, waited_s in ((250, 0.25), (1 << 31, 30.0)):
            began = trio.current_time()
            assert await poll(polls, wait_ms=asked_ms) == ext.PollResponse()
            assert trio.current_time() - began == pytest.approx(waited_s)


async def test_what_is_said_waits_for_who_hears_it_and_the_coordinator_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Four messages wait; the coordinator is held up by the fifth until they are fetched."""
    echo = Echo(answers=6)
    async with polled(echo) as polls:
        await poll(polls, BEAT, opens=True, finished=True)
        await trio.testing.wait_all_tasks_blocked()
        assert echo.serving == 1
        first = await poll(polls, wait_ms=1)
        assert said(first) == [ANSWER] * 4
        assert not first.ended
        rest = await poll(polls, wait_ms=1_000)
        await trio.testing.wait_all_tasks_blocked()
        assert said(rest) == [ANSWER] * len(rest.says)
        last = rest if rest.ended else await poll(polls, wait_ms=1_000)
        assert last.ended
        assert len(rest.says) + (0 if last is rest else len(last.says)) == 2
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="no such stream"):
            await poll(polls, wait_ms=1)


async def test_why_a_stream_ended_is_told_after_what_was_said(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with polled(Echo(failure=InvalidRequest("no such worker"))) as polls:
        await poll(polls, BEAT, opens=True)
        assert said(await poll(polls, wait_ms=1_000)) == [ANSWER]
        with pytest.raises(InvalidRequest, match="no such worker"):
            await poll(polls, wait_ms=1_000)


async def test_a_stream_whose_worker_is_gone_lapses_but_not_while_it_is_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    echo = Echo()
    async with polled(echo) as polls:
        await poll(polls, BEAT, opens=True)
        await poll(polls, wait_ms=1)
        await poll(polls, wait_ms=25_000)
        await trio.sleep(LAPSE_S - 1)
        await poll(polls, wait_ms=1)
        assert echo.serving == 1
        await trio.sleep(LAPSE_S + 1)
        assert echo.serving == 0
        with pytest.raises(Unavailable, match="no such stream"):
            await poll(polls, BEAT)


async def test_streams_end_with_their_gateway(autojump_clock: trio.testing.MockClock) -> None:
    echo = Echo(answers=0)
    told: list[str] = []

    async def hear(polls: Polls) -> None:
        with pytest.raises(Unavailable, match="shutting down") as caught:
            await poll(polls, wait_ms=30_000)
        told.append(caught.value.message)

    async with trio.open_nursery() as nursery, polled(echo) as polls:
        await poll(polls, BEAT, opens=True)
        nursery.start_soon(hear, polls)
        await trio.testing.wait_all_tasks_blocked()
    assert len(told) == 1
    assert echo.serving == 0
