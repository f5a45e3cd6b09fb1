"""Looks at the coordinator's machines after every message that an actor has handled.

What it compares them with is its own account of the messages, kept as simply as can be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ffq.core.records import AttemptRecord, QueryRecord, StageRecord, TaskRecord
from ffq.errors import FfqError, InvariantViolated
from ffq.ids import AttemptKey, QueryId, WorkerId
from ffq.messages import (
    CancelQuery,
    ConfirmHeartbeat,
    GetQueryStatus,
    QueryState,
    RecordEvidence,
    RecordHeartbeat,
    ReportTaskStatus,
    SweepStaleWorkers,
    TaskState,
    WorkerChanged,
    WorkerLost,
)
from ffq.runtime import Hooks
from ffq.testing.invariants import Violation
from tests.simulation.fairness import Fairness
from tests.simulation.invariants import violation
from tests.simulation.machines import Machines
from tests.simulation.settings import COORDINATOR_SETTINGS
from tests.simulation.trace import Trace

SETTINGS = COORDINATOR_SETTINGS
SWEEP_SLACK_MS = 1_500
"""How late a stale worker may be found: the sweep's period, and its way through mailboxes."""

Inputs = dict[tuple[int, int], int]


@attrs.define
class _Seen:
    """A worker's last sign of life, by the coordinator's clock."""

    at_ms: int
    incarnation: int
    capabilities: frozenset[str] = frozenset()


def _require(name: str, holds: bool, detail: str) -> None:
    if not holds:
        raise violation(name, detail)


class Monitor(Hooks):
    """The account of one life of the coordinator. `committed`: inputs as of each assignment."""

    def __init__(self, trace: Trace, now_ms: Callable[[], int]) -> None:
        self.machines: Machines | None = None
        self.committed: dict[AttemptKey, Inputs] = {}
        self._trace = trace
        self._now_ms = now_ms
        self._seen: dict[WorkerId, _Seen] = {}
        self._attempts: dict[tuple[int, AttemptKey], TaskState] = {}
        self._listed_ms: dict[AttemptKey, int] = {}
        self._ended: dict[tuple[QueryId, int], tuple[object, ...]] = {}
        self._canceled: set[QueryId] = set()
        self._fingerprint: tuple[object, ...] = ()
        self._fairness = Fairness()
        self._assigned: list[AttemptRecord] = []
        self._unsure: set[WorkerId] = set()
        self._doomed: tuple[str, int] | None = None

    def message_handled(self, path: str, message: Any, error: BaseException | None) -> None:
        """Check everything that can have changed."""
        if self.machines is None or self._trace.violation is not None:
            return
        try:
            self._account(message, error)
            bug = error is not None and not isinstance(error, FfqError)
            if bug:
                self._check_after_bug(path)
            if self._doomed is None:
                # What the message should have done, it need not have done after a bug.
                self._check_done(message if not bug else None)
                self._check(path, message)
            elif self._doomed[0] == path:
                self._check_stops(path)
        except Violation as found:
            self._trace.fail(found)
        except InvariantViolated as found:
            self._trace.fail(violation("books-are-consistent", found.message))

    # --- the account -------------------------------------------------------------------------

    def _account(self, message: object, error: BaseException | None) -> None:
        """What ended in a bug may have been done, or not."""
        self._trace.steps += 1
        match message:
            case RecordHeartbeat():
                beat = message.beat
                if error is None:
                    self._see(beat.worker_id, beat.incarnation, beat.capabilities)
                else:
                    self._unsure.add(beat.worker_id)
            case RecordEvidence():
                if error is not None:
                    self._unsure.add(message.worker_id)
                elif message.register or message.worker_id in self._seen:
                    self._see(message.worker_id, message.incarnation, None)
            case CancelQuery():
                self._canceled.add(message.query_id)
            case ConfirmHeartbeat() if message.running_attempts is not None:
                for key in message.running_attempts:
                    self._listed_ms[key] = self._now_ms()

    def _see(
        self, worker_id: WorkerId, incarnation: int, capabilities: frozenset[str] | None
    ) -> None:
        self._unsure.discard(worker_id)
        known = self._seen.get(worker_id)
        now_ms = self._now_ms()
        stale = known is not None and now_ms - known.at_ms > SETTINGS.worker_liveness_timeout_ms
        if known is None or incarnation > known.incarnation:
            self._seen[worker_id] = _Seen(now_ms, incarnation, capabilities or frozenset())
            return
        if incarnation < known.incarnation:
            if stale:
                self._seen[worker_id] = _Seen(now_ms, incarnation, capabilities or frozenset())
            return
        known.at_ms = now_ms
        if capabilities is not None:
            known.capabilities = capabilities

    # --- after a bug -------------------------------------------------------------------------

    def _check_after_bug(self, path: str) -> None:
        """A machine that is not consistent any more is to end, and all with it."""
        assert self.machines is not None
        self._fairness = Fairness()
        try:
            self.machines.at(path).validate_state()
        except InvariantViolated as broken:
            self._trace.note(f"{path} has to end: {broken.message}")
            if self._doomed is None:
                self._doomed = path, self._now_ms()

    def _check_stops(self, path: str) -> None:
        assert self._doomed is not None
        _require(
            "inconsistent-stops",
            self._now_ms() <= self._doomed[1],
            f"{path} serves on, {self._now_ms() - self._doomed[1]} ms after its books were broken",
        )

    # --- after each step ---------------------------------------------------------------------

    def _check_done(self, message: object) -> None:
        """What a message must have done."""
        match message:
            case SweepStaleWorkers():
                self._check_swept(message.sent_at_ms)
            case WorkerLost():
                self._check_lost(message)
            case ConfirmHeartbeat():
                self._check_leases(message.worker_id)
            case WorkerChanged():
                self._check_replaced(message)

    def _check(self, path: str, message: object) -> None:
        assert self.machines is not None
        if isinstance(message, GetQueryStatus):
            return
        if path != "/scheduling":
            self.machines.at(path).validate_state()
            return
        state = self.machines.state
        fingerprint = (
            state.version,
            state.submissions,
            len(state.finished),
            len(state.expired),
            state.output_partitions,
            state.active_result_bytes,
            tuple(len(query.running) for query in state.queries.values()),
        )
        if fingerprint == self._fingerprint and not isinstance(message, ReportTaskStatus):
            return
        self._fingerprint = fingerprint
        self._assigned.clear()
        for query in state.queries.values():
            self._check_query(query)
        self._fairness.check(state, self._assigned)
        self.machines.scheduling.validate_state()

    def _check_query(self, query: QueryRecord) -> None:
        name = (query.query_id, query.ordinal)
        for stage in query.stages:
            for task in stage.tasks:
                self._check_task(query, stage, task)
        if not query.state.terminal:
            _require(
                "terminal-is-final",
                name not in self._ended,
                f"query {query.query_id} was {self._ended.get(name)}, is {query.state.name}",
            )
            return
        stands = (query.state.name, query.finished_at_ms, query.message)
        if name not in self._ended:
            self._ended[name] = stands
            self._trace.note(f"query {query.query_id} {query.state.name} {query.message}".rstrip())
            self._check_ending(query)
        _require(
            "terminal-is-final",
            self._ended[name] == stands,
            f"query {query.query_id} was {self._ended[name]}, is {stands}",
        )

    def _check_ending(self, query: QueryRecord) -> None:
        assert self.machines is not None
        if query.state is QueryState.CANCELED:
            known = query.query_id in self._canceled
            _require("ends-only-for-cause", known, f"nobody canceled query {query.query_id}")
        if query.state is QueryState.FAILED:
            self._check_failing(query)
        if query.state is not QueryState.SUCCEEDED:
            return
        for stage in query.stages:
            for task in stage.tasks:
                newest = task.attempts[-1] if task.attempts else None
                _require(
                    "success-needs-everything",
                    newest is not None and newest.state is TaskState.SUCCEEDED,
                    f"query {query.query_id} SUCCEEDED; stage {stage.stage_id}, task "
                    f"{task.task_id} has {newest}",
                )
                if stage.is_sink and newest is not None:
                    held = self.machines.has_result(newest.key)
                    _require("success-implies-result", held, f"{newest.key} has no result")

    def _check_failing(self, query: QueryRecord) -> None:
        """Nothing in a simulation fails a query but a task that was tried too often."""
        tried = [len(task.attempts) for stage in query.stages for task in stage.tasks]
        _require(
            "failed-within-budget",
            max(tried, default=0) >= SETTINGS.max_task_attempts,
            f"query {query.query_id} FAILED ({query.message}); its tasks had {tried} attempts",
        )

    def _check_task(self, query: QueryRecord, stage: StageRecord, task: TaskRecord) -> None:
        for position, attempt in enumerate(task.attempts):
            _require(
                "attempts-gapless",
                attempt.key.attempt == position + 1,
                f"{attempt.key} is attempt number {position + 1} of its task",
            )
            before = self._attempts.get((query.ordinal, attempt.key))
            if before is None:
                self._check_assigned(query, stage, task, attempt)
            if before is not attempt.state:
                self._check_change(query, stage, attempt, before)
            if attempt.state is TaskState.RUNNING:
                _require(
                    "no-work-after-end",
                    not query.state.terminal,
                    f"{attempt.key} runs, its query is {query.state.name}",
                )
                _require("single-commit", attempt is task.attempts[-1], f"{attempt.key} is old")

    def _check_change(
        self,
        query: QueryRecord,
        stage: StageRecord,
        attempt: AttemptRecord,
        before: TaskState | None,
    ) -> None:
        assert self.machines is not None
        self._attempts[query.ordinal, attempt.key] = attempt.state
        if attempt.state is TaskState.RUNNING:
            _require("assigned-once", before is None, f"{attempt.key} was {before} already")
            return
        self._trace.note(
            f"{attempt.key} {attempt.state.name} on {attempt.worker_id} {attempt.message}".rstrip()
        )
        _require(
            "foreign-report-ignored",
            before in {None, TaskState.RUNNING},
            f"{attempt.key} was {before}, is {attempt.state}",
        )
        if attempt.state is TaskState.SUCCEEDED:
            live = self.machines.state.workers.live.get(attempt.worker_id)
            failures = 0 if live is None else live.standing.failures
            _require(
                "success-clears-count",
                failures == 0,
                f"{attempt.key} succeeded on {attempt.worker_id}, which counts {failures} failures",
            )
        if attempt.state is TaskState.SUCCEEDED and not stage.is_sink and not query.state.terminal:
            held = self.machines.has_output(attempt.key)
            _require("commit-implies-output", held, f"{attempt.key} has registered nothing")

    def _check_assigned(
        self, query: QueryRecord, stage: StageRecord, task: TaskRecord, attempt: AttemptRecord
    ) -> None:
        assert self.machines is not None
        self._listed_ms[attempt.key] = self._now_ms()
        self._assigned.append(attempt)
        worker_id, key = attempt.worker_id, attempt.key
        self._trace.note(f"{key} goes to {worker_id}")
        seen = self._seen.get(worker_id)
        operators = stage.plan.operators
        _require(
            "operator-placement",
            seen is not None and operators <= seen.capabilities,
            f"{key} needs {sorted(operators)}, {worker_id} has {seen}",
        )
        live = self.machines.state.workers.live.get(worker_id)
        load = 0 if live is None else len(live.running)
        limit = SETTINGS.max_concurrent_tasks_per_worker
        _require("worker-limit", load <= limit, f"{worker_id} runs {load} attempts, {key} is new")
        limit = SETTINGS.max_concurrent_tasks_per_query
        load = len(query.running)
        _require("query-limit", load <= limit, f"{query.query_id} runs {load} attempts")
        for other in task.attempts[:-1]:
            _require(
                "assigned-once",
                other.state is not TaskState.RUNNING,
                f"{key} was assigned while {other.key} runs",
            )
        inputs: Inputs = {}
        for parent_id in stage.parents:
            for map_task in query.stages[parent_id].tasks:
                newest = map_task.attempts[-1] if map_task.attempts else None
                _require(
                    "barrier",
                    newest is not None and newest.state is TaskState.SUCCEEDED,
                    f"{key} was assigned; it reads stage {parent_id}, of which task "
                    f"{map_task.task_id} is not committed",
                )
                assert newest is not None
                inputs[parent_id, map_task.task_id] = newest.key.attempt
            _require(
                "barrier",
                bool(query.stages[parent_id].tasks),
                f"{key} was assigned; it reads stage {parent_id}, which has not begun",
            )
        self.committed[key] = inputs

    # --- liveness ----------------------------------------------------------------------------

    def _check_swept(self, sent_at_ms: int) -> None:
        """Nobody silent for longer than the timeout is left (R19)."""
        assert self.machines is not None
        timeout_ms = SETTINGS.worker_liveness_timeout_ms
        for worker_id, seen in list(self._seen.items()):
            if worker_id in self._unsure:
                continue
            live = self.machines.state.workers.live.get(worker_id)
            if sent_at_ms - seen.at_ms <= timeout_ms:
                continue
            _require(
                "lost-work-is-requeued",
                live is None,
                f"{worker_id} is silent for {sent_at_ms - seen.at_ms} ms and still counted as live",
            )
            del self._seen[worker_id]

    def _check_lost(self, message: WorkerLost) -> None:
        """Nobody is taken for dead who is not (R20)."""
        seen = self._seen.get(message.worker_id)
        if seen is None or not message.reason.startswith("silent"):
            return
        silent_ms = self._now_ms() - seen.at_ms
        _require(
            "beating-worker-kept",
            silent_ms > SETTINGS.worker_liveness_timeout_ms,
            f"{message.worker_id} was lost ({message.reason}) {silent_ms} ms after a sign of life",
        )

    def _check_replaced(self, message: WorkerChanged) -> None:
        """A restarted worker runs nothing of what the old one ran (part 3)."""
        assert self.machines is not None
        live = self.machines.state.workers.live.get(message.worker_id)
        for attempt in live.running.values() if live is not None else ():
            _require(
                "restart-is-loss",
                attempt.incarnation == message.incarnation,
                f"{attempt.key} runs in incarnation {attempt.incarnation} of {message.worker_id}, "
                f"which is in incarnation {message.incarnation}",
            )

    def _check_leases(self, worker_id: WorkerId) -> None:
        """What a worker does not list is not left with it for ever."""
        assert self.machines is not None
        live = self.machines.state.workers.live.get(worker_id)
        for key in live.running if live is not None else ():
            idle_ms = self._now_ms() - self._listed_ms.get(key, self._now_ms())
            _require(
                "lease-is-collected",
                idle_ms <= SETTINGS.assignment_lease_ms,
                f"{worker_id} beats but has not listed {key} for {idle_ms} ms",
            )

    def nothing_outlives(self) -> None:
        """Every running attempt is with a worker that has been heard of in time.

        Raises Violation.
        """
        if self.machines is None or self._doomed is not None:
            return
        limit_ms = SETTINGS.worker_liveness_timeout_ms + SWEEP_SLACK_MS
        for worker_id, live in self.machines.state.workers.live.items():
            if worker_id in self._unsure:
                continue
            seen = self._seen.get(worker_id)
            silent_ms = None if seen is None else self._now_ms() - seen.at_ms
            _require(
                "nothing-outlives-its-worker",
                silent_ms is not None and silent_ms <= limit_ms,
                f"{worker_id} has not been heard of for {silent_ms} ms and holds "
                f"{len(live.running)} attempts",
            )
