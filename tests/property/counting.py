"""Counts simulations and the faults that struck, for the summary at the end of the run."""

from __future__ import annotations

from collections import Counter

import attrs

from tests.simulation import FaultKind, Simulated


@attrs.define
class Totals:
    simulations: int = 0
    queries: int = 0
    calls: int = 0
    seconds: float = 0.0
    struck: Counter[FaultKind] = attrs.field(factory=Counter)


TOTALS = Totals()


def count(simulated: Simulated) -> None:
    """Add one simulation."""
    TOTALS.simulations += 1
    TOTALS.queries += simulated.queries
    TOTALS.calls += simulated.calls
    TOTALS.seconds += simulated.seconds
    TOTALS.struck.update(simulated.struck)


def summary() -> list[str]:
    """Lines for people."""
    hours = TOTALS.seconds / 3_600
    return [
        f"{TOTALS.simulations:,} simulations, {TOTALS.queries:,} queries, {TOTALS.calls:,} calls, "
        f"{hours:,.1f} virtual hours",
        *(f"{TOTALS.struck[kind]:8,}  {kind.value}" for kind in FaultKind),
    ]
