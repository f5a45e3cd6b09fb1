"""At the end of the run: how many simulations there were, and faults by kind."""

from __future__ import annotations

import pytest

from tests.property.counting import TOTALS, summary


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the nightly profile this one goes on until told to stop: it must come last."""
    items.sort(key=lambda item: item.name == "test_no_seed_breaks_a_check")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TOTALS.simulations:
        terminalreporter.section("simulated clusters")
        for line in summary():
            terminalreporter.line(line)
