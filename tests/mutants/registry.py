"""What a mutant is, and all of them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from tests.surgery import Surgeon


@attrs.frozen
class Mutant:
    """One rule broken. `first`: the harness that is tried first, "machine" or "simulation"."""

    name: str
    rule: str
    text: str
    first: str
    operate: Callable[[Surgeon], None]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the code is broken."""
        surgeon = Surgeon()
        try:
            self.operate(surgeon)
            yield
        finally:
            surgeon.mend()


MUTANTS: dict[str, Mutant] = {}

Operation = Callable[[Surgeon], None]


def mutant(
    name: str, rule: str, text: str, first: str = "machine"
) -> Callable[[Operation], Operation]:
    """Register a mutant."""

    def register(operate: Operation) -> Operation:
        MUTANTS[name] = Mutant(name, rule, text, first, operate)
        return operate

    return register
