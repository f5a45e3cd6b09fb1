"""The mutants: applied and mended, hunted, told in a table, and seen again by their seed.

All of them are hunted by `python -m tests.mutants`; here a few, quick ones.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ffq.core.walks import TABLES, WALKS
from ffq.messages import AcceptQuery
from tests.mutants import MUTANTS, Catch, Mutant, hunt
from tests.mutants.__main__ import not_caught, print_table
from tests.simulation.__main__ import main as simulate

HAZARDS = {
    "cancel-overwrites-succeeded": "a cancel that overwrites SUCCEEDED",
    "late-failure-revives": "a late FAILED that revives a canceled query",
    "success-without-output": "success without registered output",
    "lease-never-lapses": "a lost GetTask answer that leaves a task running for ever",
    "excluded-never-stale": "a stale sweep that skips excluded workers",
    "exclusion-never-ends": "exclusion that never ends",
    "busy-worker-dies": "a busy worker taken for dead",
    "old-result-wins": "results of an old attempt overwriting the new",
}

PLACES = ("ffq.actors", "ffq.catalog", "ffq.core", "ffq.plan", "ffq.worker")
"""Where mutants replace something."""


def code() -> dict[tuple[str, str], Any]:
    """Everything that mutants may replace."""
    rows: list[tuple[str, type, Any]] = [
        (table.party.value, message, row) for table in TABLES for message, row in table.rows.items()
    ]
    rows += [("walk", message, walk) for message, walk in WALKS.items()]
    return {(place, message.__name__): row for place, message, row in rows} | {
        (module_name, f"{name}.{attribute}"): held
        for module_name, module in list(sys.modules.items())
        if module_name.startswith(PLACES)
        for name, value in vars(module).items()
        for attribute, held in (vars(value).items() if isinstance(value, type) else [("", value)])
        if callable(held) or isinstance(held, property)
    }


def test_the_known_hazards_are_among_them() -> None:
    assert HAZARDS.keys() <= MUTANTS.keys()
    assert len(MUTANTS) >= 30


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_breaks_something_and_is_mended(name: str) -> None:
    before = code()
    with MUTANTS[name].applied():
        broken = code()
    assert broken != before
    assert code() == before


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("cancel-overwrites-succeeded", "terminal-is-final"),
        ("never-assigned-counts", "never-assigned-refused"),
        ("first-come-first-served", "queries-take-turns"),
        ("lease-never-lapses", "lease-is-collected"),
    ],
)
def test_a_mutant_is_caught(name: str, check: str) -> None:
    catch = hunt(name)
    assert catch.check == check
    assert catch.after > 0


def test_a_mutant_that_crashes_instead_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else one that no longer fits the code would pass for a break that is found."""

    def operate(surgeon: Any) -> None:
        surgeon.replace_step(AcceptQuery, lambda: None)

    misfit = Mutant("misfit", "R1", "takes no arguments", "machine", operate)
    monkeypatch.setitem(MUTANTS, "misfit", misfit)
    catch = hunt("misfit")
    assert catch.check == ""
    assert "TypeError" in catch.crash
    assert not_caught(print_table(MUTANTS, [catch])) == ["misfit"]
    assert "CRASHED TypeError" in capsys.readouterr().out


def test_the_table_names_who_lived(capsys: pytest.CaptureFixture[str]) -> None:
    catches = [
        Catch("no-backoff", "not-before-backoff", "machine", 336, 0.1),
        Catch("lease-never-lapses", "", "simulation", 300, 40.0),
    ]
    assert not_caught(print_table(MUTANTS, catches)) == ["lease-never-lapses"]
    caught, lived = capsys.readouterr().out.splitlines()
    assert caught.split() == (
        ["no-backoff", "R14", "not-before-backoff", "after", "336", "RPCs", "0.1", "s"]
    )
    assert "NOT CAUGHT" in lived


def test_a_seed_of_a_failing_run_shows_the_same_trace_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    catch = hunt("lease-never-lapses")
    replay = [f"--seed={catch.seed}", "--mutant=lease-never-lapses"]
    reports = []
    for _ in range(2):
        assert simulate(replay) == 1
        reports.append(capsys.readouterr().out)
    assert reports[0] == reports[1]
    assert catch.check in reports[0].splitlines()[0]
    command = reports[0].splitlines()[-1]
    assert command.endswith(f"--seed {catch.seed} --mutant lease-never-lapses")
    assert simulate([f"--seed={catch.seed}"]) == 0, "nothing is found where nothing is broken"
