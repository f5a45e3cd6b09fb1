"""Conformance on the core, in virtual time: it holds, and what is broken is told with a script."""

from __future__ import annotations

import attrs
import pytest

from ffq.core import CoreCoordinator
from ffq.testing.adapters.core import CoreAdapter, declared_by
from ffq.testing.conformance import (
    ConformanceReport,
    RunOptions,
    Verdict,
    report_lines,
    run_conformance,
)
from ffq.testing.session import VirtualClock
from tests.testing.broken import CASES, DECLARED

OPTIONS = RunOptions(examples=10, max_wait_ms=60_000, shorten_ms=20_000)
DECLARED_SETTINGS = attrs.evolve(declared_by(DECLARED), slack_ms=300)
# What only workers or the data path can show, and what only shows with unrunnable_timeout_ms set.
UNSEEN = {"R17", "R24", "R25"}


def verdict_on(adapter: CoreAdapter, options: RunOptions = OPTIONS) -> ConformanceReport:
    return run_conformance(adapter, DECLARED_SETTINGS, options, clock=VirtualClock())


def test_core_conforms() -> None:
    report = verdict_on(CoreAdapter(CoreCoordinator(DECLARED)))
    assert not report.broken, "\n".join(report_lines(report))
    assert {row.rule for row in report.rules if row.verdict is Verdict.UNSEEN} == UNSEEN


@pytest.mark.parametrize(
    ("check", "rule"),
    [
        ("cancel-answers-standing-state", "R4"),
        ("not-before-backoff", "R14"),
        ("exclusion-ends", "R16"),
        ("lost-work-is-requeued", "R19"),
        ("beating-worker-kept", "R20"),
        ("foreign-report-ignored", "R13"),
    ],
)
def test_broken_rule_is_named_with_a_short_script(check: str, rule: str) -> None:
    options = attrs.evolve(OPTIONS, rules=frozenset({rule}))
    report = verdict_on(CASES[check].make(), options)
    broken = {row.rule: row for row in report.broken}
    assert rule in broken, "\n".join(report_lines(report))
    assert 0 < len(broken[rule].script) <= 12, "\n".join(broken[rule].script)
