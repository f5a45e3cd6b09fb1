"""A cluster around the core, for Hypothesis: clients, workers of both kinds, and what was observed.

`ClusterMachine` has the rules that every machine needs, and judges what can be seen from outside:
who was assigned what, and what became of every attempt. The machines built on it add the faults
they are about, and a model of what must follow. `CoreCoordinator.validate_state` runs after every
call (the driver sees to it). At the end faults stop, and every query has to end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ffq.core import CoordinatorSettings
from ffq.core.liveness import stale_from_ms
from ffq.core.timeouts import next_due_ms
from ffq.ids import AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import (
    AcceptQuery,
    Assignment,
    AttemptStatus,
    ErrorKind,
    GetTask,
    LostInput,
    OutputPartition,
    QueryState,
    QueryStatus,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    ReportReply,
    ReportTaskStatus,
    ShuffleInput,
    SweepStaleWorkers,
    TaskState,
    Tick,
)
from ffq.plan import model
from ffq.plan.inlining import with_inlined
from ffq.plan.properties import is_repeatable
from ffq.plan.stages import StageGraph, StagePlan
from tests.core.driver import Driver
from tests.strategies.dividing import may_be_divided
from tests.strategies.graphs import (
    adaptive_gather,
    adaptive_join,
    adaptive_joins,
    aggregate,
    exchange,
    join,
    keyed_join,
    keyed_joins,
    operator,
    reduced_join,
    relations,
    scan,
    shared,
    submissions,
)

SETTINGS = CoordinatorSettings(
    worker_liveness_timeout_ms=1000,
    retry_backoff_base_ms=100,
    blacklist_ttl_ms=3000,
    assignment_lease_ms=700,
    max_concurrent_tasks_per_worker=3,
    max_concurrent_tasks_per_query=4,
    adaptive_target_bytes=40,
    adaptive_skew_bytes=30,
    max_uncharged_retries_per_stage=200,
    max_assignment_bytes=2000,
)
# Twice as many runs as the profile says: many of them are variants of one another.
LONGER = settings(max_examples=2 * settings().max_examples)
OPERATORS = ("op.a", "op.b")
ALL = frozenset({*OPERATORS, "ffq.splits"})
OURS = ("ours-1", "ours-2")
PEER = "peer"
WORKERS = (*OURS, PEER)
MOST_ACTIVE = 3

workers = st.sampled_from(WORKERS)
picks = st.integers(0, 60)
rows_written = st.lists(st.integers(0, 4), min_size=4, max_size=4)
# Most of the time everybody can do everything, else little would ever run.
names = st.one_of(st.just(ALL), st.just(ALL), st.frozensets(st.sampled_from(sorted(ALL))))

# The rows of the lowest stage may be others when it is run again; several stages hang on it.
layers = st.builds(
    lambda below, partitions, shares: aggregate(exchange(below, partitions), shares),
    st.sampled_from([operator("op.a", scan()), model.Limit(10, exchange(scan(), 2))]),
    st.integers(1, 3),
    st.integers(2, 4),
)
# Half of what right sides give out is small enough; a left side may be such a join too.
sizes = st.sampled_from([0, 40, 120, 1000])
sides = st.sampled_from([scan("t"), operator("op.a", scan("u")), exchange(scan("t"), 2)])
adaptive = st.builds(
    adaptive_join,
    sides | st.builds(adaptive_join, sides, sides, st.integers(1, 3), sizes),
    sides,
    st.integers(1, 4),
    sizes,
)
# So is what is gathered of a stage below, in which a part of the work may be others'.
gathered = st.builds(
    lambda below, most: model.Limit(10, adaptive_gather(below, most)),
    st.builds(aggregate, sides, st.integers(1, 4)) | adaptive,
    sizes,
)
twice = st.builds(adaptive_joins, sides, sides, st.integers(1, 3), sizes)
reducing = st.builds(reduced_join, sides | adaptive, sides | adaptive, st.integers(1, 3), sizes)
few = st.sampled_from([0, 20, 1000])
keyed = st.builds(keyed_join, sides | adaptive, sides, st.integers(1, 3), sizes, few) | st.builds(
    keyed_joins, sides, sides, st.integers(1, 2), sizes, few
)
# Of several stages for the most part.
plans = st.one_of(
    layers,
    st.builds(shared, sides | layers, st.integers(1, 4)),
    adaptive,
    twice,
    gathered,
    reducing,
    keyed,
    st.builds(aggregate, relations(), st.integers(1, 4)),
    st.builds(join, relations(max_leaves=2), relations(max_leaves=2), st.integers(1, 4)),
    relations(),
)
Task = tuple[QueryId, StageId, TaskId]


@attrs.frozen
class Held:
    """An assignment, and the worker as it was when it got it."""

    of: Assignment
    worker: str
    incarnation: int

    @property
    def key(self) -> AttemptKey:
        return self.of.key

    @property
    def payload(self) -> bytes:
        """A result that no other attempt has."""
        return f"result of {self.key}".encode()


@attrs.frozen
class Holder:
    """A worker, and what it could do when it was given something."""

    worker: str
    capabilities: frozenset[str]


def input_of(held: Held, each: ShuffleInput | LostInput) -> AttemptKey:
    """The map attempt that this input of an assignment names."""
    return AttemptKey(held.key.query_id, each.stage_id, each.map_task, each.attempt)


def work_of(graph: StageGraph, stage: StagePlan, skipped: set[StageId]) -> list[StageId]:
    """The stages whose work a stage does: those skipped that it reads, and that they read."""
    read = [source.stage_id for source in stage.parents if source.stage_id in skipped]
    return read + [each for below in read for each in work_of(graph, graph.stages[below], skipped)]


def reducing_of(
    graph: StageGraph, stage_id: StageId, decided: set[tuple[StageId, StageId]]
) -> list[StageId]:
    """The stages that a stage reads beside, to leave out rows; of those decided to be so read."""
    return [
        join.build
        for join in graph.joins
        if join.probe == stage_id and (join.probe, join.build) in decided
    ]


def task_of(key: AttemptKey) -> Task:
    return key.query_id, key.stage_id, key.task_id


class ClusterMachine(RuleBasedStateMachine):
    """`held`: every assignment ever made; `ended`: queries as they were when they ended.

    `stored`: what was uploaded last for each sink attempt.
    """

    settings = SETTINGS
    slots = 0
    """That a worker of ours says it has; 0: it does not say."""

    def __init__(self) -> None:
        super().__init__()
        self.d = Driver(self.settings)
        self.submitted: dict[str, AcceptQuery] = {}
        self.capabilities: dict[str, frozenset[str]] = {}
        self.incarnation = {**dict.fromkeys(OURS, 1), PEER: 0}
        self.held: list[Held] = []
        self.assigned: dict[Task, int] = {}
        self.seen: dict[AttemptKey, AttemptStatus] = {}
        self.ended: dict[str, QueryStatus] = {}
        self.stored: dict[AttemptKey, bytes] = {}
        self.first_holder: dict[QueryId, Holder] = {}
        self.skipped: defaultdict[str, set[StageId]] = defaultdict(set)
        self.reducing: defaultdict[str, set[tuple[StageId, StageId]]] = defaultdict(set)
        self._stages: dict[str, dict[StageId, StagePlan]] = {}

    # --- calls -------------------------------------------------------------------------------

    def stage(self, key: AttemptKey) -> StagePlan:
        return self.stages(key.query_id)[key.stage_id]

    def stages(self, query: str) -> dict[StageId, StagePlan]:
        """Those that are run, with the work that they do, as far as it is decided."""
        graph, skipped = self.submitted[query].graph, self.skipped[query]
        reducing = self.reducing[query]
        before = len(reducing)
        record = self.d.core.scheduling.state.queries.get(QueryId(query))
        for stage in record.stages if record is not None and (graph.joins or graph.gathers) else ():
            if stage.inlined_into is not None:
                skipped.add(stage.stage_id)
        for decision in record.decisions.values() if record is not None else ():
            if decision.reduces:
                reducing.add((decision.choice.probe, decision.choice.build))
        known = self._stages.get(query)
        count = len(graph.stages) - len(skipped)
        if known is None or len(known) != count or len(reducing) != before:
            known = self._stages[query] = {
                stage.stage_id: with_inlined(graph, stage.stage_id, self.told(graph, stage, query))
                for stage in graph.stages
                if stage.stage_id not in skipped
            }
        return known

    def told(self, graph: StageGraph, stage: StagePlan, query: str) -> list[StageId]:
        """What a worker is to be told of how the stage is to be run, as far as it is decided."""
        work = work_of(graph, stage, self.skipped[query])
        return sorted([*work, *reducing_of(graph, stage.stage_id, self.reducing[query])])

    def endpoint(self, held: Held) -> str:
        """Of an incarnation: a restarted worker has lost what the old one made."""
        return "" if held.worker == PEER else f"{held.worker}#{held.incarnation}"

    def beat(self, worker: str, running: Iterable[AttemptKey] | None = None) -> bool:
        reply = self.d.beat(
            worker,
            self.capabilities.get(worker, frozenset()),
            incarnation=self.incarnation[worker],
            endpoint=f"{worker}#{self.incarnation[worker]}",
            running=running if worker != PEER else None,
            slots=self.slots if worker != PEER else 0,
        )
        for key in running or ():
            # R5: also those that the beat itself took back.
            runs = worker in {
                each.worker_id for each in self.running(key.query_id) if each.key == key
            }
            assert (key in reply.stop_attempts) == (worker != PEER and not runs), "R5: told to stop"
        return reply.accepted

    def report(
        self,
        held: Held,
        state: TaskState,
        message: str = "",
        kind: ErrorKind | None = None,
        lost: Iterable[LostInput] = (),
    ) -> ReportReply:
        ours = held.worker != PEER
        return self.d.ask(
            ReportTaskStatus(
                held.key,
                state,
                message,
                held.of.layout,
                worker_id=WorkerId(held.worker) if ours else None,
                incarnation=held.incarnation,
                kind=kind,
                lost_inputs=tuple(lost),
            ),
        )

    def register(self, held: Held, rows: list[int], *, finalized: bool = True) -> RegisterReply:
        written = self.stage(held.key).output_partitions
        partitions = tuple(
            OutputPartition(n, 10 * count, count, 1, 0, 10 * count, finalized)
            for n, count in enumerate(rows[:written])
            if count
        )
        ours = held.worker != PEER
        return self.d.ask(
            RegisterMapOutput(
                held.key,
                partitions,
                held.of.layout,
                worker_id=WorkerId(held.worker) if ours else None,
                incarnation=held.incarnation,
                endpoint=self.endpoint(held),
            ),
        )

    def upload(self, held: Held) -> RegisterReply:
        return self.store(self.result(held))

    def store(self, message: RegisterQueryResults) -> RegisterReply:
        """Without a key it is the result of the sink attempt that runs, whoever made it (R26).

        So a peer's upload that comes late, when its attempt has failed and the next one runs, is
        that one's result unless that one uploads its own.
        """
        running = [each.key for each in self.running(message.query_id) if each.key.stage_id == 0]
        reply = self.d.ask(message)
        if reply.counted:
            key = message.key or running[0]
            assert key in running, "R13"
            self.stored[key] = message.payload
        return reply

    def result(self, held: Held) -> RegisterQueryResults:
        """The message that stores its result. A peer's has no key, as the fixed wire has none."""
        keyed = held.worker != PEER or held.of.task_count > 1
        return RegisterQueryResults(held.key.query_id, held.payload, held.key if keyed else None)

    def finish(self, held: Held, rows: list[int]) -> ReportReply:
        if held.key.stage_id == 0:
            self.upload(held)
        else:
            self.register(held, rows)
        return self.report(held, TaskState.SUCCEEDED)

    def picked(self, pick: int) -> Held:
        """One of those that run, or (one time in three, and if none does) of all there were.

        Where none runs, everybody pulls first: rules that need an attempt then have one, also in
        runs in which Hypothesis leaves the rules out that pull.
        """
        among = self.held
        if pick % 3:
            if not any(map(self.is_running, self.held)):
                for worker in WORKERS:
                    self.pulls(worker, 2)
            among = [held for held in self.held if self.is_running(held)] or self.held
        return among[-1 - pick // 3 % len(among)]

    def is_running(self, held: Held) -> bool:
        return held.key in {each.key for each in self.running(held.key.query_id)}

    def query(self, pick: int) -> str:
        """One of those submitted, the newest first."""
        return list(self.submitted)[-1 - pick % len(self.submitted)]

    def running(self, query: str) -> list[AttemptStatus]:
        return [each for each in self.d.attempts(query) if each.state is TaskState.RUNNING]

    def waiting(self, worker: str | None) -> Collection[AttemptKey]:
        """Attempts that wait there for a slot."""
        live = self.d.core.scheduling.state.workers.live.get(WorkerId(worker or ""))
        return () if live is None else live.ahead.keys()

    def everybody_beats(self) -> None:
        for worker in WORKERS:
            self.beat(worker)

    # --- rules -------------------------------------------------------------------------------

    @initialize(
        query=submissions(QueryId("any"), plans),
        capable=st.lists(names, min_size=len(WORKERS), max_size=len(WORKERS)),
        before=st.lists(st.tuples(workers, st.integers(1, 3), rows_written), max_size=4),
        then=workers,
    )
    def start(
        self,
        query: AcceptQuery,
        capable: list[frozenset[str]],
        before: list[tuple[str, int, list[int]]],
        then: str,
    ) -> None:
        """A query is under way already, so that the faults meet more than its first stages."""
        self.submits(query)
        for worker, able in zip(WORKERS, capable, strict=True):
            self.changes(worker, able)
        for worker, tasks, rows in before:
            self.works(worker, tasks, rows)
        self.pulls(then, 5)

    @rule(query=submissions(QueryId("any"), plans))
    def submits(self, query: AcceptQuery) -> None:
        active = [each for each in self.submitted if not self.d.status(each).state.terminal]
        if len(active) < MOST_ACTIVE:
            query_id = QueryId(f"q{len(self.submitted)}")
            self.submitted[query_id] = attrs.evolve(query, query_id=query_id)
            self.d.ask(self.submitted[query_id])

    @rule(worker=workers, able=names)
    def changes(self, worker: str, able: frozenset[str]) -> None:
        """A heartbeat with other capabilities. A peer takes no shares."""
        self.capabilities[worker] = able - ({"ffq.splits"} if worker == PEER else set())
        self.beat(worker)

    @rule(worker=workers, tasks=st.integers(1, 4), rows=rows_written)
    def works(self, worker: str, tasks: int, rows: list[int]) -> None:
        """Pulls and finishes one task after the other; without any new one, one it has."""
        for _ in range(tasks):
            self.pulls(worker, 1)
            mine = [held for held in self.held if held.worker == worker and self.is_running(held)]
            for held in mine[-1:]:
                self.finish(held, rows)

    @rule(worker=workers, capacity=st.sampled_from([1, 2, 5]))
    def pulls(self, worker: str, capacity: int, ahead: int = 0) -> None:
        before = {
            query: {each.key: each for each in self.d.attempts(query)} for query in self.submitted
        }
        accepted = self.beat(worker)
        pulled = self.d.ask(
            GetTask(WorkerId(worker), capacity, self.incarnation[worker], ahead),
        )
        assert len(pulled) <= capacity + ahead, "R7"
        plans = sum(len(each.plan_bytes) for each in pulled)
        assert len(pulled) <= 1 or plans <= SETTINGS.max_assignment_bytes, "the answer is too large"
        for assignment in pulled:
            assert accepted, "R6: nothing for an excluded worker"
            held = Held(assignment, worker, self.incarnation[worker])
            self.judge(held, before[assignment.key.query_id].values())
            self.held.append(held)

    def judge(self, held: Held, before: Iterable[AttemptStatus]) -> None:
        """Whether this could be assigned to this worker now (R8 to R12, R25, R31)."""
        key, task = held.key, task_of(held.key)
        assert key.attempt == self.assigned.get(task, 0) + 1, "R12: no gap, no reuse"
        self.assigned[task] = key.attempt
        stage, graph = self.stage(key), self.submitted[key.query_id].graph
        told = self.told(graph, graph.stages[key.stage_id], key.query_id)
        assert held.of.inlined == tuple(told), "all that is skipped is done by one stage"
        assert stage.operators <= self.capabilities[held.worker], "R10"
        holder = Holder(held.worker, self.capabilities[held.worker])
        first = self.first_holder.setdefault(key.query_id, holder)
        assert (held.worker == PEER) == (first.worker == PEER), "R31: one family of engine"
        assert held.of.task_count == 1 or "ffq.splits" in holder.capabilities, "a share of a stage"
        committed = {
            (each.key.stage_id, each.key.task_id, each.key.attempt)
            for each in before
            if each.committed
        }
        parents = {source.stage_id for source in stage.parents}
        for parent in parents:
            tasks = {task for stage_id, task, _ in committed if stage_id == parent}
            known = {each.key.task_id for each in before if each.key.stage_id == parent}
            assert tasks == known != set(), "R8: every task of every parent has committed"
        if held.worker != PEER:
            named = [(each.stage_id, each.map_task, each.attempt) for each in held.of.inputs]
            right = sorted(each for each in committed if each[0] in parents)
            left_out = set(right) - set(named)
            assert sorted([*named, *left_out]) == right, "R25: committed attempts, each once"
            # Of a partition that several tasks share each reads some of one parent's outputs.
            assert len({each[0] for each in left_out}) <= 1, "R25"
            assert not left_out or len(held.of.reduce_partitions) == 1, "R25"
            assert {each[0] for each in named} == {each[0] for each in right}, "R25"

    @precondition(lambda self: self.held)
    @rule(pick=picks, rows=rows_written)
    def finishes(self, pick: int, rows: list[int]) -> None:
        held = self.picked(pick)
        running = self.is_running(held)
        assert self.finish(held, rows).counted == running, "R13"

    @precondition(lambda self: self.submitted)
    @rule(pick=st.integers(0, 9), sure=st.sampled_from([False, False, False, True]))
    def cancels(self, pick: int, sure: bool) -> None:
        if sure:
            query = self.query(pick)
            before = self.d.status(query).state
            after = self.d.cancel(query).state
            assert after is (before if before.terminal else QueryState.CANCELED), "R4, R5"
            assert not self.running(query), "R5"

    # --- what must hold at all times ---------------------------------------------------------

    @invariant()
    def state_is_consistent(self) -> None:
        self.d.core.validate_state()

    @invariant()
    def nothing_is_done_by_time_before_it_is_due(self) -> None:
        """So that whoever asks when that is may sleep until then."""
        scheduling, liveness = self.d.core.scheduling, self.d.core.liveness
        now_ms = self.d.now_ms
        due_ms = min(next_due_ms(scheduling.state), now_ms + 3_600_000)
        if due_ms > now_ms:
            before = scheduling.version
            scheduling.step(Tick(), int(due_ms) - 1)
            assert scheduling.version == before
        lost_from_ms = stale_from_ms(liveness.state, now_ms)
        if lost_from_ms > now_ms:
            before = liveness.version
            liveness.step(SweepStaleWorkers(lost_from_ms - 1), lost_from_ms - 1)
            assert liveness.version == before

    @invariant()
    def history_is_kept(self) -> None:
        slots: Counter[str] = Counter()
        for query in self.submitted:
            attempts = self.d.attempts(query)
            running = [each for each in attempts if each.state is TaskState.RUNNING]
            assert len(running) <= SETTINGS.max_concurrent_tasks_per_query, "R7"
            begun = [each for each in running if each.key not in self.waiting(each.worker_id)]
            slots.update(str(each.worker_id) for each in begun)
            self.check_attempts(attempts)
            self.check_end(query, bool(running))
        assert all(count <= SETTINGS.max_concurrent_tasks_per_worker for count in slots.values())

    @invariant()
    def workers_can_do_what_they_said_last(self) -> None:
        for shown in self.d.workers():
            able = self.capabilities.get(shown.worker_id, frozenset())
            assert set(shown.capabilities) == able, "R21: no more and no fewer"

    def check_attempts(self, attempts: tuple[AttemptStatus, ...]) -> None:
        newest: dict[Task, AttemptStatus] = {}
        for each in attempts:
            task = task_of(each.key)
            last = newest.get(task)
            assert each.key.attempt == (last.key.attempt + 1 if last else 1), "R12"
            if last is not None and not each.speculative:
                assert last.state in {TaskState.SUCCEEDED, TaskState.FAILED}, "R13"
                assert not last.committed, "R13: only the newest attempt counts"
            assert not each.speculative or self.settings.speculation, "R13: nobody asked for two"
            newest[task] = each
            old = self.seen.get(each.key)
            if old is not None and old.state is not TaskState.QUEUED:
                assert (old.worker_id, old.assigned_at_ms) == (each.worker_id, each.assigned_at_ms)
                if old.state is not TaskState.RUNNING:
                    # Only the commit may still be withdrawn.
                    assert attrs.evolve(each, committed=old.committed) == old
                    assert old.committed or not each.committed, "R13"
            self.seen[each.key] = each

    def check_end(self, query: str, running: bool) -> None:
        status = self.d.status(query)
        idle = {each.stage_id for each in status.stages if each.skipped}
        assert idle >= self.skipped[query], "a decision stands"
        if query in self.ended:
            assert status == self.ended[query], "R4"
        elif status.state.terminal:
            self.ended[query] = status
        if status.state.terminal:
            assert not running, "R5"
        if status.state is QueryState.SUCCEEDED:
            states = [each for each in self.d.attempts(query) if each.key.stage_id == 0]
            expected = [self.stored[each.key] for each in states if each.committed]
            assert sorted(self.d.fetch(query)) == sorted(expected), "R26"
            self.check_rows(query)
            self.check_partitions(query)

    def check_partitions(self, query: str) -> None:
        """R25: whatever is divided, each row is read by the tasks that are to see it, and once.

        A partition that one task has it reads whole. Of one that several have, each output of one
        parent is read by one of them, and those of the others by all; no row of that parent may
        have to meet another one of it, nor be given out for want of one.
        """
        committed = {each.key for each in self.d.attempts(query) if each.committed}
        tasks: dict[StageId, list[Held]] = defaultdict(list)
        for held in self.held:
            if held.key in committed and held.worker != PEER and held.of.task_count > 1:
                tasks[held.key.stage_id].append(held)
        for stage_id, readers in tasks.items():
            stage = self.stages(query)[stage_id]
            for partition in range(stage.reduce_partitions):
                having = [each for each in readers if partition in each.of.reduce_partitions]
                assert having, "R31: a partition is in some task"
                reads = Counter(
                    (source.stage_id, source.map_task)
                    for each in having
                    for source in each.of.inputs
                )
                divided = {each[0] for each, times in reads.items() if times < len(having)}
                assert len(divided) <= 1, "R25: one parent is divided"
                for (parent, _), times in reads.items():
                    assert times == (1 if parent in divided else len(having)), "R25: once"
                if divided:
                    assert may_be_divided(stage, divided.pop()), "such rows must not be divided"

    def check_rows(self, query: str) -> None:
        """R25: all the tasks of a stage have read the same rows of each attempt below it.

        A task that is run again makes the same rows if it reads the same and is bound to repeat
        itself; else its rows are those of this very attempt.
        """
        committed = {each.key for each in self.d.attempts(query) if each.committed}
        made: dict[AttemptKey, int] = {}
        kinds: dict[object, int] = {}
        read: dict[tuple[StageId, StageId, TaskId], int] = {}
        for held in self.held:
            key = held.key
            if key.query_id != query:
                continue
            inputs = [
                (each.stage_id, each.map_task, made[input_of(held, each)])
                for each in held.of.inputs
            ]
            same = (task_of(key), *inputs) if is_repeatable(self.stage(key)) else key
            made[key] = kinds.setdefault(same, len(kinds))
            for stage_id, map_task, rows in inputs if key in committed else ():
                first = read.setdefault((key.stage_id, stage_id, map_task), rows)
                assert first == rows, f"R25: {key} has read other rows than its neighbours"

    # --- and in the end ----------------------------------------------------------------------

    def teardown(self) -> None:
        """Faults stop and everybody can do everything: every query ends."""
        for worker in WORKERS:
            # One after the other: until it beats, a worker is able to do what it last said (R21).
            self.changes(worker, ALL)
        for _ in range(400):
            if all(self.d.status(query).state.terminal for query in self.submitted):
                break
            for worker in WORKERS:
                self.pulls(worker, 5)
            for held in self.held:
                if self.is_running(held):
                    self.finish(held, [1, 1, 1, 1])
            self.history_is_kept()
            self.d.advance(200)
        for query in self.submitted:
            status = self.d.status(query)
            assert status.state.terminal, f"{query} never ends: {status}, {self.d.attempts(query)}"
        assert all(worker.running_attempts == 0 for worker in self.d.workers())
        assert self.d.core.scheduling.state.output_partitions == 0
        assert not len(self.d.core.scheduling.state.backoff)
