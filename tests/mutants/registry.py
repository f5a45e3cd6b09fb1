"""What a mutant is, and all of them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from tests.surgery import Surgeon


@attrs.frozen
class Mutant:
    """One rule broken.

    Attributes:
        first: the harness that is tried first, "machine" or "simulation".
        seed: the first of the simulations. For those that take a rare cluster: a hunt from 0 on
            would find them too, minutes later.
    """

    name: str
    rule: str
    text: str
    first: str
    operate: Callable[[Surgeon], None]
    seed: int = 0

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
    name: str, rule: str, text: str, first: str = "machine", *, seed: int = 0
) -> Callable[[Operation], Operation]:
    """Register a mutant."""

    def register(operate: Operation) -> Operation:
        MUTANTS[name] = Mutant(name, rule, text, first, operate, seed)
        return operate

    return register
