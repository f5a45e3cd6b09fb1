"""The core and the actors agree: the same random commands get the same replies and errors.

Both get every command at the same virtual time. The actors run their real mailboxes, timers and
courier under Trio's mock clock; the core is `CoreCoordinator`, which has none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from ffq import plan as p
from ffq.actors import ActorCoordinator, ActorSettings, open_coordinator
from ffq.actors.machine import MachineActor
from ffq.core import CoordinatorSettings, CoreCoordinator
from ffq.errors import FfqError
from ffq.ids import Attempt, QueryId, WorkerId
from ffq.messages import (
    Assignment,
    CancelQuery,
    DrainWorker,
    ErrorKind,
    FetchQueryResults,
    FetchShufflePartition,
    GetQueryStatus,
    GetTask,
    Heartbeat,
    ListAttempts,
    ListQueries,
    ListWorkers,
    LostInput,
    OutputPartition,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    SubmitQuery,
    TaskState,
    Tick,
)
from tests.actors.harness import InlinePlanner
from tests.property.snapshots import snapshot

SETTINGS = CoordinatorSettings(
    worker_liveness_timeout_ms=2000,
    retry_backoff_base_ms=100,
    blacklist_ttl_ms=3000,
    unrunnable_timeout_ms=4000,
    assignment_lease_ms=1500,
    result_ttl_ms=3000,
    max_finished_queries=2,
    max_queries=3,
)
STEP_MS = 100
NEVER_MS = 10**9

PLANS = (
    p.scan("t", ["k"]).aggregate(["k"], [p.col("k").count().alias("n")], partitions=3),
    p.scan("t", ["k"]).custom("udf"),
    p.scan("t", ["k"]).join(p.scan("u", ["u"]), on=[("k", "u")], partitions=2).limit(3),
)

QUERIES = tuple(QueryId(each) for each in "abc")
query_ids = st.sampled_from(QUERIES)
worker_ids = st.sampled_from(["v", "w", "w"]).map(WorkerId)


def incarnations(worker_id: WorkerId) -> st.SearchStrategy[int]:
    """`v` is a peer on the fixed wire; `w` is one of ours that is seldom restarted."""
    return st.just(0) if worker_id == "v" else st.sampled_from([1] * 8 + [2, 0])


@attrs.frozen
class Wait:
    """Time passes; both sides' timers do what they do."""

    steps: int


@attrs.frozen
class Act:
    """Something about one of the assignments handed out so far, made when it is carried out."""

    which: int
    make: Callable[[Assignment], Any] = attrs.field(repr=False)
    what: str


@st.composite
def heartbeats(draw: st.DrawFn) -> Heartbeat:
    worker_id = draw(worker_ids)
    incarnation = draw(incarnations(worker_id))
    return Heartbeat(
        worker_id,
        at_ms=0,
        running_tasks=0,
        capabilities=draw(st.sampled_from([frozenset({"udf"}), frozenset()])),
        incarnation=incarnation,
        endpoint=f"{worker_id}:1" if incarnation else "",
        family="test" if incarnation else "",
        running_attempts=draw(st.sampled_from([None, ()])) if incarnation else None,
        held_queries=tuple(draw(st.lists(query_ids, max_size=1))),
    )


@st.composite
def acts(draw: st.DrawFn) -> Act:
    which = draw(st.integers(0, 3))
    what = draw(st.sampled_from(["finish"] * 4 + ["register", "upload", "report", "locate"]))
    state = draw(st.sampled_from([TaskState.SUCCEEDED, TaskState.FAILED]))
    kind = draw(st.sampled_from([None, *ErrorKind]))
    named = draw(st.booleans())
    complete = draw(st.booleans())
    loses = draw(st.booleans())

    def register(of: Assignment) -> RegisterMapOutput:
        part = OutputPartition(0, 10, 1, 1, finalized=complete)
        return RegisterMapOutput(of.key, (part,), of.layout, endpoint="w:1" if named else "")

    def upload(of: Assignment) -> RegisterQueryResults:
        return RegisterQueryResults(of.key.query_id, b"rows", of.key if named else None)

    def report(of: Assignment) -> ReportTaskStatus:
        lost = [LostInput(i.stage_id, i.map_task, i.attempt) for i in of.inputs] if loses else []
        return ReportTaskStatus(of.key, state, "why", of.layout, kind=kind, lost_inputs=tuple(lost))

    def finish(of: Assignment) -> tuple[Any, ...]:
        store = upload(of) if of.key.stage_id == 0 else register(of)
        return store, attrs.evolve(report(of), state=TaskState.SUCCEEDED)

    def locate(of: Assignment) -> FetchShufflePartition:
        return FetchShufflePartition(
            attrs.evolve(of.key, attempt=Attempt(0)) if named else of.key, 0
        )

    makers: dict[str, Callable[[Assignment], Any]] = {
        "finish": finish,
        "register": register,
        "upload": upload,
        "report": report,
        "locate": locate,
    }
    return Act(which, makers[what], what)


submits = st.builds(SubmitQuery, query_ids, st.sampled_from([plan.to_json() for plan in PLANS]))
pulls = worker_ids.flatmap(
    lambda worker_id: st.builds(
        GetTask, st.just(worker_id), st.integers(0, 3), incarnations(worker_id)
    )
)
commands = st.one_of(
    submits,
    heartbeats(),
    pulls,
    pulls,
    acts(),
    acts(),
    acts(),
    st.builds(CancelQuery, query_ids, st.just("enough")) | st.builds(DrainWorker, worker_ids),
    st.builds(Wait, st.sampled_from([1, 1, 2, 2, 5, 25])),
)


def ours(incarnation: int = 1) -> Heartbeat:
    return Heartbeat(WorkerId("w"), 0, 0, frozenset({"udf"}), incarnation, "w:1", "test")


def finish(of: Assignment) -> tuple[Any, ...]:
    store: Any = RegisterMapOutput(of.key, (OutputPartition(0, 10, 1, 1),), of.layout)
    if of.key.stage_id == 0:
        store = RegisterQueryResults(of.key.query_id, b"rows", of.key)
    return store, succeeded(of)


def succeeded(of: Assignment) -> ReportTaskStatus:
    return ReportTaskStatus(of.key, TaskState.SUCCEEDED, "", of.layout)


def committed(of: Assignment) -> FetchShufflePartition:
    return FetchShufflePartition(attrs.evolve(of.key, attempt=Attempt(0)), 0)


V, W = WorkerId("v"), WorkerId("w")
FINISH = Act(0, finish, "finish")
# Courses of events that chance alone seldom puts together; cut off and mixed as it likes.
STORIES: tuple[Callable[[SubmitQuery], tuple[Any, ...]], ...] = (
    # A query is run to its end.
    lambda submit: (submit, ours(), *(GetTask(W, 1, 1), FINISH) * 5),
    # A restarted worker is spoken for by its old self.
    lambda submit: (submit, ours(2), ours(1), GetTask(W, 1, 1), GetTask(W, 1, 2)),
    # A worker dies with a task, and its report comes late.
    lambda submit: (submit, GetTask(V, 1), Wait(25), Act(0, succeeded, "succeeded")),
    # A report is the only sign of life for longer than the timeout.
    lambda submit: (
        *(submit, GetTask(V, 2), Wait(12), Act(1, succeeded, "succeeded"), Wait(12)),
        Act(0, succeeded, "succeeded"),
    ),
    # A peer's map output is empty, and it registers nothing.
    lambda submit: (submit, GetTask(V, 1), Act(0, succeeded, "ok"), Act(0, committed, "locate")),
    # A worker is lost with what only it could serve.
    lambda submit: (submit, ours(), GetTask(W, 1, 1), FINISH, Wait(25), GetTask(V, 1)),
)
stories = st.builds(
    lambda story, submit, length: story(submit)[:length],
    st.sampled_from(STORIES),
    submits,
    st.sampled_from([20, 20, 20, 5, 3]),
)
scripts = st.lists(stories | commands.map(lambda command: (command,)), min_size=10, max_size=40)


@attrs.frozen
class Refused:
    kind: type[FfqError]
    reason: str
    message: str


def refused(error: FfqError) -> Refused:
    return Refused(type(error), error.stable_reason, error.message)


@attrs.define
class Pair:
    """The two coordinators, and the assignments that both handed out."""

    core: CoreCoordinator
    actors: ActorCoordinator
    clock: MockClock
    assignments: list[Assignment] = attrs.field(factory=list)

    async def both(self, message: Any) -> Any:
        expected: Any
        got: Any
        try:
            expected = self.core.ask(message, now_ms())
        except FfqError as error:
            expected = refused(error)
        try:
            got = await self.actors.ask(message)
        except FfqError as error:
            got = refused(error)
        # The courier has delivered before the next command comes.
        await wait_all_tasks_blocked()
        assert got == expected, message
        return got

    async def carry_out(self, command: Any) -> None:
        match command:
            case Wait():
                for _ in range(command.steps):
                    await self.pass_time()
            case Act():
                if self.assignments:
                    made = command.make(
                        self.assignments[-1 - command.which % len(self.assignments)]
                    )
                    for message in made if isinstance(made, tuple) else (made,):
                        await self.both(message)
            case _:
                reply = await self.both(command)
                if isinstance(command, GetTask) and isinstance(reply, tuple):
                    self.assignments += reply
        await self.compare()

    async def pass_time(self) -> None:
        """One period of the timers. Of two that fire at once either may be first: so ticks are
        sent here, after the sweep of the actors' own timer."""
        self.clock.jump(STEP_MS / 1000)
        await wait_all_tasks_blocked()
        self.core.sweep(now_ms())
        self.core.tick(now_ms())
        await self.actors.parties.ask(Tick())
        await wait_all_tasks_blocked()

    async def compare(self) -> None:
        for query_id in QUERIES:
            await self.both(GetQueryStatus(query_id))
            await self.both(ListAttempts(query_id))
            await self.both(FetchQueryResults(query_id))
        for assignment in self.assignments[-6:]:
            await self.both(FetchShufflePartition(assignment.key, 0))
        await self.both(ListQueries())
        await self.both(ListWorkers())
        self.core.validate_state()
        await self.actors.validate_state()
        for party, machine in self.core.machines.items():
            # What the stores fail to forget shows in no reply.
            owner = self.actors.parties.actors[party].cell.actor
            assert isinstance(owner, MachineActor)
            assert snapshot(owner._machine.state) == snapshot(machine.state), party


def now_ms() -> int:
    return int(trio.current_time() * 1000)


@given(scripts)
def test_core_and_actors_agree_under_the_same_commands(script: list[tuple[Any, ...]]) -> None:
    clock = MockClock()

    async def main() -> None:
        own = ActorSettings(tick_ms=NEVER_MS, sweep_ms=STEP_MS)
        async with open_coordinator(InlinePlanner(), SETTINGS, own, clock=now_ms) as actors:
            await wait_all_tasks_blocked()
            pair = Pair(CoreCoordinator(SETTINGS), actors, clock)
            for command in (command for story in script for command in story):
                await pair.carry_out(command)

    trio.run(main, clock=clock)
