"""Who is charged when workers die, and who runs where afterwards (R17, R19).

Here it is known which tasks are poison: a worker dies only while it runs one. So every query
without poison must succeed, whatever dies beside it; and every poison must come to its end. Which
task is a suspect, and where it may run, is told by a naive model from the deaths alone.
"""

from __future__ import annotations

from collections import defaultdict

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ffq.core import CoordinatorSettings
from ffq.ids import AttemptKey, QueryId, StageId, TaskId
from ffq.messages import Assignment, AttemptStatus, ErrorKind, QueryState, TaskState
from tests.core.driver import Driver
from tests.strategies.graphs import operator, scan

MOST = 2
SETTINGS = CoordinatorSettings(
    max_task_attempts=MOST,
    retry_backoff_base_ms=10,
    worker_liveness_timeout_ms=1000,
    max_concurrent_tasks_per_worker=4,
    blacklist_failure_threshold=1000,  # exclusion is the retry machine's matter
)
WORKERS = ("a", "b", "c")
ABLE = frozenset({"op.a", "ffq.splits"})
ELSEWHERE = (ErrorKind.ENVIRONMENT, ErrorKind.EXTERNAL)
KINDS = (*ELSEWHERE, *ELSEWHERE, ErrorKind.OPERATOR, ErrorKind.STOPPED)
Task = tuple[QueryId, StageId, TaskId]


@attrs.define
class Believed:
    """Of one task. `own`: failures for certain its own; `doubtful`: losses in company."""

    own: int = 0
    doubtful: int = 0
    suspect: bool = False
    ready_at_ms: int = 0
    avoids: set[str] = attrs.field(factory=set)

    @property
    def solitary(self) -> bool:
        return self.suspect and self.own + self.doubtful + 1 >= MOST

    def charge(self, now_ms: int) -> None:
        failures = self.own + self.doubtful
        self.ready_at_ms = now_ms + SETTINGS.retry_backoff_base_ms * 2 ** (failures - 1)


def task_of(key: AttemptKey) -> Task:
    return key.query_id, key.stage_id, key.task_id


class SuspectMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.d = Driver(SETTINGS)
        self.lives = dict.fromkeys(WORKERS, 1)
        self.poison: dict[str, bool] = {}
        self.tasks: dict[str, int] = {}
        self.running: dict[str, list[Assignment]] = {worker: [] for worker in WORKERS}
        self.believed: defaultdict[Task, Believed] = defaultdict(Believed)
        self.able = dict.fromkeys(WORKERS, True)
        for worker in WORKERS:
            self.beat(worker)

    def beat(self, worker: str) -> None:
        able = ABLE if self.able[worker] else ()
        self.d.beat(worker, able, incarnation=self.lives[worker])

    # --- what happens ------------------------------------------------------------------------

    @initialize(poison=st.lists(st.booleans(), min_size=3, max_size=6))
    def starts(self, poison: list[bool]) -> None:
        for each in poison:
            self.submits(each, 1)

    @rule(poison=st.booleans(), tasks=st.sampled_from([1, 1, 2]))
    def submits(self, poison: bool, tasks: int) -> None:
        if len(self.open_queries()) < 8:
            name = f"{'poison' if poison else 'good'}-{len(self.poison)}"
            self.poison[name] = poison
            self.tasks[name] = tasks
            self.d.submit(name, operator("op.a", scan()), tables={"t": tasks})

    @rule(worker=st.sampled_from(WORKERS), capacity=st.integers(1, 4))
    def pulls(self, worker: str, capacity: int) -> None:
        room = SETTINGS.max_concurrent_tasks_per_worker - len(self.running[worker])
        waiting = self.ready_tasks()
        given = self.d.pull(worker, capacity)
        for assignment in given:
            task = task_of(assignment.key)
            assert task in waiting, "R9: it waits, and its backoff is over"
            waiting.remove(task)
            self.judge(worker, task)
            self.running[worker].append(assignment)
        if len(given) < min(capacity, room) and not self.is_kept(worker, waiting):
            left = [task for task in waiting if self.suits(worker, task)]
            assert not left, f"{worker} asked and was not given {left}"

    def judge(self, worker: str, task: Task) -> None:
        believed = self.believed[task]
        beside = [self.believed[task_of(each.key)] for each in self.running[worker]]
        assert self.able[worker], "R10"
        assert self.is_welcome(worker, task), "R17: another could take it"
        assert not (believed.suspect and any(each.suspect for each in beside)), (
            "R19: one suspect at a time"
        )
        assert not (believed.solitary and beside), "R19: a suspect's last try is alone"
        assert not any(each.solitary for each in beside), "R19: nothing beside a last try"

    @rule(worker=st.sampled_from(WORKERS), pick=st.integers(0, 3))
    def finishes(self, worker: str, pick: int) -> None:
        """What is poison never does."""
        good = [each for each in self.running[worker] if not self.poison[each.key.query_id]]
        for held in good[pick % max(1, len(good)) :][:1]:
            assert self.d.finish(held).counted, "R13"
            self.running[worker].remove(held)
            own = self.believed[task_of(held.key)].own
            self.believed[task_of(held.key)] = Believed(own=own)  # R19: it is cleared

    @rule(worker=st.sampled_from(WORKERS), heard=st.booleans())
    def dies(self, worker: str, heard: bool) -> None:
        """Of poison only; and is started again at once. `heard`: not before it went stale."""
        lost = self.running[worker]
        if not any(self.poison[each.key.query_id] for each in lost):
            return
        if heard:
            self.d.now_ms += SETTINGS.worker_liveness_timeout_ms
            for other in WORKERS:
                if other != worker:
                    self.beat(other)
            self.d.advance(1)
            assert self.d.worker(worker) is None, "R19"
        self.lives[worker] += 1
        self.beat(worker)
        self.running[worker] = []
        self.believe_lost([task_of(each.key) for each in lost])

    def believe_lost(self, lost: list[Task]) -> None:
        for task in lost:
            believed = self.believed[task]
            if len(lost) == 1:
                believed.own, believed.doubtful = believed.own + believed.doubtful + 1, 0
                believed.charge(self.d.now_ms)
            elif believed.suspect:
                believed.doubtful += 1
                believed.charge(self.d.now_ms)
            else:
                believed.suspect = True
                believed.ready_at_ms = self.d.now_ms

    @rule(worker=st.sampled_from(WORKERS), capacity=st.integers(2, 4), times=st.integers(1, 3))
    def dies_again_and_again(self, worker: str, capacity: int, times: int) -> None:
        for _ in range(times):
            self.pulls(worker, capacity)
            self.dies(worker, heard=False)
            self.time_passes(50)

    @rule(worker=st.sampled_from(WORKERS), pick=st.integers(0, 3), kind=st.sampled_from(KINDS))
    def fails(self, worker: str, pick: int, kind: ErrorKind) -> None:
        """For a reason of its own; less often than would end its query."""
        self.pulls(worker, 1)
        for held in self.running[worker][-1 - pick :][:1]:
            believed = self.believed[task_of(held.key)]
            if believed.own + 1 >= MOST:
                continue
            self.d.fail(held, kind=kind)
            self.running[worker].remove(held)
            if kind is ErrorKind.STOPPED:
                believed.ready_at_ms = self.d.now_ms
                continue
            believed.own += 1
            believed.charge(self.d.now_ms)
            if kind in ELSEWHERE:
                believed.avoids.add(worker)

    @rule(ms=st.sampled_from([1, 10, 50]))
    def time_passes(self, ms: int) -> None:
        for worker in WORKERS:
            self.beat(worker)
        self.d.advance(ms)

    @rule(able=st.sets(st.sampled_from(WORKERS)), worker=st.sampled_from(WORKERS))
    def some_can_do_it_all(self, able: set[str], worker: str) -> None:
        """Of the others' capabilities nothing is left; and one of all asks."""
        self.able = {each: each in able for each in WORKERS}
        self.time_passes(50)
        self.pulls(worker, 4)

    # --- what is believed --------------------------------------------------------------------

    def open_queries(self) -> list[str]:
        return [each for each in self.poison if not self.d.status(each).state.terminal]

    def ready_tasks(self) -> list[Task]:
        ready: list[Task] = []
        for name in self.open_queries():
            newest: dict[Task, AttemptStatus] = {
                task_of(each.key): each for each in self.d.attempts(name)
            }
            if not newest:
                # It is laid out by its first assignment.
                numbers = range(self.tasks[name])
                ready += [(QueryId(name), StageId(0), TaskId(number)) for number in numbers]
            ready += [
                task
                for task, each in newest.items()
                if each.state is TaskState.QUEUED
                and self.believed[task].ready_at_ms <= self.d.now_ms
            ]
        return ready

    def is_welcome(self, worker: str, task: Task) -> bool:
        """R17: it did not fail there, or no other could take it: such that are idle and have left
        it alone for a worker's liveness timeout could not.
        """
        believed = self.believed[task]
        waits_ms = self.d.now_ms - believed.ready_at_ms
        left_alone = waits_ms > SETTINGS.worker_liveness_timeout_ms
        return worker not in believed.avoids or not any(
            self.able[other]
            and other not in believed.avoids
            and (not left_alone or self.is_busy(other))
            for other in WORKERS
        )

    def is_busy(self, worker: str) -> bool:
        return any(
            not self.d.status(each.key.query_id).state.terminal for each in self.running[worker]
        )

    def suits(self, worker: str, task: Task) -> bool:
        """Whether it could run there beside what runs there."""
        believed = self.believed[task]
        beside = [self.believed[task_of(each.key)] for each in self.running[worker]]
        return (
            self.able[worker]
            and not believed.solitary
            and self.is_welcome(worker, task)
            and not (believed.suspect and any(each.suspect for each in beside))
        )

    def is_kept(self, worker: str, waiting: list[Task]) -> bool:
        """Whether it runs something alone, or is busy while something waits to."""
        beside = [self.believed[task_of(each.key)] for each in self.running[worker]]
        return any(each.solitary for each in beside) or (
            bool(beside) and any(self.believed[task].solitary for task in waiting)
        )

    # --- what must hold ----------------------------------------------------------------------

    @invariant()
    def what_is_good_never_fails(self) -> None:
        for name, poison in self.poison.items():
            state = self.d.status(name).state
            if not poison:
                assert state is not QueryState.FAILED, "R19: it fails by the deaths of others"
                continue
            exhausted = any(
                self.believed[task_of(each.key)].own >= MOST for each in self.d.attempts(name)
            )
            assert (state is QueryState.FAILED) == exhausted, "R14, R19: within its budget"

    @invariant()
    def what_ended_runs_nowhere(self) -> None:
        for worker, held in self.running.items():
            self.running[worker] = [
                each for each in held if not self.d.status(each.key.query_id).state.terminal
            ]

    def teardown(self) -> None:
        """Workers go on dying of whatever is poison: every query ends, as it must."""
        self.some_can_do_it_all(set(WORKERS), WORKERS[0])
        for _ in range(400):
            if not self.open_queries():
                break
            for worker in WORKERS:
                self.pulls(worker, 4)
                self.dies(worker, heard=False)
                while any(not self.poison[each.key.query_id] for each in self.running[worker]):
                    self.finishes(worker, 0)
                self.what_is_good_never_fails()
                self.what_ended_runs_nowhere()
            self.time_passes(50)
        for name, poison in self.poison.items():
            wanted = QueryState.FAILED if poison else QueryState.SUCCEEDED
            assert self.d.status(name).state is wanted, f"R19: {name} never ends"


TestSuspects = SuspectMachine.TestCase
