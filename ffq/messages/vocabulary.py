"""What the parts of ffq speak of: states, splits, outputs, ranges of bytes."""

from __future__ import annotations

import builtins
import enum
from typing import Protocol, TypeAlias

import attrs

from ffq.errors import FfqError, InvalidRequest, words
from ffq.ids import Attempt, AttemptKey, StageId, TaskId

SPLITS = "ffq.splits"
"""The capability of taking a share of a stage, rather than all of it."""
MAX_NAME_LENGTH = 256
"""Of a capability, an endpoint and an engine family, in characters."""
MAX_REPORTS = 1024
"""Reports that one message may carry: taking them keeps scheduling from others meanwhile."""
MAX_CARRIED_BYTES = 32 * 1024
"""Of a map output that goes along with its report."""


class QueryState(enum.Enum):
    """QUEUED until a task of it runs, then RUNNING; SUCCEEDED, FAILED and CANCELED are its ends."""

    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELED = 5

    @property
    def terminal(self) -> bool:
        """Whether nothing may change any more (R4)."""
        return self is not QueryState.QUEUED and self is not QueryState.RUNNING


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
    DATA = 6
    """The data: a cast, arithmetic, a range. Fails the query at once, blames no worker."""
    ENVIRONMENT = 7
    """The worker's own surroundings (disk full, out of memory): retried on another worker while
    one could take it, counts against this one."""
    EXTERNAL = 8
    """Neither task nor worker, say a table's file that cannot be read here: retried on another
    worker while one could take it, within the task's budget; blames no worker."""


@attrs.frozen
class PartitionValue:
    """What a folder `name=value` in a file's path says of all its rows.

    Attributes:
        data_type: Int64, Date32 or Utf8, the same for all files of the table.
        value: as text; None: null.
    """

    name: str
    data_type: str
    value: str | None


@attrs.frozen
class ScanSplit:
    """Row groups [row_group_start, row_group_end) of a Parquet file; of another file, the whole.

    An empty range stands for no rows of that file; it still tells the schema.

    Attributes:
        bytes: of the row groups, encoded, before compression.
        file_bytes, modified_us: size and time (unix us) of the file that was planned on. Another
            file there is an error; 0 and 0: not known, not looked at.
        partition: columns that the file's path adds.
    """

    path: str
    row_group_start: int
    row_group_end: int
    bytes: int = 0
    file_bytes: int = 0
    modified_us: int = 0
    partition: tuple[PartitionValue, ...] = ()

    @property
    def empty(self) -> bool:
        return self.row_group_start >= self.row_group_end

    def without_rows(self) -> ScanSplit:
        """An empty range of the same file."""
        return attrs.evolve(self, row_group_end=self.row_group_start, bytes=0)


LONGEST_MS = 2**53 - 1
"""Of a timeout: exact as a float."""


@attrs.frozen
class Timeouts:
    """How long a query and each attempt of its tasks may take; 0: as long as they will.

    The coordinator looks at the time four times a second: what ends before it looks has ended.

    Attributes:
        query_ms: from its submission; past it the query fails.
        task_ms: from when an attempt has a slot; past it it fails and its task is charged.
    """

    query_ms: int = 0
    task_ms: int = 0

    def __attrs_post_init__(self) -> None:
        """Raises InvalidRequest: no whole number of ms, or a negative one."""
        for field in attrs.fields(Timeouts):
            value = getattr(self, field.name)
            if type(value) is not int or not 0 <= value <= LONGEST_MS:
                raise InvalidRequest(
                    f"timeout {field.name} {words(value, 40)}: want a whole number of ms from 0 "
                    f"(as long as it takes) to {LONGEST_MS}"
                )

    def __bool__(self) -> bool:
        return bool(self.query_ms or self.task_ms)


NO_TIMEOUTS = Timeouts()


@attrs.frozen
class AttemptUsage:
    """What an attempt read, gave out and took, as its worker measured it.

    Attributes:
        input_rows: of files and of other stages' outputs, after what the scan itself left out.
        input_bytes: read of files, as they are stored, and of fetched outputs.
        output_bytes: of a map output in Arrow's memory, of a result as its stream has them.
        fetch_us: microseconds of waiting for outputs of other stages.
        scan_us: of reading files and fetched outputs, on all of the engine's threads together.
        compute_us: of the fragment besides reading and writing.
        write_us: of writing the output.
        spilled_bytes: that the engine put on disk for want of memory.
        peak_memory_bytes: the most that the engine held for it.
    """

    input_rows: int = 0
    input_bytes: int = 0
    output_rows: int = 0
    output_bytes: int = 0
    fetch_us: int = 0
    scan_us: int = 0
    compute_us: int = 0
    write_us: int = 0
    spilled_bytes: int = 0
    peak_memory_bytes: int = 0

    def then(self, other: AttemptUsage) -> AttemptUsage:
        """Of both, one after the other."""
        sums = (a + b for a, b in zip(attrs.astuple(self), attrs.astuple(other), strict=True))
        peak = max(self.peak_memory_bytes, other.peak_memory_bytes)
        return attrs.evolve(AttemptUsage(*sums), peak_memory_bytes=peak)


NO_USAGE = AttemptUsage()


class FileStatus(Protocol):
    """What `os.stat` says of a file."""

    @property
    def st_size(self) -> int: ...

    @property
    def st_mtime_ns(self) -> int: ...


def file_version(status: FileStatus) -> tuple[int, int]:
    """`file_bytes` and `modified_us` of a file: no finer than what file systems agree on."""
    return status.st_size, max(1, status.st_mtime_ns // 1000)


@attrs.frozen
class ClusterSize:
    """How much of a cluster a query may use, when it is planned: for its cost, never for its rows.

    Attributes:
        slots: tasks of one query that can run at a time; 0: no worker is known.
        workers: on how many workers these are.
    """

    slots: int = 0
    workers: int = 0


NO_CLUSTER = ClusterSize()


@attrs.frozen
class TableFormat:
    """How the files of a table are read, where each does not say that itself.

    It is decided once, where the scan is planned: all tasks read columns of the same types.

    Attributes:
        name: csv or json, whose splits are whole files; parquet, of which some files may lack some
            of the columns.
        columns: pairs of name and type, in the engine's words. In a file that lacks one it is null.
        options: pairs of name and value, as the catalog file spells them.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class StageScan:
    """What one ParquetScan leaf of one stage reads, divided into shares of about equal size.

    One that follows another leaf has a share beside each of that one's, with what may meet that,
    and one with all that there is behind them.

    `format`: None: the Parquet files say all.
    """

    stage_id: StageId
    leaf: int
    table: str
    shares: tuple[tuple[ScanSplit, ...], ...]
    format: TableFormat | None = None


@attrs.frozen
class ScanInput:
    """What one task reads for one ParquetScan leaf of its stage."""

    leaf: int
    table: str
    splits: tuple[ScanSplit, ...]
    format: TableFormat | None = None


@attrs.frozen
class PartitionSize:
    """content: the partition itself, where it came along; else empty."""

    reduce_partition: int
    bytes: int
    rows: int
    content: builtins.bytes = attrs.field(default=b"", repr=False)


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


Bytes: TypeAlias = bytes | memoryview
"""Of their own, or where they lie in others."""


@attrs.frozen
class FilePlace:
    """A stretch of a file on this host.

    `device`, `inode`, `file_bytes`: of the whole file; an opened one that has others is another.
    """

    path: str
    offset: int
    bytes: int
    device: int
    inode: int
    file_bytes: int


@attrs.frozen
class ShuffleChunk:
    """Bytes [start_offset, end_offset) of one reduce partition's stream (R24).

    `watermark_offset`: how many bytes it has so far. `finalized`: it is complete at this attempt.
    `places`: in the only chunk of an answer without bytes, where they lie.
    """

    payload: Bytes = attrs.field(repr=False)
    start_offset: int
    end_offset: int
    watermark_offset: int
    finalized: bool
    stream_epoch: int = 0
    places: tuple[FilePlace, ...] = ()


class StoredPayload(Protocol):
    """Bytes that lie elsewhere than in memory; equal to others of the same content."""

    def __len__(self) -> int: ...

    def load(self) -> bytes:
        """All of them; blocks. Raises DiskError."""
        ...


Payload: TypeAlias = bytes | StoredPayload


def loaded(payload: Payload) -> bytes:
    """The bytes themselves. Raises DiskError."""
    return payload if isinstance(payload, bytes) else payload.load()


@attrs.frozen
class AttemptReport:
    """An attempt's state as its worker saw it, and with it the map output that it made.

    Attributes:
        output: partitions to be registered before the state is taken (R22); None: nothing is.
    """

    key: AttemptKey
    state: TaskState
    layout: Layout
    output: tuple[OutputPartition, ...] | None = None
    message: str = ""
    kind: ErrorKind | None = None
    lost_inputs: tuple[LostInput, ...] = ()
    usage: AttemptUsage | None = None


def _said(error: FfqError | None) -> tuple[type, str, str] | None:
    return None if error is None else (type(error), error.stable_reason, error.message)


@attrs.frozen
class ReportAnswer:
    """Whether a report counted (R13). `error`: what it would have raised by itself."""

    counted: bool
    error: FfqError | None = attrs.field(default=None, eq=_said)
