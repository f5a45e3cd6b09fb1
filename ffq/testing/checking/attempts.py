"""Checking what workers send: heartbeats, reports, map outputs, results (R13 to R23)."""

from __future__ import annotations

import attrs

from ffq.testing.checking.refusals import is_overload, require_answer
from ffq.testing.invariants import CheckLog
from ffq.testing.model import AttemptBelief, Course, QueryBelief, Span, TaskBelief, Truth, World
from ffq.testing.wire import OutputPartition, QueryState, Refusal, TaskState, TaskView


@attrs.define
class AttemptChecker:
    world: World
    log: CheckLog

    def beaten(
        self, now: Span, worker_id: str, capabilities: frozenset[str], reply: bool | Refusal
    ) -> None:
        """A heartbeat was answered (R18, R21)."""
        if is_overload(self.log, reply):
            return
        require_answer(self.log, reply, f"Heartbeat({worker_id})")
        worker = self.world.introduce(worker_id, now, "Heartbeat", capabilities)
        if worker.excluded is Truth.MAYBE:
            if reply:
                worker.let_back_in()
            else:
                worker.excluded = Truth.YES
            return
        accepted = worker.excluded is Truth.NO
        name = "accepted-is-told"
        if worker.most or worker.was_excluded:
            name = "excluded-at-threshold"
        if accepted and worker.was_praised:
            name = "success-clears-count"
        if accepted and worker.was_excluded:
            name = "exclusion-ends"
        self.log.require(
            name,
            reply is accepted,
            f"{worker_id} has {worker.most} failures in a row and is "
            f"{'not ' if accepted else ''}excluded; its beat was answered accepted={reply}",
        )

    # --- reports -----------------------------------------------------------------------------

    def reported(
        self, now: Span, task: TaskView, state: TaskState, message: str, reply: Refusal | None
    ) -> None:
        """ReportTaskStatus was answered."""
        attempt = self._about(now, task, reply, "ReportTaskStatus")
        if attempt is None or not self._counts(attempt, task):
            return
        query = self.world.queries[task.query_id]
        belief = query.tasks[task.stage_id]
        surely = attempt.course is Course.RUNNING and not query.vague
        if not surely and state is not TaskState.RUNNING:
            query.lose_track()
        match state:
            case TaskState.FAILED:
                self._failed(now, query, belief, message, surely=surely)
            case TaskState.SUCCEEDED:
                self._succeeded(now, query, belief, surely=surely)
            case _:
                pass

    def inert(self, task: TaskView) -> str | None:
        """The check that a call about this attempt, which changes nothing, puts to the test."""
        query = self.world.queries.get(task.query_id)
        attempt = self.world.attempt(task)
        if query is None or query.vague or attempt is None:
            return None
        if not query.active:
            return "terminal-is-final"
        if attempt.course is Course.MAYBE_LOST:
            return None
        if attempt.course is Course.RUNNING:
            return None if self._counts(attempt, task) else "foreign-report-ignored"
        newest = query.tasks[task.stage_id].newest
        return "duplicate-changes-nothing" if attempt is newest else "foreign-report-ignored"

    def _about(self, now: Span, task: TaskView, reply: object, what: str) -> AttemptBelief | None:
        """The attempt a call is about; checks whether it had to be answered (R13, R4)."""
        if is_overload(self.log, reply):
            return None
        attempt = self.world.attempt(task)
        if attempt is None:
            self.log.require(
                "never-assigned-refused",
                isinstance(reply, Refusal) and reply.code == "NOT_FOUND",
                f"{what} of {task}, which was never assigned, was answered {reply}",
            )
            return None
        self.log.require(
            "late-call-acknowledged",
            reply is None,
            f"{what} of {task} ({attempt.course.value}) was refused: {reply}",
        )
        current = attempt.course is Course.RUNNING and self._counts(attempt, task)
        self._note_survival(now, attempt)
        self.world.hear(attempt.worker_id, now, what, surely=current)
        return attempt

    def _note_survival(self, now: Span, attempt: AttemptBelief) -> None:
        """An attempt that ran for longer than the timeout put liveness to the test (R18, R20)."""
        timeout = self.world.declared.worker_liveness_timeout_ms
        if attempt.course is Course.RUNNING and now.lo - attempt.assigned.hi > timeout:
            beats = self.world.workers[attempt.worker_id].heard_by == "Heartbeat"
            kept = "beating-worker-kept" if beats else "evidence-keeps-alive"
            self.log.require(kept, True, "")

    def _counts(self, attempt: AttemptBelief, task: TaskView) -> bool:
        """Whether a call about it changes anything: current, and under its layout (R13)."""
        assigned = attempt.task
        echoed = (task.layout_version, task.layout_fingerprint) == (
            assigned.layout_version,
            assigned.layout_fingerprint,
        )
        return attempt.is_open and echoed

    def _failed(
        self, now: Span, query: QueryBelief, task: TaskBelief, message: str, *, surely: bool
    ) -> None:
        attempt = task.attempts[-1]
        self.world.blame(attempt.worker_id, now, surely=surely)
        if surely:
            attempt.course = Course.FAILED
            self.world.charge(query, task, now, message)

    def _succeeded(self, now: Span, query: QueryBelief, task: TaskBelief, *, surely: bool) -> None:
        attempt = task.attempts[-1]
        if task is query.sink and attempt.result is None:
            if query.stray_result:
                query.lose_track()
                surely = False
            if surely:
                self._failed_for_lack(now, query, task, "sink-needs-result")
                return
        unfinished = [each for each in attempt.outputs.values() if not each.finalized]
        if task is not query.sink and unfinished and surely:
            if self.world.declared.incomplete_output_fails:
                self._failed_for_lack(now, query, task, "incomplete-output-fails")
                return
            query.lose_track()
            surely = False
        if not surely:
            # It may as well have failed.
            self.world.blame(attempt.worker_id, now, surely=False)
        self.world.praise(attempt.worker_id, surely=surely)
        if surely:
            self._committed(now, query, task)

    def _failed_for_lack(self, now: Span, query: QueryBelief, task: TaskBelief, check: str) -> None:
        """SUCCEEDED without what makes a success: FAILED, with the coordinator's own words."""
        self.log.require(check, True, "")
        attempt = task.attempts[-1]
        attempt.course = Course.FAILED
        attempt.fell_short = True
        self.world.blame(attempt.worker_id, now, surely=False)
        self.world.charge(query, task, now, None)

    def _committed(self, now: Span, query: QueryBelief, task: TaskBelief) -> None:
        attempt = task.attempts[-1]
        attempt.course = Course.SUCCEEDED
        task.suspect = False
        if task is not query.sink and not attempt.outputs:
            self.log.require("unregistered-is-empty", True, "")
        for other in query.tasks:
            if task.stage_id in other.shape.parents:
                other.ready = now
        if all(each.committed is not None for each in query.tasks):
            query.end(QueryState.SUCCEEDED)

    # --- outputs and results -----------------------------------------------------------------

    def registered(
        self,
        now: Span,
        task: TaskView,
        partitions: tuple[OutputPartition, ...],
        reply: Refusal | None,
    ) -> None:
        """RegisterMapOutput was answered: calls merge by reduce partition (R22)."""
        attempt = self._about(now, task, reply, "RegisterMapOutput")
        if attempt is None:
            return
        if attempt.course is Course.SUCCEEDED:
            self._registered_late(attempt, partitions)
        elif self._counts(attempt, task):
            for partition in partitions:
                known = attempt.outputs.get(partition.reduce_partition)
                attempt.outputs[partition.reduce_partition] = _merged(known, partition)

    def _registered_late(
        self, attempt: AttemptBelief, partitions: tuple[OutputPartition, ...]
    ) -> None:
        """After its commit: whether an output still grows then is not said."""
        for partition in partitions:
            known = attempt.outputs.get(partition.reduce_partition)
            if known is None or _order(partition) > _order(known):
                attempt.outputs_known = False

    def uploaded(self, query_id: str, payload: bytes, reply: Refusal | None) -> None:
        """RegisterQueryResults was answered: it belongs to the sink attempt that runs (R26)."""
        if is_overload(self.log, reply):
            return
        query = self.world.queries.get(query_id)
        if query is None:
            self.log.require(
                "unknown-query-refused",
                isinstance(reply, Refusal) and reply.code == "NOT_FOUND",
                f"a result of {query_id}, never submitted, was answered {reply}",
            )
            return
        newest = query.sink.newest
        if newest is not None and newest.is_open:
            require_answer(self.log, reply, f"RegisterQueryResults({query_id})")
            newest.result = payload
            return
        # Before any sink attempt was assigned, an upload is not late but groundless.
        early = query.active or newest is None
        declined = isinstance(reply, Refusal) and reply.code in {
            "FAILED_PRECONDITION",
            "NOT_FOUND",
        }
        self.log.require(
            "late-call-acknowledged",
            reply is None or (early and declined),
            f"a late result of {query_id} ({query.state.name}) was answered {reply}",
        )
        if query.active and reply is None:
            query.stray_result = True


def _merged(known: OutputPartition | None, new: OutputPartition) -> OutputPartition:
    """The one further on; of two equally far the complete one, whichever came first (R22)."""
    if known is None or _order(new) > _order(known):
        return new
    if _order(new) == _order(known) and not known.finalized:
        return new
    return known


def _order(partition: OutputPartition) -> tuple[int, int]:
    return partition.stream_epoch, partition.committed_offset
