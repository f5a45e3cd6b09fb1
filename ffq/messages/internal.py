"""What the parties of a coordinator tell each other. No remote door takes any of these.

`detached` messages are handled while another party is asked or told: once begun they are finished,
also when their caller has gone.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from ffq.errors import InvalidRequest
from ffq.ids import AttemptKey, QueryId, WorkerId
from ffq.messages.requests import (
    Heartbeat,
    HeartbeatReply,
    OutputLocation,
    PlanSql,
    RegisterQueryResults,
    RegisterReply,
    ResultParts,
    SqlPlan,
    SubmitReply,
)
from ffq.messages.vocabulary import (
    MAX_REPORTS,
    NO_CLUSTER,
    NO_TIMEOUTS,
    AttemptReport,
    ClusterSize,
    OutputPartition,
    QueryState,
    ReportAnswer,
    StageScan,
    Timeouts,
)
from ffq.plan.stages import StageGraph
from ffq.runtime.message import Request

# --- a plan on its way in --------------------------------------------------------------------


@attrs.frozen
class KnownQuery:
    """A query that has the id. `digest`: of the plan bytes that were accepted under it."""

    digest: bytes
    state: QueryState


@attrs.frozen
class FindQuery(Request[KnownQuery | None]):
    """To scheduling, before a plan of `plan_size` bytes is read; None: the id is free.

    Raises QuotaExceeded when there is no room for one more now. That spares the reading: whether
    there is room is decided when the plan is accepted.
    """

    query_id: QueryId
    plan_size: int


@attrs.frozen
class AcceptQuery(Request[SubmitReply]):
    """To scheduling: a plan that was read, cut into `graph`, and bound to its tables' files (R1).

    `digest` is `plan_digest(plan_bytes)`.
    """

    query_id: QueryId
    plan_bytes: bytes = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)
    graph: StageGraph = attrs.field(repr=False)
    scans: tuple[StageScan, ...] = attrs.field(repr=False, default=())
    timeouts: Timeouts = NO_TIMEOUTS


@attrs.frozen
class ReadClusterSize(Request[ClusterSize]):
    """To scheduling: how much of the live workers a query can use that is planned now."""


@attrs.frozen
class ReadPlan(Request[AcceptQuery]):
    """To the planner: digest, stages and scans of a plan, in one pass.

    Raises InvalidPlan, PlanningError, UnsupportedPlan, StorageError, QuotaExceeded.
    """

    query_id: QueryId
    plan_bytes: bytes = attrs.field(repr=False)
    timeouts: Timeouts = NO_TIMEOUTS
    cluster: ClusterSize = NO_CLUSTER


@attrs.frozen
class PlanText(Request[SqlPlan]):
    """To the planner: a query's text, and the cluster that is to run it. Raises as PlanSql."""

    asked: PlanSql
    cluster: ClusterSize = NO_CLUSTER


@attrs.frozen
class ReadText(Request[AcceptQuery]):
    """To the planner: as PlanText, and of the plan that it gets as ReadPlan, in one pass.

    Raises as both.
    """

    query_id: QueryId
    asked: PlanSql
    timeouts: Timeouts = NO_TIMEOUTS
    cluster: ClusterSize = NO_CLUSTER


@attrs.frozen
class DigestPlan(Request[bytes]):
    """To the planner: the digest alone, for a plan that may be known."""

    query_id: QueryId
    plan_bytes: bytes = attrs.field(repr=False)


# --- workers ---------------------------------------------------------------------------------


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
    slots: int = 0
    stuck_tasks: int = 0


@attrs.frozen
class WorkerLost(Request[None]):
    """Liveness to scheduling: a worker went stale, or a new incarnation replaced it (R19)."""

    worker_id: WorkerId
    reason: str


@attrs.frozen
class ConfirmHeartbeat(Request[HeartbeatReply]):
    """To scheduling, after liveness has recorded the beat: what this worker should be told."""

    worker_id: WorkerId
    running_attempts: tuple[AttemptKey, ...] | None
    held_queries: tuple[QueryId, ...]


@attrs.frozen
class ReadRecalls(Request[tuple[AttemptKey, ...]]):
    """To scheduling: what a worker is to be told to give back. It is handed out once."""

    worker_id: WorkerId
    incarnation: int


# --- map outputs and results -----------------------------------------------------------------


@attrs.frozen
class PublishMapOutput(Request[None]):
    """Scheduling to the registry, before a registration is answered: these partitions stand now.

    Scheduling has merged them with what the attempt had registered before (R22).
    """

    key: AttemptKey
    endpoint: str
    partitions: tuple[OutputPartition, ...]


@attrs.frozen
class PublishMapOutputs(Request[None]):
    """Scheduling to the registry, after a batch of reports: these outputs, one after the other."""

    outputs: tuple[PublishMapOutput, ...]


@attrs.frozen
class FinishAttempts(Request[tuple[ReportAnswer, ...]]):
    """To scheduling: reports of one worker, taken in this order; an answer for each.

    A report that carries an output is a RegisterMapOutput and then a ReportTaskStatus; else it is
    the latter alone. Who asks this has told liveness that the worker is alive (R18), and has
    registered the results of sink attempts.

    Attributes:
        endpoint: where the outputs can be fetched; empty: on a folder shared by all.
    """

    detached: ClassVar[bool] = True

    worker_id: WorkerId
    incarnation: int
    reports: tuple[AttemptReport, ...]
    endpoint: str = ""

    def __attrs_post_init__(self) -> None:
        if len(self.reports) > MAX_REPORTS:
            raise InvalidRequest(
                f"{len(self.reports)} reports of worker {self.worker_id} at once; "
                f"at most {MAX_REPORTS} are allowed"
            )


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
class ProposeResult(Request[AdmitResult]):
    """Results to itself: what an upload would amount to with this piece."""

    piece: RegisterQueryResults


@attrs.frozen
class StoreResult(Request[RegisterReply]):
    """Results to itself: keep the piece, if scheduling counts it (R13)."""

    piece: RegisterQueryResults
    admission: ResultAdmission


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
    """To the registry: where one exact attempt's partition can be fetched (R23)."""

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
class FreeQueryId(Request[None]):
    """Scheduling to itself, after all that removes what an evicted query held (R27)."""

    query_id: QueryId


@attrs.frozen
class GoOn(Request[None]):
    """Scheduling to itself: the next slice of what was too much for one step."""


@attrs.frozen
class ForgetMore(Request[None]):
    """The registry to itself: the next slice of what it is to forget."""


@attrs.frozen
class Tick(Request[None]):
    """To scheduling, from its own timer: time has passed (R10, R16, R27)."""
