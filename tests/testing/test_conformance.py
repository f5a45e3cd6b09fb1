"""Conformance on the core, in virtual time: it holds, and what is broken is told with a script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType

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
from ffq.testing.wire import QueryState, Refusal, StatusView, TaskState, TaskView
from tests.testing.broken import CASES, DECLARED

OPTIONS = RunOptions(examples=10, max_wait_ms=60_000, shorten_ms=20_000)
DECLARED_SETTINGS = attrs.evolve(declared_by(DECLARED), slack_ms=300)
# What only workers or the data path can show, and what only shows with unrunnable_timeout_ms set.
UNSEEN = {"R17", "R24", "R25"}
# Of these one check is out of reach: without the setting, or without workers that write anything.
IN_PART = {
    "R10": "unrunnable-ends",
    "R22": "incomplete-output-fails",
    "R23": "committed-output-served",
}


def verdict_on(adapter: CoreAdapter, options: RunOptions = OPTIONS) -> ConformanceReport:
    return run_conformance(adapter, DECLARED_SETTINGS, options, clock=VirtualClock())


def test_core_conforms() -> None:
    report = verdict_on(CoreAdapter(CoreCoordinator(DECLARED)))
    assert not report.broken, "\n".join(report_lines(report))
    assert {row.rule for row in report.rules if row.verdict is Verdict.UNSEEN} == UNSEEN
    partly = {row.rule: row.note for row in report.rules if row.verdict is Verdict.PARTLY}
    assert partly.keys() == IN_PART.keys()
    for rule, check in IN_PART.items():
        assert f"but none of {check} (" in partly[rule], partly[rule]


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


def only(rule: str) -> RunOptions:
    return attrs.evolve(OPTIONS, rules=frozenset({rule}))


class _RetriesAfterCancel(CoreAdapter):
    """A late failure of a canceled query's attempt makes the next one, after the backoff."""

    def __init__(self, coordinator: CoreCoordinator) -> None:
        super().__init__(coordinator)
        self.late: list[TaskView] = []

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        status = self.status(task.query_id)
        canceled = isinstance(status, StatusView) and status.state is QueryState.CANCELED
        if canceled and state is TaskState.FAILED:
            self.late.append(task)
        return super().report(task, state, message)

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        if capacity and self.late and self.waited >= DECLARED.retry_backoff_base_ms:
            again = self.late.pop()
            return (attrs.evolve(again, attempt=again.attempt + 1),)
        return super().get_task(worker_id, capacity)

    waited = 0

    def advance(self, ms: int) -> None:
        self.waited += ms if self.late else 0
        super().advance(ms)


def test_an_attempt_after_a_cancel_and_a_late_failure_breaks_r5() -> None:
    report = verdict_on(_RetriesAfterCancel(CoreCoordinator(DECLARED)), only("R5"))
    assert [row.rule for row in report.broken] == ["R5"], "\n".join(report_lines(report))
    assert "no-work-after-end" in report.broken[0].note


class _WritesPlansAnew(CoreAdapter):
    """Parses plans and writes them again, with a key of its own."""

    extra: Mapping[str, int] | None = None

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        tasks = super().get_task(worker_id, capacity)
        if isinstance(tasks, Refusal):
            return tasks
        return tuple(attrs.evolve(task, plan=self._anew(task.plan)) for task in tasks)

    def _anew(self, plan: bytes) -> bytes:
        ((name, node),) = json.loads(plan).items()
        return json.dumps({name: {"hints": dict(self.extra or {}), **node}}, indent=1).encode()


class _WritesMore(_WritesPlansAnew):
    extra = MappingProxyType({"threads": 3})


def test_the_same_plan_written_anew_is_the_same() -> None:
    (row,) = verdict_on(_WritesPlansAnew(CoreCoordinator(DECLARED)), only("R31")).rules
    assert row.verdict is Verdict.HOLDS, row.note
    (row,) = verdict_on(_WritesMore(CoreCoordinator(DECLARED)), only("R31")).rules
    assert row.verdict is Verdict.BROKEN
    assert '/hints: null -> {"threads": 3}' in row.note


class _ChangesACount(CoreAdapter):
    """A late report of an ended query changes what no line of its status shows."""

    late = 0

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        status = super().status(task.query_id)
        self.late += isinstance(status, StatusView) and status.state.terminal
        return super().report(task, state, message)

    def status(self, query_id: str) -> StatusView | Refusal:
        status = super().status(query_id)
        if isinstance(status, Refusal) or not self.late or not status.stages:
            return status
        stages = (attrs.evolve(status.stages[0], failed_tasks=self.late), *status.stages[1:])
        return attrs.evolve(status, stages=stages)


def test_the_evidence_says_what_has_changed() -> None:
    report = verdict_on(_ChangesACount(CoreCoordinator(DECLARED)), only("R4"))
    broken = {row.rule: row.note for row in report.broken}
    assert re.search(r"changed its stages \[0\]: failed_tasks \d+ -> \d+$", broken["R4"]), broken
