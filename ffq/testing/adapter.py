"""The one thing to write to put a coordinator under the harness.

An adapter calls the coordinator and translates its answers into the values of `ffq.testing.wire`.
An RPC that the coordinator refuses is answered with a `Refusal`; anything else that goes wrong
should raise, and fails the test as it is.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ffq.testing.wire import (
    OutputPartition,
    PartitionView,
    QueryState,
    Refusal,
    StatusView,
    TaskState,
    TaskView,
)


class CoordinatorAdapter(Protocol):
    """A coordinator as clients and workers on the fixed wire see it, one method per RPC.

    Every method blocks until the RPC is answered.
    """

    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        """SubmitQuery (R1)."""
        ...

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        """GetTask (R6 to R11)."""
        ...

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        """ReportTaskStatus, echoing the layout of `task` (R13 to R17)."""

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        """Heartbeat; answers `accepted` (R18, R21)."""
        ...

    def register_map_output(
        self, task: TaskView, partitions: tuple[OutputPartition, ...]
    ) -> Refusal | None:
        """RegisterMapOutput, echoing the layout of `task` (R22)."""

    def register_results(self, query_id: str, payload: bytes) -> Refusal | None:
        """RegisterQueryResults without an attempt's key: the whole result at once (R26)."""

    def status(self, query_id: str) -> StatusView | Refusal:
        """GetQueryStatus."""
        ...

    def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
        """CancelQuery; answers the state after it (R4, R5)."""
        ...

    def fetch_results(self, query_id: str) -> bytes | Refusal:
        """FetchQueryResults: the payloads of all chunks, put together (R26)."""
        ...

    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        """FetchShufflePartition of one map attempt; attempt 0 is the committed one (R23)."""
        ...

    def advance(self, ms: int) -> None:
        """Let `ms` milliseconds pass, and with them every timer of the coordinator that is due.

        A coordinator with a clock of its own sleeps.
        """


@runtime_checkable
class SelfChecking(Protocol):
    """An adapter may have this too: it is called after every step."""

    def validate_state(self) -> None:
        """Raise when the coordinator's own bookkeeping is inconsistent."""
