"""Checking what workers are given: GetTask, and what it should have held (R6 to R12, R31)."""

from __future__ import annotations

import json

import attrs

from ffq.testing import checks
from ffq.testing.checking.refusals import is_overload, require_answer
from ffq.testing.checks import Load
from ffq.testing.invariants import CheckLog
from ffq.testing.model import (
    AttemptBelief,
    Course,
    QueryBelief,
    Span,
    TaskBelief,
    Truth,
    WorkerBelief,
    World,
)
from ffq.testing.wire import QueryState, Refusal, TaskView, changes

_PATIENT_ROUNDS = 2
_NOTHING: tuple[object, ...] = (None, "", [], {})


@attrs.define
class AssignmentChecker:
    world: World
    log: CheckLog

    def pulled(
        self, now: Span, worker_id: str, capacity: int, reply: tuple[TaskView, ...] | Refusal
    ) -> None:
        """GetTask was answered."""
        if is_overload(self.log, reply):
            return
        require_answer(self.log, reply, f"GetTask({worker_id}, {capacity})")
        assert not isinstance(reply, Refusal)
        worker = self.world.introduce(worker_id, now, "GetTask")
        checks.within_capacity(self.log.require, capacity, reply)
        if not worker.has_beaten and any(
            task.shape.operators and task.is_queued for _, task in self.world.waiting()
        ):
            self.log.require("asking-grants-nothing", True, "")
        due = self._due(now, worker) if capacity else []
        for task in reply:
            self._assigned(now, worker, task)
        if due and not reply:
            self._withheld(worker, *due[0])
        self._check_turns(due, reply)

    # --- what was assigned -------------------------------------------------------------------

    def _assigned(self, now: Span, worker: WorkerBelief, view: TaskView) -> None:
        query = self.world.queries.get(view.query_id)
        known = query is not None and view.stage_id < len(query.tasks)
        self.log.require(
            "assigned-known-task", known, f"{view} is no task of a plan that was submitted"
        )
        assert query is not None
        self._check_shape(query, view)
        task = query.tasks[view.stage_id]
        self._check_number(task, view)
        checks.of_open_query(self.log.require, view, query.state)
        if not query.vague:
            self._check_retry(now, task, view)
            self._check_barrier(query, task, view)
        self._check_worker(worker, task, view)
        self._check_limits(worker, query, view)
        query.state = QueryState.RUNNING
        query.passed_over.clear()
        task.attempts.append(AttemptBelief(view, worker.worker_id, now))
        if worker.excluded is Truth.MAYBE:
            worker.let_back_in()

    def _check_shape(self, query: QueryBelief, view: TaskView) -> None:
        expected = query.shape.stages[view.stage_id].reduce_partitions
        self.log.require(
            "one-task-per-stage",
            view.task_id == 0
            and view.split_count == 1
            and (expected is None or tuple(sorted(view.reduce_partitions)) == expected),
            f"{view} has partitions {view.reduce_partitions} and split count "
            f"{view.split_count}; right is task 0 with {expected} and 1",
        )
        differs = "" if view.plan == query.shape.plan else _differs(query.shape.plan, view.plan)
        self.log.require(
            "whole-plan-is-sent",
            not differs,
            f"{view} carries another plan than was submitted: {differs}",
        )

    def _check_number(self, task: TaskBelief, view: TaskView) -> None:
        checks.numbered_on(self.log.require, view, view.attempt, len(task.attempts))
        budget = self.world.declared.max_task_attempts + task.spared
        self.log.require(
            "attempts-within-budget", view.attempt <= budget, f"{view}: the budget is {budget}"
        )

    def _check_retry(self, now: Span, task: TaskBelief, view: TaskView) -> None:
        newest = task.newest
        if newest is None:
            return
        is_bare = view.stage_id != 0 and not newest.outputs
        self.log.require(
            "unregistered-is-empty" if is_bare else "single-commit",
            newest.course is not Course.SUCCEEDED,
            f"{view} was assigned though {newest.task} was committed",
        )
        self._check_loss(newest, view)
        if newest.course is Course.MAYBE_LOST:
            query = self.world.queries[view.query_id]
            self.world.lose(query, task, newest, now)
        self.log.require(
            "not-before-backoff",
            now.hi >= task.ready.lo,
            f"{view} was assigned {task.ready.lo - now.hi} ms before its backoff was over, "
            f"after {task.failures} failures",
        )

    def _check_loss(self, newest: AttemptBelief, view: TaskView) -> None:
        holder = self.world.workers[newest.worker_id]
        name = "evidence-keeps-alive"
        if newest.course is not Course.RUNNING or holder.heard == newest.assigned:
            name = "not-lost-early"
        elif holder.heard_by == "Heartbeat":
            name = "beating-worker-kept"
        self.log.require(
            name,
            newest.course is not Course.RUNNING,
            f"{view} was assigned though {holder.worker_id} was alive and had reported nothing "
            f"about {newest.task}",
        )

    def _check_barrier(self, query: QueryBelief, task: TaskBelief, view: TaskView) -> None:
        for parent in task.shape.parents:
            newest = query.tasks[parent].newest
            lacks_output = newest is not None and newest.fell_short
            checks.barrier_open(
                self.log.require,
                view,
                parent,
                [query.tasks[parent].committed is not None],
                "incomplete-output-fails" if lacks_output else "",
            )

    def _check_worker(self, worker: WorkerBelief, task: TaskBelief, view: TaskView) -> None:
        self.log.require(
            "excluded-gets-nothing",
            worker.excluded is not Truth.YES,
            f"{view} was assigned to {worker.worker_id}, which is excluded",
        )
        needs = task.shape.operators
        if not needs:
            return
        name = "" if worker.has_beaten else "asking-grants-nothing"
        if needs <= worker.ever_had:
            name = "capabilities-are-replaced"
        checks.able(self.log.require, view, needs, worker.worker_id, worker.may_have, name)
        self.log.require("operator-placement", True, "")

    def _check_limits(self, worker: WorkerBelief, query: QueryBelief, view: TaskView) -> None:
        declared = self.world.declared
        on_worker = self.world.running(worker_id=worker.worker_id).lo
        of_query = self.world.running(query_id=query.query_id).lo
        checks.within_limits(
            self.log.require,
            view,
            worker=Load(worker.worker_id, on_worker + 1, declared.max_concurrent_tasks_per_worker),
            query=Load(query.query_id, of_query + 1, declared.max_concurrent_tasks_per_query),
        )

    # --- what was not ------------------------------------------------------------------------

    def _due(self, now: Span, worker: WorkerBelief) -> list[tuple[QueryBelief, TaskBelief]]:
        """Tasks that this worker must be given, if it is given anything at all."""
        declared = self.world.declared
        running = self.world.running(worker_id=worker.worker_id)
        if running.hi >= declared.max_concurrent_tasks_per_worker or self._may_be_kept(worker):
            return []
        beside = [task for _, task, _ in self.world.open_on(worker.worker_id)]
        return [
            (query, task)
            for query, task in self.world.waiting()
            if not query.vague
            and task.is_queued
            and now.lo > task.ready.hi + declared.slack_ms
            and query.parents_committed(task)
            and task.shape.operators <= worker.capabilities
            and not (task.suspect and any(each.suspect for each in beside))
            and (declared.unrunnable_timeout_ms == 0 or task.unserved_since is None)
            and self.world.running(query_id=query.query_id).hi
            < declared.max_concurrent_tasks_per_query
            and (worker.excluded is Truth.NO or self._must_be_readmitted(worker, task))
        ]

    def _may_be_kept(self, worker: WorkerBelief) -> bool:
        """R19: it may run, or be kept for, a suspect that is to have a worker for itself."""
        return any(
            task.suspect
            and task.most_failures + 1 >= self.world.declared.max_task_attempts
            and (
                task.may_be_queued
                or (task.newest is not None and task.newest.worker_id == worker.worker_id)
            )
            for query in self.world.queries.values()
            if query.active
            for task in query.tasks
        )

    def _must_be_readmitted(self, worker: WorkerBelief, task: TaskBelief) -> bool:
        """R16: it is the one excluded longest of all who could run the task, all excluded."""
        others = [
            other
            for other in self.world.workers.values()
            if other is not worker and self.world.may_run(other, task)
        ]
        nobody_else_is_there = self.world.declared.alone or bool(task.shape.operators)
        return nobody_else_is_there and all(
            other.excluded is Truth.YES and worker.excluded_at.hi < other.excluded_at.lo
            for other in others
        )

    def _withheld(self, worker: WorkerBelief, query: QueryBelief, task: TaskBelief) -> None:
        """Nothing was given though something was due: say which promise that breaks."""
        if worker.excluded is not Truth.NO:
            name = "exclusion-starves-nobody"
        elif worker.was_excluded:
            name = "exclusion-ends"
        elif task.retries == "lost":
            name = "lost-work-is-requeued"
        elif task.retries == "failed":
            name = "retry-comes"
        elif task.shape.operators:
            name = "capable-is-served"
        elif task.shape.parents:
            name = "barrier-opens"
        else:
            name = "ready-is-assigned"
        self.log.require(
            name,
            False,
            f"{worker.worker_id} asked and was given nothing, but attempt "
            f"{len(task.attempts) + 1} of {query.query_id}/{task.stage_id}/0 is ready for it "
            f"since {task.ready.hi}",
        )

    def _check_turns(
        self, due: list[tuple[QueryBelief, TaskBelief]], reply: tuple[TaskView, ...]
    ) -> None:
        """R11: while a query waits for its first assignment, nobody else is served twice."""
        served = {view.query_id for view in reply}
        for query in {id(query): query for query, _ in due}.values():
            if query.state is not QueryState.QUEUED or query.query_id in served:
                continue
            for other in served:
                times = query.passed_over[other] = query.passed_over.get(other, 0) + 1
                checks.in_turn(self.log.require, query.query_id, other, times, _PATIENT_ROUNDS)
        for view in reply:
            worker = self.world.workers[
                self.world.queries[view.query_id].tasks[view.stage_id].attempts[-1].worker_id
            ]
            self._note_promises_kept(worker, view)

    def _note_promises_kept(self, worker: WorkerBelief, view: TaskView) -> None:
        """What was given in time counts as the promise put to the test and kept."""
        task = self.world.queries[view.query_id].tasks[view.stage_id]
        kept = ["ready-is-assigned"]
        if task.retries == "lost":
            kept.append("lost-work-is-requeued")
        if task.retries == "failed":
            kept.append("retry-comes")
        if task.shape.operators:
            kept.append("capable-is-served")
        if task.shape.parents:
            kept.append("barrier-opens")
        if worker.was_excluded:
            kept += ["exclusion-ends", "exclusion-starves-nobody"]
        for name in kept:
            self.log.require(name, True, "")


def _differs(submitted: bytes, sent: bytes) -> str:
    """Where two plans do not say the same, however they are written; empty where they do."""
    try:
        return _difference(json.loads(submitted), json.loads(sent), "")
    except (ValueError, RecursionError):
        return changes(submitted, sent)


def _difference(left: object, right: object, at: str) -> str:
    """A key that one of them lacks says what null and an empty value say."""
    if isinstance(left, dict) and isinstance(right, dict):
        parts = ((key, left.get(key), right.get(key)) for key in {**left, **right})
        both = left.keys() & right.keys()
        found = (
            _difference(one, other, f"{at}/{key}")
            for key, one, other in parts
            if key in both or one not in _NOTHING or other not in _NOTHING
        )
        return next(filter(None, found), "")
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        found = (_difference(one, other, f"{at}/{index}") for index, (one, other) in pairs)
        return next(filter(None, found), "")
    if type(left) is type(right) and left == right:
        return ""
    return f"{at or 'the whole'}: {json.dumps(left):.100} -> {json.dumps(right):.100}"
