"""What the outer world may ask of a coordinator: one message per RPC, with its reply.

An `Rpc` is asked and answered once. A `StreamRpc` is answered by a stream of chunks; behind it
stands one frozen value, which the shell nearest to the caller turns into chunks. Both name the type
of what they get, so that `await coordinator.ask(CancelQuery(...))` is checked.

Times are unix ms, sizes are bytes, counts are rows unless a name says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import attrs

from ffq.errors import InvalidRequest, words
from ffq.ids import AttemptKey, QueryId, StageId, WorkerId
from ffq.messages.statuses import AttemptStatus, QueryStatus, WorkerStatus
from ffq.messages.vocabulary import (
    NO_TIMEOUTS,
    AttemptUsage,
    ErrorKind,
    Layout,
    LostInput,
    OutputPartition,
    Payload,
    QueryState,
    ScanInput,
    ShuffleChunk,
    ShuffleInput,
    StoredPayload,
    TaskState,
    Timeouts,
)
from ffq.plan.inline import InlineTable, too_large
from ffq.runtime.message import Request

MAX_LISTED_QUERIES = 10_000
MAX_SQL_BYTES = 16 * 1024 * 1024
"""Of a query's text. Size comes before sense."""
MAX_SQL_PARTITIONS = 10_000

R_co = TypeVar("R_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)


class Rpc(Request[R_co]):
    """A message of the outer world that is answered with one `R_co`."""

    __slots__ = ()


class StreamRpc(Request[R_co], Generic[C_co, R_co]):
    """A message of the outer world that is answered with a stream of `C_co`, made of one `R_co`."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __chunk__(self) -> C_co: ...


@attrs.frozen
class SubmitReply:
    query_id: QueryId
    state: QueryState


@attrs.frozen
class SubmitQuery(Rpc[SubmitReply]):
    """A plan as its client sent it (R1). The same bytes again answer the present state,
    whatever their timeouts.

    Raises InvalidPlan, PlanningError, UnsupportedPlan, PlanConflict, QuotaExceeded.
    """

    query_id: QueryId
    plan_bytes: bytes = attrs.field(repr=False)
    timeouts: Timeouts = NO_TIMEOUTS


@attrs.frozen
class SqlColumn:
    """A column of a result: its name, and its type in the engine's words."""

    name: str
    type: str


@attrs.frozen
class TableSize:
    """Of a table when it was planned over. `rows` None: its files do not say. bytes: as stored, of
    Parquet before compression."""

    name: str
    rows: int | None
    bytes: int


@attrs.frozen
class SqlPlan:
    """A query as it may be submitted.

    Attributes:
        tables: names of the tables that it reads.
        sizes: of these.
        choices: why its joins broadcast or shuffle, for people, a line each.
    """

    plan_bytes: bytes = attrs.field(repr=False)
    columns: tuple[SqlColumn, ...]
    tables: tuple[str, ...]
    sizes: tuple[TableSize, ...] = ()
    choices: tuple[str, ...] = ()


@attrs.frozen
class PlanSql(Rpc[SqlPlan]):
    """A query's text, to be planned over the coordinator's tables and those that it brings.

    Attributes:
        parameters_json: values of its parameters, by name, each as `{kind: value}`.
        tables: definitions of tables, as entries of a catalog file, each a JSON object.
        folder: from where relative paths in the text are meant.
        partitions: how many an exchange has; 0: as many as the planner thinks right.
        inline: tables that come with their rows, which travel in the plan; before any others of
            their names. Of one without bytes the name is known, and its rows cannot be read.

    Raises InvalidQuery, InvalidRequest, UnsupportedPlan, PlanningLimit, PlanningError,
    StorageError, QuotaExceeded.
    """

    sql: str = attrs.field(repr=False)
    parameters_json: bytes = attrs.field(default=b"", repr=False)
    tables: tuple[str, ...] = attrs.field(default=(), repr=False)
    folder: str = ""
    partitions: int = 0
    inline: tuple[InlineTable, ...] = ()

    def __attrs_post_init__(self) -> None:
        size = len(self.sql.encode(errors="replace"))
        if size > MAX_SQL_BYTES:
            raise InvalidRequest(
                f"the query has {size} bytes of text; the bound is {MAX_SQL_BYTES} bytes"
            )
        if not 0 <= self.partitions <= MAX_SQL_PARTITIONS:
            raise InvalidRequest(
                f"partitions {words(self.partitions, 40)} of PlanSql: want 0 to "
                f"{MAX_SQL_PARTITIONS:,}"
            )
        sizes = {each.name: len(each.parquet) for each in self.inline}
        if len(sizes) < len(self.inline) or "" in sizes:
            named = words([each.name for each in self.inline])
            raise InvalidRequest(
                f"inline tables of PlanSql are called {named}; right would be a name for each, "
                "which no other has"
            )
        if reason := too_large(sizes):
            raise InvalidRequest(reason)


@attrs.frozen
class ListTables(Rpc[tuple[str, ...]]):
    """Names of the tables that any query may read, in the order of the catalog."""


@attrs.frozen
class Assignment:
    """One attempt of one task, to be run by the worker that pulled it.

    Attributes:
        task_count: tasks of its stage; 0 where the coordinator does not say.
        split_count: tasks among which each of its reduce partitions is shared out.
        inlined: by number, stages whose work its stage does in place of reading them, and stages
            that it reads beside to leave out rows.
    """

    key: AttemptKey
    plan_bytes: bytes = attrs.field(repr=False)
    reduce_partitions: tuple[int, ...]
    layout: Layout
    scans: tuple[ScanInput, ...] = ()
    inputs: tuple[ShuffleInput, ...] = ()
    task_count: int = 1
    split_count: int = 1
    inlined: tuple[StageId, ...] = ()

    @property
    def fixed_wire(self) -> bool:
        """Whether it came without any extension field: then its coordinator knows none."""
        return not (self.task_count or self.scans or self.inputs)


@attrs.frozen
class GetTask(Rpc[tuple[Assignment, ...]]):
    """A worker pulls at most `capacity` assignments (R6 to R11).

    `incarnation` is 0 for a peer on the fixed wire. `ahead`: so many more may wait at the worker
    for a slot, beside those that do; only one with a stream asks for that.
    """

    worker_id: WorkerId
    capacity: int
    incarnation: int = 0
    ahead: int = 0


@attrs.frozen
class ReportReply:
    """`counted`: whether the report changed anything.

    `worker_id`: who was given the attempt. Only the coordinator's own walk needs it: None over the
    wire.
    """

    counted: bool
    worker_id: WorkerId | None


@attrs.frozen
class ReportTaskStatus(Rpc[ReportReply]):
    """An attempt's state transition as its worker saw it (R13 to R17)."""

    key: AttemptKey
    state: TaskState
    message: str
    layout: Layout
    worker_id: WorkerId | None = None
    incarnation: int = 0
    kind: ErrorKind | None = None
    lost_inputs: tuple[LostInput, ...] = ()
    usage: AttemptUsage | None = None


@attrs.frozen
class GetQueryStatus(Rpc[QueryStatus]):
    query_id: QueryId


@attrs.frozen
class ListQueries(Rpc[tuple[QueryStatus, ...]]):
    """The newest `limit` queries, newest first, without their stages.

    Raises InvalidRequest: `limit` is not from 1 to 10,000.
    """

    limit: int = 100

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.limit, int) or not 1 <= self.limit <= MAX_LISTED_QUERIES:
            raise InvalidRequest(
                f"limit {words(self.limit, 40)} of ListQueries: "
                f"want 1 to {MAX_LISTED_QUERIES:,} queries"
            )


@attrs.frozen
class ListAttempts(Rpc[tuple[AttemptStatus, ...]]):
    """Every attempt of a query that was ever assigned or is queued, in key order."""

    query_id: QueryId


@attrs.frozen
class ListWorkers(Rpc[tuple[WorkerStatus, ...]]):
    pass


@attrs.frozen
class DrainWorker(Rpc[None]):
    """No more assignments to this worker; what it runs may finish (R6)."""

    worker_id: WorkerId


@attrs.frozen
class CancelReply:
    query_id: QueryId
    state: QueryState


@attrs.frozen
class CancelQuery(Rpc[CancelReply]):
    """Ends a queued or running query at once (R5); a terminal one answers its state (R4)."""

    query_id: QueryId
    reason: str


@attrs.frozen
class RegisterReply:
    """`counted`: whether it was stored.

    `worker_id`: who was given the attempt. Only the coordinator's own walk needs it: None over the
    wire.
    """

    counted: bool
    worker_id: WorkerId | None


@attrs.frozen
class RegisterMapOutput(Rpc[RegisterReply]):
    """Map output metadata of one exact attempt, in one or several calls (R22)."""

    detached: ClassVar[bool] = True

    key: AttemptKey
    partitions: tuple[OutputPartition, ...]
    layout: Layout
    worker_id: WorkerId | None = None
    incarnation: int = 0
    endpoint: str = ""


@attrs.frozen
class RegisterQueryResults(Rpc[RegisterReply]):
    """A piece of a result. `key` None: a peer on the fixed wire, the whole result at once (R26).

    `offset` is the position of `payload` in that attempt's result, in bytes; `last` ends it.
    `stored`: in place of the payload, where that was put elsewhere than in memory.
    """

    detached: ClassVar[bool] = True

    query_id: QueryId
    payload: bytes = attrs.field(repr=False)
    key: AttemptKey | None = None
    offset: int = 0
    last: bool = True
    stored: StoredPayload | None = attrs.field(default=None, repr=False)

    @property
    def content(self) -> Payload:
        return self.payload if self.stored is None else self.stored


@attrs.frozen
class ResultParts:
    """The committed results of the sink's tasks, in task order: each one Arrow IPC stream."""

    parts: tuple[tuple[Payload, ...], ...] = attrs.field(repr=False)


@attrs.frozen
class FetchQueryResults(StreamRpc[bytes, ResultParts]):
    """The result of a SUCCEEDED query (R26); NotReady before, UnknownId after eviction (R27)."""

    query_id: QueryId


@attrs.frozen
class QueryUpdate:
    """A query as it stands. `result`: all of it, once it has SUCCEEDED, if it was asked for and is
    small; None: it is to be fetched.
    """

    status: QueryStatus
    result: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class WatchQuery(StreamRpc[QueryUpdate, QueryStatus]):
    """A query's status when the watch begins, and whenever it has changed, until it has ended. Who
    is slow gets the newest. `result`: with its result, if that is small.

    Raises UnknownId; QuotaExceeded: too many are watched.
    """

    query_id: QueryId
    result: bool = False


@attrs.frozen
class RunQuery(StreamRpc[QueryUpdate, SubmitReply]):
    """What is planned, where it is a text, then submitted, and watched with its result.

    The first update says that it was submitted. `work`: the text, or a plan's bytes.

    Raises as PlanSql, SubmitQuery and WatchQuery; what is refused before the first update has
    submitted nothing.
    """

    query_id: QueryId
    work: PlanSql | bytes = attrs.field(repr=False)
    timeouts: Timeouts = NO_TIMEOUTS


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
class ShufflePart:
    """One reduce partition of one exact map attempt."""

    key: AttemptKey
    reduce_partition: int


@attrs.frozen
class FetchShufflePartition(StreamRpc[ShuffleChunk, OutputLocation]):
    """Read bytes of one reduce partition of one map attempt (R23, R24).

    At the coordinator attempt 0 is the committed one; a worker serves exact attempts.
    `start_offset`: first byte wanted. `max_bytes`: how many at most; 0 = no limit.
    `min_stream_epoch`: refuse output older than this. `also`: partitions of the same query that
    follow, in this order; offsets count over all. A coordinator, and who does not know the field,
    serves the first one alone, which its watermark tells. `opens`: the answer may be where the
    bytes lie, in files of this host.
    """

    key: AttemptKey
    reduce_partition: int
    start_offset: int = 0
    max_bytes: int = 0
    layout_version: int = 0
    min_stream_epoch: int = 0
    also: tuple[ShufflePart, ...] = ()
    opens: bool = False


@attrs.frozen
class HeartbeatReply:
    """The answer to a heartbeat.

    Attributes:
        accepted: whether the worker gets tasks.
        stop_attempts: of those that it listed, the ones to stop.
        ended_queries: of those it holds files for, the ones that need them no more.
        superseded: a live process with a higher incarnation has its id; it must end.
    """

    accepted: bool
    stop_attempts: tuple[AttemptKey, ...] = ()
    ended_queries: tuple[QueryId, ...] = ()
    superseded: bool = False


@attrs.frozen
class Heartbeat(Rpc[HeartbeatReply]):
    """Liveness and capabilities (R18 to R21).

    `running_attempts` is None for a peer that does not list them; `incarnation` 0 likewise.
    `slots`: attempts it runs at once, 0: not said. `stuck_tasks`: of its slots, those held by
    attempts that were told to stop and do not.
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
    slots: int = 0
    stuck_tasks: int = 0
