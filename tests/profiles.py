"""How long the tests look for what breaks a rule, by profile: HYPOTHESIS_PROFILE chooses one.

`default` is for plain `pytest`; `seeds` for `python -m tests.property`; `ci` for the gate, where a
commit must give the same answer twice; `nightly` looks for what nobody has seen yet, until told to
stop.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import attrs
import pytest

T = TypeVar("T")


@attrs.frozen
class Profile:
    examples: int
    """Of each property, as Hypothesis draws them."""
    steps: int
    """Of each run of a state machine."""
    drawn_clusters: int
    """Simulated ones that Hypothesis draws."""
    seeded_clusters: int | None
    """Simulated ones by seed. None: until told to stop."""
    leaving_clusters: int
    """Simulated ones whose callers leave in the midst of calls."""
    every_query: int = 1
    """Of the everyday queries, and of TPC-DS: every so manieth runs."""
    every_variant: int = 1
    """Of cases that are much alike, and take processes or seconds: every so manieth runs."""
    same_examples: bool = False
    """Each time."""


PROFILES = {
    "default": Profile(25, 30, 24, 24, 12, every_query=16, every_variant=3),
    "seeds": Profile(50, 40, 40, 40, 20, every_query=16),
    "ci": Profile(200, 60, 1_000, 1_000, 100, same_examples=True),
    "nightly": Profile(5_000, 200, 50_000, None, 5_000),
}
NAME = os.environ.get("HYPOTHESIS_PROFILE", "default")
CHOSEN = PROFILES[NAME]
IS_QUICK = NAME == "default"
heavy = pytest.mark.skipif(IS_QUICK, reason="many processes, or long: the profile ci runs it")


def variants(cases: Sequence[T]) -> Sequence[T]:
    """Those that this profile runs, the first among them."""
    return cases[:: CHOSEN.every_variant]
