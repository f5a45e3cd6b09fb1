"""When the longest tests begin; at the end of the run: how many simulations there were, and faults
by kind.
"""

from __future__ import annotations

import os

import pytest

from tests.profiles import CHOSEN
from tests.property.counting import TOTALS, summary

LONGEST = ("test_no_seed_breaks_a_check", "test_no_fault_breaks_a_check")
"""Minutes each, in the gate."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, each in a process of its own: the others take over what waits there.

    Not where one goes on until told to stop, as in the nightly profile: it must come last.
    """
    long = [item for item in items if item.name in LONGEST]
    if CHOSEN.seeded_clusters is None:
        items.sort(key=lambda item: item.name == LONGEST[0])
        return
    items[:] = [item for item in items if item.name not in LONGEST]
    total, begin = len(items) + len(long), 0
    # As xdist deals them out at first: to each process as many, one after the other.
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for left in range(processes, processes - len(long), -1):
        items.insert(begin, long.pop())
        begin += (total - begin) // max(left, 1)
    items[:0] = long


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TOTALS.simulations:
        terminalreporter.section("simulated clusters")
        for line in summary():
            terminalreporter.line(line)
