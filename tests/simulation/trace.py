"""What happened in a simulation: the faults that struck, and every call that did something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio

from ffq.errors import InvariantViolated
from ffq.testing.invariants import Violation
from tests.simulation.faults import FaultKind
from tests.simulation.invariants import violation

MAX_CALLS = 60_000
"""A run with more calls than this goes round in circles."""


@attrs.define
class Trace:
    """Lines with their virtual time, and counts. `violation`: the first check that failed."""

    lines: list[tuple[float, str]] = attrs.field(factory=list)
    struck: Counter[FaultKind] = attrs.field(factory=Counter)
    calls: int = 0
    steps: int = 0
    violation: Violation | None = None
    stop: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def note(self, line: str) -> None:
        self.lines.append((trio.current_time(), line))

    def strike(self, kind: FaultKind, line: str) -> None:
        """A fault has its effect now."""
        self.struck[kind] += 1
        self.note(f"  !! {kind.value}: {line}")

    def fail(self, violation: Violation) -> None:
        """A check failed: the run ends here."""
        if self.violation is None:
            self.violation = violation
            self.note(f"  ** {violation.check.name}: {violation.detail}")
            self.stop.cancel()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Within the block a check that does not hold ends the run, and raises nothing."""
        try:
            yield
        except Violation as found:
            self.fail(found)
        except InvariantViolated as found:
            self.fail(violation("books-are-consistent", found.message))

    def text(self) -> tuple[str, ...]:
        return tuple(f"{1000 * at:10.1f} ms  {line}" for at, line in self.lines)
