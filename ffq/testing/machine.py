"""A Hypothesis state machine that plays clients and workers against a coordinator.

    from ffq.testing import DeclaredSettings, coordinator_machine

    class TestMine(coordinator_machine(MyAdapter, DeclaredSettings()).TestCase):
        settings = hypothesis.settings(max_examples=100)

Every step is one thing a client or a worker does; every answer is checked by the naive model
(`ffq.testing.model`). At the end of a run nothing fails any more, and every query has to end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ffq.testing import steps as do
from ffq.testing.adapter import CoordinatorAdapter
from ffq.testing.declared import DeclaredSettings
from ffq.testing.queries import PARTITIONS, plan_shapes
from ffq.testing.results import result_payload
from ffq.testing.session import Session
from ffq.testing.steps import At, Player
from ffq.testing.wire import TaskState

QUERIES = 4
WORKERS = 3
PLANS = sorted(plan_shapes("any"))
MOST_FAILURES = 12

_QUERY = st.integers(0, QUERIES - 1)
_WORKER = st.integers(0, WORKERS - 1)
_PLAN = st.runner().flatmap(lambda machine: st.sampled_from(machine.plans))
_CAPACITY = st.sampled_from([1, 1, 2, 3, 8, 0])
_VALUE = st.integers(0, 3)
_OUTCOME = st.sampled_from(
    [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.FAILED, TaskState.RUNNING]
)
# Attempts are drawn by where they stand among those that were assigned, the newest first.
_PICK = st.integers(0, 30)


def coordinator_machine(
    make_adapter: Callable[[], CoordinatorAdapter],
    declared: DeclaredSettings | None = None,
    *,
    plans: Collection[str] = tuple(PLANS),
) -> type[RuleBasedStateMachine]:
    """The machine for one kind of coordinator, to be run by Hypothesis or pytest.

    Args:
        make_adapter: a coordinator that has never been used, behind its adapter. Called for each
            run.
        declared: the coordinator's settings. Small limits and short times find more.
        plans: names of the plans to submit, of `ffq.testing.queries.plan_shapes`, for a coordinator
            that does not run all: "scan" is the simplest.

    A check that fails raises `ffq.testing.Violation`, which names the check and its rule and holds
    the script of RPCs; Hypothesis shortens it.
    """
    settings = DeclaredSettings() if declared is None else declared

    class CoordinatorMachine(_CoordinatorRules):
        def __init__(self) -> None:
            super().__init__(Session(make_adapter(), settings), tuple(plans))

    return CoordinatorMachine


class _CoordinatorRules(RuleBasedStateMachine):
    """The rules. Attempts are picked by number among those assigned so far."""

    def __init__(self, session: Session, plans: tuple[str, ...]) -> None:
        super().__init__()
        self.plans = plans
        self.session = session
        self.player = Player(session)

    def _picked(self, pick: int) -> At:
        """One of the attempts that were assigned: by even numbers of those still running."""
        held = self.player.held
        believed = (self.session.checker.world.attempt(task) for task in held)
        running = [attempt.task for attempt in believed if attempt is not None and attempt.is_open]
        among = running if running and pick % 2 == 0 else held
        task = among[-1 - (pick // 2) % len(among)]
        return At(int(task.query_id) - 1, task.stage_id, task.attempt)

    def _holds_any(self) -> bool:
        return bool(self.player.held)

    # --- clients -----------------------------------------------------------------------------

    @initialize(
        plans=st.tuples(_PLAN, _PLAN),
        queries=st.sampled_from([1, 2, 2, 2]),
        workers=st.sampled_from([1, WORKERS, WORKERS, WORKERS]),
        capacity=st.sampled_from([0, 1, 1, 2, 3, 8]),
    )
    def begin(self, plans: tuple[str, str], queries: int, workers: int, capacity: int) -> None:
        """A query or two, workers of which one has the operator, and some work handed out.

        Mostly the larger world; what fails is shortened to the smallest, the first of each draw.
        """
        for query, plan in enumerate(plans[:queries]):
            do.Submit(query, plan).play(self.player)
        for worker in range(workers):
            do.Beat(worker, capable=worker == 0).play(self.player)
        if capacity:
            do.Pull(0, capacity).play(self.player)

    @rule(query=_QUERY, plan=_PLAN)
    def submit(self, query: int, plan: str) -> None:
        do.Submit(query, plan).play(self.player)

    @rule(plan=st.sampled_from([b"", b"{", b"null", b'{"NoSuchNode": {}}', b"[" * 2000]))
    def submit_nonsense(self, plan: bytes) -> None:
        do.SubmitBytes(plan).play(self.player)

    @rule(query=_QUERY)
    def status(self, query: int) -> None:
        do.Status(query).play(self.player)

    @rule(query=_QUERY)
    def results(self, query: int) -> None:
        do.Results(query).play(self.player)

    @rule(query=_QUERY)
    def cancel(self, query: int) -> None:
        do.Status(query).play(self.player)
        do.Cancel(query).play(self.player)
        do.Status(query).play(self.player)

    # --- workers -----------------------------------------------------------------------------

    @rule(worker=_WORKER, capable=st.booleans())
    def beat(self, worker: int, capable: bool) -> None:
        do.Beat(worker, capable).play(self.player)

    @rule(worker=_WORKER, capacity=_CAPACITY)
    def pull(self, worker: int, capacity: int) -> None:
        do.Pull(worker, capacity).play(self.player)

    @rule(workers=st.permutations(range(WORKERS)), capacity=_CAPACITY)
    def pull_by_all(self, workers: list[int], capacity: int) -> None:
        for worker in workers:
            do.Pull(worker, capacity).play(self.player)

    @rule(worker=_WORKER, value=_VALUE, capacity=_CAPACITY)
    def work(self, worker: int, value: int, capacity: int) -> None:
        do.Work(worker, capacity, value).play(self.player)

    @rule(worker=_WORKER)
    def fail_at_once(self, worker: int) -> None:
        for task in self.player.pull(worker, 1):
            self.session.report(task, TaskState.FAILED, f"no luck with {task}")

    @rule(worker=_WORKER, capable=st.booleans())
    def fail_often(self, worker: int, capable: bool) -> None:
        declared = self.session.declared
        do.Beat(worker, capable).play(self.player)
        times = min(declared.blacklist_failure_threshold, MOST_FAILURES)
        backoff = declared.retry_backoff_base_ms
        do.FailOften(worker, times, backoff, poll_ms=max(backoff, 1)).play(self.player)
        do.Beat(worker, capable).play(self.player)

    @rule(
        query=_QUERY,
        plan=_PLAN,
        worker=_WORKER,
        other=_WORKER,
        silent=st.sampled_from([False, False, False, True]),
        upload=st.booleans(),
        late=_OUTCOME,
    )
    def replace(
        self,
        query: int,
        plan: str,
        worker: int,
        other: int,
        silent: bool,
        upload: bool,
        late: TaskState,
    ) -> None:
        """An attempt fails or falls silent; once the next one runs, it is heard of again."""
        do.Submit(query, plan).play(self.player)
        do.Beat(worker, capable=True).play(self.player)
        declared = self.session.declared
        for first in self.player.pull(worker, 1):
            if silent:
                self._wait(declared.worker_liveness_timeout_ms + 1)
            else:
                self.session.report(first, TaskState.FAILED, f"no luck with {first}")
            self._wait(declared.retry_backoff_base_ms)
            do.Beat(other, capable=True).play(self.player)
            self.player.pull(other, 1)
            if upload and first.stage_id == 0:
                self.session.register_results(first.query_id, result_payload(1))
            self.session.report(first, late, f"late: {first}")
            self.session.status(first.query_id)
            self._wait(declared.backoff_ms(2))
            do.Beat(other, capable=True).play(self.player)
            self.player.pull(other, 1)

    @rule(worker=_WORKER)
    def claim_success(self, worker: int) -> None:
        do.Claim(worker).play(self.player)

    @precondition(_holds_any)
    @rule(pick=_PICK, value=_VALUE)
    def complete(self, pick: int, value: int) -> None:
        do.Complete(self._picked(pick), value).play(self.player)

    @precondition(_holds_any)
    @rule(pick=_PICK, state=_OUTCOME, echo=st.sampled_from([True, True, True, False]))
    def report(self, pick: int, state: TaskState, echo: bool) -> None:
        do.Report(self._picked(pick), state, echo).play(self.player)

    @precondition(_holds_any)
    @rule(pick=_PICK, state=_OUTCOME)
    def report_twice(self, pick: int, state: TaskState) -> None:
        do.Twice(self._picked(pick), state).play(self.player)

    @precondition(_holds_any)
    @rule(pick=_PICK, ahead=st.integers(1, 2), state=_OUTCOME)
    def report_unassigned(self, pick: int, ahead: int, state: TaskState) -> None:
        at = self._picked(pick)
        do.Report(At(at.query, at.stage, at.attempt + ahead), state).play(self.player)

    @precondition(_holds_any)
    @rule(
        pick=_PICK,
        partition=st.integers(0, PARTITIONS - 1),
        size=st.sampled_from([0, 10, 50]),
        finalized=st.sampled_from([True, True, False]),
        epoch=st.integers(0, 1),
    )
    def register(self, pick: int, partition: int, size: int, finalized: bool, epoch: int) -> None:
        at = self._picked(pick)
        single = 1 if self._plan_of(at) == "limit" else PARTITIONS
        if at.stage != 0:
            do.Register(at, partition % single, size, finalized, epoch).play(self.player)

    @rule(query=_QUERY, value=_VALUE)
    def upload(self, query: int, value: int) -> None:
        do.Upload(query, value).play(self.player)

    @precondition(_holds_any)
    @rule(pick=_PICK, partition=st.integers(0, PARTITIONS - 1), exact=st.booleans())
    def fetch(self, pick: int, partition: int, exact: bool) -> None:
        at = self._picked(pick)
        single = 1 if self._plan_of(at) == "limit" else PARTITIONS
        if at.stage != 0:
            do.Fetch(at, partition % single, exact).play(self.player)

    def _plan_of(self, at: At) -> str:
        return self.session.checker.world.queries[self.player.query_id(at.query)].shape.name

    # --- time --------------------------------------------------------------------------------

    @rule(share=st.sampled_from([0.1, 0.5, 1.0, 1.001, 2.0]))
    def wait_for_backoff(self, share: float) -> None:
        self._wait(self.session.declared.retry_backoff_base_ms * share)

    @rule(share=st.sampled_from([0.3, 0.6, 1.0, 1.001, 1.5]))
    def wait_for_staleness(self, share: float) -> None:
        self._wait(self.session.declared.worker_liveness_timeout_ms * share)

    @rule(share=st.sampled_from([0.5, 1.0, 1.001]), workers=st.sets(_WORKER))
    def wait_for_readmission(self, share: float, workers: set[int]) -> None:
        """Longer than a liveness timeout, as a rule: some workers keep beating meanwhile."""
        ms = int(self.session.declared.blacklist_ttl_ms * share)
        do.Keep(tuple(sorted(workers)), ms).play(self.player)

    @rule(workers=st.sets(_WORKER, min_size=1), capable=st.booleans())
    def stay_alive(self, workers: set[int], capable: bool) -> None:
        """A task that takes much longer than the liveness timeout (R20)."""
        ms = 2 * self.session.declared.worker_liveness_timeout_ms
        do.Keep(tuple(sorted(workers)), ms, capable).play(self.player)

    @precondition(_holds_any)
    @rule(pick=_PICK, registers=st.booleans())
    def show_life(self, pick: int, registers: bool) -> None:
        """A worker of which nothing is heard but what its attempt makes it send (R18)."""
        at = self._picked(pick)
        ms = self.session.declared.worker_liveness_timeout_ms * 3 // 2
        sign = do.Publish(at, ms) if registers and at.stage else do.Tell(at, ms)
        sign.play(self.player)

    def _wait(self, ms: float) -> None:
        do.Wait(max(int(ms), 1)).play(self.player)

    # --- the end -----------------------------------------------------------------------------

    def teardown(self) -> None:
        if self.session.broken is None:
            do.RunToEnd().play(self.player)
            plan = "custom" if "custom" in self.plans else self.plans[0]
            do.UseAllSlots(QUERIES, self.session.declared.slack_ms, plan).play(self.player)
