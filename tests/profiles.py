"""How long the tests look for what breaks a rule, by profile: HYPOTHESIS_PROFILE chooses one.

`default` is for plain `pytest`; `seeds` for `python -m tests.property`; `ci` for the gate, where a
commit must give the same answer twice; `nightly` looks for what nobody has seen yet, until told to
stop.
"""

from __future__ import annotations

import os

import attrs


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
    same_examples: bool = False
    """Each time."""


PROFILES = {
    "default": Profile(25, 30, 24, 24, 12, every_query=16),
    "seeds": Profile(50, 40, 40, 40, 20, every_query=16),
    "ci": Profile(200, 60, 1_000, 1_000, 100, same_examples=True),
    "nightly": Profile(5_000, 200, 50_000, None, 5_000),
}
NAME = os.environ.get("HYPOTHESIS_PROFILE", "default")
CHOSEN = PROFILES[NAME]
IS_QUICK = NAME == "default"
"""Tests that take many processes, or a minute, are left to the other profiles."""
