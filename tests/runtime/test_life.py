"""The table of an actor's life: every cell of it, and that real actors move by it alone.

What follows on what is said here a second time, in other words than `ffq/runtime/_life.py` says
it: as the flags an actor could keep and what each event does to them.
"""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ffq.runtime import ActorSystem, Backoff, State, Strategy, Supervision, _cell
from ffq.runtime._life import (
    NEW,
    TRANSITIONS,
    Cause,
    Event,
    Life,
    Phase,
    Wish,
    after,
)
from ffq.runtime.errors import IllegalTransition
from ffq.runtime.lifecycle import EndReason
from ffq.testing import Simulation, simulate
from tests.runtime.stock import Add, Fail, settle
from tests.runtime.stock import Counter as Stock
from tests.runtime.test_runtime_storm import storm


@attrs.define
class Flags:
    """An actor as flags. `up`: this incarnation has started. `parked`: it waits for a restart."""

    up: bool = False
    dying: bool = False
    finished: bool = False
    parked: bool = False
    ended: bool = False
    born: bool = False
    failed: bool = False
    suspended: bool = False
    stopping: bool = False
    killed: bool = False

    @classmethod
    def of(cls, life: Life) -> Flags:
        return cls(
            up=life.phase in (Phase.SERVING, Phase.FINISHING, Phase.FALLING),
            dying=life.phase in (Phase.ABORTING, Phase.FALLING),
            finished=life.phase is Phase.FINISHING,
            parked=life.phase in (Phase.HELD, Phase.WAITING),
            ended=life.phase is Phase.ENDED,
            born=life.born,
            failed=Cause.FAILED in life.causes,
            suspended=Cause.SIBLING in life.causes,
            stopping=life.wish >= Wish.STOP,
            killed=life.wish is Wish.KILL,
        )

    @property
    def facts(self) -> tuple[Phase, Wish, Cause, bool]:
        if self.ended:
            phase = Phase.ENDED
        elif self.parked:
            phase = Phase.HELD if self.suspended else Phase.WAITING
        elif not self.up:
            phase = Phase.ABORTING if self.dying else Phase.STARTING
        elif self.finished and not self.killed:
            phase = Phase.FINISHING
        else:
            phase = Phase.FALLING if self.dying else Phase.SERVING
        wish = Wish.KILL if self.killed else Wish.STOP if self.stopping else Wish.GO
        causes = Cause.FAILED if self.failed else Cause.NONE
        return phase, wish, causes | (Cause.SIBLING if self.suspended else Cause.NONE), self.born

    def take(self, event: Event) -> bool:  # noqa: PLR0912  # one branch per event
        """Change the flags as the event does; False when it cannot happen."""
        runs = not self.parked and not self.ended
        serves = self.up and not self.dying and not self.finished
        match event:
            case Event.STARTED:
                legal = runs and not self.up
                self.up = self.born = True
            case Event.DRAINED:
                legal = self.stopping and (serves or self.parked)
                self.ended = self.parked
                self.finished = not self.parked
            case Event.FAIL:
                legal = runs
                self.failed = self.dying = True
            case Event.SIBLING:
                legal = True
                if runs and not self.stopping:
                    self.suspended = self.dying = True
            case Event.GIVE_UP:
                legal = runs and (self.dying or not self.up)
                self.suspended = self.dying = True
            case Event.STOP:
                legal = True
                self.stopping = self.stopping or not self.ended
            case Event.KILL:
                legal = True
                if not self.ended:
                    self.stopping = self.killed = self.dying = True
                    self.ended = self.parked
            case Event.DOWN:
                legal = runs and (self.dying or self.finished)
                self.parked = self.suspended and not self.failed and not self.killed
                self.ended = not self.parked
            case Event.ABSORBED:
                legal = runs and self.dying and self.born and self.failed and not self.killed
                self.parked = True
            case Event.RESUME:
                legal = self.parked
                self.parked = self.up = self.dying = self.failed = self.suspended = False
            case Event.CUT:
                legal = not self.ended
                self.ended = True
        return legal


def expected(life: Life, event: Event) -> tuple[Phase, Wish, Cause, bool] | None:
    flags = Flags.of(life)
    return flags.facts if flags.take(event) else None


def facts(life: Life) -> tuple[Phase, Wish, Cause, bool]:
    return life.phase, life.wish, life.causes, life.born


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
@pytest.mark.parametrize("life", TRANSITIONS, ids=str)
def test_A6_every_cell_of_the_table_of_a_life(life: Life, event: Event) -> None:
    wanted = expected(life, event)
    if wanted is None:
        before = facts(life)
        with pytest.raises(IllegalTransition, match=f"{life.phase.value} .*cannot {event.name}"):
            after(life, event)
        assert facts(life) == before
    else:
        follows = after(life, event)
        assert facts(follows) == wanted
        assert follows in TRANSITIONS


def test_A6_there_are_no_other_states_than_the_flags_can_reach() -> None:
    reached = {facts(NEW)}
    todo = [NEW]
    lives = {facts(life): life for life in TRANSITIONS}
    while todo:
        life = todo.pop()
        for event in Event:
            wanted = expected(life, event)
            if wanted is not None and wanted not in reached:
                reached.add(wanted)
                todo.append(lives[wanted])
    assert reached == lives.keys()


# What a reader asks of the table, in sentences. From the first state, event by event.
BORN = (Event.STARTED,)
HELD = (*BORN, Event.SIBLING, Event.DOWN)
WAITING = (*BORN, Event.FAIL, Event.ABSORBED)
ANSWERS = {
    "a stop during a restart is remembered": ((*HELD, Event.RESUME, Event.STOP), Phase.STARTING),
    "the restarted one then finishes its mail": (
        (*HELD, Event.STOP, Event.RESUME, Event.STARTED, Event.DRAINED),
        Phase.FINISHING,
    ),
    "one that is down and has no mail ends at a stop": (
        (*WAITING, Event.STOP, Event.DRAINED),
        Phase.ENDED,
    ),
    "a kill ends one that is down": ((*HELD, Event.KILL), Phase.ENDED),
    "a stopping one does not go down with a sibling": (
        (*BORN, Event.STOP, Event.SIBLING),
        Phase.SERVING,
    ),
    "one on its way down with a sibling comes back in spite of a stop": (
        (*BORN, Event.SIBLING, Event.STOP, Event.DOWN),
        Phase.HELD,
    ),
    "nothing starts again after a kill": (
        (*BORN, Event.SIBLING, Event.KILL, Event.DOWN),
        Phase.ENDED,
    ),
    "its own failure and a sibling's: its turn comes with the group": (
        (*BORN, Event.FAIL, Event.SIBLING, Event.ABSORBED),
        Phase.HELD,
    ),
    "a failed first start is the end": ((Event.FAIL, Event.DOWN), Phase.ENDED),
    "a first start aborted for a sibling is made again": (
        (Event.SIBLING, Event.DOWN, Event.RESUME),
        Phase.STARTING,
    ),
    "a start that returns in spite of its cancellation has something to clean up": (
        (Event.KILL, Event.STARTED),
        Phase.FALLING,
    ),
    "taken down between the call to start again and the start": (
        (*HELD, Event.RESUME, Event.SIBLING),
        Phase.ABORTING,
    ),
    "a failed cleanup does not restart one that has finished": (
        (*BORN, Event.STOP, Event.DRAINED, Event.FAIL, Event.DOWN),
        Phase.ENDED,
    ),
}


@pytest.mark.parametrize("question", ANSWERS)
def test_A6_the_table_answers(question: str) -> None:
    events, phase = ANSWERS[question]
    life = NEW
    for event in events:
        life = after(life, event)
    assert life.phase is phase


def test_A4_the_wish_only_grows() -> None:
    for life, row in TRANSITIONS.items():
        assert all(follows.wish >= life.wish for follows in row.values())


def test_A4_nothing_leaves_the_end() -> None:
    for life, row in TRANSITIONS.items():
        if life.phase is Phase.ENDED:
            assert set(row.values()) == {life}


def test_A6_what_users_see_follows_from_the_state() -> None:
    seen = {(life.phase, life.stopping): life.state for life in TRANSITIONS}
    assert seen == {
        **dict.fromkeys(((Phase.STARTING, stops) for stops in (False, True)), State.STARTING),
        **dict.fromkeys(((Phase.ABORTING, stops) for stops in (False, True)), State.STARTING),
        (Phase.SERVING, False): State.RUNNING,
        (Phase.SERVING, True): State.STOPPING,
        (Phase.FALLING, False): State.RUNNING,
        (Phase.FALLING, True): State.STOPPING,
        (Phase.FINISHING, True): State.STOPPING,
        **dict.fromkeys(((Phase.HELD, stops) for stops in (False, True)), State.RESTARTING),
        **dict.fromkeys(((Phase.WAITING, stops) for stops in (False, True)), State.RESTARTING),
        **dict.fromkeys(((Phase.ENDED, stops) for stops in (False, True)), State.ENDED),
    }
    ends = [life for life in TRANSITIONS if life.phase is Phase.ENDED]
    for life in ends:
        failed = Cause.FAILED in life.causes
        stopped = life.wish is Wish.STOP and life.born and not failed
        assert (life.reason is EndReason.FAILED) == failed
        assert (life.reason is EndReason.STOPPED) == stopped


Steps = list[tuple[Life, Event, Life]]


def record(lives: dict[_cell.Cell, Steps], patch: pytest.MonkeyPatch) -> None:
    """Have every step of every actor written down; raises as the table does."""
    real = _cell.Cell._on

    def on(self: _cell.Cell, event: Event) -> None:
        before = self.life
        real(self, event)
        lives.setdefault(self, []).append((before, event, self.life))

    patch.setattr(_cell.Cell, "_on", on)


def check_lives(lives: dict[_cell.Cell, Steps]) -> Counter[tuple[Phase, Event]]:
    """Each life goes from NEW to an end without a gap, by steps that the flags allow."""
    seen: Counter[tuple[Phase, Event]] = Counter()
    for cell, steps in lives.items():
        last = NEW
        for before, event, follows in steps:
            assert before is last, (cell.path, before, last)
            assert facts(follows) == expected(before, event), (cell.path, before, event)
            seen[before.phase, event] += 1
            last = follows
        assert last.phase is Phase.ENDED
    return seen


@given(
    seed=st.integers(0, 10**9),
    strategy=st.sampled_from(Strategy),
    end=st.sampled_from(["leave", "raise", "cancel"]),
)
def test_A6_real_actors_take_only_steps_of_the_table(
    seed: int, strategy: Strategy, end: str
) -> None:
    lives: dict[_cell.Cell, Steps] = {}
    with pytest.MonkeyPatch.context() as patch:
        record(lives, patch)
        storm(seed, strategy, end)
    check_lives(lives)


def test_A6_the_storms_go_to_most_of_the_table() -> None:
    """So the test above looks at more than starts and stops."""
    seen: Counter[tuple[Phase, Event]] = Counter()
    for seed in range(6):
        for strategy in Strategy:
            lives: dict[_cell.Cell, Steps] = {}
            with pytest.MonkeyPatch.context() as patch:
                record(lives, patch)
                storm(seed, strategy, "leave" if seed % 2 else "cancel")
            seen += check_lives(lives)
    every = {(life.phase, event) for life, row in TRANSITIONS.items() for event in row}
    assert len(seen) > 0.6 * len(every)


# Two steps that flags got wrong.


@pytest.mark.parametrize("seed", range(8))
def test_A6_one_that_starts_again_alone_as_its_group_goes_down_goes_down_too(seed: int) -> None:
    """Both wake at the same moment, in either order: the one alone, and the group's restart."""

    async def scenario(sim: Simulation) -> int:
        later = Backoff(1.0, factor=1, maximum=1)
        together = Supervision(Strategy.ONE_FOR_ALL, max_restarts=9, backoff=later)
        alone = Supervision(Strategy.ONE_FOR_ONE, max_restarts=9, backoff=later)
        async with sim.system(supervision=together) as system:
            first = await system.spawn(Stock, supervision=alone)
            second = await system.spawn(Stock)
            await first.tell(Fail())
            await second.tell(Fail())
            await trio.sleep(1)
            return await second.ask(Add(1)) + await first.ask(Add(1))

    assert simulate(scenario, seed=seed).value == 2


class Enough(Exception):
    """Ends a block."""


async def test_A6_a_failure_counts_once_also_when_the_wait_for_the_restart_is_cut() -> None:
    policy = Supervision(max_restarts=1, backoff=Backoff(10))
    with pytest.raises(Enough):  # and not an ActorFailed beside it: no restart is left for a second
        async with ActorSystem(supervision=policy) as system:
            ref = await system.spawn(Stock)
            await ref.tell(Fail())
            await settle()
            assert system.tree()[0].state is State.RESTARTING
            raise Enough


# Events in the moment between a decision and the task that carries it out.


@pytest.mark.parametrize("event", ["stop", "kill"])
async def test_A6_the_end_of_a_cut_wait_for_a_restart_may_be_asked_for_again(event: str) -> None:
    policy = Supervision(max_restarts=1, backoff=Backoff(10))
    with trio.CancelScope() as scope:
        async with ActorSystem(supervision=policy) as system:
            ref = await system.spawn(Stock)
            await ref.tell(Fail())
            await settle()
            scope.cancel()  # its task is woken at once, and runs later
            if event == "stop":
                ref.stop_nowait()
            else:
                ref.kill_nowait()
            await trio.sleep_forever()
    assert not ref.alive


class Slow(Stock):
    async def on_start(self) -> None:
        await trio.sleep(1000)


@pytest.mark.parametrize("seed", range(8))
def test_A6_one_that_is_killed_before_its_task_has_begun_starts_cancelled(seed: int) -> None:
    async def scenario(sim: Simulation) -> float:
        async with sim.system() as system:
            with trio.CancelScope() as scope:
                scope.cancel()
                await system.spawn(Slow)
        return trio.current_time()

    assert simulate(scenario, seed=seed).value == 0
