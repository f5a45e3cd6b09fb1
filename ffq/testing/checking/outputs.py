"""Checking how map outputs are served and counted (R5, R22 to R24)."""

from __future__ import annotations

import attrs

from ffq.testing.checking.refusals import is_overload, require_unknown
from ffq.testing.invariants import CheckLog
from ffq.testing.model import AttemptBelief, Course, QueryBelief, World
from ffq.testing.wire import (
    PartitionView,
    QueryState,
    Refusal,
    StatusView,
    TaskView,
    changes,
)


@attrs.define
class OutputChecker:
    world: World
    log: CheckLog
    _answers: dict[tuple[TaskView, int, bool], PartitionView | str] = attrs.field(factory=dict)
    """What was fetched of committed outputs, by number (True) and as attempt 0."""

    def fetched(
        self, task: TaskView, reduce_partition: int, reply: PartitionView | Refusal
    ) -> None:
        """FetchShufflePartition was answered."""
        if is_overload(self.log, reply):
            return
        query = self.world.queries.get(task.query_id)
        if query is None:
            require_unknown(self.log, reply, task.query_id)
            return
        served = isinstance(reply, PartitionView)
        if query.state is QueryState.CANCELED:
            self.log.require(
                "canceled-outputs-removed", not served, f"{task} was served after its cancel"
            )
        if query.vague or not query.active or task.stage_id >= len(query.tasks):
            return
        attempt = self._named(query, task)
        legal = attempt is not None and self._may_be_served(attempt)
        self.log.require(
            "stale-output-refused",
            legal or not served,
            f"FetchShufflePartition({task}, {reduce_partition}) was served; "
            f"{'no such attempt' if attempt is None else attempt.course.value}",
        )
        if attempt is not None and attempt.course is Course.SUCCEEDED:
            self._check_committed(attempt, reduce_partition, reply)
            self._check_zero(attempt, reduce_partition, named=bool(task.attempt), reply=reply)

    def _named(self, query: QueryBelief, task: TaskView) -> AttemptBelief | None:
        if task.attempt:
            return self.world.attempt(task)
        return query.tasks[task.stage_id].committed if task.task_id == 0 else None

    def _may_be_served(self, attempt: AttemptBelief) -> bool:
        if attempt.course is Course.SUCCEEDED:
            return True
        return attempt.is_open and bool(attempt.outputs)

    def _check_committed(
        self, attempt: AttemptBelief, reduce_partition: int, reply: PartitionView | Refusal
    ) -> None:
        if not self.world.declared.serves_outputs or attempt.task.stage_id == 0:
            return
        self.log.require(
            "committed-output-served",
            isinstance(reply, PartitionView),
            f"{attempt.task} is committed; partition {reduce_partition} was answered {reply}",
        )
        known = attempt.outputs.get(reduce_partition)
        expected = 0 if known is None else known.bytes
        if isinstance(reply, PartitionView) and attempt.outputs_known:
            self.log.require(
                "output-merges",
                reply.watermark == expected,
                f"partition {reduce_partition} of {attempt.task} has {reply.watermark} bytes; "
                f"what was registered merges to {expected}",
            )

    def _check_zero(
        self,
        attempt: AttemptBelief,
        reduce_partition: int,
        *,
        named: bool,
        reply: PartitionView | Refusal,
    ) -> None:
        """A committed output stands, so both ways to ask for it are answered alike (R23)."""
        answer = reply.code if isinstance(reply, Refusal) else reply
        self._answers[attempt.task, reduce_partition, named] = answer
        other = self._answers.get((attempt.task, reduce_partition, not named))
        if other is not None:
            self.log.require(
                "zero-is-the-committed",
                answer == other,
                f"partition {reduce_partition} of {attempt.task}, asked for by number and as "
                f"attempt 0, is answered differently: {changes(other, answer)}",
            )

    def counted(self, query_id: str, reply: StatusView | Refusal) -> None:
        """The metrics of committed stages say what was registered (R22)."""
        query = self.world.queries.get(query_id)
        if query is None or isinstance(reply, Refusal) or query.vague:
            return
        if not query.active:
            return
        for stage in reply.stages:
            attempt = query.tasks[stage.stage_id].committed
            if attempt is None or not attempt.outputs_known:
                continue
            rows = sum(each.rows for each in attempt.outputs.values())
            size = sum(each.bytes for each in attempt.outputs.values())
            counts = stage.map_output_rows or stage.map_output_bytes
            if not counts and not self.world.declared.keeps_metrics:
                continue
            self.log.require(
                "output-merges",
                (stage.map_output_rows, stage.map_output_bytes) == (rows, size),
                f"stage {stage.stage_id} of {query_id} counts {stage.map_output_rows} rows and "
                f"{stage.map_output_bytes} bytes; registered were {rows} and {size}",
            )
