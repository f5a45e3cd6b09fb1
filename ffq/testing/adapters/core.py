"""The core machines, wired together without actors, as a coordinator under test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs

from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.errors import FfqError
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId, parse_query_id
from ffq.messages import (
    Assignment,
    CancelQuery,
    FetchQueryResults,
    FetchShufflePartition,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    Layout,
    QueryStatus,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    SubmitQuery,
    loaded,
)
from ffq.rpc.status import status_of
from ffq.testing.declared import DeclaredSettings
from ffq.testing.wire import (
    OutputPartition,
    PartitionView,
    QueryState,
    Refusal,
    StageView,
    StatusView,
    TaskState,
    TaskView,
)

T = TypeVar("T")

# Unix time 0 means "not yet" on the wire, so the clock starts later.
_START_MS = 1_000_000


class CoreAdapter:
    """`CoreCoordinator` on a virtual clock, called by peers on the fixed wire."""

    def __init__(self, core: CoreCoordinator | None = None) -> None:
        self.core = CoreCoordinator() if core is None else core
        self.now_ms = _START_MS

    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        def call() -> QueryState:
            msg = SubmitQuery(parse_query_id(query_id), plan)
            return self.core.ask(msg, self.now_ms).state

        return _answered(call)

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        def call() -> tuple[TaskView, ...]:
            msg = GetTask(WorkerId(worker_id), capacity)
            return tuple(map(task_view, self.core.ask(msg, self.now_ms)))

        return _answered(call)

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        msg = ReportTaskStatus(_key(task), state, message, _layout(task))
        return _acknowledged(lambda: self.core.ask(msg, self.now_ms))

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        msg = Heartbeat(
            WorkerId(worker_id), at_ms=self.now_ms, running_tasks=0, capabilities=capabilities
        )
        return _answered(lambda: self.core.ask(msg, self.now_ms).accepted)

    def register_map_output(
        self, task: TaskView, partitions: tuple[OutputPartition, ...]
    ) -> Refusal | None:
        msg = RegisterMapOutput(_key(task), partitions, _layout(task))
        return _acknowledged(lambda: self.core.ask(msg, self.now_ms))

    def register_results(self, query_id: str, payload: bytes) -> Refusal | None:
        msg = RegisterQueryResults(QueryId(query_id), payload)
        return _acknowledged(lambda: self.core.ask(msg, self.now_ms))

    def status(self, query_id: str) -> StatusView | Refusal:
        msg = GetQueryStatus(QueryId(query_id))
        return _answered(lambda: _status_view(self.core.ask(msg, self.now_ms)))

    def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
        msg = CancelQuery(QueryId(query_id), reason)
        return _answered(lambda: self.core.ask(msg, self.now_ms).state)

    def fetch_results(self, query_id: str) -> bytes | Refusal:
        msg = FetchQueryResults(QueryId(query_id))
        return _answered(
            lambda: b"".join(
                loaded(piece) for part in self.core.ask(msg, self.now_ms).parts for piece in part
            )
        )

    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        def call() -> PartitionView:
            msg = FetchShufflePartition(_key(task), reduce_partition)
            size = self.core.ask(msg, self.now_ms).size
            if size is None:
                return PartitionView(watermark=0, finalized=True)
            return PartitionView(size.bytes, size.finalized)

        return _answered(call)

    def advance(self, ms: int) -> None:
        self.now_ms += ms
        self.core.sweep(self.now_ms)
        self.core.tick(self.now_ms)

    def validate_state(self) -> None:
        self.core.validate_state()


def declared_by(settings: CoordinatorSettings) -> DeclaredSettings:
    """What is to be declared about a `CoreCoordinator` with these settings."""
    shared = {field.name for field in attrs.fields(CoordinatorSettings)}
    return DeclaredSettings(
        **{
            field.name: getattr(settings, field.name)
            for field in attrs.fields(DeclaredSettings)
            if field.name in shared
        }
    )


def task_view(assignment: Assignment) -> TaskView:
    """An assignment as a peer on the fixed wire sees it."""
    key = assignment.key
    return TaskView(
        query_id=key.query_id,
        stage_id=key.stage_id,
        task_id=key.task_id,
        attempt=key.attempt,
        plan=assignment.plan_bytes,
        reduce_partitions=assignment.reduce_partitions,
        layout_version=assignment.layout.version,
        layout_fingerprint=assignment.layout.fingerprint,
    )


def _key(task: TaskView) -> AttemptKey:
    return AttemptKey(
        QueryId(task.query_id),
        StageId(task.stage_id),
        TaskId(task.task_id),
        Attempt(task.attempt),
    )


def _layout(task: TaskView) -> Layout:
    return Layout(task.layout_version, task.layout_fingerprint)


def _status_view(status: QueryStatus) -> StatusView:
    return StatusView(
        state=status.state,
        submitted_at_ms=status.submitted_at_ms,
        started_at_ms=status.started_at_ms or 0,
        finished_at_ms=status.finished_at_ms or 0,
        message=status.message,
        stages=tuple(
            StageView(
                stage.stage_id,
                stage.queued_tasks,
                stage.running_tasks,
                stage.succeeded_tasks,
                stage.failed_tasks,
                stage.map_output_rows,
                stage.map_output_bytes,
            )
            for stage in status.stages
        ),
    )


def _answered(call: Callable[[], T]) -> T | Refusal:
    """The reply, or the refusal that a typed error becomes; anything else is a bug and passes."""
    try:
        return call()
    except FfqError as error:
        return Refusal(status_of(error).code.name, error.stable_reason, error.message)


def _acknowledged(call: Callable[[], object]) -> Refusal | None:
    reply = _answered(call)
    return reply if isinstance(reply, Refusal) else None
