"""What scheduling remembers: queries, their stages, tasks and attempts.

An attempt's record is made when it is assigned. Before that, the queued attempt of a task is the
task itself in state QUEUED: its number is one more than the attempts made so far (R12), so that a
gap or a reuse of numbers cannot be written down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import attrs

from ffq.core.pieces import ByAttempt
from ffq.core.ready import Requirement
from ffq.core.transitions import (
    RUNNING,
    SUCCEEDED,
    AttemptEvent,
    QueryEvent,
    next_attempt_state,
    next_query_state,
)
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import (
    NO_TIMEOUTS,
    AttemptUsage,
    Layout,
    OutputPartition,
    QueryState,
    StageScan,
    TaskState,
    Timeouts,
)
from ffq.plan.stages import GatherChoice, JoinChoice, StagePlan


@attrs.define(eq=False)
class Output:
    """One attempt's map output as registered so far (R22).

    `partitions` holds those that were named, by number; it is emptied when the query ends, `named`
    stays their count. `unfinished`: how many of them are not finalized. `endpoint` empty: on a
    folder shared by all.
    """

    endpoint: str = ""
    partitions: dict[int, OutputPartition] = attrs.field(factory=dict)
    named: int = 0
    unfinished: int = 0
    rows: int = 0
    bytes: int = 0
    batches: int = 0

    @property
    def complete(self) -> bool:
        """Whether none of its partitions is unfinished."""
        return self.unfinished == 0

    def put(self, new: OutputPartition) -> None:
        """Name a partition, or replace what was said of it."""
        old = self.partitions.get(new.reduce_partition)
        if old is not None:
            self.named -= 1
            self.unfinished -= not old.finalized
            self.rows -= old.rows
            self.bytes -= old.bytes
            self.batches -= old.batches
        self.partitions[new.reduce_partition] = new
        self.named += 1
        self.unfinished += not new.finalized
        self.rows += new.rows
        self.bytes += new.bytes
        self.batches += new.batches


@attrs.define(eq=False)
class Made:
    """What the committed attempts of a stage gave out, in all."""

    rows: int = 0
    bytes: int = 0
    batches: int = 0
    partitions: int = 0

    def count(self, output: Output | None, sign: int = 1) -> None:
        """An attempt was committed, or (`sign` -1) is so no more."""
        if output is not None:
            self.rows += sign * output.rows
            self.bytes += sign * output.bytes
            self.batches += sign * output.batches
            self.partitions += sign * output.named


@attrs.define(eq=False)
class AttemptRecord:
    """One attempt since its assignment.

    `began_at_ms`: since when it has a slot of its worker, as far as is known here; None: it waits
    there for one. `recalled`: its worker is to give it back, if it has not begun.

    `confirmed_at_ms`: its lease runs from then. `outdated`: its input has been made again while it
    ran, and another run of the task might read other rows (R25). `suspect`: it runs a suspect;
    `alone`: and is to be the only attempt on its worker (R19). `speculative`: it was begun while
    another attempt of its task ran (R13).
    """

    key: AttemptKey
    layout: Layout
    worker_id: WorkerId
    incarnation: int
    assigned_at_ms: int
    confirmed_at_ms: int
    began_at_ms: int | None
    state: TaskState = TaskState.QUEUED
    finished_at_ms: int | None = None
    message: str = ""
    output: Output | None = None
    usage: AttemptUsage | None = None
    result_bytes: int = 0
    result_complete: bool = False
    outdated: bool = False
    suspect: bool = False
    alone: bool = False
    speculative: bool = False
    recalled: bool = False

    def apply(self, event: AttemptEvent) -> None:
        self.state = next_attempt_state(self.state, event)


@attrs.frozen
class MapRange:
    """Some of the map tasks of a stage: those from `begin` on, below `end`."""

    stage_id: StageId
    begin: int
    end: int


@attrs.frozen
class SkewedPartition:
    """A partition of so many bytes that several tasks share, by ranges of one stage's map tasks."""

    partition: int
    bytes: int
    ranges: tuple[MapRange, ...]


@attrs.define  # made for each task: a frozen one takes twice as long
class TaskShare:
    """What one task of a stage reads. Nobody changes it.

    `partitions`: its reduce partitions. `scan`: (leaf, share number) of the scan share it reads,
    None where every task reads the stage's scans whole. `maps`: of that stage it reads these map
    tasks' outputs alone, as others read the rest of its partition; None: of all.
    """

    partitions: tuple[int, ...] = ()
    scan: tuple[int, int] | None = None
    maps: MapRange | None = None


@attrs.define(eq=False)
class TaskRecord:
    """One task; `state` is that of its current attempt, so SUCCEEDED means committed.

    Its current attempt is the newest one; but while a second one runs beside it both are, and when
    either is committed that one is (R13). `speculated`: there was a second one.

    `waiting`: QUEUED, but in backoff until `ready_at_ms`. `lost`: committed, and its output is
    known lost, though no task needs it (yet).

    `returned`: an attempt of it was given back before it began.

    `avoids`: workers on which it failed for what they lack (R17), at most one per charged failure.
    `suspect`: it was lost with a worker, and may be why (R19). `doubtful`: how many of its
    `failures` are losses in company, of which another attempt may have been the cause. `keeper`:
    the worker that is given nothing more until it can run this task alone.
    """

    task_id: TaskId
    share: TaskShare
    attempts: list[AttemptRecord] = attrs.field(factory=list)
    state: TaskState = TaskState.QUEUED
    failures: int = 0
    uncharged: int = 0
    ready_at_ms: int = 0
    waiting: bool = False
    lost: bool = False
    avoids: frozenset[WorkerId] = frozenset()
    suspect: bool = False
    doubtful: int = 0
    keeper: WorkerId | None = None
    speculated: bool = False
    returned: bool = False

    @property
    def committed(self) -> AttemptRecord | None:
        if self.state is not SUCCEEDED:
            return None
        newest = self.attempts[-1]
        return newest if newest.state is SUCCEEDED else self.attempts[-2]

    @property
    def running(self) -> tuple[AttemptRecord, ...]:
        """Those of its attempts that run: none, one, or two (R13)."""
        return tuple([each for each in self.attempts[-2:] if each.state is RUNNING])

    @property
    def next_attempt(self) -> Attempt:
        return Attempt(len(self.attempts) + 1)


@attrs.define(eq=False)
class StageRecord:
    """One stage. `unmet`: parents that are not readable.

    `shares`: what its tasks read, by their position; empty until it is laid out. Tasks are first
    assigned in that order: `tasks` are the records of those that were, and the `fresh` ones behind
    them are QUEUED and ready, and cost nothing.

    `skewed`: partitions that several of its tasks share.

    `awaits`: the stage whose size decides whether this one is inlined or reduced, and for which it
    waits like for a parent. `inlined_into`: the stage that does its work, so that it has no tasks.
    `inlined`: the stages whose work it does, and the one that reduces it.

    `again` holds those that are QUEUED once more and past their backoff, in the order they became
    so, behind the fresh ones; but those that not every worker may be given are in `choosy`, in that
    order too (R17, R19). The counts are of tasks by state; `failed` counts failed attempts.
    `lost`: committed attempts whose outputs are known lost.
    `losing`: outputs that are lost with their worker, but are not told apart by task yet.

    `made`: what its committed attempts gave out, in all. `durations`: of some of the latest of
    them, in ms; empty without speculation.

    `scans`: what it scans, by leaf, from its layout until its query ends.
    """

    plan: StagePlan
    requirement: Requirement
    parents: tuple[StageId, ...]
    consumers: tuple[StageId, ...]
    repeatable: bool
    unmet: int
    shares: Sequence[TaskShare] = ()
    tasks: list[TaskRecord] = attrs.field(factory=list)
    layout: Layout | None = None
    fresh: int = 0
    again: deque[TaskId] = attrs.field(factory=deque)
    choosy: dict[TaskId, None] = attrs.field(factory=dict)
    queued: int = 0
    running: int = 0
    committed: int = 0
    failed: int = 0
    lost: ByAttempt[None] = attrs.field(factory=ByAttempt[None])
    losing: list[ByAttempt[None]] = attrs.field(factory=list)
    made: Made = attrs.field(factory=Made)
    durations: list[int] = attrs.field(factory=list)
    scans: Mapping[int, StageScan] = attrs.field(factory=dict)
    awaits: StageId | None = None
    inlined_into: StageId | None = None
    inlined: tuple[StageId, ...] = ()
    skewed: tuple[SkewedPartition, ...] = ()

    @property
    def stage_id(self) -> StageId:
        return self.plan.stage_id

    @property
    def is_ready(self) -> bool:
        """Whether it has a task that may be given to any worker that meets its requirement."""
        return bool(self.fresh or self.again)

    @property
    def is_sink(self) -> bool:
        return self.plan.output is None

    @property
    def is_committed(self) -> bool:
        """Whether every task has a committed attempt (R3), or another stage does its work."""
        if self.layout is None:
            return self.inlined_into is not None
        return not self.fresh and self.committed == len(self.tasks)

    @property
    def is_readable(self) -> bool:
        """Whether every task has a committed attempt whose output is not known lost (R8)."""
        return self.is_committed and not self.lost and not self.losing

    @property
    def has_work(self) -> bool:
        """Whether a task of it could be assigned now: a stage not laid out yet has some too."""
        if self.unmet or self.inlined_into is not None:
            return False
        return self.layout is None or self.is_ready or bool(self.choosy)


@attrs.frozen
class JoinDecision:
    """How an AdaptiveJoin or ReducedJoin is run.

    `stage_id`: the stage that joins. `build_bytes`: what the side gave out that was run first;
    `keys_bytes`: and of its keys alone. `why`: why that side is not read whole; empty: it is.
    `reduces`: the other side leaves out rows with other keys.
    """

    choice: JoinChoice
    stage_id: StageId
    build_bytes: int
    keys_bytes: int
    why: str
    reduces: bool


@attrs.frozen
class GatherDecision:
    """Whether an AdaptiveGather is left out.

    `stage_id`: the stage that gathers. `read_bytes`: what the stage below it reads from others.
    `in_place`: that stage is inlined.
    """

    choice: GatherChoice
    stage_id: StageId
    read_bytes: int
    in_place: bool


@attrs.define(eq=False)
class QueryRecord:
    """One query. `ordinal` tells two queries apart that had the same id one after the other.

    `scans`: by the stage and leaf that they are in the plan as it was cut. `undecided`: of joins
    that sizes decide, by the build stages that they wait for. `decisions`: of those that are, by
    the stages that they are about. `gathers`: of AdaptiveGathers, by the
    stages below them, those that are not decided; `gathered`: those that are.

    `recovering`: lost outputs that a task has still to read are made again by and by.

    `plan_bytes` is emptied when the query ends; `digest` stays. `uncommitted`: stages that are not
    committed. `output_partitions`: partition records of its outputs. `output_workers`: workers
    whose loss would lose committed outputs.
    """

    query_id: QueryId
    ordinal: int
    digest: bytes
    plan_bytes: bytes
    scans: dict[StageId, dict[int, StageScan]]
    stages: list[StageRecord]
    submitted_at_ms: int
    uncommitted: int
    timeouts: Timeouts = NO_TIMEOUTS
    state: QueryState = QueryState.QUEUED
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    message: str = ""
    splits: bool = False
    running: dict[AttemptKey, AttemptRecord] = attrs.field(factory=dict)
    in_backoff: int = 0
    recovering: bool = False
    result_bytes: int = 0
    output_partitions: int = 0
    output_workers: set[WorkerId] = attrs.field(factory=set)
    undecided: dict[StageId, tuple[JoinChoice, ...]] = attrs.field(factory=dict)
    decisions: dict[StageId, JoinDecision] = attrs.field(factory=dict)
    gathers: dict[StageId, GatherChoice] = attrs.field(factory=dict)
    gathered: dict[StageId, GatherDecision] = attrs.field(factory=dict)

    def apply(self, event: QueryEvent) -> None:
        self.state = next_query_state(self.state, event)

    def scans_of(self, stage: StageRecord) -> dict[int, StageScan]:
        """What the stage scans, by leaf; a leaf whose table is not known is absent."""
        found: dict[int, StageScan] = {}
        for source in stage.plan.scans:
            home, leaf = source.home
            scan = self.scans.get(home, {}).get(leaf)
            if scan is not None:
                found[source.leaf] = scan
        return found

    @property
    def task_count(self) -> int:
        return sum(len(stage.shares) for stage in self.stages)
