"""Playing one list of steps against a coordinator that stays as it is between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs

from ffq.testing.adapter import CoordinatorAdapter
from ffq.testing.declared import DeclaredSettings
from ffq.testing.invariants import CheckLog, Violation
from ffq.testing.session import Clock, Session
from ffq.testing.steps import Player, Step


@attrs.define
class Bench:
    """One coordinator under test. Every trial has queries, workers and an operator of its own.

    Attributes:
        clock: the clock that the adapter's `advance` moves.
        first: decimal number from which on queries are numbered.
        log: which checks were put to the test, over all trials.
    """

    adapter: CoordinatorAdapter
    declared: DeclaredSettings
    clock: Clock
    first: int
    log: CheckLog = attrs.field(factory=CheckLog)
    _numbers: itertools.count[int] = attrs.field(factory=itertools.count)

    def play(self, steps: Sequence[Step], wide: int = 3) -> Violation | None:
        """Play the steps, then cancel what they left; the violation they show, if any."""
        session = Session(self.adapter, self.declared, clock=self.clock, log=self.log)
        player = Player(session, tag=str(self.first + next(self._numbers)), wide=wide)
        try:
            for step in steps:
                step.play(player)
        except Violation as violation:
            return violation
        finally:
            for query_id in sorted(player.submitted):
                self.adapter.cancel(query_id, "left over by a conformance trial")
        return None


def shorten(
    bench: Bench, steps: Sequence[Step], found: Violation, wide: int, budget_ms: int
) -> Violation:
    """Leave out steps, one after the other, as long as the same check still fails.

    Waiting takes real time: this stops after `budget_ms` with the shortest so far.
    """
    kept = list(steps)
    give_up = bench.clock.now_ms() + budget_ms
    for index in reversed(range(len(steps))):
        if bench.clock.now_ms() > give_up:
            break
        fewer = kept[:index] + kept[index + 1 :]
        violation = bench.play(fewer, wide)
        if violation is not None and violation.check is found.check:
            kept, found = fewer, violation
    return found
