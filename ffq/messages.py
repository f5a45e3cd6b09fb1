"""What the parts of ffq say to each other: frozen values, no behaviour.

Three groups, in this order: vocabulary (states, splits, outputs), requests of the outer world (one
per RPC, with their replies), and what the actors tell each other. Requests name their reply type
(`Request[Reply]`), so that `await ref.ask(GetTask(...))` is checked. Nothing here holds a mutable
object. Times are milliseconds, sizes are bytes, counts are rows unless a name says otherwise.

`detached` messages are handled in two steps, of which another actor is told in between: once begun
they are finished, also when their caller has gone.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import attrs

from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.plan.stages import StageGraph
from ffq.runtime.message import Request

# --- vocabulary ------------------------------------------------------------------------------


class QueryState(enum.Enum):
    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELED = 5

    @property
    def terminal(self) -> bool:
        """Whether nothing may change any more (R4)."""
        return self.value >= QueryState.SUCCEEDED.value


class TaskState(enum.Enum):
    """State of one attempt."""

    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4


class ErrorKind(enum.Enum):
    """Why an attempt failed, where the worker says so (R17)."""

    PLAN = 1
    """Planning, unsupported, invalid config: fails the query at once, blames no worker."""
    OPERATOR = 2
    """The user's operator: retried within the task's budget, blames no worker."""
    EXECUTION = 3
    """Anything else: retried, counts against the worker."""
    SHUFFLE_INPUT = 4
    """Named inputs could not be fetched: they are made again; blames neither task nor worker."""
    STOPPED = 5
    """The worker was told to stop, or is shutting down: retried, blames no worker."""


@attrs.frozen
class ScanSplit:
    """Row groups [row_group_start, row_group_end) of a Parquet file.

    An empty range stands for no rows of that file; it still tells the schema.
    """

    path: str
    row_group_start: int
    row_group_end: int
    bytes: int = 0


@attrs.frozen
class StageScan:
    """What one ParquetScan leaf of one stage reads, divided into shares of about equal size."""

    stage_id: StageId
    leaf: int
    table: str
    shares: tuple[tuple[ScanSplit, ...], ...]


@attrs.frozen
class ScanInput:
    """What one task reads for one ParquetScan leaf of its stage."""

    leaf: int
    table: str
    splits: tuple[ScanSplit, ...]


@attrs.frozen
class PartitionSize:
    reduce_partition: int
    bytes: int
    rows: int


@attrs.frozen
class OutputPartition:
    """One reduce partition of a map output as registered (R22)."""

    reduce_partition: int
    bytes: int
    rows: int
    batches: int
    stream_epoch: int = 0
    committed_offset: int = 0
    finalized: bool = True


@attrs.frozen
class ShuffleInput:
    """One committed map attempt that a task reads, and where (R25).

    `endpoint` is empty when the map worker told none; the coordinator then serves it.
    `partitions` are the non-empty ones among those the task reads.
    """

    stage_id: StageId
    map_task: TaskId
    attempt: Attempt
    endpoint: str
    partitions: tuple[PartitionSize, ...]


@attrs.frozen
class LostInput:
    """A shuffle input that a task could not fetch."""

    stage_id: StageId
    map_task: TaskId
    attempt: Attempt


@attrs.frozen
class Layout:
    """Which version of its stage's task layout an attempt was assigned under (R13)."""

    version: int
    fingerprint: int


# --- requests of the outer world -------------------------------------------------------------


@attrs.frozen
class SubmitReply:
    query_id: QueryId
    state: QueryState


@attrs.frozen
class FindSubmission(Request[SubmitReply | None]):
    """Before a plan is read: whether these bytes stand under this id already (R1); None: no.

    Raises PlanConflict when other bytes do, QuotaExceeded when there is no room for one more.
    """

    query_id: QueryId
    plan_bytes: bytes = attrs.field(repr=False)


@attrs.frozen
class SubmitQuery(Request[SubmitReply]):
    """A validated plan (R1). `plan_bytes` are those the client sent; `graph` is cut from them."""

    query_id: QueryId
    plan_bytes: bytes
    graph: StageGraph = attrs.field(repr=False)
    scans: tuple[StageScan, ...] = attrs.field(repr=False, default=())


@attrs.frozen
class Assignment:
    """One attempt of one task, to be run by the worker that pulled it."""

    key: AttemptKey
    plan_bytes: bytes = attrs.field(repr=False)
    reduce_partitions: tuple[int, ...]
    layout: Layout
    scans: tuple[ScanInput, ...] = ()
    inputs: tuple[ShuffleInput, ...] = ()
    task_count: int = 1


@attrs.frozen
class GetTask(Request[tuple[Assignment, ...]]):
    """A worker pulls at most `capacity` assignments (R6 to R11).

    `incarnation` is 0 for a peer on the fixed wire.
    """

    worker_id: WorkerId
    capacity: int
    incarnation: int = 0


@attrs.frozen
class ReportReply:
    """`counted`: whether the report changed anything. `worker_id`: who held the attempt."""

    counted: bool
    worker_id: WorkerId


@attrs.frozen
class ReportTaskStatus(Request[ReportReply]):
    """An attempt's state transition as its worker saw it (R13 to R17)."""

    key: AttemptKey
    state: TaskState
    message: str
    layout: Layout
    worker_id: WorkerId | None = None
    incarnation: int = 0
    kind: ErrorKind | None = None
    lost_inputs: tuple[LostInput, ...] = ()


@attrs.frozen
class StageStatus:
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


@attrs.frozen
class QueryStatus:
    """Lifecycle of a query; times in the coordinator's monotonic ms, None where not yet."""

    query_id: QueryId
    state: QueryState
    submitted_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    message: str
    stages: tuple[StageStatus, ...]


@attrs.frozen
class GetQueryStatus(Request[QueryStatus]):
    query_id: QueryId


@attrs.frozen
class ListQueries(Request[tuple[QueryStatus, ...]]):
    """The newest `limit` queries, newest first, without their stages."""

    limit: int = 100


@attrs.frozen
class AttemptStatus:
    """One attempt as the coordinator recorded it; times in its monotonic ms."""

    key: AttemptKey
    state: TaskState
    worker_id: WorkerId | None
    assigned_at_ms: int | None
    finished_at_ms: int | None
    message: str
    committed: bool


@attrs.frozen
class ListAttempts(Request[tuple[AttemptStatus, ...]]):
    """Every attempt of a query that was ever assigned or is queued, in key order."""

    query_id: QueryId


@attrs.frozen
class WorkerStatus:
    """A live worker. `silent_ms`: time since its last evidence of life."""

    worker_id: WorkerId
    capabilities: tuple[str, ...]
    running_attempts: int
    consecutive_failures: int
    excluded: bool
    draining: bool
    endpoint: str
    family: str


@attrs.frozen
class ListWorkers(Request[tuple[WorkerStatus, ...]]):
    pass


@attrs.frozen
class DrainWorker(Request[None]):
    """No more assignments to this worker; what it runs may finish (R6)."""

    worker_id: WorkerId


@attrs.frozen
class CancelReply:
    query_id: QueryId
    state: QueryState


@attrs.frozen
class CancelQuery(Request[CancelReply]):
    """Ends a queued or running query at once (R5); a terminal one answers its state (R4)."""

    query_id: QueryId
    reason: str


@attrs.frozen
class RegisterReply:
    """`counted`: whether it was stored. `worker_id`: who held the attempt, if it was assigned."""

    counted: bool
    worker_id: WorkerId | None


@attrs.frozen
class RegisterMapOutput(Request[RegisterReply]):
    """Map output metadata of one exact attempt, in one or several calls (R22)."""

    detached: ClassVar[bool] = True

    key: AttemptKey
    partitions: tuple[OutputPartition, ...]
    layout: Layout
    worker_id: WorkerId | None = None
    incarnation: int = 0
    endpoint: str = ""


@attrs.frozen
class RegisterQueryResults(Request[RegisterReply]):
    """A piece of a result. `key` None: a peer on the fixed wire, the whole result at once (R26).

    `offset` is the position of `payload` in that attempt's result, in bytes; `last` ends it.
    """

    detached: ClassVar[bool] = True

    query_id: QueryId
    payload: bytes = attrs.field(repr=False)
    key: AttemptKey | None = None
    offset: int = 0
    last: bool = True


@attrs.frozen
class ResultParts:
    """The committed results of the sink's tasks, in task order: each one Arrow IPC stream."""

    parts: tuple[tuple[bytes, ...], ...] = attrs.field(repr=False)


@attrs.frozen
class FetchQueryResults(Request[ResultParts]):
    """The result of a SUCCEEDED query (R26); NotReady before, UnknownId after eviction (R27)."""

    query_id: QueryId


@attrs.frozen
class OutputLocation:
    """Where one reduce partition of one exact map attempt can be read.

    `endpoint` is empty for an output on a folder shared by all. `size` is None when the partition
    was never named: it is empty.
    """

    key: AttemptKey
    endpoint: str
    size: OutputPartition | None


@attrs.frozen
class LocateMapOutput(Request[OutputLocation]):
    """Resolve a FetchShufflePartition; attempt 0 means the committed attempt (R23)."""

    key: AttemptKey
    reduce_partition: int


@attrs.frozen
class HeartbeatReply:
    """`ended_queries`: of those the worker holds files for, the ones that need them no more."""

    accepted: bool
    stop_attempts: tuple[AttemptKey, ...] = ()
    ended_queries: tuple[QueryId, ...] = ()


@attrs.frozen
class Heartbeat(Request[HeartbeatReply]):
    """Liveness and capabilities (R18 to R21).

    `running_attempts` is None for a peer that does not list them; `incarnation` 0 likewise.
    """

    worker_id: WorkerId
    at_ms: int
    running_tasks: int
    capabilities: frozenset[str]
    incarnation: int = 0
    endpoint: str = ""
    family: str = ""
    running_attempts: tuple[AttemptKey, ...] | None = None
    held_queries: tuple[QueryId, ...] = ()


# --- what the actors tell each other ---------------------------------------------------------


@attrs.frozen
class BeatReply:
    """`current`: False when the beat came from an incarnation that has been replaced."""

    current: bool


@attrs.frozen
class RecordHeartbeat(Request[BeatReply]):
    """To liveness: a heartbeat arrived. Answered after scheduling has been told what changed."""

    detached: ClassVar[bool] = True

    beat: Heartbeat


@attrs.frozen
class RecordEvidence(Request[BeatReply]):
    """To liveness: another RPC proved a worker alive (R18).

    `register`: whether it introduces a worker that is not known, as GetTask does (R6). A report or
    a registration does not: a late one must not bring a dead worker's record back.
    """

    detached: ClassVar[bool] = True

    worker_id: WorkerId
    incarnation: int = 0
    register: bool = True


@attrs.frozen
class SweepStaleWorkers(Request[None]):
    """To liveness, from its own timer: find workers silent for too long (R19)."""

    detached: ClassVar[bool] = True

    sent_at_ms: int


@attrs.frozen
class WorkerChanged(Request[None]):
    """Liveness to scheduling: a worker appeared, or what it can do changed (R21).

    `introduced` is False for a worker that set an incarnation but has not beaten yet: what it is
    able to run is not known, so it gets nothing.
    """

    worker_id: WorkerId
    incarnation: int
    capabilities: frozenset[str]
    endpoint: str
    family: str
    introduced: bool


@attrs.frozen
class WorkerLost(Request[None]):
    """Liveness to scheduling: a worker went stale, or a new incarnation replaced it (R19)."""

    worker_id: WorkerId
    reason: str


@attrs.frozen
class ConfirmHeartbeat(Request[HeartbeatReply]):
    """Gateway to scheduling, after liveness: what this worker should be told."""

    worker_id: WorkerId
    running_attempts: tuple[AttemptKey, ...] | None
    held_queries: tuple[QueryId, ...]


@attrs.frozen
class AdmitMapOutput(Request[RegisterReply]):
    """Registry to scheduling: this is what the attempt's output now amounts to.

    The registry stores it only when the reply counts it (R13). `complete`: no partition named so
    far is unfinished.
    """

    key: AttemptKey
    layout: Layout
    endpoint: str
    sizes: tuple[PartitionSize, ...]
    batches: int
    complete: bool = True
    worker_id: WorkerId | None = None
    incarnation: int = 0


@attrs.frozen
class ResultAdmission:
    """`key`: the attempt that a result belongs to (found for a keyless upload)."""

    counted: bool
    worker_id: WorkerId | None
    key: AttemptKey | None


@attrs.frozen
class AdmitResult(Request[ResultAdmission]):
    """Results to scheduling: a result is (about to be) stored, `complete` or a piece of it.

    `problem`: why the piece cannot be stored, if so: an error only where the attempt counts (R13).
    """

    query_id: QueryId
    key: AttemptKey | None
    total_bytes: int
    complete: bool
    problem: str = ""


@attrs.frozen
class ResolvedOutput:
    """`registered`: False for a committed attempt that named no partition: all are empty (R22)."""

    key: AttemptKey
    registered: bool


@attrs.frozen
class ResolveMapOutput(Request[ResolvedOutput]):
    """To scheduling: attempt 0 becomes the committed attempt; others are checked (R23)."""

    key: AttemptKey
    reduce_partition: int


@attrs.frozen
class ResolveResult(Request[tuple[AttemptKey, ...]]):
    """To scheduling: the committed sink attempts of a SUCCEEDED query, in task order (R26)."""

    query_id: QueryId


@attrs.frozen
class ReadMapOutput(Request[OutputLocation]):
    """To the registry: the record of one exact attempt (R23)."""

    key: AttemptKey
    reduce_partition: int


@attrs.frozen
class ReadResult(Request[ResultParts]):
    """To results: the stored payloads of these attempts."""

    keys: tuple[AttemptKey, ...]


@attrs.frozen
class DropMapOutputs(Request[None]):
    """Scheduling to the registry: forget these attempts' outputs (lost, failed or replaced)."""

    keys: tuple[AttemptKey, ...]


@attrs.frozen
class DropQueryOutputs(Request[None]):
    """Scheduling to the registry: this query has ended (R5)."""

    query_id: QueryId


@attrs.frozen
class DropResults(Request[None]):
    """Scheduling to results: forget these attempts' uploads (R26)."""

    keys: tuple[AttemptKey, ...]


@attrs.frozen
class DropQueryResults(Request[None]):
    """Scheduling to results: the query failed, was canceled, or is evicted (R27)."""

    query_id: QueryId


@attrs.frozen
class Tick(Request[None]):
    """To scheduling, from its own timer: time has passed (R10, R16, R27)."""
