"""What the beats of many workers cost, and what they add to the wait for an assignment.

Beats come once a second from each worker, spread over the second. `actors`: ten thousand workers,
told to the coordinator's actors in this process, without gRPC; counted is the whole process, the
caller's loop with it. `gateway`: five hundred workers of another process, by calls and by a stream
each, into a real gateway process. All the while one more worker asks for a task every so often, of
a query that has enough of them: how long the answer takes is the assignment's latency.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import ExitStack
from typing import Final

import attrs
import grpc
import trio

from benchmarks._benchmark import Benchmark, Outcome, Request, in_turn
from benchmarks._figures import Better, Samples, percentile
from benchmarks._invariants import hold
from benchmarks._processes import INVARIANTS, Server, cpu_seconds, gateway
from benchmarks._pullers import Calls
from benchmarks.control_plane import LIMITS, PLAN, SHARES, tables
from ffq.actors import ActorCoordinator, open_coordinator
from ffq.core import CoordinatorSettings
from ffq.ids import QueryId, WorkerId
from ffq.messages import GetTask, Heartbeat
from tests.actors.harness import InlinePlanner
from tests.processes import running
from tests.simulation.queries import plans

NONE, CALLS, STREAMS = "no beats", "calls", "streams"
COORDINATOR, CORE = "coordinator", "a core"
LATENCIES: Final = {"p50": 50, "p99": 99}
ASKER: Final = WorkerId("beats-0")
PAUSE_S, STEP_S = 0.02, 0.01
SETTLE_S = 2.0
SETTINGS: Final = CoordinatorSettings(
    max_concurrent_tasks_per_worker=10**6,
    max_concurrent_tasks_per_query=10**6,
    max_tasks_per_query=10**6,
)


@attrs.frozen
class _Found:
    """Of one side, one round: seconds of processor and clock, and of each assignment."""

    cpu: float
    clock: float
    waits: list[float]
    beats: int = 0

    def add(self, samples: Samples, what: str, side: str) -> None:
        samples.add(_cpu(what, side), COORDINATOR, self.cpu)
        samples.add(_cpu(what, side), CORE, self.clock)
        for name, percent in LATENCIES.items():
            waited = percentile(self.waits, percent) * 1_000
            samples.add(f"{what}: assignment, {name}", side, waited)


def _cpu(what: str, side: str) -> str:
    return f"{what}, {side}: CPU"


def _beat(worker: WorkerId) -> Heartbeat:
    return Heartbeat(worker, 0, 0, frozenset({"ffq.splits"}), 1, "", "benchmark")


async def _actors(count: int, window: float) -> _Found:
    """`count` workers, 0 of them for the baseline."""
    beats, waits = 0, list[float]()
    async with open_coordinator(InlinePlanner(), SETTINGS) as coordinator:
        await coordinator.ask(_beat(ASKER))
        await coordinator.parties.ask(plans()["aggregate"].accepted(QueryId("q"), 100_000))
        for number in range(count):
            await coordinator.ask(_beat(WorkerId(f"beats-{number}")))
        await coordinator.ask(GetTask(ASKER, 1, 1))

        async def beat() -> None:
            nonlocal beats
            while True:
                due = int((trio.current_time() - began) * count)
                while beats < due:
                    await coordinator.ask(_beat(WorkerId(f"beats-{beats % count}")))
                    beats += 1
                await trio.sleep(STEP_S)

        began, cpu = trio.current_time(), time.process_time()
        async with trio.open_nursery() as others:
            if count:
                others.start_soon(beat)
            while trio.current_time() - began < window:
                waits.append(await _assigned_s(coordinator))
                await trio.sleep(PAUSE_S)
            clock, spent = trio.current_time() - began, time.process_time() - cpu
            others.cancel_scope.cancel()
        await hold(coordinator)
    return _Found(spent, clock, waits, beats)


async def _assigned_s(coordinator: ActorCoordinator) -> float:
    """How long one took."""
    asked = time.perf_counter()
    given = await coordinator.ask(GetTask(ASKER, 1, 1))
    taken = time.perf_counter() - asked
    _require_one(len(given))
    return taken


def _require_one(given: int) -> None:
    if given != 1:
        raise RuntimeError(f"{given} tasks were assigned; right would be 1")


async def _pulled(server: Server, name: str, window: float) -> _Found:
    """Assignments through the gateway, of as many queries as it takes."""
    waits = list[float]()
    async with grpc.aio.insecure_channel(server.endpoint) as channel:
        calls = Calls(channel)
        asker = f"asks-{name}"
        await calls.beat(asker)
        queries = int(window / PAUSE_S) // SHARES + 1
        for number in range(queries):
            await calls.submit(f"{name}-{number}", PLAN.node)
        began, cpu = time.perf_counter(), cpu_seconds(server.pid)
        while time.perf_counter() - began < window:
            asked = time.perf_counter()
            given = (await calls.pull(asker, 1)).tasks
            waits.append(time.perf_counter() - asked)
            _require_one(len(given))
            await asyncio.sleep(PAUSE_S)
        return _Found(cpu_seconds(server.pid) - cpu, time.perf_counter() - began, waits)


def _through_gateway(side: str, catalog: str, options: argparse.Namespace) -> _Found:
    """A gateway of its own, so that none knows the workers of another side."""
    with ExitStack() as closing:
        server = closing.enter_context(gateway(f"--catalog={catalog}", *LIMITS))
        if side != NONE:
            arguments = (server.endpoint, str(options.remote), side)
            beating = closing.enter_context(running(*arguments, module="benchmarks._beats"))
            beating.wait_for("beating")
        time.sleep(SETTLE_S)
        return asyncio.run(_pulled(server, side.replace(" ", "-"), options.window))


def measure(request: Request) -> Outcome:
    """Without beats and with, into the actors and through the gateway, in each round."""
    options, samples = request.options, Samples()
    inside = f"actors, {options.workers:,} workers"
    outside = f"gateway, {options.remote:,} workers"
    with tables() as catalog:
        for number in range(request.rounds):
            for side in in_turn([NONE, CALLS], number):
                count = options.workers if side == CALLS else 0
                found = trio.run(_actors, count, options.window)
                found.add(samples, inside, side)
                if count:
                    samples.add(f"{inside}: beats a second", side, found.beats / found.clock)
            for side in in_turn([NONE, CALLS, STREAMS], number):
                _through_gateway(side, str(catalog), options).add(samples, outside, side)
    sides = {inside: [CALLS], outside: [CALLS, STREAMS]}
    waits = [f": assignment, {name}" for name in LATENCIES]
    return Outcome(
        ratios=[
            *(
                samples.ratio(_cpu(what, side), COORDINATOR, CORE)
                for what in sides
                for side in (NONE, *sides[what])
            ),
            *(
                samples.ratio(what + wait, side, NONE)
                for what in sides
                for wait in waits
                for side in sides[what]
            ),
        ],
        amounts=[
            *(
                samples.amount(what + wait, side, "ms")
                for what in sides
                for wait in waits
                for side in (NONE, *sides[what])
            ),
            samples.amount(f"{inside}: beats a second", CALLS, "", better=Better.HIGHER),
        ],
        checks=["each GetTask was given its task", INVARIANTS],
        notes=[f"an assignment every {PAUSE_S * 1_000:.0f} ms, for {options.window:.0f} s a side"],
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=10_000, help="into the actors (10000)")
    parser.add_argument("--remote", type=int, default=500, help="through the gateway (500)")
    parser.add_argument("--window", type=float, default=5.0, help="s a side and round (5)")


BENCHMARK = Benchmark(
    question="What do the beats of many workers cost, and what do they add to an assignment?",
    baseline="the same assignments where nobody beats",
    measure=measure,
    rounds=3,
    packages=("grpcio", "protobuf", "trio"),
    options=_options,
)
