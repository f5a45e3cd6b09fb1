"""Random programs of actors under seeded schedules, beside a naive model (A1, A5 to A7, A9 to A11).

Hypothesis draws what three actors and their users do; the world writes down what happened to each
message. What must hold of any of it is said below, without regard to how the runtime goes about it:

- an ask ends in exactly one way: its own reply, its own error, its timeout, or an end of its actor;
- a handler begins once for each message, and once more for each time that it was stashed;
- a notice belongs to a watch of this incarnation that was not undone, a tick to such a timer;
- a handler finds the context as it was at the start;
- a tell's failure restarts its actor, an ask's does not, and all is accounted for in the end.
"""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, ClassVar, TypeAlias

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ffq.runtime import (
    Actor,
    ActorEnded,
    ActorRef,
    ActorSystem,
    Backoff,
    Request,
    Strategy,
    Supervision,
    Terminated,
    Timer,
    handles,
)
from ffq.runtime.errors import (
    ActorNotFound,
    MailboxFull,
    NameTaken,
    NotStarted,
    StashFull,
    SystemClosed,
    WaitCycle,
)
from ffq.testing import Simulation, simulate

NAMES = ("a", "b", "c")
Step: TypeAlias = tuple[str, Any]
"""What a handler does, and with what."""
Refused = (ActorEnded, ActorNotFound, NameTaken, NotStarted, SystemClosed, WaitCycle)
marked: ContextVar[int] = ContextVar("marked", default=0)


class OnPurpose(Exception):
    """Says the number of the message whose handler raised it."""


@attrs.frozen
class Do(Request[int]):
    """The reply is its number. `asked`: somebody asks, and so its failure is not the actor's."""

    number: int
    steps: tuple[Step, ...]
    asked: bool


@attrs.frozen
class DoDetached(Do):
    """Is carried through without its asker."""

    detached: ClassVar[bool] = True


@attrs.frozen
class Tick(Request[None]):
    timer: int
    life: int


@attrs.define
class World:
    """What was sent, and what became of it."""

    begun: Counter[int] = attrs.field(factory=Counter)
    stashed: Counter[int] = attrs.field(factory=Counter)
    asked: dict[int, list[str]] = attrs.field(factory=dict)
    living: set[int] = attrs.field(factory=set)
    # A handler cannot fail the test: what it raises is its actor's business.
    broken: list[str] = attrs.field(factory=list)
    spawned: int = 0
    may_restart: int = 0
    numbers: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1))
    lives: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1))

    def check(self, held: bool, what: str) -> None:
        if not held:
            self.broken.append(what)

    async def ask(
        self,
        system: ActorSystem,
        name: str,
        steps: tuple[Step, ...],
        seconds: float | None,
        kind: type[Do] = Do,
    ) -> None:
        number = next(self.numbers)
        ends = self.asked[number] = []
        try:
            ref = system.get_actor(name, Member)
            with trio.move_on_after(float("inf") if seconds is None else seconds) as scope:
                reply = await ref.ask(kind(number, steps, asked=True))
                ends.append("reply" if reply == number else "another's reply")
            if scope.cancelled_caught:
                ends.append("timeout")
        except OnPurpose as error:
            ends.append("error" if error.args == (number,) else "another's error")
        except StashFull:
            ends.append("no room in the stash")
        except Refused as error:
            ends.append(type(error).__name__)
        except trio.Cancelled:
            ends.append("cancelled")
            raise

    def tell(self, system: ActorSystem, name: str, steps: tuple[Step, ...]) -> None:
        with suppress(*Refused, MailboxFull):
            system.get_actor(name, Member).tell_nowait(Do(next(self.numbers), steps, False))


class Member(Actor[Do | DoDetached]):
    """`life` numbers its incarnations. What it watches and which timers run is kept apart."""

    def __init__(self, world: World, concurrency: int) -> None:
        self.world = world
        self.life = next(world.lives)
        self.watches: Counter[ActorRef[Any]] = Counter()
        self.timers: dict[int, Timer] = {}
        self.concurrency = concurrency
        self.busy = 0

    async def on_start(self) -> None:
        self.world.living.add(self.life)

    async def on_stop(self) -> None:
        self.world.living.remove(self.life)

    @handles(Do)
    async def do(self, message: Do) -> int:
        check = self.world.check
        check(marked.get() == 0, "A10: the context of another message")
        marked.set(message.number)
        self.world.begun[message.number] += 1
        self.busy += 1
        check(self.busy <= self.concurrency, "A10: too many handlers at a time")
        check(self.life in self.world.living, "A1: a handler of an incarnation that is over")
        try:
            for what, how in message.steps:
                await self.step(message, what, how)
        except (OnPurpose, StashFull):
            self.world.may_restart += not message.asked
            raise
        finally:
            self.busy -= 1
        return message.number

    async def step(self, message: Do, what: str, how: Any) -> None:  # noqa: PLR0912  # a case each
        system = self.ctx.system
        match what:
            case "sleep":
                await trio.sleep(how)
            case "raise":
                raise OnPurpose(message.number)
            case "fail":
                self.world.may_restart += 1
                self.ctx.fail(OnPurpose(message.number))
            case "stash" if self.world.begun[message.number] == 1:
                self.world.stashed[message.number] += 1
                try:
                    self.ctx.stash()
                except StashFull:
                    self.world.stashed[message.number] -= 1
                    raise
            case "unstash":
                self.ctx.unstash_all()
            case "watch":
                ref = system.find_actor(how, Member)
                if ref is not None and not self.watches[ref]:
                    self.ctx.watch(ref)
                    self.watches[ref] = 1
            case "unwatch":
                for ref in list(self.watches):
                    self.ctx.unwatch(ref)
                    self.watches[ref] = 0
            case "after" | "every":
                number = next(self.world.numbers)
                set_timer = self.ctx.after if what == "after" else self.ctx.every
                self.timers[number] = set_timer(how, Tick(number, self.life))
            case "cancel":
                for timer in self.timers.values():
                    timer.cancel()
                self.timers.clear()
            case "shield":
                with trio.CancelScope(shield=True):
                    await trio.sleep(how)
            case "end":
                other = system.find_actor(how)
                if other is not None:
                    other.kill_nowait()
            case "stop":
                self.ctx.stop()
            case "kill":
                self.ctx.kill()
            case "ask":
                name, seconds, steps, kind = how
                await self.world.ask(system, name, steps, seconds, kind)

    @handles(Tick)
    def tick(self, message: Tick) -> None:
        self.world.check(message.life == self.life, "A10: a tick of a past incarnation")
        self.world.check(message.timer in self.timers, "A10: a tick of a cancelled timer")

    @handles(Terminated)
    def gone(self, message: Terminated) -> None:
        self.world.check(self.watches[message.ref] == 1, "A9: a notice that nobody waits for")
        self.watches[message.ref] = 0


moments = st.sampled_from([0.0, 0.1, 0.5, 1.0])
names = st.sampled_from(NAMES)
kinds = st.sampled_from([Do, Do, DoDetached])
timeouts = st.sampled_from([None, None, 0.0, 0.1, 0.5, 1.0])
LATER = ("sleep", 0.5)
undo = st.sampled_from([(what, None) for what in ("fail", "raise", "cancel", "unwatch", "stop")])
plain = st.one_of(
    st.tuples(st.sampled_from(["sleep", "shield"]), moments),
    st.tuples(
        st.sampled_from(["raise", "fail", "stash", "unstash", "unwatch", "cancel", "stop", "kill"]),
        st.none(),
    ),
    st.tuples(st.sampled_from(["watch", "end"]), names),
    st.tuples(st.sampled_from(["after", "every"]), st.sampled_from([0.1, 0.5])),
)
# What is seldom drawn step by step: things are undone when they are on their way already.
recipes = st.one_of(
    st.tuples(st.tuples(st.sampled_from(["after", "every"]), st.just(0.1)), st.just(LATER), undo),
    names.flatmap(lambda n: st.tuples(st.just(("watch", n)), st.just(("end", n)), undo)),
    names.flatmap(
        lambda n: st.tuples(st.just(("watch", n)), st.just(("end", n)), st.just(LATER), undo)
    ),
    names.map(lambda n: (("watch", n), ("end", n), LATER, ("unwatch", None))),
    st.tuples(st.just(("shield", 0.5)), undo),
)


def scripts(step: st.SearchStrategy[Step]) -> st.SearchStrategy[tuple[Step, ...]]:
    return st.one_of(st.lists(step, max_size=3).map(tuple), recipes)


nested = st.recursive(
    plain,
    lambda inner: st.tuples(st.just("ask"), st.tuples(names, timeouts, scripts(inner), kinds)),
    max_leaves=6,
)


def spawns(name: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Any, ...]]:
    """With how much room in the mailbox, how many at a time, how much room in the stash."""
    few = st.sampled_from([1, 1, 2, 3])
    return st.tuples(st.just("spawn"), name, few, few, st.integers(0, 2))


asks = st.tuples(st.just("ask"), names, timeouts, scripts(nested), kinds)
tells = st.tuples(st.just("tell"), names, scripts(nested))
outer = st.one_of(
    spawns(names),
    asks,
    asks,
    asks,
    tells,
    tells,
    st.tuples(st.sampled_from(["stop", "kill"]), names),
    st.tuples(st.just("sleep"), moments),
)


async def carry_out(world: World, system: ActorSystem, program: list[tuple[Any, ...]]) -> None:
    """Asks go on side by side; the rest comes one by one."""
    async with trio.open_nursery() as nursery:
        for what, *how in program:
            match what, how:
                case "spawn", (name, mailbox, concurrency, stash):
                    world.spawned += 1
                    with suppress(*Refused):
                        await system.spawn(
                            Member,
                            world,
                            concurrency,
                            name=name,
                            mailbox=mailbox,
                            max_concurrency=concurrency,
                            stash=stash,
                        )
                case "ask", (name, seconds, steps, kind):
                    nursery.start_soon(world.ask, system, name, steps, seconds, kind)
                case "tell", (name, steps):
                    world.tell(system, name, steps)
                case (("stop" | "kill"), (name,)):
                    ref = system.find_actor(name)
                    if ref is not None:
                        (ref.stop_nowait if what == "stop" else ref.kill_nowait)()
                case "sleep", (seconds,):
                    await trio.sleep(seconds)
            system.ledger.check()
        await trio.sleep(10)
        # Who asks for what is stashed and never put back waits until the actor ends.
        for name in NAMES:
            ref = system.find_actor(name)
            if ref is not None:
                await ref.stop(timeout=5)


@settings(max_examples=6 * settings().max_examples, deadline=None)
@given(
    first=st.tuples(*(spawns(st.just(name)) for name in NAMES)),
    program=st.lists(outer, min_size=5, max_size=20),
    strategy=st.sampled_from(Strategy),
    backoff=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**16),
)
def test_A11_nothing_is_lost_doubled_or_left_over(
    first: tuple[tuple[Any, ...], ...],
    program: list[tuple[Any, ...]],
    strategy: Strategy,
    backoff: float,
    seed: int,
) -> None:
    world = World()

    async def scenario(sim: Simulation) -> None:
        policy = Supervision(strategy, max_restarts=10**6, backoff=Backoff(backoff))
        async with sim.system(supervision=policy, debug=False) as system:
            with trio.fail_after(600):
                await carry_out(world, system, [*first, *program])
        assert system.tree() == (), "A1"
        ledger = system.ledger
        ledger.check()
        assert ledger.in_flight == 0, "A11"

    simulate(scenario, seed=seed)
    assert world.broken == []
    # A failure takes three members down at most; without one there is no second incarnation.
    lives = next(world.lives) - 1
    assert lives <= world.spawned + 3 * world.may_restart, "A7: an ask's failure is not the actor's"
    assert not world.living, "A1: an incarnation that started has cleaned up"
    for number, ends in world.asked.items():
        assert len(ends) == 1, f"A7: ask {number} ended {ends}"
        assert not ends[0].startswith("another"), f"ask {number} got {ends[0]}"
        begun = world.begun[number]
        assert begun <= 1 + world.stashed[number], f"ask {number} was handled twice"
        if ends[0] in ("reply", "error"):
            assert begun > 0, f"ask {number} was answered by nobody"
    for number, begun in world.begun.items():
        assert begun <= 1 + world.stashed[number], f"message {number} was handled twice"
