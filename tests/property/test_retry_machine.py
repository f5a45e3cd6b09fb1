"""Retry, backoff, budgets and exclusion against a naive model (R9, R14 to R17).

Before time passes, everybody beats, except one that falls silent and comes back as it was.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from ffq.ids import AttemptKey, QueryId, StageId
from ffq.messages import (
    AcceptQuery,
    AttemptStatus,
    ErrorKind,
    QueryState,
    ReportReply,
    TaskState,
)
from ffq.plan import dump_plan
from ffq.plan.stages import StagePlan
from tests.core.driver import accept, shares
from tests.property.cluster import (
    ALL,
    LONGER,
    PEER,
    SETTINGS,
    WORKERS,
    ClusterMachine,
    Held,
    Task,
    picks,
    task_of,
    workers,
)
from tests.strategies.graphs import operator, scan

BLAMED = {None, ErrorKind.EXECUTION}
# An error of the plan ends its query: rarely, or little else would be seen.
KINDS = [
    *[None, ErrorKind.EXECUTION, ErrorKind.OPERATOR, ErrorKind.STOPPED] * 3,
    ErrorKind.PLAN,
]


@attrs.define
class Believed:
    """What must be true of a worker: `excluded_at_ms` None unless it is excluded."""

    failures: int = 0
    excluded_at_ms: int | None = None

    def is_excluded(self, now_ms: int) -> bool:
        since = self.excluded_at_ms
        return since is not None and now_ms < since + SETTINGS.blacklist_ttl_ms


class RetryMachine(ClusterMachine):
    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[Task, int] = {}
        self.ready_at_ms: dict[Task, int] = {}
        self.must_fail: dict[str, str] = {}
        self.believed = {worker: Believed() for worker in WORKERS}
        # Stages with a task that could be assigned, and since which turn; queries' last turns.
        self.turn = 0
        self.waiting_since: dict[tuple[str, StageId], int] = {}
        self.last_served: dict[str, int] = {}

    @rule(ms=st.sampled_from([1, 50, 99, 100, 200, 400, 1000, 2999, 3000]))
    def time_passes(self, ms: int) -> None:
        while ms:
            self.everybody_beats()
            step = min(ms, SETTINGS.worker_liveness_timeout_ms)
            ms -= step
            self.d.advance(step)
        self.everybody_beats()

    @rule(early=st.booleans())
    def something_ends(self, early: bool) -> None:
        """A backoff or an exclusion: to the millisecond, or one before."""
        ends = [
            *self.ready_at_ms.values(),
            *(
                each.excluded_at_ms + SETTINGS.blacklist_ttl_ms
                for each in self.believed.values()
                if each.excluded_at_ms is not None
            ),
        ]
        left = [each - self.d.now_ms for each in ends if each > self.d.now_ms]
        if left:
            self.time_passes(min(left) - early)

    @precondition(lambda self: self.held)
    @rule(pick=picks, kind=st.sampled_from(KINDS))
    def fails(self, pick: int, kind: ErrorKind | None) -> None:
        held = self.picked(pick)
        kind = None if held.incarnation == 0 else kind
        running = self.is_running(held)
        reply = self.report(held, TaskState.FAILED, f"{held.key} broke", kind)
        assert reply.counted == running, "R13"
        if running:
            self.believe_failure(held, kind)

    def beat(self, worker: str, running: Iterable[AttemptKey] | None = None) -> bool:
        believed = self.believed[worker]
        excluded = believed.is_excluded(self.d.now_ms)
        expected = not excluded or self.is_last_hope(worker)
        accepted = super().beat(worker, running)
        assert accepted == expected, "R16, R18: readmitted if and only if nobody else can run it"
        if excluded and accepted:
            believed.excluded_at_ms = None
        return accepted

    def pulls(self, worker: str, capacity: int) -> None:
        self.see_who_waits()
        had = len(self.held)
        super().pulls(worker, capacity)
        for number, held in enumerate(self.held[had:]):
            if number == 0:
                self.judge_turn(worker, held.key.query_id)
            self.turn += 1
            self.last_served[held.key.query_id] = self.turn
        self.see_who_waits()

    def see_who_waits(self) -> None:
        waiting = {
            (query_id, stage.stage_id)
            for query_id, query in self.submitted.items()
            for stage in self.waiting_stages(query)
        }
        self.waiting_since = {each: self.waiting_since.get(each, self.turn) for each in waiting}

    def judge_turn(self, worker: str, served: str) -> None:
        """R11: nobody is served again while someone waits who has been there since the last time.

        `waiting_since` is as it was before the assignment.
        """
        last = self.last_served.get(served, -1)
        for (query_id, stage_id), since in self.waiting_since.items():
            query = self.submitted[query_id]
            if query_id == served or worker not in self.able_workers(
                query, query.graph.stages[stage_id]
            ):
                continue
            passed_over = since < last and self.last_served.get(query_id, -1) < last
            assert not passed_over, f"R11: {query_id} waits since before {served} had its turn"

    def is_last_hope(self, worker: str) -> bool:
        """Whether some task waits for which this worker is the one excluded longest of all."""
        return any(
            worker in able and self.first_excluded(able) == worker
            for query in self.submitted.values()
            for stage in self.waiting_stages(query)
            if (able := self.able_workers(query, stage))
        )

    def waiting_stages(self, query: AcceptQuery) -> list[StagePlan]:
        """Those of which a task could be assigned now (R7 to R9)."""
        stages = query.graph.stages
        state = self.d.status(query.query_id).state
        if state.terminal:
            return []
        if state is QueryState.QUEUED:
            return [stage for stage in stages if not stage.parents]
        newest = {task_of(each.key): each for each in self.d.attempts(query.query_id)}
        running = [each for each in newest.values() if each.state is TaskState.RUNNING]
        if len(running) >= SETTINGS.max_concurrent_tasks_per_query:
            return []
        unfinished = {each.key.stage_id for each in newest.values() if not each.committed}
        begun = {each.key.stage_id for each in newest.values()}
        waiting = {
            stage_id
            for (_, stage_id, _), each in newest.items()
            if each.state is TaskState.QUEUED
            and self.ready_at_ms.get(task_of(each.key), 0) <= self.d.now_ms
        }
        return [
            stage
            for stage in stages
            if stage.stage_id in waiting
            and all(
                source.stage_id in begun and source.stage_id not in unfinished
                for source in stage.parents
            )
        ]

    def able_workers(self, query: AcceptQuery, stage: StagePlan) -> list[str]:
        """Those that could run it by their last heartbeats, on the query's family (R10, R31)."""
        needs = stage.operators
        first = self.first_holder.get(query.query_id)
        if first is not None:
            needs |= first.capabilities & {"ffq.splits"}
            families = [first.worker == PEER]
        else:
            families = self.families_for_all(query) or [True, False]
        return [
            worker
            for worker, able in self.capabilities.items()
            if needs <= able and (worker == PEER) in families
        ]

    def families_for_all(self, query: AcceptQuery) -> list[bool]:
        """Families (whether it is the peer's) in which every stage finds somebody to run it."""
        return [
            family
            for family in (True, False)
            if all(
                not stage.operators
                or any(
                    stage.operators <= able
                    for worker, able in self.capabilities.items()
                    if (worker == PEER) == family
                )
                for stage in query.graph.stages
            )
        ]

    def first_excluded(self, group: list[str]) -> str | None:
        since = {
            worker: self.believed[worker].excluded_at_ms
            for worker in group
            if self.believed[worker].is_excluded(self.d.now_ms)
        }
        if len(since) < len(group):
            return None
        return min(group, key=lambda worker: (since[worker] or 0, worker))

    @rule(worker=workers)
    def falls_silent_and_comes_back(self, worker: str) -> None:
        """Its tasks are charged for it (R19); its count and its exclusion stay (R16)."""
        self.everybody_beats()
        self.d.advance(SETTINGS.worker_liveness_timeout_ms)
        for other in WORKERS:
            if other != worker:
                self.beat(other)
        lost = [held for held in self.held if held.worker == worker and self.is_running(held)]
        self.d.advance(1)
        assert self.d.worker(worker) is None, "R19"
        for held in lost:
            self.believe_charged(held, f"worker lost: {worker}")
        self.queries_fail_when_and_only_when_they_must()
        able = self.capabilities.pop(worker)
        for other in WORKERS:
            if other != worker:
                self.beat(other)
        self.changes(worker, able)

    @rule(worker=workers, times=st.integers(2, 4))
    def fails_in_a_row(self, worker: str, times: int) -> None:
        """One bad worker: whatever it gets fails."""
        for _ in range(times):
            self.pulls(worker, 1)
            mine = [held for held in self.held if held.worker == worker and self.is_running(held)]
            for held in mine[-1:]:
                self.report(held, TaskState.FAILED, f"{held.key} broke")
                self.believe_failure(held, None)

    def believe_charged(self, held: Held, message: str) -> None:
        task = task_of(held.key)
        failures = self.failures[task] = self.failures.get(task, 0) + 1
        delay = SETTINGS.retry_backoff_base_ms * 2 ** min(failures - 1, 10)
        self.ready_at_ms[task] = self.d.now_ms + delay
        if failures >= SETTINGS.max_task_attempts:
            self.must_fail[held.key.query_id] = message

    def believe_failure(self, held: Held, kind: ErrorKind | None) -> None:
        worker = self.believed[held.worker]
        if kind in BLAMED:
            worker.failures += 1
            if worker.failures >= SETTINGS.blacklist_failure_threshold and not worker.is_excluded(
                self.d.now_ms
            ):
                worker.excluded_at_ms = self.d.now_ms
        if kind is ErrorKind.PLAN:
            self.must_fail[held.key.query_id] = f"{held.key} broke"
        elif kind is ErrorKind.STOPPED:
            self.ready_at_ms[task_of(held.key)] = self.d.now_ms
        else:
            self.believe_charged(held, f"{held.key} broke")

    def finish(self, held: Held, rows: list[int]) -> ReportReply:
        reply = super().finish(held, rows)
        if reply.counted:
            assert self.seen_state(held) is TaskState.SUCCEEDED
            self.believed[held.worker].failures = 0
        return reply

    def seen_state(self, held: Held) -> TaskState:
        attempts = {each.key: each for each in self.d.attempts(held.key.query_id)}
        return attempts[held.key].state

    def judge(self, held: Held, before: Iterable[AttemptStatus]) -> None:
        super().judge(held, before)
        assert self.ready_at_ms.get(task_of(held.key), 0) <= self.d.now_ms, "R9: in backoff"
        assert not self.believed[held.worker].is_excluded(self.d.now_ms), "R6"

    @invariant()
    def queries_fail_when_and_only_when_they_must(self) -> None:
        for query in self.submitted:
            status = self.d.status(query)
            if query in self.must_fail:
                assert status.state is QueryState.FAILED, "R14, R17"
                assert status.message.startswith(self.must_fail[query])
            else:
                assert status.state is not QueryState.FAILED

    @invariant()
    def workers_are_counted_as_believed(self) -> None:
        for worker in WORKERS:
            shown = self.d.worker(worker)
            if shown is None:
                continue
            believed = self.believed[worker]
            assert shown.consecutive_failures == believed.failures, "R14, R15"
            assert shown.excluded == believed.is_excluded(self.d.now_ms), "R16"


TestRetry = RetryMachine.TestCase
TestRetry.settings = LONGER


def test_a_worker_is_believed_able_of_what_it_said_last() -> None:
    """`ours-1` is let back in at the end: the others have not said yet that they could do it."""
    machine = RetryMachine()
    for worker, able in zip(WORKERS, (ALL, frozenset[str](), frozenset[str]()), strict=True):
        machine.changes(worker, able)
    plan = operator("op.a", scan())
    machine.submits(accept(QueryId("q"), dump_plan(plan), plan, shares(plan, {"t": 4})))
    machine.fails_in_a_row("ours-1", 3)
    assert machine.believed["ours-1"].excluded_at_ms == 0
    machine.teardown()
    assert machine.believed["ours-1"].excluded_at_ms is None
