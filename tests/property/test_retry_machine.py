"""Retry, backoff, budgets, exclusion and suspects against a naive model (R9, R14 to R17, R19).

Before time passes, everybody beats, except one that falls silent and comes back as it was.
"""

from __future__ import annotations

from collections import defaultdict
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
from ffq.plan.model import RangeJoin, SharedRead
from ffq.plan.stages import StagePlan
from ffq.plan.walk import walk_stage
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

BLAMED = {None, ErrorKind.EXECUTION, ErrorKind.ENVIRONMENT}
ELSEWHERE = {ErrorKind.ENVIRONMENT, ErrorKind.EXTERNAL}
ENDING = {ErrorKind.PLAN, ErrorKind.DATA}
# An error of the plan or the data ends its query: rarely, or little else would be seen.
KINDS = [
    *[None, ErrorKind.EXECUTION, ErrorKind.OPERATOR, ErrorKind.STOPPED] * 4,
    *[ErrorKind.ENVIRONMENT, ErrorKind.EXTERNAL] * 4,
    ErrorKind.PLAN,
    ErrorKind.DATA,
]


@attrs.define
class Believed:
    """What must be true of a worker: `excluded_at_ms` None unless it is excluded."""

    failures: int = 0
    excluded_at_ms: int | None = None

    def is_excluded(self, now_ms: int) -> bool:
        since = self.excluded_at_ms
        return since is not None and now_ms < since + SETTINGS.blacklist_ttl_ms


@attrs.define
class Tried:
    """What must be true of a task.

    `own`: failures that are its own for certain; `doubtful`: losses with others beside it.
    `avoids`: workers on which it failed for what they lack.
    """

    own: int = 0
    doubtful: int = 0
    suspect: bool = False
    avoids: set[str] = attrs.field(factory=set)

    @property
    def solitary(self) -> bool:
        """Whether it must run alone: as a suspect whose next failure would be its last."""
        return self.suspect and self.own + self.doubtful + 1 >= SETTINGS.max_task_attempts


class RetryMachine(ClusterMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tried: defaultdict[Task, Tried] = defaultdict(Tried)
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
        suiting = [each for each in self.waiting_since if self.suits(worker, *each)]
        super().pulls(worker, capacity)
        for number, held in enumerate(self.held[had:]):
            if number == 0 and not self.tried[task_of(held.key)].solitary:
                self.judge_turn(suiting, held.key.query_id)
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

    def suits(self, worker: str, query_id: str, stage_id: StageId) -> bool:
        """Whether the worker may be given a task of this stage beside what it runs (R17, R19)."""
        query = self.submitted[query_id]
        stage = self.stages(query_id)[stage_id]
        waiting = [
            task_of(each.key)
            for each in self.d.attempts(query_id)
            if each.key.stage_id == stage_id
            and each.state is TaskState.QUEUED
            and self.ready_at_ms.get(task_of(each.key), 0) <= self.d.now_ms
        ]
        return worker in self.able_workers(query, stage) and (
            self.d.status(query_id).state is QueryState.QUEUED
            or any(
                not self.tried[task].solitary
                and not (self.tried[task].suspect and self.suspects_on(worker))
                and self.is_welcome(worker, task)
                for task in waiting
            )
        )

    def suspects_on(self, worker: str) -> list[Held]:
        """What of suspects it runs, as far as it was told of them."""
        return [held for held in self.running_on(worker) if self.tried[task_of(held.key)].suspect]

    def running_on(self, worker: str) -> list[Held]:
        return [held for held in self.held if held.worker == worker and self.is_running(held)]

    def is_welcome(self, worker: str, task: Task) -> bool:
        """R17: it did not fail there for what the worker lacks, or no other could take it.

        One that is idle and has left it alone for a worker's liveness timeout could not.
        """
        query = self.submitted[task[0]]
        waits_ms = self.d.now_ms - self.ready_at_ms.get(task, 0)
        left_alone = waits_ms > SETTINGS.worker_liveness_timeout_ms
        return worker not in self.tried[task].avoids or not any(
            other not in self.tried[task].avoids
            and not self.believed[other].is_excluded(self.d.now_ms)
            and (self.is_busy(other) or not left_alone)
            for other in self.able_workers(query, self.stages(task[0])[task[1]])
        )

    def is_busy(self, worker: str) -> bool:
        return any(
            each.worker_id == worker and each.state is TaskState.RUNNING
            for query_id in self.submitted
            for each in self.d.attempts(query_id)
        )

    def judge_turn(self, suiting: list[tuple[str, StageId]], served: str) -> None:
        """R11: nobody is served again while someone waits who has been there since the last time.

        `waiting_since` is as it was before the assignment; `suiting`: what the worker could get.
        What must run alone goes before all others, and is not judged.
        """
        last = self.last_served.get(served, -1)
        for query_id, stage_id in suiting:
            since = self.waiting_since[query_id, stage_id]
            if query_id == served:
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
        state = self.d.status(query.query_id).state
        if state.terminal:
            return []
        if state is QueryState.QUEUED:
            probes = {choice.probe for choice in query.graph.joins}
            return [
                stage
                for stage in query.graph.stages
                if not stage.parents and stage.stage_id not in probes
            ]
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
            for stage in self.stages(query.query_id).values()
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
            if needs <= able and (worker == PEER) in families and self.reads(worker, query)
        ]

    def reads(self, worker: str, query: AcceptQuery) -> bool:
        """Whether it knows the words of the plan: what sizes decide, what several stages read, and
        joins by ranges of files are ours alone."""
        graph = query.graph
        ours = any(
            isinstance(node, SharedRead | RangeJoin)
            for stage in graph.stages
            for node in walk_stage(stage.fragment)
        )
        return worker != PEER or not (graph.joins or graph.gathers or ours)

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
        """R19: what ran alone is charged, else the suspect; its count and exclusion stay (R16)."""
        self.everybody_beats()
        self.d.advance(SETTINGS.worker_liveness_timeout_ms)
        for other in WORKERS:
            if other != worker:
                self.beat(other)
        lost = self.running_on(worker)
        self.d.advance(1)
        assert self.d.worker(worker) is None, "R19"
        self.believe_lost(lost, f"worker lost: {worker}")
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

    @rule(worker=workers, capacity=st.integers(2, 3), times=st.integers(1, 4))
    def dies_again_and_again(self, worker: str, capacity: int, times: int) -> None:
        """Whatever it runs is lost, and it takes more as soon as it is back."""
        for _ in range(times):
            self.pulls(worker, capacity)
            self.falls_silent_and_comes_back(worker)

    def believe_lost(self, lost: list[Held], message: str) -> None:
        suspects = [held for held in lost if self.tried[task_of(held.key)].suspect]
        assert len(suspects) <= 1, "R19: a worker runs one suspect at a time"
        for held in lost:
            task = self.tried[task_of(held.key)]
            if len(lost) == 1:
                task.own, task.doubtful = task.own + task.doubtful, 0
                self.believe_charged(held, message)
            elif task.suspect:
                assert not task.solitary, "R19: its last try is alone"
                task.own, task.doubtful = task.own - 1, task.doubtful + 1
                self.believe_charged(held, message)
            else:
                task.suspect = True
                self.ready_at_ms[task_of(held.key)] = self.d.now_ms

    def believe_charged(self, held: Held, message: str) -> None:
        task = self.tried[task_of(held.key)]
        task.own += 1
        delay = SETTINGS.retry_backoff_base_ms * 2 ** min(task.own + task.doubtful - 1, 10)
        self.ready_at_ms[task_of(held.key)] = self.d.now_ms + delay
        if task.own >= SETTINGS.max_task_attempts:
            self.must_fail[held.key.query_id] = message

    def believe_failure(self, held: Held, kind: ErrorKind | None) -> None:
        worker = self.believed[held.worker]
        if kind in BLAMED:
            worker.failures += 1
            if worker.failures >= SETTINGS.blacklist_failure_threshold and not worker.is_excluded(
                self.d.now_ms
            ):
                worker.excluded_at_ms = self.d.now_ms
        if kind in ELSEWHERE:
            self.tried[task_of(held.key)].avoids.add(held.worker)
        if kind in ENDING:
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
            task = self.tried[task_of(held.key)]
            self.tried[task_of(held.key)] = Tried(own=task.own)  # R19: it is cleared
        return reply

    def seen_state(self, held: Held) -> TaskState:
        attempts = {each.key: each for each in self.d.attempts(held.key.query_id)}
        return attempts[held.key].state

    def judge(self, held: Held, before: Iterable[AttemptStatus]) -> None:
        super().judge(held, before)
        assert self.ready_at_ms.get(task_of(held.key), 0) <= self.d.now_ms, "R9: in backoff"
        assert not self.believed[held.worker].is_excluded(self.d.now_ms), "R6"
        task = self.tried[task_of(held.key)]
        assert self.is_welcome(held.worker, task_of(held.key)), "R17: another could take it"
        beside = self.running_on(held.worker)
        assert not (task.suspect and self.suspects_on(held.worker)), "R19: one suspect at a time"
        assert not (task.solitary and beside), "R19: a suspect's last try is alone"
        assert not any(self.tried[task_of(each.key)].solitary for each in beside), (
            "R19: nothing runs beside a suspect's last try"
        )

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
