"""The worker loop with a stream to its coordinator: when it is used, and when calls are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.errors import FfqError, Unavailable, UnknownMethod, WorkerSuperseded
from ffq.messages import (
    Assignment,
    AttemptEnd,
    EndAnswer,
    ErrorKind,
    FromWorker,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    OutputPartition,
    RegisterMapOutput,
    RegisterQueryResults,
    TaskState,
    ToWorker,
)
from ffq.worker.loop import LoopSettings, WorkerLoop
from ffq.worker.ports import MapOutput, TaskOutput, Work
from tests.worker.fakes import (
    IDENTITY,
    ONE_PARTITION,
    FakeCoordinator,
    MemoryResult,
    World,
    key,
    map_task,
    sink_task,
    until,
)


@attrs.define
class FakeStream:
    """One stream, at the coordinator's end: `down` is what the worker hears.

    `ends`: the answer to each end of an attempt; None: none comes.
    """

    said: list[FromWorker] = attrs.field(factory=list)
    down: list[ToWorker | FfqError | None] = attrs.field(factory=list)
    answers: bool = True
    ends: EndAnswer | None = EndAnswer.REFUSED
    reply: HeartbeatReply = attrs.field(factory=lambda: HeartbeatReply(accepted=True))
    rest_ms: int = 0
    _news: trio.Event = attrs.field(factory=trio.Event)
    finished: bool = False
    last_words: tuple[Assignment, ...] = ()

    async def send(self, message: FromWorker) -> None:
        await trio.lowlevel.checkpoint()
        self.said.append(message)
        if message.ends and self.ends is not None:
            self.say(ToWorker(answers=(self.ends,) * len(message.ends)))
        if message.beat is not None and self.answers:
            self.say(ToWorker(beat=self.reply, rest_ms=self.rest_ms))

    async def receive(self) -> ToWorker | None:
        while not self.down:
            self._news = trio.Event()
            await self._news.wait()
        await trio.lowlevel.checkpoint()
        message = self.down.pop(0)
        if isinstance(message, FfqError):
            raise message
        return message

    def finish(self) -> None:
        self.finished = True
        if self.last_words:
            self.say(ToWorker(self.last_words))
        self.say(None)

    def say(self, message: ToWorker | FfqError | None) -> None:
        self.down.append(message)
        self._news.set()

    @property
    def ended(self) -> list[tuple[AttemptEnd, ...]]:
        """By message."""
        return [each.ends for each in self.said if each.ends]

    @property
    def beats(self) -> list[Heartbeat]:
        return [each.beat for each in self.said if each.beat is not None]


@attrs.define
class FakeStreams:
    """Opens them; `make` makes each. `opened_at`: when."""

    make: Callable[[], FakeStream] = FakeStream
    opened: list[FakeStream] = attrs.field(factory=list)
    opened_at: list[float] = attrs.field(factory=list)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[FakeStream]:
        self.opened_at.append(trio.current_time())
        self.opened.append(self.make())
        yield self.opened[-1]

    @property
    def newest(self) -> FakeStream:
        return self.opened[-1]


def loop_of(world: World, streams: FakeStreams) -> WorkerLoop:
    loop = world.loop()
    loop._exchanges = (streams.open,)
    return loop


def failing(error: FfqError) -> Callable[[], FakeStream]:
    """Streams that end at once."""
    return lambda: FakeStream(answers=False, down=[error])


async def forever(work: Work) -> TaskOutput:
    await trio.sleep_forever()
    raise AssertionError(work)


async def attached(nursery: trio.Nursery, world: World, streams: FakeStreams) -> WorkerLoop:
    loop = loop_of(world, streams)
    await nursery.start(loop.run)
    await until(lambda: streams.opened and streams.newest.said and streams.newest.said[-1].limit)
    return loop


async def test_an_idle_worker_with_a_stream_makes_no_calls_and_beats_on_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R18, R20."""
    world, streams = World(), FakeStreams()
    await attached(nursery, world, streams)
    await trio.sleep(1)
    calls, said = len(world.coordinator.calls), len(streams.newest.said)
    await trio.sleep(100)
    assert len(world.coordinator.calls) == calls
    assert len(streams.newest.said) - said == 100
    last = streams.newest.said[-1]
    assert last.limit == world.settings.slots
    assert last.beat is not None
    assert (last.beat.worker_id, last.beat.incarnation) == ("w1", 1_000)
    assert last.beat.slots == world.settings.slots
    nursery.cancel_scope.cancel()


async def test_R20_a_worker_that_runs_nothing_leaves_out_beats_for_as_long_as_it_may(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), FakeStreams(lambda: FakeStream(rest_ms=3_000))
    await attached(nursery, world, streams)
    await trio.sleep(10)
    said = len(streams.newest.said)
    await trio.sleep(99)
    rested = streams.newest.said[said:]
    assert len(rested) == 33
    # A rest is no silence: what it takes holds for as many of these beats as of others.
    assert {each.limit_ms for each in rested} == {7_500}
    assert len(streams.opened) == 1
    assert len(world.coordinator.beats) == 1
    nursery.cancel_scope.cancel()


async def test_R20_R21_what_a_beat_has_to_say_is_said_when_it_is_due(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    abilities = {"a"}
    identity = attrs.evolve(IDENTITY, capabilities=lambda: frozenset(abilities))
    world, streams = World(identity=identity), FakeStreams(lambda: FakeStream(rest_ms=3_000))
    world.executor.behave = forever
    await attached(nursery, world, streams)
    await trio.sleep(10)
    stream = streams.newest
    abilities.add("b")
    await trio.sleep(1.01)
    assert stream.beats[-1].capabilities == {"a", "b"}
    stream.say(ToWorker((map_task(),)))
    await trio.sleep(1.01)
    assert stream.beats[-1].running_tasks == 1
    assert stream.said[-1].limit_ms == 2_500
    beats = len(stream.beats)
    await trio.sleep(50)
    assert len(stream.beats) - beats == 50
    stream.reply = HeartbeatReply(accepted=True, stop_attempts=(map_task().key,))
    await trio.sleep(10)
    beats = len(stream.beats)
    await trio.sleep(30)
    assert len(stream.beats) - beats == 10
    nursery.cancel_scope.cancel()


async def test_what_comes_down_is_run_and_room_is_told_as_it_is_there(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R7: what it takes all in all is what it got and the slots that are free."""
    world, streams = World(), FakeStreams()
    done = trio.Event()

    async def behave(work: Work) -> TaskOutput:
        await done.wait()
        return ONE_PARTITION

    world.executor.behave = behave
    await attached(nursery, world, streams)
    stream = streams.newest
    assert stream.said[-1].limit == 2
    stream.say(ToWorker((map_task(0), map_task(1))))
    await until(lambda: len(world.executor.started) == 2)
    await trio.sleep(3)
    assert stream.said[-1].limit == 2
    assert stream.beats[-1].running_attempts == (key(1, 0), key(1, 1))
    done.set()
    await until(lambda: stream.said[-1].limit == 4)
    assert {each.key for each in world.coordinator.reports} == {key(1, 0), key(1, 1)}
    assert world.coordinator.of_type(GetTask)[1:] == []
    nursery.cancel_scope.cancel()


async def test_until_the_coordinator_has_answered_on_it_calls_are_made(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), FakeStreams(lambda: FakeStream(answers=False))
    await nursery.start(loop_of(world, streams).run)
    await trio.sleep(2.5)
    assert [each.limit for each in streams.opened[0].said] == [0, 0, 0]
    assert len(world.coordinator.beats) == 3
    assert world.coordinator.of_type(GetTask)
    await trio.sleep(600)
    assert 100 < len(streams.opened) < 300
    nursery.cancel_scope.cancel()


async def test_a_coordinator_that_knows_no_streams_is_polled_and_rarely_asked_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(FakeCoordinator(queue=[map_task()]))
    streams = FakeStreams(failing(UnknownMethod("no such method")))
    await nursery.start(loop_of(world, streams).run)
    await until(lambda: world.coordinator.reports)
    await trio.sleep(600 - trio.current_time())
    assert len(streams.opened) == 10
    assert len(world.coordinator.beats) >= 599
    nursery.cancel_scope.cancel()


async def test_a_stream_that_breaks_is_opened_again_and_meanwhile_calls_are_made(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), FakeStreams()
    await attached(nursery, world, streams)
    before = len(world.coordinator.of_type(GetTask))
    streams.make = failing(Unavailable("connection refused"))
    streams.newest.say(Unavailable("broken"))
    world.coordinator.queue = [map_task()]
    await until(lambda: world.coordinator.reports)
    assert len(world.coordinator.of_type(GetTask)) > before
    since, beats = trio.current_time(), len(world.coordinator.beats)
    await trio.sleep(60)
    tries = sum(at > since for at in streams.opened_at)
    assert 50 < tries < 75
    assert 59 <= len(world.coordinator.beats) - beats <= 61
    streams.make = FakeStream
    await until(lambda: streams.newest.said and streams.newest.said[-1].limit)
    polls = len(world.coordinator.of_type(GetTask))
    await trio.sleep(10)
    assert len(world.coordinator.of_type(GetTask)) == polls
    nursery.cancel_scope.cancel()


async def test_a_stream_on_which_nothing_comes_any_more_is_given_up(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), FakeStreams()
    await attached(nursery, world, streams)
    stalled = streams.newest
    stalled.answers = False
    streams.make = lambda: FakeStream(answers=False)
    await until(lambda: len(streams.opened) > 1, seconds=10)
    world.coordinator.queue = [map_task()]
    await until(lambda: world.coordinator.reports)
    nursery.cancel_scope.cancel()


async def test_room_that_a_call_under_way_may_fill_is_not_promised_to_the_stream(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R7."""

    @attrs.define
    class SlowPull(FakeCoordinator):
        pulled: trio.Event = attrs.field(factory=trio.Event)

        async def _receive(self, message: object) -> None:
            await super()._receive(message)
            if isinstance(message, GetTask):
                await self.pulled.wait()

    coordinator = SlowPull(queue=[map_task(0), map_task(1)])
    world, streams = World(coordinator), FakeStreams()

    world.executor.behave = forever
    await nursery.start(loop_of(world, streams).run)
    await trio.sleep(3)
    assert {each.limit for each in streams.newest.said} == {0}
    coordinator.pulled.set()
    await until(lambda: len(world.executor.started) == 2)
    await trio.sleep(3)
    assert {each.limit for each in streams.newest.said} == {0}
    nursery.cancel_scope.cancel()


async def test_R19_a_worker_that_is_told_on_its_stream_that_it_is_superseded_ends(
    autojump_clock: MockClock,
) -> None:
    world, streams = World(), FakeStreams()
    with pytest.RaisesGroup(
        pytest.RaisesExc(WorkerSuperseded, match="worker id 'w1'"), flatten_subgroups=True
    ):
        async with trio.open_nursery() as nursery:
            await attached(nursery, world, streams)
            streams.newest.reply = HeartbeatReply(accepted=False, superseded=True)
            with trio.fail_after(60):
                await trio.sleep_forever()


def answering(answer: EndAnswer | None) -> FakeStreams:
    return FakeStreams(lambda: FakeStream(ends=answer))


@pytest.mark.parametrize("answer", [EndAnswer.COUNTED, EndAnswer.TOO_LATE])
async def test_R22_outputs_and_reports_that_are_ready_go_in_one_message(
    autojump_clock: MockClock, nursery: trio.Nursery, answer: EndAnswer
) -> None:
    world, streams = World(), answering(answer)
    done = trio.Event()

    async def behave(work: Work) -> TaskOutput:
        await done.wait()
        return ONE_PARTITION

    world.executor.behave = behave
    await attached(nursery, world, streams)
    before = len(world.coordinator.calls)
    streams.newest.say(ToWorker((map_task(0), map_task(1))))
    await until(lambda: len(world.executor.started) == 2)
    done.set()
    await until(lambda: len(world.executor.released) == 2)
    (ends,) = streams.newest.ended
    assert {each.report.key for each in ends} == {key(1, 0), key(1, 1)}
    for end in ends:
        assert isinstance(end.made, RegisterMapOutput)
        assert end.made.key == end.report.key
        assert end.made.partitions == ONE_PARTITION.partitions
        assert end.report.state is TaskState.SUCCEEDED
        assert (end.report.worker_id, end.report.incarnation) == ("w1", 1_000)
    assert set(world.executor.released.values()) == {True}
    assert len(world.coordinator.calls) == before
    await until(lambda: streams.newest.said[-1].limit == 4)
    nursery.cancel_scope.cancel()


async def test_R7_what_has_come_to_its_end_leaves_its_slot_to_the_next_in_the_same_message(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(None)
    done = trio.Event()

    async def behave(work: Work) -> TaskOutput:
        await done.wait()
        return ONE_PARTITION

    world.executor.behave = behave
    await attached(nursery, world, streams)
    stream = streams.newest
    stream.say(ToWorker((map_task(0), map_task(1))))
    await until(lambda: len(world.executor.started) == 2)
    done.set()
    await until(lambda: stream.ended)
    assert [each.limit for each in stream.said if each.ends] == [4]
    said = len(stream.said)
    done = trio.Event()
    counted = (EndAnswer.COUNTED,) * 2
    stream.say(ToWorker((map_task(2), map_task(3)), answers=counted))
    await until(lambda: len(world.executor.started) == 4)
    await trio.sleep(3)
    assert {each.limit for each in stream.said[said:]} == {4}
    nursery.cancel_scope.cancel()


async def test_R7_an_end_that_is_refused_takes_its_slot_again_until_calls_have_told_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    @attrs.define
    class Slow(FakeCoordinator):
        told: trio.Event = attrs.field(factory=trio.Event)

        async def _receive(self, message: object) -> None:
            await super()._receive(message)
            if isinstance(message, RegisterMapOutput):
                await self.told.wait()

    coordinator = Slow()
    world, streams = World(coordinator), answering(EndAnswer.REFUSED)
    await attached(nursery, world, streams)
    stream = streams.newest
    stream.say(ToWorker((map_task(),)))
    await until(lambda: coordinator.of_type(RegisterMapOutput))
    await trio.sleep(0.5)
    assert [each.limit for each in stream.said if each.ends] == [3]
    assert stream.said[-1].limit == 2
    coordinator.told.set()
    await until(lambda: stream.said[-1].limit == 3)
    nursery.cancel_scope.cancel()


async def test_R22_a_small_output_goes_with_its_report_and_its_registration(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)

    async def behave(work: Work) -> TaskOutput:
        return attrs.evolve(ONE_PARTITION, contents=(b"ten bytes.",))

    world.executor.behave = behave
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((map_task(),)))
    await until(lambda: streams.newest.ended)
    ((end,),) = streams.newest.ended
    assert isinstance(end.made, RegisterMapOutput)
    assert end.made.partitions == ONE_PARTITION.partitions
    assert end.contents == (b"ten bytes.",)
    nursery.cancel_scope.cancel()


async def test_R26_a_small_result_goes_with_its_report(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)
    world.transport.data = {("", key(1, attempt=0), p): b"x" for p in range(4)}

    async def behave(work: Work) -> TaskOutput:
        return MemoryResult(b"rows")

    world.executor.behave = behave
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((sink_task(),)))
    await until(lambda: streams.newest.ended)
    ((end,),) = streams.newest.ended
    assert end.made == RegisterQueryResults(key(0).query_id, b"rows", key(0), 0, last=True)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("large", ["result", "output"])
async def test_R30_what_is_large_goes_in_calls(
    autojump_clock: MockClock, nursery: trio.Nursery, large: str
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)
    world.transport.data = {("", key(1, attempt=0), p): b"x" for p in range(4)}

    async def behave(work: Work) -> TaskOutput:
        if large == "result":
            return MemoryResult(bytes((32 << 10) + 1))
        return MapOutput(tuple(OutputPartition(each, 1, 1, 1) for each in range(1_001)))

    world.executor.behave = behave
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((sink_task() if large == "result" else map_task(),)))
    await until(lambda: world.coordinator.reports)
    assert streams.newest.ended == []
    nursery.cancel_scope.cancel()


async def test_R13_what_is_refused_on_the_stream_is_told_in_calls_which_tell_why(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    coordinator = FakeCoordinator(unknown={key(1)})
    world, streams = World(coordinator), answering(EndAnswer.REFUSED)
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((map_task(),)))
    await until(lambda: world.executor.released)
    assert len(streams.newest.ended) == 1
    assert len(coordinator.of_type(RegisterMapOutput)) == 1
    assert world.executor.released == {key(1): False}
    nursery.cancel_scope.cancel()


async def test_R15_a_stream_that_breaks_before_the_answer_leaves_it_to_calls(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """It may have counted: whatever the calls say, the output is not removed."""
    coordinator = FakeCoordinator(unknown={key(1)})
    world, streams = World(coordinator), answering(None)
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((map_task(),)))
    await until(lambda: streams.newest.ended)
    streams.newest.say(Unavailable("broken"))
    await until(lambda: world.executor.released)
    assert len(coordinator.of_type(RegisterMapOutput)) == 1
    assert world.executor.released == {key(1): True}
    nursery.cancel_scope.cancel()


async def test_R5_what_a_beats_answer_on_the_stream_says_is_done(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), FakeStreams()

    world.executor.behave = forever
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((map_task(),)))
    await until(lambda: world.executor.started)
    streams.newest.reply = HeartbeatReply(True, stop_attempts=(key(1),))
    await until(lambda: world.executor.interrupted == [key(1)])
    assert world.coordinator.reports == []
    nursery.cancel_scope.cancel()


async def test_R20_an_attempt_is_claimed_while_the_stream_is_answered(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), FakeStreams()

    world.executor.behave = forever
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((map_task(),)))
    await trio.sleep(2 * world.settings.claim_ms / 1000)
    assert streams.newest.beats[-1].running_attempts == (key(1),)
    nursery.cancel_scope.cancel()


async def test_an_orderly_end_takes_what_is_under_way_and_gives_it_back(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R17: nothing is left to a lease or to silence."""
    world, streams = World(), FakeStreams(lambda: FakeStream(last_words=(map_task(),)))
    loop = await attached(nursery, world, streams)
    loop.stop()
    await until(lambda: world.coordinator.reports)
    assert streams.newest.finished
    (report,) = world.coordinator.reports
    assert (report.key, report.kind) == (key(1), ErrorKind.STOPPED)
    assert len(streams.opened) == 1


async def test_an_orderly_end_does_not_wait_for_a_stream_that_never_ends(
    autojump_clock: MockClock,
) -> None:
    class Stuck(FakeStream):
        def finish(self) -> None:
            self.finished = True

    world, streams = World(settings=LoopSettings(slots=2)), FakeStreams(Stuck)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            loop = await attached(nursery, world, streams)
            loop.stop()
    assert IDENTITY.worker_id == streams.newest.beats[0].worker_id


async def test_where_streams_are_of_no_use_and_calls_are_answered_another_way_is_taken(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Two of the first way hear nothing; what breaks after it was of use gives way to the first."""
    world, mute, others = World(), FakeStreams(lambda: FakeStream(answers=False)), FakeStreams()
    loop = world.loop()
    loop._exchanges = (mute.open, others.open)
    await nursery.start(loop.run)
    await until(lambda: others.opened and others.newest.said and others.newest.said[-1].limit)
    assert len(mute.opened) == 2
    await trio.sleep(100)
    assert (len(mute.opened), len(others.opened)) == (2, 1)
    others.newest.say(Unavailable("broken"))
    await until(lambda: len(mute.opened) == 3)
    nursery.cancel_scope.cancel()


async def test_while_the_coordinator_is_away_the_way_stays(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, broken, others = World(), FakeStreams(failing(Unavailable("away"))), FakeStreams()
    loop = world.loop()
    loop._exchanges = (broken.open, others.open)
    await nursery.start(loop.run)
    world.coordinator.up = False
    await trio.sleep(100)
    assert len(broken.opened) > 10
    assert not others.opened
    nursery.cancel_scope.cancel()
