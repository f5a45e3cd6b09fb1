"""Every check fails on a coordinator that breaks it, and names itself."""

from __future__ import annotations

import attrs
import pytest

from ffq.core import CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter, declared_by
from ffq.testing.invariants import CHECKS, Violation
from ffq.testing.session import Session
from ffq.testing.steps import Beat, Keep, Player, Pull, Status, Submit, Wait
from tests.testing.broken import CASES, DECLARED, Case


def play(case: Case, adapter: CoreAdapter) -> Session:
    session = Session(adapter, declared_by(case.declared))
    player = Player(session)
    for step in case.steps:
        step.play(player)
    return session


def test_every_check_has_a_coordinator_that_breaks_it() -> None:
    assert set(CASES) == set(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_check_fails_on_the_coordinator_that_breaks_it(check: str) -> None:
    case = CASES[check]
    with pytest.raises(Violation) as failure:
        play(case, case.make())
    assert failure.value.check is CHECKS[check]
    assert failure.value.script, "the RPCs that led there"
    assert check in str(failure.value)
    assert failure.value.rule in str(failure.value)


@pytest.mark.parametrize("check", CHECKS)
def test_same_steps_hold_on_the_core(check: str) -> None:
    case = CASES[check]
    session = play(case, CoreAdapter(CoreCoordinator(case.declared)))
    assert session.broken is None


@pytest.mark.parametrize("late_ms", [0, 300, 600, 2_000])
def test_a_worker_that_comes_when_nobody_was_able_for_long_may_get_nothing(late_ms: int) -> None:
    """The query may have ended (R10), though nobody has asked since; or the worker came in time."""
    declared = attrs.evolve(DECLARED, unrunnable_timeout_ms=500)
    steps = (Submit(0, "custom"), Keep((0,), late_ms), Beat(1, capable=True), Wait(200), Pull(1))
    case = Case(lambda: CoreAdapter(CoreCoordinator(declared)), (*steps, Status(0)), declared)
    assert play(case, case.make()).broken is None
