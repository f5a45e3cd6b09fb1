"""Hypothesis as the chosen profile has it (tests/profiles.py), and how many processes pytest takes.

`fresh`, for `python -m tests.property`, is the chosen profile with a seed that takes effect: with
`derandomize` Hypothesis ignores `--hypothesis-seed`. No run repeats what another one found.
`unshrunk`, for `scripts/mutate_core.py`, only says whether something is found: the same each time.
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.profiles import CHOSEN, NAME

BASE = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=CHOSEN.examples,
    stateful_step_count=CHOSEN.steps,
)
CHOSEN_SETTINGS = settings(BASE, derandomize=True, database=None) if CHOSEN.same_examples else BASE
settings.register_profile(NAME, CHOSEN_SETTINGS)
settings.register_profile("fresh", BASE, derandomize=False, database=None)
settings.register_profile(
    "unshrunk",
    BASE,
    max_examples=20,
    phases=(Phase.explicit, Phase.generate),
    derandomize=True,
    database=None,
)
settings.load_profile(NAME)

# Tests of stages, exchanges and retries are over little data: it is cut as much would be. Those of
# one task set another bound.
os.environ["FFQ_ONE_TASK_BYTES"] = "0"

MOST_PROCESSES = 4  # each collects all tests first

# A shell starts what is to run in its background with Ctrl-C ignored, and so are all processes that
# are started from there. Tests of Ctrl-C need it heard, as from a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `pytest` alone runs the tests in: one more than there are cores, as tests
    of other processes wait for them.

    Where files or folders are named, none but its own: that starts sooner. Nor where it goes on
    until told to stop: what a process has counted by then is lost with it.
    """
    if config.args != config.getini("testpaths") or CHOSEN.seeded_clusters is None:
        return 0
    return min((os.cpu_count() or 1) + 1, MOST_PROCESSES)
