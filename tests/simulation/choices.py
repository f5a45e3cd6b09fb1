"""Seeds: a scenario is a list of small choices, and its seed is that list written as one number.

Below `SPELLED` a seed feeds a random generator that makes the choices. From there on it spells the
choices out, each a digit whose base is the number of options: so whatever Hypothesis drew and
shrank has a seed too, and `--seed` replays it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs

T = TypeVar("T")

SPELLED = 1 << 32


@attrs.define
class Chooser:
    """Makes choices with `pick(n)`, a number from 0 to n - 1, and remembers them.

    Option 0 should be the plainest: it is what shrinking ends at.
    """

    _pick: Callable[[int], int]
    _made: list[tuple[int, int]] = attrs.field(factory=list)

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1."""
        value = self._pick(bound)
        self._made.append((value, bound))
        return value

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    @property
    def seed(self) -> int:
        """The seed that makes the same choices again."""
        number = 0
        for value, bound in reversed(self._made):
            number = number * bound + value
        return SPELLED + number


def chooser_of(seed: int) -> Chooser:
    """The choices that a seed stands for. Raises ValueError: it is negative."""
    if seed < 0:
        raise ValueError(f"seed {seed} is negative")
    if seed < SPELLED:
        return Chooser(random.Random(seed).randrange)
    rest = seed - SPELLED

    def digit(bound: int) -> int:
        nonlocal rest
        rest, value = divmod(rest, bound)
        return value

    return Chooser(digit)
