"""One simulation: the cluster of a scenario, from its start to nothing being left of it.

Everything but the world around them is real: the four actors and their machines, and the worker
loop. Time is Trio's mock clock, the order of tasks and every delay come from the scenario's
schedule, so a scenario is a function: the same trace every time.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio
from trio.testing import MockClock

from ffq.ids import QueryId
from ffq.testing._actor_schedule import seeded_schedule
from ffq.testing.invariants import Violation
from tests.simulation.channel import SimChannel
from tests.simulation.client import SimClient
from tests.simulation.ending import (
    can_be_run,
    forget,
    require_healthy_end,
    require_waiting_says_so,
    settle,
)
from tests.simulation.faults import LOAD, Fault, FaultKind
from tests.simulation.injector import CLIENT, FaultInjector
from tests.simulation.invariants import violation
from tests.simulation.network import Network
from tests.simulation.node import SimWorker
from tests.simulation.queries import OPERATOR, plans
from tests.simulation.scenario import Query, Scenario
from tests.simulation.server import SimServer
from tests.simulation.stranger import ask_and_leave
from tests.simulation.trace import Trace
from tests.simulation.transport import Peer

BURST = 8
"""Queries that come at once in an overload."""
MIDWAY_CALLS = 24
"""A core machine makes up to about so many calls for a message of a small query."""
FAULTS_LAST_S = 12.0
_UNHINDERED_S = 20.0
_BOUND_S = 400.0


@attrs.frozen
class Simulated:
    """What became of a simulation. `violation`: the first check that failed; None: all held."""

    scenario: Scenario
    violation: Violation | None
    trace: tuple[str, ...]
    struck: Counter[FaultKind]
    queries: int
    calls: int
    steps: int
    seconds: float
    left: Counter[str]

    def report(self, mutant: str | None = None) -> str:
        """For people: what failed, the scenario, the trace, and how to see it again.

        `mutant`: the one that was applied, if any.
        """
        broken = f" --mutant {mutant}" if mutant else ""
        found = "all checks held" if self.violation is None else str(self.violation)
        return "\n".join(
            [
                found,
                *(f"  {line}" for line in self.scenario.describe()),
                "trace:",
                *(f"  {line}" for line in self.trace),
                f"replay: python -m tests.simulation --seed {self.scenario.seed}{broken}",
            ]
        )


def simulate_cluster(scenario: Scenario, *, leaving: bool = False) -> Simulated:
    """Run a scenario in a Trio of its own. Call it outside of Trio.

    Args:
        leaving: whether callers leave in the midst of calls, beside the scenario's faults. What
            else is drawn stays as it is.
    """
    trace = Trace()

    async def main() -> Simulated:
        cluster = _Cluster(scenario, trace, random.Random(scenario.seed) if leaving else None)
        with trace.stop:
            await cluster.run()
        return Simulated(
            scenario,
            trace.violation,
            trace.text(),
            trace.struck,
            len(cluster.clients),
            trace.calls,
            trace.steps,
            trio.current_time(),
            cluster.network.left,
        )

    with _quiet(), seeded_schedule(scenario.schedule):
        return trio.run(main, clock=MockClock(autojump_threshold=0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Injected faults are not worth a log line."""
    loggers = [logging.getLogger(name) for name in ("ffq.runtime", "ffq.actors", "ffq.worker")]
    before = [each.disabled for each in loggers]
    for each in loggers:
        each.disabled = True
    try:
        yield
    finally:
        for each, disabled in zip(loggers, before, strict=True):
            each.disabled = disabled


class _Cluster:
    def __init__(self, scenario: Scenario, trace: Trace, leaving: random.Random | None) -> None:
        self.scenario = scenario
        self.leaving = leaving
        self.trace = trace
        self.faults = FaultInjector.of(scenario.faults, trace, frozen=scenario.frozen)
        self.server = SimServer(trace, {}, scenario.kept, scenario.speculates, scenario.skews)
        self.peers: dict[str, Peer] = {}
        self.clients: list[SimClient] = []
        self.workers: list[SimWorker] = []
        # Clients that are not done, and faults that will bring some.
        self._waiting = 0
        self._done = trio.Event()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as world:
                self.world = world
                chance = random.Random(self.scenario.schedule)
                self.network = Network(self.trace, self.faults, chance, world, leaving=self.leaving)
                world.start_soon(self.server.run)
                for number, slots in enumerate(self.scenario.workers):
                    self._add_worker(number, slots, capable=number in self.scenario.capable)
                for query in self.scenario.queries:
                    self._add_client(query)
                if self.leaving is not None:
                    world.start_soon(ask_and_leave, self.network, self.server, self.leaving)
                world.start_soon(self._keep_watch)
                for fault in self.scenario.faults:
                    self._waiting += fault.kind in LOAD
                    world.start_soon(self._begin, fault)
                await self._to_the_end()
                world.cancel_scope.cancel()
        except* Violation as found:
            self.trace.fail(_first(found))

    def _add_worker(self, number: int, slots: int, *, capable: bool) -> None:
        operators = frozenset({OPERATOR}) if capable else frozenset[str]()
        worker = SimWorker(number, slots, operators, self.network, self.server, self.peers)
        self.workers.append(worker)
        self.world.start_soon(worker.run)

    def _add_client(self, query: Query) -> None:
        query_id = QueryId(str(len(self.clients)))
        self.server.shares[query_id] = query.shares
        client = SimClient(
            query_id,
            plans()[query.plan],
            query.shares,
            query.at_ms,
            query.cancel_after_ms,
            SimChannel(CLIENT, None, self.network, self.server),
            self.trace,
        )
        self.clients.append(client)
        self._waiting += 1
        self.world.start_soon(self._run_client, client)

    async def _run_client(self, client: SimClient) -> None:
        await client.run()
        self._waiting -= 1
        if not self._waiting:
            self._done.set()

    async def _keep_watch(self) -> None:
        """Checks that no single message can fail."""
        jumped_ms = 0
        while True:
            await trio.sleep(1.0)
            if self.server.monitor is not None and jumped_ms == self.server.jumped_ms:
                self.server.monitor.nothing_outlives()
            jumped_ms = self.server.jumped_ms

    async def _begin(self, fault: Fault) -> None:
        """Faults that come by themselves at their time."""
        await trio.sleep_until(fault.at_ms / 1000)
        if self.faults.healed:
            return
        worker = self.workers[fault.worker]
        match fault.kind:
            case FaultKind.PAUSE:
                worker.pause()
                await trio.sleep(fault.for_ms / 1000)
                worker.resume()
            case FaultKind.REPLACED:
                worker.replace()
            case FaultKind.HANDLER_BUG:
                self.server.bug(fault.count)
            case FaultKind.MIDWAY_BUG:
                chance = random.Random(self.scenario.schedule + fault.at_ms)
                most = MIDWAY_CALLS
                self.server.bug_midway([chance.randint(1, most) for _ in range(5 * fault.count)])
            case FaultKind.ACTOR_CRASH:
                self.server.crash(fault.worker)
            case FaultKind.CLOCK_JUMP:
                self.server.jump(fault.for_ms)
            case FaultKind.OVERLOAD:
                for number in range(BURST):
                    plan = ("scan", "aggregate")[number % 2]
                    self._add_client(Query(plan, fault.at_ms, 1 + number % 2, None))
                self._waiting -= 1
            case FaultKind.POISON:
                self._add_client(Query("poison", fault.at_ms, 1, None))
                self._waiting -= 1
            case _:
                pass  # faults strike where it is asked

    # --- the end -----------------------------------------------------------------------------

    async def _to_the_end(self) -> None:
        hindered = bool(self.scenario.faults) or not self.scenario.capable
        await self._wait(FAULTS_LAST_S if hindered else _UNHINDERED_S)
        require_waiting_says_so(self.clients, self.server)
        if self.scenario.frozen:
            await self._end_frozen()
        self._heal()
        await self._wait(_BOUND_S)
        self._require_ended(self.clients, "all is healed")
        require_healthy_end(self.clients, self.scenario)
        await settle(self.server, self.workers)
        for worker in self.workers:
            worker.stop()
        await forget(self.server, self.network, [each.query_id for each in self.clients])
        self.server.stop()

    async def _end_frozen(self) -> None:
        """Whatever a healthy worker can run ends, though faults stay as they are."""
        runnable = [c for c in self.clients if can_be_run(c, self.workers, self.scenario)]
        with trio.move_on_after(_BOUND_S):
            while any(client.state is None for client in runnable):  # noqa: ASYNC110
                await trio.sleep(1.0)
        self._require_ended(runnable, "a healthy worker is there")
        require_waiting_says_so(self.clients, self.server)

    def _heal(self) -> None:
        self.trace.note("all is healed")
        self.faults.heal()
        for worker in self.workers:
            worker.heal()
        if not self.scenario.capable:
            self._add_worker(len(self.workers), 2, capable=True)

    async def _wait(self, seconds: float) -> None:
        """Until all clients are done, at most for so long."""
        with trio.move_on_after(seconds):
            await self._done.wait()

    def _require_ended(self, clients: list[SimClient], why: str) -> None:
        left = [f"{each.query_id} <{each.plan.name}>" for each in clients if each.state is None]
        if left:
            raise violation("every-query-ends", f"{why}, but these go on: {', '.join(left)}")


def _first(group: BaseExceptionGroup[Violation]) -> Violation:
    first = group.exceptions[0]
    return first if isinstance(first, Violation) else _first(first)
