"""All that scheduling holds, and how ids are looked up in it."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Protocol

import attrs

from ffq.core.backoff import BackoffQueue
from ffq.core.machine import Notice
from ffq.core.ready import ReadyIndex
from ffq.core.records import AttemptRecord, QueryRecord, StageRecord, TaskRecord
from ffq.core.settings import CoordinatorSettings
from ffq.core.workers import WorkerTable
from ffq.errors import UnknownId
from ffq.ids import AttemptKey, QueryId, StageId, TaskId

SLICE: Final = 500
"""Records that one step looks at for a chore. Each takes a few microseconds at most."""


class Chore(Protocol):
    """Something begun that is not done: see `ffq.core.chores`."""

    def go_on(self, state: SchedulingState, now_ms: int, /) -> bool:
        """Do a slice of it, of `state.slice` records; whether it is done by that."""
        ...


@attrs.define(eq=False)  # made for each report: a frozen one takes twice as long
class Located:
    """An attempt that was once assigned, with what it belongs to."""

    query: QueryRecord
    stage: StageRecord
    task: TaskRecord
    attempt: AttemptRecord


@attrs.define(eq=False)
class SchedulingState:
    """The state of the scheduling core; the modules beside this one change it.

    Attributes:
        queries: all that are not evicted, in the order of their submission.
        finished: ids of the terminal ones, the one that ended first first.
        expired: evicted ids, oldest first (R27).
        leaving: evicted ids whose outputs and results are still being removed elsewhere.
        submissions: how many queries were ever accepted.
        plan_bytes: plan bytes of queries that are not terminal.
        active_result_bytes: result bytes held for queries that are not terminal.
        finished_result_bytes: result bytes held for terminal ones.
        output_partitions: partition records of all registered outputs.
        solitary: ready tasks that a worker may only be given when it runs nothing else (R19), in
            the order they became ready.
        timed: queries that are not terminal and have a timeout.
        speculation_due: stages in which an attempt will have run for too long, and when (R13).
        stragglers: tasks that may get a second attempt now, in the order in which they became so.
        chores: what is done in slices, the one whose turn it is first.
        slice: how many records a slice has.
        version: grows exactly when anything of this changes.
        notices: what the step under way has to tell others.
    """

    settings: CoordinatorSettings
    ready: ReadyIndex = attrs.field(factory=ReadyIndex)
    backoff: BackoffQueue = attrs.field(factory=BackoffQueue)
    workers: WorkerTable = attrs.field(
        default=attrs.Factory(lambda self: WorkerTable(self.settings, self.ready), takes_self=True)
    )
    queries: dict[QueryId, QueryRecord] = attrs.field(factory=dict)
    finished: OrderedDict[QueryId, None] = attrs.field(factory=OrderedDict)
    expired: OrderedDict[QueryId, None] = attrs.field(factory=OrderedDict)
    leaving: set[QueryId] = attrs.field(factory=set)
    submissions: int = 0
    plan_bytes: int = 0
    active_result_bytes: int = 0
    finished_result_bytes: int = 0
    output_partitions: int = 0
    solitary: dict[tuple[QueryId, StageId, TaskId], None] = attrs.field(factory=dict)
    timed: dict[QueryId, None] = attrs.field(factory=dict)
    speculation_due: dict[tuple[QueryId, StageId], int] = attrs.field(factory=dict)
    stragglers: dict[tuple[QueryId, StageId, TaskId], None] = attrs.field(factory=dict)
    chores: deque[Chore] = attrs.field(factory=deque)
    slice: int = SLICE
    version: int = 0
    notices: list[Notice] = attrs.field(factory=list)

    @property
    def held_result_bytes(self) -> int:
        """Result bytes of all queries."""
        return self.active_result_bytes + self.finished_result_bytes

    def is_full(self, query: QueryRecord) -> bool:
        """Whether the query is at its limit of running attempts (R7)."""
        return len(query.running) >= self.settings.max_concurrent_tasks_per_query

    def changed(self) -> None:
        """Whatever changes the state says so."""
        self.version += 1

    def query(self, query_id: QueryId) -> QueryRecord:
        """The query of this id.

        Raises:
            UnknownId: EXPIRED when it was evicted, else UNKNOWN_QUERY (R27, R29).
        """
        query = self.queries.get(query_id)
        if query is not None:
            return query
        if query_id in self.expired:
            raise UnknownId(f"query {query_id} has ended and is no longer kept", reason="EXPIRED")
        raise UnknownId(f"there is no query {query_id}")

    def stage(self, key: AttemptKey) -> tuple[QueryRecord, StageRecord]:
        """The query and stage of a key.

        Raises:
            UnknownId: no such query or stage.
        """
        query = self.queries.get(key.query_id) or self.query(key.query_id)
        stage_id, stages = key.stage_id, query.stages
        if not 0 <= stage_id < len(stages):
            raise UnknownId(
                f"query {query.query_id} has stages 0 to {len(stages) - 1}, not {stage_id}",
                reason="UNKNOWN_TASK",
            )
        return query, stages[stage_id]

    def locate(self, key: AttemptKey) -> Located:
        """The attempt of this key.

        Raises:
            UnknownId: no such query, or the attempt was never assigned (R13).
        """
        query, stage = self.stage(key)
        task_id, attempt = key.task_id, key.attempt
        tasks = stage.tasks
        if 0 <= task_id < len(tasks):
            task = tasks[task_id]
            attempts = task.attempts
            if 1 <= attempt <= len(attempts):
                return Located(query, stage, task, attempts[attempt - 1])
        raise UnknownId(f"attempt {key} was never assigned", reason="UNKNOWN_TASK")
