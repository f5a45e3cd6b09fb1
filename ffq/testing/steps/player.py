"""Who plays steps: names of queries and workers, and the attempts that were assigned."""

from __future__ import annotations

from typing import Protocol

import attrs

from ffq.testing.queries import PlanShape, plan_shapes
from ffq.testing.results import result_payload
from ffq.testing.session import Session
from ffq.testing.wire import OutputPartition, TaskState, TaskView


class Step(Protocol):
    """One thing that a client or a worker does: one RPC, or a few that belong together."""

    def play(self, player: Player) -> None: ...


@attrs.frozen
class At:
    """An attempt, whether or not it was ever assigned. Attempt 0: the newest assigned."""

    query: int
    stage: int = 0
    attempt: int = 0


class Player:
    """Plays steps in one session, under names of its own.

    Args:
        session: where the calls go.
        tag: makes names of queries, workers and the operator differ from other players'. Query ids
            are decimal numbers when it is one (coordinators of old take no others).
        wide: map stages of the plan "wide".
    """

    def __init__(self, session: Session, tag: str = "", wide: int = 6) -> None:
        self.session = session
        self.operator = f"op{tag}"
        self.shapes: dict[str, PlanShape] = plan_shapes(self.operator, wide)
        self._tag = tag
        self.submitted: set[str] = set()
        self.held: list[TaskView] = []
        self.cancels = 0

    def query_id(self, query: int) -> str:
        return f"{self._tag}{query + 1:03}"

    def worker_id(self, worker: int) -> str:
        return f"w{self._tag}-{worker}"

    def capabilities(self, capable: bool) -> frozenset[str]:
        return frozenset({self.operator}) if capable else frozenset()

    def task(self, at: At) -> TaskView:
        """The attempt's assignment; one that was never assigned is made up."""
        query_id = self.query_id(at.query)
        for task in reversed(self.held):
            if (task.query_id, task.stage_id) == (query_id, at.stage) and at.attempt in {
                0,
                task.attempt,
            }:
                return task
        return TaskView(query_id, at.stage, 0, max(at.attempt, 1))

    def holds(self, at: At) -> bool:
        """Whether the attempt was ever assigned."""
        wanted = (self.query_id(at.query), at.stage, at.attempt)
        return any((task.query_id, task.stage_id, task.attempt) == wanted for task in self.held)

    def may_come(self, at: At, deadline: int) -> bool:
        """Whether the attempt can be assigned by then: else there is no use in asking for it."""
        world = self.session.checker.world
        query = world.queries.get(self.query_id(at.query))
        if query is None or not query.active or at.stage >= len(query.tasks):
            return False
        task = query.tasks[at.stage]
        if at.attempt != len(task.attempts) + 1 or task.committed is not None:
            return False
        newest = task.newest
        if newest is None or not newest.is_open:
            return True
        holder = world.workers[newest.worker_id]
        return holder.heard.lo + self.session.declared.worker_liveness_timeout_ms < deadline

    def has_work(self) -> bool:
        """Whether a query of its own may have something to hand out."""
        queries = self.session.checker.world.queries
        return any(query_id in queries and queries[query_id].active for query_id in self.submitted)

    def pull(self, worker: int, capacity: int) -> tuple[TaskView, ...]:
        tasks = self.session.get_task(self.worker_id(worker), capacity)
        self.held += tasks
        return tasks

    def complete(self, task: TaskView, value: int = 7) -> None:
        """What a worker on the fixed wire does when its task went well."""
        if task.stage_id == 0:
            self.session.register_results(task.query_id, result_payload(value))
        else:
            self.session.register_map_output(task, output(partition=0, size=100 * value))
        self.session.report(task, TaskState.SUCCEEDED)


def output(
    partition: int, size: int, *, finalized: bool = True, epoch: int = 0
) -> tuple[OutputPartition, ...]:
    """One partition as a worker registers it: a row for every ten bytes."""
    return (
        OutputPartition(
            reduce_partition=partition,
            bytes=size,
            rows=size // 10,
            batches=1,
            stream_epoch=epoch,
            committed_offset=size,
            finalized=finalized,
        ),
    )
