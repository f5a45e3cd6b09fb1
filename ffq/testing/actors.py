"""Testing actors: probes, and whole systems under a virtual clock and a seeded schedule.

    async def scenario(sim: Simulation) -> int:
        async with sim.system() as system:
            counter = await system.spawn(Counter, 0)
            return await counter.ask(Add(5))

    result = simulate(scenario, seed=7)
    assert result.value == 5
    assert result.trace == simulate(scenario, seed=7).trace

The same seed gives the same trace of messages. Time is virtual and jumps when nothing can run. A
program that can never go on is reported as a Deadlock, which names the asks that hang.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import attrs
import trio
import trio.testing

from ffq.runtime import ActorSystem, Ended, Hooks, Supervision
from ffq.runtime.errors import ActorError
from ffq.testing._actor_probe import Probe, Received
from ffq.testing._actor_schedule import StallDetector, seeded_schedule, waiting_tasks

__all__ = ["Deadlock", "Probe", "Received", "Simulation", "SimulationResult", "simulate"]

T = TypeVar("T")


class Deadlock(ActorError):
    """No task can run any more. The message names the asks without a reply and the tasks."""


@attrs.frozen
class SimulationResult(Generic[T]):
    """What a simulated run gave: its value, its trace, and the virtual seconds it took."""

    value: T
    trace: tuple[str, ...]
    seconds: float


class _Trace(Hooks):
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def _add(self, what: str) -> None:
        self._lines.append(f"{trio.current_time():.6f} {what}")

    def actor_started(self, path: str, restarts: int) -> None:
        self._add(f"{path} started {restarts}")

    def actor_failed(self, path: str, error: Exception) -> None:
        self._add(f"{path} failed {type(error).__name__}")

    def actor_ended(self, ended: Ended) -> None:
        self._add(f"{ended.path} ended {ended.reason.value}")

    def message_handled(self, path: str, message: Any, error: BaseException | None) -> None:
        outcome = "" if error is None else f" raised {type(error).__name__}"
        self._add(f"{path} handled {message!r}{outcome}")

    def dead_letter(self, letter: Any) -> None:
        self._add(f"{letter.path} dead letter {letter.message!r}")


class Simulation:
    """Given to the scenario: it makes the systems whose messages the trace records."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self._systems: list[ActorSystem] = []

    def system(
        self, name: str = "actors", *, supervision: Supervision | None = None, debug: bool = True
    ) -> ActorSystem:
        """A new actor system, with the debug checks on."""
        system = ActorSystem(name, supervision=supervision, debug=debug, hooks=_Trace(self.trace))
        self._systems.append(system)
        return system

    def describe_stall(self) -> str:
        """Which asks hang, and where every task waits."""
        asks = [
            f"{ask.asker} waits for {ask.target} to reply to {ask.message!r}"
            for system in self._systems
            for ask in system.pending_asks()
        ]
        return "\n  ".join(
            ["no task can run any more", *(asks or ["no ask is pending"]), *waiting_tasks()]
        )


def simulate(scenario: Callable[[Simulation], Awaitable[T]], *, seed: int) -> SimulationResult[T]:
    """Run a scenario in a Trio of its own: virtual clock, schedule decided by `seed`.

    Raises what the scenario raises, and Deadlock when it can never go on. Call it outside of Trio.
    """
    simulation = Simulation()
    stalls: list[str] = []

    result: list[SimulationResult[T]] = []

    async def main() -> None:
        started = trio.current_time()
        with trio.CancelScope() as scope:

            def on_stall() -> None:
                stalls.append(simulation.describe_stall())
                scope.cancel()

            detector = StallDetector(on_stall)
            trio.lowlevel.add_instrument(detector)
            try:
                value = await scenario(simulation)
            finally:
                trio.lowlevel.remove_instrument(detector)
            seconds = trio.current_time() - started
            result.append(SimulationResult(value, tuple(simulation.trace), seconds))

    try:
        with seeded_schedule(seed):
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    except Exception as error:
        if stalls:  # what breaks when a stuck program is cancelled only follows from the deadlock
            raise Deadlock(stalls[0]) from error
        raise
    if stalls:
        raise Deadlock(stalls[0])
    return result[0]
