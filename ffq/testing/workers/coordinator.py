"""The coordinator that a worker under test talks to: ours, over a line that loses some calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs

from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.ids import QueryId
from ffq.messages import ListAttempts
from ffq.testing.adapters.core import CoreAdapter
from ffq.testing.queries import PlanShape
from ffq.testing.wire import (
    OutputPartition,
    PartitionView,
    QueryState,
    Refusal,
    StatusView,
    TaskState,
    TaskView,
)
from ffq.testing.workers.checker import Key, WorkerChecker

T = TypeVar("T")

SETTINGS = CoordinatorSettings(
    worker_liveness_timeout_ms=5_000,
    retry_backoff_base_ms=10,
    max_task_attempts=1_000,
    blacklist_failure_threshold=1_000_000,
)
LOST = Refusal("UNAVAILABLE", message="the call was lost")


@attrs.define
class Loss:
    """The next `count` calls of `method` ("": of any) are lost, before or after their effect."""

    method: str
    after_effect: bool
    count: int


@attrs.define
class PlayedCoordinator:
    """Implements `CoordinatorCalls`: every call is checked, and written to the script."""

    checker: WorkerChecker
    script: list[str] = attrs.field(factory=list)
    losses: list[Loss] = attrs.field(factory=list)
    core: CoreAdapter = attrs.field(factory=lambda: CoreAdapter(CoreCoordinator(SETTINGS)))
    broken: bool = False

    # --- the worker --------------------------------------------------------------------------

    def heartbeat(self, worker_id: str, capabilities: frozenset[str]) -> bool | Refusal:
        names = ", ".join(sorted(capabilities))
        call = f"Heartbeat({worker_id}, [{names}])"
        return self._call(call, lambda: self.core.heartbeat(worker_id, capabilities))

    def get_task(self, worker_id: str, capacity: int) -> tuple[TaskView, ...] | Refusal:
        self.checker.asked(capacity)
        call = f"GetTask({worker_id}, capacity={capacity})"
        reply = self._call(call, lambda: self.core.get_task(worker_id, capacity))
        if not isinstance(reply, Refusal):
            self.checker.assigned(reply)
        return reply

    def fetch_partition(self, task: TaskView, reduce_partition: int) -> PartitionView | Refusal:
        self.checker.fetched(task)
        call = f"FetchShufflePartition({task}, {reduce_partition})"
        return self._call(call, lambda: self.core.fetch_partition(task, reduce_partition))

    def register_map_output(
        self, task: TaskView, partitions: tuple[OutputPartition, ...]
    ) -> Refusal | None:
        numbers = ", ".join(
            f"{each.reduce_partition}{'' if each.finalized else '...'}" for each in partitions
        )
        call = f"RegisterMapOutput({task}, [{numbers}])"
        reply = self._call(call, lambda: self.core.register_map_output(task, partitions))
        self.checker.registered(task, partitions, reply)
        return reply

    def register_results(self, query_id: str, payload: bytes) -> Refusal | None:
        call = f"RegisterQueryResults({query_id}, {len(payload)} bytes)"
        reply = self._call(call, lambda: self.core.register_results(query_id, payload))
        self.checker.uploaded(query_id, reply)
        return reply

    def report(self, task: TaskView, state: TaskState, message: str) -> Refusal | None:
        call = f"ReportTaskStatus({task}, {state.name})"
        reply = self._call(call, lambda: self.core.report(task, state, message))
        self.checker.reported(task, state)
        return reply

    def _call(self, call: str, make: Callable[[], T]) -> T | Refusal:
        loss = self._strikes(call.partition("(")[0])
        reply: T | Refusal = LOST
        if loss is None or loss.after_effect:
            reply = make()
        if loss is None:
            self.note(f"{call} -> {_shown(reply)}")
            return reply
        self.note(f"{call} -> lost {'after' if loss.after_effect else 'before'} its effect")
        return LOST

    def _strikes(self, method: str) -> Loss | None:
        for loss in self.losses:
            if loss.method in {"", method}:
                loss.count -= 1
                if not loss.count:
                    self.losses.remove(loss)
                return loss
        return None

    # --- everybody else ----------------------------------------------------------------------

    def submit(self, query_id: str, shape: PlanShape) -> None:
        self.checker.plans[query_id] = shape
        state = self.core.submit(query_id, shape.plan)
        self.note(f"(a client) SubmitQuery({query_id}, <{shape.name}>) -> {_shown(state)}")

    def cancel(self, query_id: str) -> None:
        self.note(f"(a client) CancelQuery({query_id}) -> {_shown(self.core.cancel(query_id, ''))}")

    def advance(self, ms: int) -> None:
        self.note(f"wait {ms} ms")
        self.core.advance(ms)

    def restart(self) -> None:
        """The coordinator comes back and remembers nothing; clients submit what was open again."""
        open_queries = self.open_queries()
        self.note("the coordinator restarts")
        self.checker.restarted()
        self.core = CoreAdapter(CoreCoordinator(SETTINGS))
        for query_id in open_queries:
            self.submit(query_id, self.checker.plans[query_id])

    def open_queries(self) -> dict[str, str]:
        """Those that have not ended, and their state."""
        return {
            query_id: status.state.name
            for query_id in self.checker.plans
            if isinstance(status := self.core.status(query_id), StatusView)
            and not status.state.terminal
        }

    def running(self) -> set[Key]:
        """Attempts that the coordinator counts as running."""
        return {
            (each.key.query_id, each.key.stage_id, each.key.task_id, each.key.attempt)
            for query_id in self.open_queries()
            for each in self.core.core.ask(ListAttempts(QueryId(query_id)), 0)
            if each.state is TaskState.RUNNING
        }

    def note(self, line: str) -> None:
        self.script.append(f"{len(self.script) + 1}. {line}")


def _shown(reply: object) -> str:
    match reply:
        case None:
            return "OK"
        case QueryState():
            return reply.name
        case tuple():
            return f"[{', '.join(map(str, reply))}]"
        case _:
            return str(reply)
