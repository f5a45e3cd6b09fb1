"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE.

`default` is for plain `pytest`; `ci` for the gate, where a commit must give the same answer twice;
`nightly` looks for what nobody has seen yet, until told to stop.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=50, stateful_step_count=40, **COMMON)
settings.register_profile(
    "ci", max_examples=200, stateful_step_count=60, derandomize=True, database=None, **COMMON
)
settings.register_profile("nightly", max_examples=5000, stateful_step_count=200, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
