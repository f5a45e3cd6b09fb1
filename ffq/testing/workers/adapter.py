"""The one thing to write to put a worker under the harness."""

from __future__ import annotations

from typing import Protocol

from ffq.testing.wire import OutputPartition, PartitionView, Refusal, TaskState, TaskView


class CoordinatorCalls(Protocol):
    """The coordinator as the worker under test calls it.

    A call that is lost, or whose answer is, is answered with Refusal("UNAVAILABLE"): as over gRPC,
    the worker cannot know whether it had an effect.
    """

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        """Heartbeat."""
        ...

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        """GetTask."""
        ...

    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        """FetchShufflePartition of a map attempt; attempt 0 is the committed one."""
        ...

    def register_map_output(
        self, task: TaskView, partitions: tuple[OutputPartition, ...]
    ) -> Refusal | None:
        """RegisterMapOutput."""

    def register_results(self, query_id: str, payload: bytes) -> Refusal | None:
        """RegisterQueryResults."""

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        """ReportTaskStatus."""


class WorkerAdapter(Protocol):
    """A worker on the fixed wire, which works when it is told to."""

    def turn(self, coordinator: CoordinatorCalls) -> None:
        """Let the worker take a turn: beat, pull, run, register or upload, report.

        All of it by calls of `coordinator`, in this thread. What the worker does not manage, since
        a call was lost, it may do in a later turn. Raising fails the test.
        """
