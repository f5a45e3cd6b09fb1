"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE.

`default` is for plain `pytest`; `ci` for the gate, where a commit must give the same answer twice;
`search` for `python -m tests.property`; `nightly` looks for what nobody has seen yet, until told to
stop.

`fresh`, for `python -m tests.property` too, is the chosen one with a seed that takes effect: with
`derandomize` Hypothesis ignores `--hypothesis-seed`. No run repeats what another one found.
`unshrunk`, for `scripts/mutate_core.py`, only says whether something is found: the same each time.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", COMMON, max_examples=25, stateful_step_count=30)
settings.register_profile("search", COMMON, max_examples=50, stateful_step_count=40)
settings.register_profile(
    "ci", COMMON, max_examples=200, stateful_step_count=60, derandomize=True, database=None
)
settings.register_profile("nightly", COMMON, max_examples=5000, stateful_step_count=200)
CHOSEN = os.environ.get("HYPOTHESIS_PROFILE", "default")
settings.register_profile("fresh", settings.get_profile(CHOSEN), derandomize=False, database=None)
settings.register_profile(
    "unshrunk",
    settings.get_profile(CHOSEN),
    max_examples=20,
    phases=(Phase.explicit, Phase.generate),
    derandomize=True,
    database=None,
)
settings.load_profile(CHOSEN)

MOST_PROCESSES = 4  # each collects all tests first


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `pytest` alone runs the tests in.

    Where files or folders are named, none but its own: that starts sooner.
    """
    if config.args != config.getini("testpaths"):
        return 0
    return min(os.cpu_count() or 1, MOST_PROCESSES)
