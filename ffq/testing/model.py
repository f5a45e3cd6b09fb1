"""A deliberately naive model of a coordinator, as its callers can know it from outside.

It keeps every attempt in a plain list and looks through all of them whenever it wants to know
something. It never plans what to assign: it is told what was assigned, and knows what may be.

A call is handled at some moment between its start and its end (`Span`). On a virtual clock the two
are one. Where a moment decides and lies within a span, the model says so (MAYBE_LOST, MAYBE) rather
than guess, and a query whose state it cannot know any more is `vague`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from ffq.testing.declared import DeclaredSettings
from ffq.testing.queries import PlanShape, StageShape
from ffq.testing.wire import OutputPartition, QueryState, StatusView, TaskView


@attrs.frozen
class Span:
    """A moment known to lie within [lo, hi], in ms of the harness's clock."""

    lo: int
    hi: int

    def plus(self, ms: int) -> Span:
        return Span(self.lo + ms, self.hi + ms)


class Course(enum.Enum):
    """What became of an attempt since it was assigned."""

    RUNNING = "running"
    MAYBE_LOST = "running, or lost with its worker"
    LOST = "lost with its worker"
    FAILED = "reported failed"
    SUCCEEDED = "committed"
    ENDED = "ended with its query"


_BUSY = (Course.RUNNING, Course.SUCCEEDED, Course.ENDED)


class Truth(enum.Enum):
    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


@attrs.define(eq=False)
class AttemptBelief:
    """One assigned attempt.

    Attributes:
        lost_from: the earliest moment at which it may have been lost.
        in_company: another attempt may have been lost with it.
        fell_short: it was reported SUCCEEDED without what makes a success, so it FAILED.
    """

    task: TaskView
    worker_id: str
    assigned: Span
    course: Course = Course.RUNNING
    lost_from: int | None = None
    in_company: bool = False
    fell_short: bool = False
    outputs: dict[int, OutputPartition] = attrs.field(factory=dict)
    outputs_known: bool = True
    result: bytes | None = None

    @property
    def is_open(self) -> bool:
        return self.course is Course.RUNNING or self.course is Course.MAYBE_LOST


@attrs.define(eq=False)
class TaskBelief:
    """The one task of a stage. `ready`: when its next attempt may be and must be assignable.

    `failures`: those it was charged with for certain; `spared`: losses in company, which may not
    have been charged, and which may have made it a `suspect` (R19).
    `retries`: why there is a next attempt at all: "" for the first, "failed" or "lost" else.
    `unserved_since`: since when no worker can have had its operators.
    """

    stage_id: int
    shape: StageShape
    ready: Span
    attempts: list[AttemptBelief] = attrs.field(factory=list)
    failures: int = 0
    spared: int = 0
    suspect: bool = False
    retries: str = ""
    unserved_since: Span | None = None

    @property
    def newest(self) -> AttemptBelief | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def committed(self) -> AttemptBelief | None:
        newest = self.newest
        return newest if newest is not None and newest.course is Course.SUCCEEDED else None

    @property
    def most_failures(self) -> int:
        return self.failures + self.spared

    @property
    def is_queued(self) -> bool:
        """Whether its next attempt is queued, for certain."""
        newest = self.newest
        return newest is None or newest.course is Course.FAILED or newest.course is Course.LOST

    @property
    def may_be_queued(self) -> bool:
        newest = self.newest
        return newest is None or newest.course not in _BUSY


@attrs.define(eq=False)
class QueryBelief:
    """One submitted query.

    Attributes:
        vague: its state cannot be known; what it shows is believed.
        was_vague: it once was; its result cannot be known either.
        stray_result: an upload arrived while no sink attempt ran; it may or may not count.
        final: its status as first seen after its end.
        passed_over: while it waits for its first assignment: how often each other query was served.
    """

    query_id: str
    shape: PlanShape
    tasks: list[TaskBelief]
    state: QueryState = QueryState.QUEUED
    message: str | None = None
    vague: bool = False
    was_vague: bool = False
    stray_result: bool = False
    started_at_ms: int = 0
    final: StatusView | None = None
    fetched: bytes | None = None
    passed_over: dict[str, int] = attrs.field(factory=dict)

    @property
    def active(self) -> bool:
        return not self.state.terminal

    @property
    def sink(self) -> TaskBelief:
        return self.tasks[0]

    def attempts(self) -> Iterator[AttemptBelief]:
        for task in self.tasks:
            yield from task.attempts

    def parents_committed(self, task: TaskBelief) -> bool:
        return all(self.tasks[parent].committed is not None for parent in task.shape.parents)

    def lose_track(self) -> None:
        """Something may or may not have counted."""
        self.vague = self.was_vague = True

    def end(self, state: QueryState, message: str | None = None) -> None:
        self.state = state
        self.message = message
        self.vague = False
        for attempt in self.attempts():
            if attempt.is_open:
                attempt.course = Course.ENDED


@attrs.define(eq=False)
class WorkerBelief:
    """A worker the harness plays.

    Attributes:
        heard: its last evidence of life; `heard_by`: the RPC that was.
        present: whether the coordinator has a record of it.
        capabilities: what its record says for certain; `may_have`: what it may say.
        ever_had: all that it ever named; `has_beaten`: whether it ever sent a heartbeat.
        fewest, most: bounds of its count of consecutive failures.
        excluded, excluded_at: and since when.
        was_excluded: it once was, so what it is refused now may be for that.
        was_praised: a success cleared a count of failures that was not 0.
    """

    worker_id: str
    heard: Span
    heard_by: str = ""
    present: Truth = Truth.YES
    capabilities: frozenset[str] = frozenset()
    may_have: frozenset[str] = frozenset()
    ever_had: frozenset[str] = frozenset()
    has_beaten: bool = False
    fewest: int = 0
    most: int = 0
    excluded: Truth = Truth.NO
    excluded_at: Span = Span(0, 0)
    was_excluded: bool = False
    was_praised: bool = False

    def let_back_in(self) -> None:
        self.excluded = Truth.NO
        self.fewest = 0


@attrs.define(eq=False)
class World:
    """All that is believed about one coordinator."""

    declared: DeclaredSettings
    queries: dict[str, QueryBelief] = attrs.field(factory=dict)
    workers: dict[str, WorkerBelief] = attrs.field(factory=dict)
    _settled_until: int = 0

    # --- looking -----------------------------------------------------------------------------

    def attempt(self, task: TaskView) -> AttemptBelief | None:
        """The attempt of that number, if it was ever assigned."""
        query = self.queries.get(task.query_id)
        for attempt in query.attempts() if query is not None else ():
            known = attempt.task
            if (known.stage_id, known.task_id, known.attempt) == (
                task.stage_id,
                task.task_id,
                task.attempt,
            ):
                return attempt
        return None

    def running(self, worker_id: str | None = None, query_id: str | None = None) -> Span:
        """How many attempts are running at least and at most, of a worker or of a query."""
        least = most = 0
        for query in self.queries.values():
            for attempt in query.attempts():
                if (
                    attempt.is_open
                    and worker_id in {None, attempt.worker_id}
                    and query_id in {None, query.query_id}
                ):
                    most += 1
                    least += attempt.course is Course.RUNNING and not query.vague
        return Span(least, most)

    def waiting(self) -> Iterator[tuple[QueryBelief, TaskBelief]]:
        """Tasks of which an attempt may be queued now."""
        for query in self.queries.values():
            if not query.state.terminal:
                for task in query.tasks:
                    if query.vague or task.may_be_queued:
                        yield query, task

    def may_run(self, worker: WorkerBelief, task: TaskBelief) -> bool:
        return worker.present is not Truth.NO and task.shape.operators <= worker.may_have

    def anybody_may_be_lost(self) -> bool:
        """Whether something may happen at any moment without a call."""
        return any(worker.present is Truth.MAYBE for worker in self.workers.values())

    # --- time --------------------------------------------------------------------------------

    def settle(self, now: Span) -> None:
        """Let everything happen that happens by itself until `now`."""
        for worker in self.workers.values():
            self._settle_presence(worker, now)
            self._settle_exclusion(worker, now)
        for query, task in self.waiting():
            self._settle_runnability(query, task, now)
        self._settle_readmission()
        self._settled_until = now.hi

    def _settle_presence(self, worker: WorkerBelief, now: Span) -> None:
        timeout = self.declared.worker_liveness_timeout_ms
        if worker.present is Truth.NO or now.hi - worker.heard.lo <= timeout:
            return
        surely = now.lo - worker.heard.hi > timeout + self.declared.slack_ms
        worker.capabilities = frozenset()
        worker.present = Truth.NO if surely else Truth.MAYBE
        if surely:
            worker.may_have = frozenset()
        held = list(self.open_on(worker.worker_id))
        for query, task, attempt in held:
            if attempt.lost_from is None:
                attempt.lost_from = worker.heard.lo + timeout
                attempt.in_company = len(held) > 1
            attempt.course = Course.MAYBE_LOST
            if surely:
                self.lose(query, task, attempt, now)

    def open_on(self, worker_id: str) -> Iterator[tuple[QueryBelief, TaskBelief, AttemptBelief]]:
        """What a worker may be running."""
        for query in self.queries.values():
            for task in query.tasks:
                for attempt in task.attempts:
                    if attempt.is_open and attempt.worker_id == worker_id:
                        yield query, task, attempt

    def lose(self, query: QueryBelief, task: TaskBelief, attempt: AttemptBelief, by: Span) -> None:
        """An attempt is known to have been lost with its worker (R19).

        It is charged to a task that ran there alone. Where others may have run, it may be.
        """
        attempt.course = Course.LOST
        since = by.lo if attempt.lost_from is None else attempt.lost_from
        at = Span(min(since, by.lo), by.lo)
        if attempt.in_company:
            self._spare(query, task, at)
        else:
            self.charge(query, task, at, None)
        task.retries = "lost"

    def _spare(self, query: QueryBelief, task: TaskBelief, at: Span) -> None:
        task.spared += 1
        task.suspect = True
        if task is query.sink:
            query.stray_result = False
        task.ready = Span(at.lo, at.plus(self.declared.backoff_ms(task.most_failures)).hi)
        if task.most_failures >= self.declared.max_task_attempts:
            query.lose_track()

    def charge(self, query: QueryBelief, task: TaskBelief, at: Span, message: str | None) -> None:
        """A failure of a task: tried again after its backoff, or the query's end (R14)."""
        task.failures += 1
        task.retries = "failed"
        if task is query.sink:
            query.stray_result = False
        if task.failures >= self.declared.max_task_attempts:
            if not query.vague:
                query.end(QueryState.FAILED, message)
            return
        soonest = at.plus(self.declared.backoff_ms(task.failures))
        latest = at.plus(self.declared.backoff_ms(task.most_failures))
        task.ready = Span(soonest.lo, latest.hi)
        if task.most_failures >= self.declared.max_task_attempts:
            query.lose_track()

    def _settle_exclusion(self, worker: WorkerBelief, now: Span) -> None:
        ttl = self.declared.blacklist_ttl_ms
        if worker.excluded is Truth.NO:
            return
        if now.lo - worker.excluded_at.hi > ttl + self.declared.slack_ms:
            worker.let_back_in()
        elif now.hi - worker.excluded_at.lo >= ttl:
            worker.excluded = Truth.MAYBE

    def _settle_readmission(self) -> None:
        """R16: where all who could run a waiting task are excluded, the longest may come back."""
        if all(worker.excluded is Truth.NO for worker in self.workers.values()):
            return
        for _, task in self.waiting():
            able = [worker for worker in self.workers.values() if self.may_run(worker, task)]
            if not able or any(worker.excluded is Truth.NO for worker in able):
                continue
            first = min(worker.excluded_at.hi for worker in able)
            for worker in able:
                if worker.excluded_at.lo <= first:
                    worker.excluded = Truth.MAYBE
                    worker.fewest = 0

    def _settle_runnability(self, query: QueryBelief, task: TaskBelief, now: Span) -> None:
        able = any(self.may_run(worker, task) for worker in self.workers.values())
        if able or not task.shape.operators or not query.parents_committed(task):
            patience, since = self.declared.unrunnable_timeout_ms, task.unserved_since
            if patience and since is not None and now.hi - since.lo >= patience:
                query.lose_track()  # who came may have come too late: R10 may have ended the query
            task.unserved_since = None
        elif task.unserved_since is None:
            task.unserved_since = Span(self._settled_until, now.hi)

    # --- workers -----------------------------------------------------------------------------

    def introduce(
        self, worker_id: str, now: Span, what: str, capabilities: frozenset[str] | None = None
    ) -> WorkerBelief:
        """Evidence of life by which a worker becomes known: GetTask, Heartbeat (R6, R18).

        `capabilities`: of a heartbeat; they replace what it had (R21).
        """
        worker = self.workers.get(worker_id)
        if worker is None:
            worker = self.workers[worker_id] = WorkerBelief(worker_id, now)
        worker.heard = now
        worker.heard_by = what
        worker.present = Truth.YES
        if capabilities is not None:
            worker.capabilities = worker.may_have = capabilities
            worker.ever_had |= capabilities
            worker.has_beaten = True
        self._settle_readmission()
        return worker

    def hear(self, worker_id: str, now: Span, what: str, *, surely: bool) -> None:
        """Evidence of life in a report or a registration, for a worker that is known (R18).

        Not `surely`: about an attempt that is not current, where the holder is hard to tell.
        """
        worker = self.workers[worker_id]
        if worker.present is not Truth.NO:
            worker.heard = now if surely else Span(worker.heard.lo, now.hi)
            worker.heard_by = what

    def blame(self, worker_id: str, now: Span, *, surely: bool) -> None:
        """A failure of a worker's attempt (R14, R16)."""
        worker = self.workers[worker_id]
        worker.most += 1
        worker.fewest += surely
        threshold = self.declared.blacklist_failure_threshold
        if worker.excluded is not Truth.NO:
            worker.excluded_at = Span(worker.excluded_at.lo, now.hi)
        elif worker.most >= threshold:
            worker.excluded = Truth.YES if worker.fewest >= threshold else Truth.MAYBE
            worker.excluded_at = now
            worker.was_excluded = True

    def praise(self, worker_id: str, *, surely: bool) -> None:
        """A success (R15). Whether it ends an exclusion as well is not said."""
        worker = self.workers[worker_id]
        worker.was_praised = worker.was_praised or worker.fewest > 0
        worker.fewest = 0
        if surely:
            worker.most = 0
        if worker.excluded is Truth.YES:
            worker.excluded = Truth.MAYBE
