"""Who was to blame for what failed, and where its task may run next (R17, R19)."""

from __future__ import annotations

import attrs

from ffq.core.records import AttemptRecord, QueryRecord, StageRecord
from ffq.core.state import SchedulingState
from ffq.ids import AttemptKey, TaskKey, WorkerId
from ffq.messages import ErrorKind, ReportTaskStatus, TaskState
from tests.simulation.invariants import require

_Task = tuple[int, TaskKey]


def _task_of(query: QueryRecord, key: AttemptKey) -> _Task:
    return query.ordinal, key.task


def _lacks(report: ReportTaskStatus) -> bool:
    return report.kind in {ErrorKind.ENVIRONMENT, ErrorKind.EXTERNAL}


@attrs.define
class BlameAccount:
    """Of one life of the coordinator.

    `_reported`: the last report, where it said that a worker lacks something. `_ended`: attempts
    that ended with the message being looked at, by the worker that ran them; `_going_on`: tasks of
    which another attempt still ran then, so that nothing of it is theirs.
    """

    _suspects: set[_Task] = attrs.field(factory=set)
    _avoided: dict[_Task, set[WorkerId]] = attrs.field(factory=dict)
    _reported: AttemptKey | None = None
    _ended: dict[WorkerId, list[tuple[_Task, str]]] = attrs.field(factory=dict)
    _going_on: set[_Task] = attrs.field(factory=set)

    def note(self, message: object) -> None:
        """A message was handled; `ended` and `assigned` follow, and then `settle`."""
        self._ended.clear()
        self._going_on.clear()
        self._reported = None
        if isinstance(message, ReportTaskStatus) and _lacks(message):
            self._reported = message.key

    def ended(self, query: QueryRecord, attempt: AttemptRecord) -> None:
        """An attempt has ended."""
        task = _task_of(query, attempt.key)
        if attempt.state is TaskState.SUCCEEDED:
            self._suspects.discard(task)
            self._avoided.pop(task, None)
            return
        self._ended.setdefault(attempt.worker_id, []).append((task, attempt.message))
        beside = query.stages[attempt.key.stage_id].tasks[attempt.key.task_id].attempts
        if any(each.state is TaskState.RUNNING for each in beside):
            self._going_on.add(task)
            if attempt.speculative:
                return
        if attempt.key == self._reported:
            self._avoided.setdefault(task, set()).add(attempt.worker_id)

    def assigned(
        self, state: SchedulingState, query: QueryRecord, stage: StageRecord, attempt: AttemptRecord
    ) -> None:
        """Whether the attempt may run where it was sent. Raises Violation."""
        task = _task_of(query, attempt.key)
        live = state.workers.live.get(attempt.worker_id)
        beside = [] if live is None else [key for key in live.running if key != attempt.key]
        if task in self._suspects:
            others = [
                key
                for key in beside
                if _task_of(state.queries[key.query_id], key) in self._suspects
            ]
            found = f"{attempt.key} is a suspect, as is {others} on {attempt.worker_id}"
            require("suspects-run-apart", not others, found)
        avoided = self._avoided.get(task, set())
        if attempt.worker_id in avoided:
            ready_at_ms = stage.tasks[attempt.key.task_id].ready_at_ms
            waits_ms = attempt.assigned_at_ms - ready_at_ms
            left_alone = waits_ms > state.settings.worker_liveness_timeout_ms
            better = [
                worker_id
                for worker_id, worker in state.workers.live.items()
                if worker_id not in avoided
                and worker.profile is not None
                and state.ready.is_met(worker.profile, stage.requirement)
                and not state.workers.is_excluded(worker, attempt.assigned_at_ms)
                and (worker.running or not left_alone)
            ]
            found = f"{attempt.key} failed on {attempt.worker_id} before; {better} could take it"
            require("lack-sends-elsewhere", not better, found)

    def settle(self, state: SchedulingState) -> None:
        """Who was lost alone, and who in company. Raises Violation."""
        for worker_id, ended in self._ended.items():
            lost = f"worker lost: {worker_id}: "
            if not any(message.startswith(lost) for _, message in ended):
                continue
            for query in state.queries.values():
                failed = query.message.startswith(lost) and " failed " in query.message
                if failed and any(task[0] == query.ordinal for task, _ in ended):
                    found = f"{query.query_id} FAILED as {worker_id} was lost with {ended}"
                    require("fails-by-lone-loss", len(ended) == 1, found)
            if len(ended) > 1:
                self._suspects.update(task for task, _ in ended if task not in self._going_on)
        self._ended.clear()
        self._going_on.clear()
