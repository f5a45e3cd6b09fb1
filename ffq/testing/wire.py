"""What passes between the harness and a coordinator under test: plain frozen values.

They hold what the fixed wire holds and no more, so that any FFQ coordinator can be put behind an
adapter. Times are unix milliseconds, 0 = not yet; sizes are bytes.
"""

from __future__ import annotations

import attrs

from ffq.messages import OutputPartition, QueryState, TaskState

__all__ = [
    "OutputPartition",
    "PartitionView",
    "QueryState",
    "Refusal",
    "StageView",
    "StatusView",
    "TaskState",
    "TaskView",
    "changes",
]


@attrs.frozen
class Refusal:
    """An RPC that was answered with an error.

    Attributes:
        code: name of the gRPC status: "NOT_FOUND", "ALREADY_EXISTS", ... (R28, R29).
        reason: stable reason of google.rpc.ErrorInfo, or "" where there is none.
        message: for people.
    """

    code: str
    reason: str = ""
    message: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".strip()


@attrs.frozen
class TaskView:
    """One assigned attempt as its worker sees it; a worker names the attempt by handing it back.

    `layout_version` and `layout_fingerprint` are echoed in reports and registrations (R13).
    """

    query_id: str
    stage_id: int
    task_id: int
    attempt: int
    plan: bytes = attrs.field(default=b"", repr=False)
    reduce_partitions: tuple[int, ...] = ()
    split_index: int = 0
    split_count: int = 1
    layout_version: int = 0
    layout_fingerprint: int = 0

    def __str__(self) -> str:
        return f"{self.query_id}/{self.stage_id}/{self.task_id}/{self.attempt}"


@attrs.frozen
class StageView:
    """The part of StageMetrics that a rule speaks of.

    What the counts count is not checked, only whether a call that must change nothing changes them.
    """

    stage_id: int
    queued_tasks: int = 0
    running_tasks: int = 0
    succeeded_tasks: int = 0
    failed_tasks: int = 0
    map_output_rows: int = 0
    map_output_bytes: int = 0


@attrs.frozen
class StatusView:
    """A query's status. `stages` may be left empty by coordinators that keep no metrics."""

    state: QueryState
    submitted_at_ms: int
    started_at_ms: int
    finished_at_ms: int
    message: str = ""
    stages: tuple[StageView, ...] = ()

    @property
    def lasting(self) -> StatusView:
        """Without what a query that goes on says of itself: that may change with time alone."""
        return self if self.state.terminal else attrs.evolve(self, message="")

    def __str__(self) -> str:
        said = f" {self.message!r}" if self.message else ""
        times = f"{self.submitted_at_ms}, {self.started_at_ms}, {self.finished_at_ms}"
        return f"{self.state.name}{said} (times {times})"


def changes(before: object, after: object) -> str:
    """Where two answers differ, field by field, so that no evidence shows the same text twice."""
    kind = type(before)
    if kind is type(after) and attrs.has(kind):
        inner = [
            f"{each.name} {changes(old, new)}"
            for each in attrs.fields(kind)
            if (old := getattr(before, each.name)) != (new := getattr(after, each.name))
        ]
        return "; ".join(inner)
    if isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return ", ".join(f"[{at}]: {changes(old, new)}" for at, (old, new) in pairs if old != new)
    if isinstance(before, bytes) and isinstance(after, bytes):
        pairs = enumerate(zip(before, after, strict=False))
        same = next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)))
        ends = (each[same : same + 40] for each in (before, after))
        return f"{' -> '.join(map(repr, ends))} from byte {same} on"
    return f"{before!r} -> {after!r}"


@attrs.frozen
class PartitionView:
    """An answered FetchShufflePartition.

    Attributes:
        watermark: bytes of the partition so far; 0 for an empty one.
        finalized: whether the partition is complete at this attempt (R24).
        payload: its bytes, or None where the adapter only learns where they are.
    """

    watermark: int
    finalized: bool
    payload: bytes | None = attrs.field(default=None, repr=False)
