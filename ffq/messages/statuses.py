"""How things stand: what a coordinator says of its queries, attempts and workers.

Times are unix ms, sizes are bytes.
"""

from __future__ import annotations

import attrs

from ffq.ids import AttemptKey, QueryId, StageId, WorkerId
from ffq.messages.vocabulary import AttemptUsage, QueryState, TaskState


@attrs.frozen
class StageStatus:
    """How far a stage is: its tasks by state, and what those that are done gave out to others.

    Attributes:
        failed_tasks: attempts that failed or were lost, however their tasks ended.
        decisions: what was decided about it by sizes, one line each, for people.
        skipped: another stage does its work: it has no tasks.
    """

    stage_id: StageId
    queued_tasks: int
    running_tasks: int
    succeeded_tasks: int
    failed_tasks: int
    map_output_rows: int = 0
    map_output_bytes: int = 0
    map_output_batches: int = 0
    map_output_partitions: int = 0
    planned_reduce_tasks: int = 0
    adaptive_reduce_tasks: int = 0
    adaptive_target_bytes: int = 0
    layout_finalize_count: int = 0
    decisions: tuple[str, ...] = ()
    skipped: bool = False


@attrs.frozen
class QueryStatus:
    """Lifecycle of a query; times in unix ms, None where not yet.

    `message`: why it failed or was canceled, or what it waits for.
    """

    query_id: QueryId
    state: QueryState
    submitted_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    message: str
    stages: tuple[StageStatus, ...]


@attrs.frozen
class AttemptStatus:
    """One attempt as the coordinator recorded it; times in unix ms.

    `usage`: of one that succeeded, where its worker says it. `speculative`: it was begun while
    another attempt of its task ran (R13).
    """

    key: AttemptKey
    state: TaskState
    worker_id: WorkerId | None
    assigned_at_ms: int | None
    finished_at_ms: int | None
    message: str
    committed: bool
    usage: AttemptUsage | None = None
    speculative: bool = False


@attrs.frozen
class WorkerStatus:
    """A live worker.

    `slots`: attempts it runs at once, 0 where it does not say; `stuck_tasks`: how many of them are
    held by attempts that were told to stop and do not.
    """

    worker_id: WorkerId
    capabilities: tuple[str, ...]
    running_attempts: int
    slots: int
    stuck_tasks: int
    consecutive_failures: int
    excluded: bool
    draining: bool
    endpoint: str
    family: str
