"""Workers that fall silent, come back, or are restarted; outputs lost with them (R18 to R20).

The model knows when each worker was last heard of. From that follows who is live, which attempts
must have failed, and which outputs can still be fetched.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from ffq.ids import Attempt, AttemptKey, WorkerId
from ffq.messages import (
    AttemptStatus,
    DrainWorker,
    ErrorKind,
    LostInput,
    RegisterReply,
    ReportReply,
    TaskState,
)
from tests.property.cluster import (
    LONGER,
    OURS,
    PEER,
    SETTINGS,
    WORKERS,
    ClusterMachine,
    Held,
    Task,
    input_of,
    names,
    picks,
    task_of,
    workers,
)


class StaleRequeueMachine(ClusterMachine):
    def __init__(self) -> None:
        super().__init__()
        self.last_heard: dict[str, int] = {}
        # Attempts that were running on, or whose output was with, a worker that was lost.
        self.lost: set[AttemptKey] = set()
        # Attempts of which their worker does not know, and when they were assigned.
        self.forgotten: dict[AttemptKey, int] = {}
        self.drained: set[str] = set()
        # Tasks that could not fetch an input which is there, and until when they pause.
        self.paused: dict[Task, int] = {}

    # --- evidence ----------------------------------------------------------------------------

    def heard_of(self, worker: str) -> None:
        self.last_heard[worker] = self.d.now_ms

    def beat(self, worker: str, running: Iterable[AttemptKey] | None = None) -> bool:
        self.heard_of(worker)
        accepted = super().beat(worker, running)
        assert accepted == (worker not in self.drained), "R18"
        return accepted

    def report(
        self,
        held: Held,
        state: TaskState,
        message: str = "",
        kind: ErrorKind | None = None,
        lost: Iterable[LostInput] = (),
    ) -> ReportReply:
        self.evidence(held)
        return super().report(held, state, message, kind, lost)

    def register(self, held: Held, rows: list[int], *, finalized: bool = True) -> RegisterReply:
        self.evidence(held)
        return super().register(held, rows, finalized=finalized)

    def evidence(self, held: Held) -> None:
        """R18: it counts for a worker that is known, and not for a replaced incarnation."""
        if held.worker in self.last_heard and held.incarnation == self.incarnation[held.worker]:
            self.heard_of(held.worker)

    # --- faults ------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([1, 100, 400, 700, 1000, 1001, 5000]), speaking=st.sets(workers))
    def time_passes(self, ms: int, speaking: set[str]) -> None:
        """Some workers beat all the while, the others are silent."""
        left = ms
        while left:
            step = min(left, SETTINGS.worker_liveness_timeout_ms)
            left -= step
            for worker in sorted(speaking):
                self.lists_what_it_runs(worker)
            self.d.now_ms += step
            self.expect_losses()
            self.d.advance(0)

    def expect_losses(self) -> None:
        for worker, heard in list(self.last_heard.items()):
            if self.d.now_ms - heard > SETTINGS.worker_liveness_timeout_ms:
                del self.last_heard[worker]
                self.lose(worker)

    def lose(self, worker: str) -> None:
        served = set() if worker == PEER else {TaskState.SUCCEEDED}
        for query in self.submitted:
            for each in self.d.attempts(query):
                if each.worker_id == worker and each.state in {TaskState.RUNNING, *served}:
                    self.lost.add(each.key)

    @rule(worker=st.sampled_from(OURS))
    def restarts(self, worker: str) -> None:
        """Under its old id, with an empty disk."""
        if worker in self.last_heard:
            self.lose(worker)
        self.incarnation[worker] += 1
        self.drained.discard(worker)
        self.beat(worker)

    @rule(worker=st.sampled_from(OURS), sure=st.sampled_from([False, False, True]))
    def is_drained(self, worker: str, sure: bool) -> None:
        """It is given nothing any more (R6), though it may go and come back, until a restart."""
        if sure and worker in self.last_heard:
            self.d.ask(DrainWorker(WorkerId(worker)))
            self.drained.add(worker)

    @rule(worker=st.sampled_from(OURS), able=names)
    def a_replaced_incarnation_speaks(self, worker: str, able: frozenset[str]) -> None:
        """Late, from before the restart: it changes nothing while the new one is live."""
        if worker not in self.last_heard or self.incarnation[worker] == 1:
            return
        before = [(self.d.attempts(query), self.d.status(query)) for query in self.submitted]
        live = self.d.workers()
        new, self.d.incarnations[worker] = self.incarnation[worker], self.incarnation[worker] - 1
        assert not self.d.beat(worker, able, incarnation=new - 1).accepted
        assert self.d.pull(worker, 5) == ()
        self.d.incarnations[worker] = new
        assert self.d.workers() == live
        after = [(self.d.attempts(query), self.d.status(query)) for query in self.submitted]
        assert after == before

    @rule(worker=st.sampled_from(OURS))
    def answer_is_lost(self, worker: str) -> None:
        """Assigned, but the worker never hears of it."""
        had = len(self.held)
        self.pulls(worker, 1)
        self.forgotten.update((held.key, self.d.now_ms) for held in self.held[had:])

    @rule(worker=st.sampled_from(OURS))
    def lists_what_it_runs(self, worker: str) -> None:
        """A heartbeat with the attempts that the worker knows of. A peer's lists none."""
        mine = [held for held in self.held if held.worker == worker and self.is_running(held)]
        known = [held.key for held in mine if held.key not in self.forgotten]
        ended = [held.key for held in self.held[-6:] if held.worker == worker and held not in mine]
        self.beat(worker, known + ended)
        for held in mine if worker != PEER else ():
            assigned_at_ms = self.forgotten.get(held.key, self.d.now_ms)
            lapsed = self.d.now_ms - assigned_at_ms > SETTINGS.assignment_lease_ms
            assert self.is_running(held) == (not lapsed), "an attempt lives while it is leased"

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def says_that_it_runs(self, pick: int) -> None:
        """It has heard of the attempt after all: the lease runs anew."""
        self.says_of(self.picked(pick))

    def says_of(self, held: Held) -> None:
        running = self.is_running(held)
        assert self.report(held, TaskState.RUNNING).counted == running, "R13"
        assert self.is_running(held) == running
        if running and held.key in self.forgotten:
            self.forgotten[held.key] = self.d.now_ms

    @rule(
        worker=st.sampled_from(OURS),
        before=st.sampled_from([400, 700]),
        after=st.sampled_from([400, 700]),
    )
    def hears_of_it_late(self, worker: str, before: int, after: int) -> None:
        """Neither before nor after is the attempt left alone for longer than its lease."""
        had = len(self.held)
        self.answer_is_lost(worker)
        new = self.held[had:]
        self.time_passes(before, {worker})
        for held in new:
            self.says_of(held)
        self.time_passes(after, {worker})
        self.lists_what_it_runs(worker)

    @precondition(lambda self: self.held)
    @rule(pick=picks, subset=st.integers(0, 7), later=st.sampled_from([0, 0, 1]))
    def cannot_fetch(self, pick: int, subset: int, later: int) -> None:
        """A reader loses inputs, whether they are there or not, or never were; and asks at once."""
        held = self.reader(pick)
        lost = [
            LostInput(each.stage_id, each.map_task, Attempt(each.attempt + later))
            for number, each in enumerate(held.of.inputs)
            if subset >> (number % 3) & 1
        ]
        if held.worker == PEER or not lost:
            return
        current = self.is_running(held)
        committed = {each.key for each in self.d.attempts(held.key.query_id) if each.committed}
        self.report(held, TaskState.FAILED, "cannot fetch", ErrorKind.SHUFFLE_INPUT, lost)
        after = {each.key for each in self.d.attempts(held.key.query_id) if each.committed}
        named = {input_of(held, each) for each in lost}
        if not current or not committed & named:
            assert after == committed, "R13: only the committed attempt can be lost"
        if not current:
            return
        if not self.d.status(held.key.query_id).state.terminal:
            assert not after & named, "what was lost is committed no more"
            if not committed & named and self.has_its_inputs(held):
                pause_ms = SETTINGS.retry_backoff_base_ms
                self.paused[task_of(held.key)] = self.d.now_ms + pause_ms
            self.pulls(held.worker, 5)

    def reader(self, pick: int) -> Held:
        """As `picked`, but of those that run one that reads something, if there is any."""
        reading = [held for held in self.held if held.of.inputs and self.is_running(held)]
        return reading[pick // 3 % len(reading)] if pick % 3 and reading else self.picked(pick)

    def has_its_inputs(self, held: Held) -> bool:
        """Whether every task below is committed."""
        newest = {task_of(each.key): each for each in self.d.attempts(held.key.query_id)}
        below = {source.stage_id for source in self.stage(held.key).parents}
        return all(each.committed for each in newest.values() if each.key.stage_id in below)

    # --- what must follow --------------------------------------------------------------------

    def judge(self, held: Held, before: Iterable[AttemptStatus]) -> None:
        super().judge(held, before)
        until = self.paused.get(task_of(held.key), 0)
        assert self.d.now_ms >= until, "a reader that lost nothing pauses before it tries again"
        for each in held.of.inputs:
            assert input_of(held, each) not in self.lost, (
                "R8: an output that is known lost is not read"
            )
            if each.endpoint:
                worker, _, incarnation = each.endpoint.partition("#")
                assert worker in self.last_heard
                assert self.incarnation[worker] == int(incarnation)

    @invariant()
    def exactly_those_heard_of_are_live(self) -> None:
        assert {str(each.worker_id) for each in self.d.workers()} == set(self.last_heard), "R19"

    @invariant()
    def a_lost_attempt_does_not_run(self) -> None:
        for query in self.submitted:
            for each in self.d.attempts(query):
                if each.key in self.lost:
                    assert each.state is not TaskState.RUNNING, "R19"
                elif each.message.startswith("worker lost"):
                    raise AssertionError(f"R20: {each.key} was lost for nothing")

    @invariant()
    def nobody_is_blamed(self) -> None:
        assert all(each.consecutive_failures == 0 for each in self.d.workers()), "R19"

    def teardown(self) -> None:
        for worker in WORKERS:
            if worker in self.drained:
                self.restarts(worker)
            self.beat(worker)
        super().teardown()


TestStaleRequeue = StaleRequeueMachine.TestCase
TestStaleRequeue.settings = LONGER
