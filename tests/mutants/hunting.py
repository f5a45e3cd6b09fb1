"""Sets the harness on one mutant: the machine on the core, then the simulated cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter, declared_by
from ffq.testing.invariants import Violation
from ffq.testing.machine import coordinator_machine
from tests.mutants.registry import MUTANTS, Mutant
from tests.simulation import scenario_of, simulate_cluster

SETTINGS = CoordinatorSettings(
    max_concurrent_tasks_per_worker=3,
    max_concurrent_tasks_per_query=4,
    blacklist_failure_threshold=3,
    retry_backoff_base_ms=100,
    worker_liveness_timeout_ms=1_000,
    blacklist_ttl_ms=3_000,
)
RUNS = 500
STEPS_PER_RUN = 40
SIMULATIONS = 300


@attrs.frozen
class Catch:
    """What became of a mutant.

    Attributes:
        check: the check that failed; empty: none did.
        crash: what the broken code raised where it should have given an answer. That is no catch:
            the mutant itself is out of date.
        harness: "machine" or "simulation".
        after: RPCs that the machine made, or simulations that were run.
        seconds: wall time.
        seed: of the simulation that failed; None for the machine.
    """

    mutant: str
    check: str
    harness: str
    after: int
    seconds: float
    seed: int | None = None
    crash: str = ""

    @property
    def effort(self) -> str:
        unit = "RPCs" if self.harness == "machine" else "simulations"
        return f"{self.after:,} {unit}"


class _Counting:
    """An adapter that counts the calls made through it, over all runs."""

    def __init__(self, adapter: CoreAdapter, counts: list[int]) -> None:
        self._adapter = adapter
        self._counts = counts

    def __getattr__(self, name: str) -> Any:
        if name not in {"advance", "validate_state"}:
            self._counts[0] += 1
        return getattr(self._adapter, name)


UNBROKEN = "(unbroken)"


def hunt(name: str) -> Catch:
    """Break the code as this mutant does, and look for it with both harnesses in turn."""
    mutant = MUTANTS[name]
    harnesses = [_with_machine, _with_simulation]
    if mutant.first == "simulation":
        harnesses.reverse()
    started = time.perf_counter()
    with mutant.applied():
        for harness in harnesses:
            catch = harness(mutant)
            if catch.check or catch.crash:
                break
    return attrs.evolve(catch, seconds=time.perf_counter() - started)


def machine_on_the_unbroken() -> Catch:
    """Nothing is broken, and nothing must be found: else the others' catches would mean little."""
    return _machine(UNBROKEN)


def simulations_of_the_unbroken(seeds: Iterable[int]) -> Catch:
    """So too with the clusters that showed what was broken."""
    return _simulations(UNBROKEN, seeds)


def _with_machine(mutant: Mutant) -> Catch:
    return _machine(mutant.name)


def _with_simulation(mutant: Mutant) -> Catch:
    return _simulations(mutant.name, range(mutant.seed, mutant.seed + SIMULATIONS))


def _machine(name: str) -> Catch:
    counts = [0]
    adapter: Callable[[], Any] = lambda: _Counting(  # noqa: E731 - a factory
        CoreAdapter(CoreCoordinator(SETTINGS)), counts
    )
    try:
        run_state_machine_as_test(
            coordinator_machine(adapter, declared_by(SETTINGS)),
            settings=hypothesis.settings(
                max_examples=RUNS,
                stateful_step_count=STEPS_PER_RUN,
                database=None,
                deadline=None,
                derandomize=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
                print_blob=False,
            ),
        )
    except Violation as violation:
        return Catch(name, violation.check.name, "machine", counts[0], 0.0)
    except Exception as error:  # noqa: BLE001 - a mutant may break anything
        return Catch(name, "", "machine", counts[0], 0.0, crash=repr(error))
    return Catch(name, "", "machine", counts[0], 0.0)


def _simulations(name: str, seeds: Iterable[int]) -> Catch:
    done = 0
    for done, seed in enumerate(seeds, 1):
        try:
            violation = simulate_cluster(scenario_of(seed)).violation
        except Exception as error:  # noqa: BLE001 - a mutant may break anything
            return Catch(name, "", "simulation", done, 0.0, seed, repr(error))
        if violation is not None:
            return Catch(name, violation.check.name, "simulation", done, 0.0, seed)
    return Catch(name, "", "simulation", done, 0.0)
