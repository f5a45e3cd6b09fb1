"""docs/testing.md: its coordinator and worker, their adapters, and the failures it shows."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from ffq.testing import Violation
from tests.docs.blocks import blocks_of
from tests.profiles import heavy, variants
from tests.simulation.__main__ import main as simulate

SEARCH = hypothesis.settings(
    max_examples=200,
    stateful_step_count=30,
    database=None,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
FIXED = """
class Fixed(SmallCoordinator):
    def cancel(self, query_id, reason):
        query = self.queries[query_id]
        if query.state in OPEN:
            self.end(query, QueryState.CANCELED, reason)
        return query

class FixedAdapter(SmallAdapter):
    def __init__(self):
        self.it = Fixed()

FixedMachine = coordinator_machine(FixedAdapter, DECLARED, plans=["scan"])

class FixedWorker(SmallWorker):
    def turn(self, coordinator):
        coordinator.heartbeat("w", frozenset())
        tasks = coordinator.get_task("w", 2 - len(self.held))
        if not isinstance(tasks, Refusal):
            self.held += tasks
        for task in list(self.held):
            stored = self.store(coordinator, task)
            answer = stored or coordinator.report(task, TaskState.SUCCEEDED, "")
            if answer is None or answer.code != "UNAVAILABLE":
                self.held.remove(task)

FixedWorkerMachine = worker_machine(FixedWorker, slots=2)
"""


def blocks(language: str) -> list[str]:
    return [block.text for block in blocks_of("docs/testing.md") if block.language == language]


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's Python defines, run in order."""
    names: dict[str, Any] = {"__name__": "docs_testing"}
    exec("\n".join([*blocks("python"), FIXED]), names)
    return names


@pytest.mark.parametrize(
    ("machine", "shown"), variants([("SmallMachine", 0), ("SmallWorkerMachine", 1)])
)
def test_machine_finds_the_bug_that_the_page_shows(
    machine: str, shown: int, page: dict[str, Any]
) -> None:
    with pytest.raises(Violation) as failure:
        run_state_machine_as_test(page[machine], settings=SEARCH)
    assert str(failure.value).strip() == blocks("text")[shown].strip()


def test_the_failing_seed_that_the_page_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(["--seed=7", "--mutant=lease-never-lapses"]) == 1
    assert capsys.readouterr().out.strip() == blocks("text")[2].strip()


@heavy
@pytest.mark.parametrize("machine", ["FixedMachine", "FixedWorkerMachine"])
def test_repaired_one_holds(machine: str, page: dict[str, Any]) -> None:
    run_state_machine_as_test(page[machine], settings=SEARCH)
