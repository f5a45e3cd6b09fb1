"""The simulated coordinator's queries and attempts, and an account of what each has been."""

from __future__ import annotations

import attrs

from ffq.core.records import AttemptRecord, QueryRecord, StageRecord, TaskRecord
from ffq.ids import AttemptKey, QueryId
from ffq.messages import Assignment, CancelQuery, QueryState, TaskState
from ffq.testing import checks
from ffq.testing.checks import Load
from tests.simulation.blame_account import BlameAccount
from tests.simulation.fairness import Fairness
from tests.simulation.invariants import inputs_committed, require
from tests.simulation.liveness_account import LivenessAccount
from tests.simulation.machines import Machines
from tests.simulation.settings import COORDINATOR_SETTINGS as SETTINGS
from tests.simulation.trace import Trace
from tests.strategies.dividing import may_be_divided


@attrs.frozen
class Inputs:
    """What an attempt is to read, when it is assigned.

    `made`: the committed attempt of each map task, by its stage and number. `divisible`: stages of
    whose outputs it may be given some, where others have the same partition.
    """

    made: dict[tuple[int, int], int]
    divisible: frozenset[int]

    def check(self, given: Assignment) -> None:
        """Raises Violation."""
        named = [(each.stage_id, each.map_task, each.attempt) for each in given.inputs]
        known = [(*place, attempt) for place, attempt in self.made.items()]
        alone = len(given.reduce_partitions) == 1
        divisible = self.divisible if alone else frozenset()
        inputs_committed(require, given.key, named, known, divisible)


@attrs.define
class QueryAccount:
    """Of one life of the coordinator. `committed`: inputs as of each assignment."""

    machines: Machines
    liveness: LivenessAccount
    trace: Trace
    committed: dict[AttemptKey, Inputs] = attrs.field(factory=dict)
    _attempts: dict[tuple[int, AttemptKey], TaskState] = attrs.field(factory=dict)
    _ended: dict[tuple[QueryId, int], tuple[object, ...]] = attrs.field(factory=dict)
    _canceled: set[QueryId] = attrs.field(factory=set)
    _fairness: Fairness = attrs.field(factory=Fairness)
    _blame: BlameAccount = attrs.field(factory=BlameAccount)
    _assigned: list[AttemptRecord] = attrs.field(factory=list)

    def note(self, message: object) -> None:
        """A message was handled."""
        self._blame.note(message)
        if isinstance(message, CancelQuery):
            self._canceled.add(message.query_id)

    def forget_turns(self) -> None:
        """After a bug: who was passed over, and how often, is not known any more."""
        self._fairness = Fairness()

    def check(self) -> None:
        """Everything that can have changed. Raises Violation."""
        state = self.machines.state
        self._assigned.clear()
        for query in state.queries.values():
            self._check_query(query)
        self._blame.settle(state)
        self._fairness.check(state, self._assigned)

    def _check_query(self, query: QueryRecord) -> None:
        name = (query.query_id, query.ordinal)
        for stage in query.stages:
            for task in stage.tasks:
                self._check_task(query, stage, task)
        before = self._ended.get(name)
        shown = (query.state.name, query.finished_at_ms, query.message)
        checks.end_stands(require, str(query.query_id), before, shown)
        if query.state.terminal and before is None:
            self._ended[name] = shown
            self.trace.note(f"query {query.query_id} {query.state.name} {query.message}".rstrip())
            self._check_ending(query)

    def _check_ending(self, query: QueryRecord) -> None:
        if query.state is QueryState.CANCELED:
            known = query.query_id in self._canceled
            require("ends-only-for-cause", known, f"nobody canceled query {query.query_id}")
        if query.state is QueryState.FAILED:
            self._check_failing(query)
        if query.state is not QueryState.SUCCEEDED:
            return
        for stage in query.stages:
            require(
                "success-needs-everything",
                not stage.fresh,
                f"query {query.query_id} SUCCEEDED; of stage {stage.stage_id} {stage.fresh} tasks "
                f"were never assigned",
            )
            for task in stage.tasks:
                counts = _that_counts(task)
                require(
                    "success-needs-everything",
                    counts is not None and counts.state is TaskState.SUCCEEDED,
                    f"query {query.query_id} SUCCEEDED; stage {stage.stage_id}, task "
                    f"{task.task_id} has {counts}",
                )
                if stage.is_sink and counts is not None:
                    held = self.machines.has_result(counts.key)
                    require("success-implies-result", held, f"{counts.key} has no result")

    def _check_failing(self, query: QueryRecord) -> None:
        """Nothing in a simulation fails a query but a task that was tried too often."""
        tried = [len(task.attempts) for stage in query.stages for task in stage.tasks]
        require(
            "failed-within-budget",
            max(tried, default=0) >= SETTINGS.max_task_attempts,
            f"query {query.query_id} FAILED ({query.message}); its tasks had {tried} attempts",
        )

    def _check_task(self, query: QueryRecord, stage: StageRecord, task: TaskRecord) -> None:
        for position, attempt in enumerate(task.attempts):
            checks.numbered_on(require, attempt.key, attempt.key.attempt, position)
            before = self._attempts.get((query.ordinal, attempt.key))
            if before is None:
                self._check_assigned(query, stage, attempt)
            if before is not attempt.state:
                self._check_change(query, stage, attempt, before)
            if attempt.state is TaskState.RUNNING:
                checks.of_open_query(require, attempt.key, query.state)
        self._check_together(task)

    def _check_together(self, task: TaskRecord) -> None:
        """One attempt of a task runs, or two where one was begun beside another (R13)."""
        states = {str(each.key): each.state for each in task.attempts}
        second = [str(each.key) for each in task.attempts if each.speculative]
        checks.one_second_attempt(require, second)
        checks.newest_only(require, {key: states[key] for key in states if key not in second})
        for at in [position for position, key in enumerate(states) if key in second]:
            checks.newest_only(require, dict(list(states.items())[at:]))
        counts = _that_counts(task)
        if counts is not None and counts.state is TaskState.SUCCEEDED:
            checks.newest_only(require, {**states, "its commit": counts.state})

    def _check_change(
        self,
        query: QueryRecord,
        stage: StageRecord,
        attempt: AttemptRecord,
        before: TaskState | None,
    ) -> None:
        self._attempts[query.ordinal, attempt.key] = attempt.state
        if attempt.state is TaskState.RUNNING:
            require("assigned-once", before is None, f"{attempt.key} was {before} already")
            return
        self.trace.note(
            f"{attempt.key} {attempt.state.name} on {attempt.worker_id} {attempt.message}".rstrip()
        )
        checks.outcome_stands(require, attempt.key, before, attempt.state)
        self._blame.ended(query, attempt)
        if attempt.state is TaskState.SUCCEEDED:
            live = self.machines.state.workers.live.get(attempt.worker_id)
            failures = 0 if live is None else live.standing.failures
            require(
                "success-clears-count",
                failures == 0,
                f"{attempt.key} succeeded on {attempt.worker_id}, which counts {failures} failures",
            )
        if attempt.state is TaskState.SUCCEEDED and not stage.is_sink and not query.state.terminal:
            held = self.machines.has_output(attempt.key)
            require("commit-implies-output", held, f"{attempt.key} has registered nothing")

    def _load(self, attempt: AttemptRecord) -> tuple[int, int]:
        """How many attempts have begun at its worker, and how many wait there."""
        there = [
            each
            for query in self.machines.state.queries.values()
            for each in query.running.values()
            if (each.worker_id, each.incarnation) == (attempt.worker_id, attempt.incarnation)
        ]
        waiting = sum(each.began_at_ms is None for each in there)
        return len(there) - waiting, waiting

    def _check_assigned(
        self, query: QueryRecord, stage: StageRecord, attempt: AttemptRecord
    ) -> None:
        worker_id, key = attempt.worker_id, attempt.key
        self.liveness.assigned(key)
        self._assigned.append(attempt)
        self.trace.note(f"{key} goes to {worker_id}")
        has = self.liveness.capabilities_of(worker_id)
        checks.able(require, key, stage.plan.operators, worker_id, has)
        self._blame.assigned(self.machines.state, query, stage, attempt)
        on_worker, waiting = self._load(attempt)
        most = SETTINGS.max_tasks_ahead
        require("worker-limit", waiting <= most, str(Load(worker_id, waiting, most)))
        checks.within_limits(
            require,
            key,
            worker=Load(worker_id, on_worker, SETTINGS.max_concurrent_tasks_per_worker),
            query=Load(query.query_id, len(query.running), SETTINGS.max_concurrent_tasks_per_query),
        )
        made: dict[tuple[int, int], int] = {}
        for parent_id in stage.parents:
            parent = query.stages[parent_id]
            counting = [_that_counts(task) for task in parent.tasks]
            done = [each is not None and each.state is TaskState.SUCCEEDED for each in counting]
            done += [False] * parent.fresh
            checks.barrier_open(require, key, parent_id, done)
            for task, counts in zip(parent.tasks, counting, strict=True):
                if counts is not None:
                    made[parent_id, task.task_id] = counts.key.attempt
        may = [each for each in stage.parents if may_be_divided(stage.plan, each)]
        self.committed[key] = Inputs(made, frozenset(may))


def _that_counts(task: TaskRecord) -> AttemptRecord | None:
    """The newest attempt; of two that ran at a time the one that succeeded (R13)."""
    newest = task.attempts[-1] if task.attempts else None
    if newest is None or not newest.speculative or newest.state is not TaskState.FAILED:
        return newest
    return task.attempts[-2]
