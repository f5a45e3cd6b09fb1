"""The machine: our core holds, and broken coordinators are found out and told by name."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from ffq.core import CoreCoordinator
from ffq.testing import QueryState, Refusal, Violation, coordinator_machine
from ffq.testing.adapters.core import CoreAdapter, declared_by
from tests.testing.broken import CASES, DECLARED

TestCore = coordinator_machine(
    lambda: CoreAdapter(CoreCoordinator(DECLARED)), declared_by(DECLARED)
).TestCase

# Broken in one way only, so that whatever the machine finds is that. Nothing of it is declared.
FOUND = {
    "duplicate-changes-nothing": {"duplicate-changes-nothing", "terminal-is-final"},
    "foreign-report-ignored": {"foreign-report-ignored"},
    "not-before-backoff": {"not-before-backoff"},
    "worker-limit": {"worker-limit", "query-limit"},
}


@pytest.mark.parametrize("broken", FOUND)
def test_machine_finds_what_is_broken(broken: str) -> None:
    machine = coordinator_machine(CASES[broken].make, declared_by(DECLARED))
    search = hypothesis.settings(
        max_examples=300,
        stateful_step_count=40,
        database=None,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    with pytest.raises(Violation) as failure:
        run_state_machine_as_test(machine, settings=search)
    assert failure.value.check.name in FOUND[broken]


def test_what_an_adapter_raises_comes_through_with_its_script() -> None:
    class Buggy(CoreAdapter):
        def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
            raise ZeroDivisionError(query_id)

    search = hypothesis.settings(database=None, derandomize=True, phases=[Phase.generate])
    with pytest.raises(ZeroDivisionError) as failure:
        run_state_machine_as_test(
            coordinator_machine(lambda: Buggy(CoreCoordinator(DECLARED)), declared_by(DECLARED)),
            settings=search,
        )
    (note,) = [each for each in failure.value.__notes__ if "raised by the adapter" in each]
    assert note.startswith(f"raised by the adapter in CancelQuery({failure.value}, ")
    assert f"SubmitQuery({failure.value}, " in note
