"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE.

`default` is for plain `pytest`; `ci` for the gate, where a commit must give the same answer twice;
`nightly` looks for what nobody has seen yet, until told to stop.

`fresh`, for `python -m tests.property`, is the chosen one with a seed that takes effect: with
`derandomize` Hypothesis ignores `--hypothesis-seed`. No run repeats what another one found.
`unshrunk`, for `scripts/mutate_core.py`, only says whether something is found: the same each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", COMMON, max_examples=50, stateful_step_count=40)
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
