"""Hypothesis profiles: `default` for plain `pytest`, `ci` for the gate, `nightly` for long runs."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=50, stateful_step_count=40, **COMMON)
settings.register_profile("ci", max_examples=200, stateful_step_count=60, **COMMON)
settings.register_profile("nightly", max_examples=5000, stateful_step_count=200, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
