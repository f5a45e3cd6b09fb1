"""Timers' messages come every period, and not while nothing is due."""

from __future__ import annotations

from collections import Counter
from math import inf

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.actors import ActorSettings, open_coordinator
from ffq.actors.rhythm import Rhythm, Timer
from ffq.core import CoordinatorSettings
from ffq.ids import WorkerId
from ffq.messages import (
    CancelQuery,
    FromWorker,
    ListWorkers,
    SubmitQuery,
    SweepStaleWorkers,
    TaskState,
    Tick,
)
from ffq.runtime import Actor, ActorSystem, Hooks, Request, handles
from tests.actors.harness import PLAN, InlinePlanner, Q, beat, open_actors, pull, report


@attrs.frozen
class Beat(Request[None]):
    pass


@attrs.frozen
class Changed(Request[None]):
    pass


class Ticking(Actor[Beat | Changed]):
    """Keeps when it was sent its beats. `due`: for how many ms nothing is."""

    def __init__(self, due: list[float], *, woken: bool) -> None:
        self._timer = Timer(100, Beat, lambda: due[0], woken)
        self.at: list[int] = []

    async def on_start(self) -> None:
        self._rhythm = Rhythm(self._timer, self.ctx)

    @handles(Beat)
    def beaten(self, _: Beat) -> None:
        self.at.append(round(trio.current_time() * 1000))
        self._rhythm.changed()  # as a beat may do
        self._rhythm.beaten()

    @handles(Changed)
    def changed(self, _: Changed) -> None:
        self._rhythm.look()
        self._rhythm.changed()


async def test_it_comes_every_period_while_something_may_be_due(autojump_clock: MockClock) -> None:
    start = trio.current_time() * 1000
    async with ActorSystem() as system:
        actor = Ticking([0], woken=True)
        await system.spawn(lambda: actor)
        await trio.sleep(0.45)
    assert [at - round(start) for at in actor.at] == [100, 200, 300, 400]


async def test_it_sleeps_until_something_is_due(autojump_clock: MockClock) -> None:
    start = trio.current_time() * 1000
    due = [1000.0]
    async with ActorSystem() as system:
        actor = Ticking(due, woken=True)
        await system.spawn(lambda: actor)
        await trio.sleep(1.15)
        due[0] = inf
        await trio.sleep(10_000)
    assert [at - round(start) for at in actor.at] == [100, 1100, 2100]


async def test_a_change_wakes_it_where_it_may_bring_something_forward(
    autojump_clock: MockClock,
) -> None:
    start = trio.current_time() * 1000
    async with ActorSystem() as system:
        woken, sleeper = Ticking([inf], woken=True), Ticking([inf], woken=False)
        refs = [await system.spawn(lambda: woken), await system.spawn(lambda: sleeper)]
        await trio.sleep(5)
        for ref in (*refs, *refs):
            await ref.ask(Changed())
        await trio.sleep(5)
    assert [at - round(start) for at in woken.at] == [100, 5100]
    assert [at - round(start) for at in sleeper.at] == [100]


async def test_it_wakes_where_the_clock_goes_ahead(autojump_clock: MockClock) -> None:
    start = trio.current_time() * 1000
    due = [10_000.0]
    async with ActorSystem() as system:
        actor = Ticking(due, woken=False)
        ref = await system.spawn(lambda: actor)
        await trio.sleep(1)
        due[0] = 9_100.0  # as it was to be
        await ref.ask(Changed())
        due[0] = 300.0
        await ref.ask(Changed())
        due[0] = inf
        await trio.sleep(20)
    assert [at - round(start) for at in actor.at] == [100, 1300]


class Failing(Actor[Beat]):
    """The calls of these numbers fail that make a beat, or ask when something is due."""

    def __init__(self, made: set[int], asked: set[int]) -> None:
        self._timer = Timer(100, lambda: self._number(made, Beat()), lambda: self._due(asked))
        self._calls: Counter[int] = Counter()
        self.at: list[int] = []

    def _number(self, failing: set[int], beat: Beat) -> Beat:
        self._due(failing)
        return beat

    def _due(self, failing: set[int]) -> float:
        self._calls[id(failing)] += 1
        if self._calls[id(failing)] in failing:
            raise RuntimeError("no clock")
        return 0.0

    async def on_start(self) -> None:
        self._rhythm = Rhythm(self._timer, self.ctx)

    @handles(Beat)
    def beaten(self, _: Beat) -> None:
        self.at.append(round(trio.current_time() * 1000))
        self._rhythm.beaten()


@pytest.mark.parametrize(
    ("made", "asked", "at"),
    [
        ({1}, set[int](), [200, 300, 400, 500]),
        ({2, 3}, set[int](), [100, 400, 500]),
        (set[int](), {1}, [100, 200, 300, 400, 500]),
        (set[int](), {2, 3}, [100, 200, 300, 400, 500]),
    ],
)
async def test_one_that_fails_is_not_the_last(
    autojump_clock: MockClock, made: set[int], asked: set[int], at: list[int]
) -> None:
    start = trio.current_time() * 1000
    async with ActorSystem() as system:
        actor = Failing(made, asked)
        await system.spawn(lambda: actor)
        await trio.sleep(0.55)
    assert [each - round(start) for each in actor.at] == at


class Counting(Hooks):
    """How often each message was handled."""

    def __init__(self) -> None:
        self.handled: list[type] = []

    def message_handled(self, _path: str, message: object, _error: BaseException | None) -> None:
        self.handled.append(type(message))


async def test_an_idle_coordinator_sleeps(autojump_clock: MockClock) -> None:
    hooks = Counting()
    settings = ActorSettings(tick_ms=250, sweep_ms=500)
    async with open_coordinator(InlinePlanner(), actors=settings, hooks=hooks) as coordinator:
        await trio.sleep(1)
        for _ in range(600):
            await coordinator.ask(beat())
            await trio.sleep(1)
        assert hooks.handled.count(Tick) < 5
        assert hooks.handled.count(SweepStaleWorkers) < 60
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        before = hooks.handled.count(Tick)
        await trio.sleep(10)
        assert hooks.handled.count(Tick) - before in {39, 40}
        await coordinator.ask(beat())
        (task,) = await coordinator.ask(pull())
        await trio.sleep(1)
        before = hooks.handled.count(Tick)
        for _ in range(60):
            await coordinator.ask(attrs.evolve(beat(), running_attempts=(task.key,)))
            await trio.sleep(1)
        assert hooks.handled.count(Tick) == before, "a task that takes long needs no looking after"
        await coordinator.ask(CancelQuery(Q, ""))
        await trio.sleep(1)
        before = hooks.handled.count(Tick)
        await trio.sleep(10)
        assert hooks.handled.count(Tick) <= before + 1  # its worker was lost meanwhile


async def test_R14_a_task_is_tried_again_in_the_moment_in_which_its_pause_is_over(
    autojump_clock: MockClock,
) -> None:
    async with open_actors(actors=ActorSettings(tick_ms=60_000)) as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        await coordinator.ask(beat())
        (task,) = await coordinator.ask(pull())
        await coordinator.ask(report(task, TaskState.FAILED))
        failed = trio.current_time()
        async with coordinator.exchange() as exchange:
            await exchange.send(FromWorker(beat(), 1, 60_000))
            while not (message := await exchange.receive()) or not message.tasks:
                pass
        pause_ms = CoordinatorSettings().retry_delay_ms(1)
        assert round(1000 * (trio.current_time() - failed)) == pause_ms
        assert [each.key.attempt for each in message.tasks] == [2]


async def test_a_coordinator_whose_clock_goes_ahead_sweeps_when_it_hears_of_it(
    autojump_clock: MockClock,
) -> None:
    hooks, ahead_ms = Counting(), 0
    settings = ActorSettings(sweep_ms=500)

    def clock() -> int:
        return int(trio.current_time() * 1000) + ahead_ms

    async with open_coordinator(
        InlinePlanner(), actors=settings, hooks=hooks, clock=clock
    ) as coordinator:
        await coordinator.ask(beat(WorkerId("v")))
        for _ in range(3):
            await trio.sleep(1)
            await coordinator.ask(beat())
        before = hooks.handled.count(SweepStaleWorkers)
        ahead_ms = 3_600_000
        await coordinator.ask(beat())
        await trio.sleep(1)
        assert hooks.handled.count(SweepStaleWorkers) > before
        (left,) = await coordinator.ask(ListWorkers())
        assert left.worker_id == "w"


@attrs.frozen
class Stepped(Request[None]):
    """A step after which something is due at this moment."""

    moment_ms: float


class Momentous(Actor[Beat | Stepped]):
    """Keeps when it was sent its beats, ms after its start."""

    def __init__(self, *, fails: bool) -> None:
        self.at: list[int] = []
        self._fails = fails
        self._moment_ms = inf

    async def on_start(self) -> None:
        self._started_ms = trio.current_time() * 1000
        self._rhythm = Rhythm(Timer(100, Beat, moment_ms=lambda: self._moment_ms), self.ctx)

    def _now_ms(self) -> int:
        return round(trio.current_time() * 1000 - self._started_ms)

    @handles(Beat)
    def beaten(self, _: Beat) -> None:
        self.at.append(self._now_ms())
        try:
            if self._fails:
                raise ValueError("a bug")
            if self._moment_ms <= self._now_ms():
                self._moment_ms = inf
            self._rhythm.stepped(self._now_ms())
        finally:
            self._rhythm.beaten()

    @handles(Stepped)
    def step(self, message: Stepped) -> None:
        self._moment_ms = message.moment_ms
        self._rhythm.stepped(self._now_ms())


@pytest.mark.parametrize(
    ("moments", "fails", "beats"),
    [
        ([(0, 30)], False, [30, 130, 230]),  # and the period runs from there
        ([(0, 30)], True, [30, 130, 230]),  # also after a bug: it is not sent again at once
        ([(0, 250)], False, [100, 200, 250, 350]),
        ([(0, 80), (20, 50), (20, inf)], False, [100, 200, 300]),
        ([(0, 80), (20, 60)], False, [60, 160, 260]),
        ([(0, inf), (50, 20)], False, [50, 150, 250]),  # overdue is at once
    ],
)
async def test_it_comes_at_the_very_moment_at_which_something_is_due(
    autojump_clock: MockClock, moments: list[tuple[int, float]], fails: bool, beats: list[int]
) -> None:
    actor = Momentous(fails=fails)
    async with ActorSystem() as system:
        ref = await system.spawn(lambda: actor)
        passed = 0
        for at, moment_ms in moments:
            await trio.sleep((at - passed) / 1000)
            passed = at
            await ref.ask(Stepped(moment_ms))
        await trio.sleep((390 - passed) / 1000)
    assert actor.at[: len(beats)] == beats
