"""Breaks of what counts, retries and loss (R13 to R19, lost outputs, leases)."""

from __future__ import annotations

from typing import Any

from ffq.core import membership, placement, recovery, reporting
from ffq.core.records import TaskRecord
from ffq.core.settings import CoordinatorSettings
from ffq.core.speculation import begin_rival
from ffq.core.state import Located
from ffq.core.tasks import (
    commit,
    fail_charged,
    fail_elsewhere,
    fail_suspected,
    queue_task,
    queue_uncharged,
)
from ffq.messages import TaskState
from ffq.worker.attempt import AttemptRun
from tests.mutants.registry import mutant
from tests.mutants.ways import Original, replace_reports
from tests.surgery import Surgeon


@mutant(
    "success-without-output", "R22", "SUCCEEDED counts without a registered output", "simulation"
)
def _(surgeon: Surgeon) -> None:
    original = reporting._succeeded

    def broken(core: Any, at: Any, now_ms: int) -> None:
        if at.stage.is_sink:
            original(core, at, now_ms)
        else:
            commit(core, at, now_ms)

    async def forgetful(self: Any, output: Any) -> None:
        """A worker that has this fault shows it: it registers no first attempt."""
        if self.assignment.key.attempt > 1:
            await register(self, output)

    register = AttemptRun._register
    surgeon.replace(reporting, "_succeeded", broken)
    surgeon.replace(AttemptRun, "_register", forgetful)


@mutant("unfinished-output-commits", "R22", "an output with unfinished partitions is committed")
def _(surgeon: Surgeon) -> None:
    original = reporting._succeeded

    def broken(core: Any, at: Any, now_ms: int) -> None:
        if at.attempt.output is not None:
            at.attempt.output.unfinished = 0
        original(core, at, now_ms)

    surgeon.replace(reporting, "_succeeded", broken)


@mutant("layout-not-checked", "R13", "a report under another layout counts")
def _(surgeon: Surgeon) -> None:
    original = reporting._counts

    def broken(at: Any, layout: Any, worker_id: Any, incarnation: int) -> bool:
        del layout
        return original(at, None, worker_id, incarnation)

    surgeon.replace(reporting, "_counts", broken)


@mutant("old-attempt-counts", "R13", "a report of an old attempt counts for the newest one")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, report: Any, now_ms: int, original: Original) -> None:
        at = core.locate(report.key)
        newest = at.task.attempts[-1]
        if newest is not at.attempt and newest.state is TaskState.RUNNING:
            located = Located(at.query, at.stage, at.task, newest)
            if report.state is TaskState.SUCCEEDED:
                commit(core, located, now_ms)
            elif report.state is TaskState.FAILED:
                fail_charged(core, located, report.message, now_ms, blame=True)
        original()

    replace_reports(surgeon, broken)


@mutant(
    "success-commits-another", "R13", "a success commits another running attempt too", "simulation"
)
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, report: Any, now_ms: int, original: Original) -> None:
        query = core.query(report.key.query_id)
        if original() and report.state is TaskState.SUCCEEDED:
            for attempt in list(query.running.values())[:1]:
                commit(core, core.locate(attempt.key), now_ms)

    replace_reports(surgeon, broken)


@mutant("both-commit", "R13", "of two attempts of a task both are committed", "simulation")
def _(surgeon: Surgeon) -> None:
    original = TaskRecord.running

    class Blind:
        """The first of two that succeeds does not see the other, which then succeeds as well."""

        def __get__(self, task: Any, _: Any = None) -> Any:
            return () if task.state is TaskState.SUCCEEDED else original.__get__(task)

    surgeon.replace(TaskRecord, "running", Blind())


@mutant(
    "ever-more-attempts",
    "R13",
    "a slow task gets one second attempt after another",
    "simulation",
)
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, found: Any) -> None:
        begin_rival(core, found)
        found.task.speculated = False

    surgeon.replace_everywhere(begin_rival, broken)


@mutant(
    "second-failure-is-charged",
    "R13",
    "a second attempt that fails charges its task",
    "simulation",
    seed=300,
)
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, message: str, now_ms: int, **how: Any) -> None:
        at.attempt.speculative = False
        fail_charged(core, at, message, now_ms, **how)

    surgeon.replace_everywhere(fail_charged, broken)


@mutant("one-try-more", "R14", "a task fails once more than its budget")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, message: str, now_ms: int, **how: Any) -> None:
        if at.task.failures + 1 == core.settings.max_task_attempts and not at.task.uncharged:
            at.task.failures -= 1
            at.task.uncharged = 1
        fail_charged(core, at, message, now_ms, **how)

    surgeon.replace_everywhere(fail_charged, broken)


@mutant("no-second-try", "R14", "the first failure of a task ends its query")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, message: str, now_ms: int, **how: Any) -> None:
        at.task.failures = core.settings.max_task_attempts - 1
        fail_charged(core, at, message, now_ms, **how)

    surgeon.replace_everywhere(fail_charged, broken)


@mutant("no-backoff", "R14", "a failed attempt is tried again at once")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, query: Any, stage: Any, task: Any, ready_at_ms: int, now_ms: int) -> None:
        del ready_at_ms
        queue_task(core, query, stage, task, now_ms, now_ms)

    surgeon.replace_everywhere(queue_task, broken)


@mutant("backoff-does-not-grow", "R14", "every retry waits the same time")
def _(surgeon: Surgeon) -> None:
    surgeon.replace(
        CoordinatorSettings,
        "retry_delay_ms",
        lambda self, _failures: self.retry_backoff_base_ms,
    )


@mutant("success-keeps-count", "R15", "a success does not clear its worker's failures")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, now_ms: int) -> None:
        standing = core.workers.live[at.attempt.worker_id].standing
        failures = standing.failures
        commit(core, at, now_ms)
        standing.failures = failures

    surgeon.replace_everywhere(commit, broken)


@mutant("nobody-is-blamed", "R16", "failures never exclude a worker")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, message: str, now_ms: int, **how: Any) -> None:
        fail_charged(core, at, message, now_ms, **{**how, "blame": False})

    surgeon.replace_everywhere(fail_charged, broken)


@mutant("excluded-never-stale", "R19", "the sweep skips excluded workers")
def _(surgeon: Surgeon) -> None:
    original = recovery.lose_worker

    def broken(core: Any, worker_id: Any, reason: str, now_ms: int) -> None:
        worker = core.workers.live.get(worker_id)
        if worker is None or not core.workers.is_excluded(worker, now_ms):
            original(core, worker_id, reason, now_ms)

    surgeon.replace_everywhere(original, broken)


@mutant("lost-work-stays", "R19", "a lost worker's attempts are not queued again")
def _(surgeon: Surgeon) -> None:
    original = recovery.lose_worker

    def broken(core: Any, worker_id: Any, reason: str, now_ms: int) -> None:
        worker = core.workers.live.get(worker_id)
        if worker is None or not worker.running:
            original(core, worker_id, reason, now_ms)

    surgeon.replace_everywhere(original, broken)


@mutant("lease-never-lapses", "R19", "a lost GetTask answer leaves its task running", "simulation")
def _(surgeon: Surgeon) -> None:
    surgeon.replace(membership, "_check_leases", lambda *_: None)


@mutant("lost-output-stays", "R22", "a lost output is not made again", "simulation")
def _(surgeon: Surgeon) -> None:
    surgeon.replace_everywhere(recovery.lose_input, lambda *_: None)


@mutant(
    "two-runs-are-mixed",
    "R25",
    "readers of one run are kept beside those of another",
    "simulation",
    seed=80,
)
def _(surgeon: Surgeon) -> None:
    surgeon.replace(recovery, "_restart_consumers", lambda *_: None)


@mutant("lost-output-charged", "R14", "a lost output ends its query at once", "simulation")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, message: str, now_ms: int, *, delay: bool = False) -> None:
        at.task.uncharged = core.settings.max_uncharged_retries_per_stage
        queue_uncharged(core, at, message, now_ms, delay=delay)

    surgeon.replace_everywhere(queue_uncharged, broken)


@mutant("company-is-charged", "R19", "all that ran on a lost worker is charged", "simulation")
def _(surgeon: Surgeon) -> None:
    def broken(core: Any, at: Any, message: str, now_ms: int) -> None:
        fail_charged(core, at, message, now_ms, blame=False)

    surgeon.replace_everywhere(fail_suspected, broken)


@mutant("suspects-together", "R19", "a worker is given several suspects", "simulation")
def _(surgeon: Surgeon) -> None:
    surgeon.replace_everywhere(placement.runs_suspect, lambda _worker: False)


@mutant(
    "lack-is-forgotten", "R17", "a task is retried on the worker whose disk is full", "simulation"
)
def _(surgeon: Surgeon) -> None:
    surgeon.replace_everywhere(fail_elsewhere, fail_charged)
