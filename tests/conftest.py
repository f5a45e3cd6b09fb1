"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE.

`default` is for plain `pytest`; `ci` for the gate, where a commit must give the same answer twice;
`nightly` looks for what nobody has seen yet, until told to stop.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", COMMON, max_examples=50, stateful_step_count=40)
settings.register_profile(
    "ci", COMMON, max_examples=200, stateful_step_count=60, derandomize=True, database=None
)
settings.register_profile("nightly", COMMON, max_examples=5000, stateful_step_count=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
