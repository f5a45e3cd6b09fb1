"""Drives a CoreCoordinator by hand: clients, workers of both kinds, and the clock.

Every call is followed by `validate_state()` of the machines that it has changed, and of all when it
has raised. What changes a machine without growing its version is found by test_replay.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import attrs

from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.core.machine import Party
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import (
    AcceptQuery,
    Assignment,
    AttemptStatus,
    CancelQuery,
    CancelReply,
    ErrorKind,
    FetchQueryResults,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    HeartbeatReply,
    ListAttempts,
    ListWorkers,
    LostInput,
    OutputPartition,
    QueryStatus,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    ScanSplit,
    StageScan,
    SubmitReply,
    TaskState,
    WorkerStatus,
    loaded,
)
from ffq.plan import dump_plan
from ffq.plan.codec import plan_digest
from ffq.plan.model import Node
from ffq.plan.stages import cut
from ffq.runtime import Request

R = TypeVar("R")
FAMILY = "ffq-test"
OURS = frozenset({"ffq.splits"})


def key(query: str, stage: int, task: int, attempt: int) -> AttemptKey:
    return AttemptKey(QueryId(query), StageId(stage), TaskId(task), Attempt(attempt))


def shares(plan: Node, counts: Mapping[str, int]) -> tuple[StageScan, ...]:
    """Shares for every scan of the tables named, one row group each."""
    return tuple(
        StageScan(
            stage.stage_id,
            source.leaf,
            source.table,
            tuple(
                (ScanSplit(f"{source.table}.parquet", n, n + 1),)
                for n in range(counts[source.table])
            ),
        )
        for stage in cut(plan).stages
        for source in stage.scans
        if source.table in counts
    )


def accept(
    query_id: QueryId, data: bytes, plan: Node, scans: tuple[StageScan, ...] = ()
) -> AcceptQuery:
    """A plan as the planner hands it to scheduling."""
    return AcceptQuery(query_id, data, plan_digest(data), cut(plan), scans)


@attrs.define
class Driver:
    """`incarnations`: 0 for a peer on the fixed wire; unknown workers are such peers too."""

    settings: CoordinatorSettings = attrs.field(factory=CoordinatorSettings)
    now_ms: int = 0
    core: CoreCoordinator = attrs.field(init=False)
    incarnations: dict[str, int] = attrs.field(factory=dict)
    _validated: dict[Party, int] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.core = CoreCoordinator(self.settings)

    def ask(self, msg: Request[R]) -> R:
        """Any message, of the outer world or internal."""
        try:
            reply = self.core.ask(msg, self.now_ms)
        except BaseException:
            self.core.validate_state()
            raise
        self._validate()
        return reply

    def advance(self, ms: int) -> None:
        """Time passes, and both timers fire."""
        self.now_ms += ms
        self.sweep()
        self.core.tick(self.now_ms)
        self._validate()

    def go_on(self) -> None:
        """The next slice of what was too much for one step, where any is left."""
        self.core.go_on(self.now_ms)
        self._validate()

    def sweep(self) -> None:
        self.core.sweep(self.now_ms)
        self._validate()

    def _validate(self) -> None:
        for party, machine in self.core.machines.items():
            if machine.version != self._validated.get(party):
                machine.validate_state()
                self._validated[party] = machine.version
        self.core.validate_agreement()

    # --- clients -----------------------------------------------------------------------------

    def submit(
        self, query: str, plan: Node, tables: Mapping[str, int] | None = None
    ) -> SubmitReply:
        return self.ask(
            accept(QueryId(query), dump_plan(plan), plan, shares(plan, tables or {})),
        )

    def cancel(self, query: str, reason: str = "no longer wanted") -> CancelReply:
        return self.ask(CancelQuery(QueryId(query), reason))

    def status(self, query: str) -> QueryStatus:
        return self.core.ask(GetQueryStatus(QueryId(query)), self.now_ms)

    def attempts(self, query: str) -> tuple[AttemptStatus, ...]:
        return self.core.ask(ListAttempts(QueryId(query)), self.now_ms)

    def attempt_states(self, query: str) -> dict[str, str]:
        """`stage/task/attempt` to state, with a star where committed."""
        return {
            str(each.key).removeprefix(f"{query}/"): each.state.name + "*" * each.committed
            for each in self.attempts(query)
        }

    def fetch(self, query: str) -> list[bytes]:
        reply = self.core.ask(FetchQueryResults(QueryId(query)), self.now_ms)
        return [b"".join(map(loaded, part)) for part in reply.parts]

    def worker(self, worker: str) -> WorkerStatus | None:
        return next((each for each in self.workers() if each.worker_id == worker), None)

    def workers(self) -> tuple[WorkerStatus, ...]:
        return self.core.ask(ListWorkers(), self.now_ms)

    # --- workers -----------------------------------------------------------------------------

    def beat(
        self,
        worker: str,
        capabilities: Iterable[str] = OURS,
        *,
        incarnation: int = 1,
        endpoint: str | None = None,
        running: Iterable[AttemptKey] | None = None,
        held: Iterable[str] = (),
        family: str = FAMILY,
        slots: int = 0,
        stuck: int = 0,
    ) -> HeartbeatReply:
        """A heartbeat; of a worker of ours unless `incarnation` is 0."""
        self.incarnations[worker] = incarnation
        ours = incarnation != 0
        return self.ask(
            Heartbeat(
                worker_id=WorkerId(worker),
                at_ms=0,
                running_tasks=0,
                capabilities=frozenset(capabilities),
                incarnation=incarnation,
                endpoint=(f"{worker}:50061" if endpoint is None else endpoint) if ours else "",
                family=family if ours else "",
                running_attempts=None if running is None else tuple(running),
                held_queries=tuple(QueryId(each) for each in held),
                slots=slots,
                stuck_tasks=stuck,
            ),
        )

    def pull(self, worker: str, capacity: int = 1) -> tuple[Assignment, ...]:
        incarnation = self.incarnations.get(worker, 0)
        return self.ask(GetTask(WorkerId(worker), capacity, incarnation))

    def pull_one(self, worker: str) -> Assignment:
        (assignment,) = self.pull(worker)
        return assignment

    def register(
        self,
        of: Assignment,
        rows: Mapping[int, int] | None = None,
        *,
        endpoint: str = "",
        finalized: bool = True,
    ) -> RegisterReply:
        """Register map output: reduce partition to rows, ten bytes each."""
        partitions = tuple(
            OutputPartition(
                n, 10 * count, count, 1, committed_offset=10 * count, finalized=finalized
            )
            for n, count in (rows or {}).items()
        )
        return self.ask(
            RegisterMapOutput(of.key, partitions, of.layout, endpoint=endpoint),
        )

    def upload(
        self, of: Assignment, payload: bytes = b"rows", *, keyed: bool = True
    ) -> RegisterReply:
        return self.ask(
            RegisterQueryResults(of.key.query_id, payload, of.key if keyed else None),
        )

    def report(
        self,
        of: Assignment,
        state: TaskState,
        message: str = "",
        *,
        kind: ErrorKind | None = None,
        lost: Iterable[LostInput] = (),
        worker: str | None = None,
        incarnation: int = 0,
    ) -> ReportReply:
        return self.ask(
            ReportTaskStatus(
                key=of.key,
                state=state,
                message=message,
                layout=of.layout,
                worker_id=None if worker is None else WorkerId(worker),
                incarnation=incarnation,
                kind=kind,
                lost_inputs=tuple(lost),
            ),
        )

    def succeed(self, of: Assignment) -> ReportReply:
        return self.report(of, TaskState.SUCCEEDED)

    def fail(
        self, of: Assignment, message: str = "boom", kind: ErrorKind | None = None
    ) -> ReportReply:
        return self.report(of, TaskState.FAILED, message, kind=kind)

    def finish(
        self,
        of: Assignment,
        rows: Mapping[int, int] | None = None,
        *,
        endpoint: str = "",
        payload: bytes = b"rows",
    ) -> ReportReply:
        """Register what the attempt made, then report SUCCEEDED."""
        if of.key.stage_id == 0:
            self.upload(of, payload)
        else:
            self.register(of, rows if rows is not None else {0: 1}, endpoint=endpoint)
        return self.succeed(of)

    def run_all(self, *workers: str, rounds: int = 100) -> None:
        """Let the workers run whatever they get, until they get nothing any more."""
        for _ in range(rounds):
            pulled = [each for worker in workers for each in self.pull(worker, 4)]
            for each in pulled:
                self.finish(each)
            if not pulled:
                return
