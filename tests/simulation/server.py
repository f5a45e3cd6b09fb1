"""The coordinator's process: the real actors, which may crash and are then started anew, empty."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import attrs
import trio

from ffq.actors import ActorCoordinator, open_coordinator
from ffq.errors import InvalidPlan, Unavailable
from ffq.ids import QueryId
from ffq.messages import DigestPlan, FetchShufflePartition, OutputLocation, ReadPlan
from ffq.plan.codec import plan_digest
from ffq.runtime import Request
from ffq.runtime.errors import ActorFailed
from tests.simulation.faults import FaultKind
from tests.simulation.invariants import violation
from tests.simulation.machines import Machines
from tests.simulation.midway import MidwayBug
from tests.simulation.monitor import Monitor
from tests.simulation.queries import plans
from tests.simulation.settings import ACTOR_SETTINGS, COORDINATOR_SETTINGS, SPECULATING
from tests.simulation.trace import Trace

R = TypeVar("R")

_DOWN_S = 0.4


class InjectedFault(Exception):
    """A bug of ours, as far as the actors can tell."""


@attrs.frozen
class SimPlanner:
    """Knows the plans of the simulation by their bytes."""

    shares: dict[QueryId, int]

    async def ask(self, message: Request[R]) -> R:
        answer: Any
        match message:
            case ReadPlan():
                found = [plan for plan in plans().values() if plan.data == message.plan_bytes]
                if not found:
                    raise InvalidPlan("not a plan of the simulation")
                answer = found[0].accepted(message.query_id, self.shares[message.query_id])
            case DigestPlan():
                answer = plan_digest(message.plan_bytes)
            case _:
                raise AssertionError(message)
        return cast("R", answer)


@attrs.define
class SimServer:
    """`shares`: into how many shares each query's tables are divided. `lives`: starts so far.

    `kept`: how many finished queries it keeps. `speculates`: slow tasks get second attempts.
    `skews`: most rows of its queries are of one key.
    """

    trace: Trace
    shares: dict[QueryId, int]
    kept: int
    speculates: bool = False
    skews: bool = False
    door: ActorCoordinator | None = None
    machines: Machines | None = None
    monitor: Monitor | None = None
    lives: int = 0
    jumped_ms: int = 0
    _bugs: int = 0
    _may_fail: bool = False
    _stopping: trio.Event = attrs.field(factory=trio.Event)
    _midway: MidwayBug = attrs.field(
        default=attrs.Factory(
            lambda self: MidwayBug(lambda: self._fail(FaultKind.MIDWAY_BUG)), takes_self=True
        )
    )

    def clock(self) -> int:
        """The coordinator's clock, ms. Raises InjectedFault, when one is due."""
        if self._bugs:
            self._bugs -= 1
            self._fail(FaultKind.HANDLER_BUG)
        return self.now_ms()

    def _fail(self, kind: FaultKind) -> None:
        self._may_fail = True
        self.trace.strike(kind, "in the message being handled")
        raise InjectedFault

    def now_ms(self) -> int:
        return int(trio.current_time() * 1000) + self.jumped_ms

    def jump(self, ms: int) -> None:
        self.jumped_ms += ms
        self.trace.strike(FaultKind.CLOCK_JUMP, f"{ms} ms ahead")

    def bug(self, count: int) -> None:
        """The next messages find a bug."""
        self._bugs += count

    def bug_midway(self, calls: list[int]) -> None:
        """In the next messages the core's call of this number fails, a message each."""
        self._midway.arm(calls)

    def crash(self, number: int) -> None:
        """One of the actors crashes."""
        if self.machines is None:
            return
        actor = self.machines.actors[number % len(self.machines.actors)]
        self.trace.strike(FaultKind.ACTOR_CRASH, actor.ctx.path)
        self._may_fail = True
        actor.ctx.fail(InjectedFault())

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Serve until stopped; a crash is followed by a new start that remembers nothing."""
        try:
            while not self._stopping.is_set():
                self.lives += 1
                self._may_fail = False
                await self._one_life()
                with trio.move_on_after(_DOWN_S):
                    await self._stopping.wait()
        finally:
            self._midway.remove()

    async def _one_life(self) -> None:
        try:
            await self._live()
        except* ActorFailed as failed:
            if not self._may_fail:
                detail = f"the coordinator ended: {failed.exceptions}"
                self.trace.fail(violation("coordinator-keeps-going", detail))
            self.trace.note("the coordinator is down")
        finally:
            self.door = self.machines = None

    async def _live(self) -> None:
        monitor = Monitor(self.trace, self.now_ms)
        async with open_coordinator(
            SimPlanner(self.shares),
            attrs.evolve(
                SPECULATING if self.speculates else COORDINATOR_SETTINGS,
                max_finished_queries=self.kept,
            ),
            ACTOR_SETTINGS,
            clock=self.clock,
            hooks=monitor,
        ) as door:
            self.machines = Machines.of(door)
            self.machines.cut_small()
            monitor.begin(self.machines)
            self.door, self.monitor = door, monitor
            self.trace.note(f"the coordinator is up, life {self.lives}")
            await self._stopping.wait()

    def up(self) -> ActorCoordinator:
        """Raises Unavailable: it is down."""
        if self.door is None:
            raise Unavailable("coordinator: connection refused")
        return self.door

    async def locate(self, message: FetchShufflePartition) -> OutputLocation:
        return await self.up().ask(message)
