"""What waits at a worker for a slot: how much, when it begins, and how it is given back."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from ffq.bounds import MAX_AHEAD
from ffq.errors import Unavailable
from ffq.messages import (
    Assignment,
    EndAnswer,
    ErrorKind,
    HeartbeatReply,
    TaskState,
    ToWorker,
)
from ffq.worker.ahead import Ahead
from ffq.worker.ports import TaskOutput, Work
from ffq.worker.standing import MAX_ENDS
from tests.worker.fakes import ONE_PARTITION, World, key, map_task, until
from tests.worker.test_stream import answering, attached, forever


def test_as_much_may_wait_as_is_done_in_so_many_ms_at_most_128() -> None:
    ahead = Ahead(slots=2, work_ms=20)
    assert ahead.room == 0, "nobody knows how long one takes"
    ahead.note(0.004)
    assert ahead.room == 10
    for number in range(3):
        ahead.put(map_task(number))
    ahead.put(map_task(2))
    assert ahead.room == 7
    ahead.note(0.0)
    assert ahead.room > 7
    for _ in range(100):
        ahead.note(0.0)
    assert ahead.room == MAX_AHEAD - 3 == 125
    ahead.note(1.0)
    assert ahead.room == 0, "one that takes long is believed sooner"
    assert [ahead.take(), ahead.take(key(1, 2)), ahead.take(key(1, 7))] == [
        map_task(0),
        map_task(2),
        None,
    ]
    assert (ahead.keys, ahead.take(), ahead.take()) == ((key(1, 1),), map_task(1), None)


class Stepwise:
    """Fragments that end one by one, as they are let go."""

    def __init__(self, world: World, seconds: float = 0.0) -> None:
        self._gates: dict[object, trio.Event] = {}
        self._seconds = seconds
        world.executor.behave = self.run

    async def run(self, work: Work) -> TaskOutput:
        await self._gate(work.assignment).wait()
        return ONE_PARTITION

    def _gate(self, assignment: Assignment) -> trio.Event:
        return self._gates.setdefault(assignment.key, trio.Event())

    def let(self, *tasks: int) -> None:
        for task in tasks:
            self._gate(map_task(task)).set()


async def test_what_has_no_slot_waits_and_begins_in_its_order(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R7: no more run than there are slots. R18: what waits is claimed like what runs."""
    world, streams = World(), answering(EndAnswer.COUNTED)
    steps = Stepwise(world)
    await attached(nursery, world, streams)
    stream = streams.newest
    assert stream.said[-1].ahead == 0
    stream.say(ToWorker(tuple(map_task(n) for n in range(5))))
    await until(lambda: len(world.executor.started) == 2)
    await trio.sleep(3)
    assert len(world.executor.started) == 2
    assert set(stream.beats[-1].running_attempts or ()) == {key(1, n) for n in range(5)}
    assert stream.beats[-1].running_tasks == 2
    steps.let(1)
    await until(lambda: len(world.executor.started) == 3)
    assert world.executor.started[2] == key(1, 2)
    steps.let(0, 2, 3, 4)
    await until(lambda: len(world.executor.released) == 5)
    assert set(world.executor.started[3:]) == {key(1, 3), key(1, 4)}
    assert world.executor.most_at_once == 2
    await until(lambda: stream.said[-1].limit == 7)
    nursery.cancel_scope.cancel()


async def test_room_for_what_waits_is_told_when_it_is_known_how_long_one_takes(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)

    async def behave(_work: Work) -> TaskOutput:
        await trio.sleep(0.004)
        return ONE_PARTITION

    world.executor.behave = behave
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((map_task(0),)))
    await until(lambda: streams.newest.ended)
    (told,) = [each for each in streams.newest.said if each.ends]
    assert 8 <= told.ahead <= 10
    nursery.cancel_scope.cancel()


async def test_ends_go_together_while_more_waits_and_at_once_when_nothing_does(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)
    count = 2 * MAX_ENDS + 10
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker(tuple(map_task(n) for n in range(count))))
    await until(lambda: len(world.executor.released) == count)
    sizes = [len(each) for each in streams.newest.ended]
    assert max(sizes) <= MAX_ENDS
    assert len(sizes) <= 5
    assert sum(sizes) == count
    nursery.cancel_scope.cancel()


async def test_what_waits_is_given_back_when_it_is_wanted_and_what_runs_goes_on(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)
    steps = Stepwise(world)
    await attached(nursery, world, streams)
    stream = streams.newest
    stream.say(ToWorker(tuple(map_task(n) for n in range(4))))
    await until(lambda: len(world.executor.started) == 2)
    stream.say(ToWorker(recalled=(key(1, 0), key(1, 3), key(1, 9))))
    await until(lambda: stream.ended)
    ((end,),) = stream.ended
    assert (end.report.key, end.report.state) == (key(1, 3), TaskState.FAILED)
    assert end.report.kind is ErrorKind.STOPPED
    assert end.made is None
    steps.let(0, 1, 2)
    await until(lambda: len(world.executor.released) == 3)
    assert key(1, 3) not in world.executor.started
    assert world.coordinator.reports == []
    nursery.cancel_scope.cancel()


async def test_what_is_given_back_is_reported_in_a_call_where_the_stream_is_of_no_use(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(None)
    Stepwise(world)
    await attached(nursery, world, streams)
    stream = streams.newest
    stream.say(ToWorker(tuple(map_task(n) for n in range(3))))
    stream.say(ToWorker(recalled=(key(1, 2),)))
    await until(lambda: stream.ended)
    assert key(1, 2) in (stream.beats[-1].running_attempts or (key(1, 2),))
    stream.say(Unavailable("broken"))
    await until(lambda: world.coordinator.reports)
    (report,) = world.coordinator.reports
    assert (report.key, report.kind) == (key(1, 2), ErrorKind.STOPPED)
    nursery.cancel_scope.cancel()


async def test_R5_what_waits_and_is_wanted_no_more_never_begins(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)
    steps = Stepwise(world)
    await attached(nursery, world, streams)
    stream = streams.newest
    stream.say(ToWorker(tuple(map_task(n) for n in range(4))))
    stream.say(ToWorker(beat=HeartbeatReply(accepted=True, stop_attempts=(key(1, 2),))))
    await until(lambda: len(world.executor.started) == 2)
    steps.let(0, 1, 3)
    await until(lambda: len(world.executor.released) == 3)
    assert world.executor.started[2:] == [key(1, 3)]
    nursery.cancel_scope.cancel()


async def test_an_orderly_end_reports_what_waits_as_what_runs(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)
    world.executor.behave = forever
    loop = await attached(nursery, world, streams)
    streams.newest.say(ToWorker(tuple(map_task(n) for n in range(5))))
    await until(lambda: len(world.executor.started) == 2)
    loop.stop()
    await until(lambda: len(world.coordinator.reports) == 5)
    assert {each.kind for each in world.coordinator.reports} == {ErrorKind.STOPPED}
    assert len(world.executor.started) == 2


async def test_a_slot_that_was_stuck_is_filled_with_what_waits(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world, streams = World(), answering(EndAnswer.COUNTED)
    world.executor.behave = forever
    world.executor.stuck = 1
    await attached(nursery, world, streams)
    streams.newest.say(ToWorker((map_task(0), map_task(1))))
    await until(lambda: world.executor.started)
    await trio.sleep(3)
    assert len(world.executor.started) == 1
    world.executor.stuck = 0
    await until(lambda: len(world.executor.started) == 2, seconds=3)
    nursery.cancel_scope.cancel()
