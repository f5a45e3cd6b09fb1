"""The walks: whom they ask, in which order, and that each may be cut after any hop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from ffq.core import CoreCoordinator
from ffq.core.walks import OWNERS, WALKS
from ffq.errors import UnsupportedPlan
from ffq.ids import Attempt, QueryId, WorkerId
from ffq.messages import (
    Assignment,
    FetchQueryResults,
    FetchShufflePartition,
    GetTask,
    Heartbeat,
    Layout,
    OutputPartition,
    PlanSql,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    Rpc,
    RunQuery,
    StreamRpc,
    SubmitQuery,
    TaskState,
)
from ffq.plan import dump_plan
from ffq.runtime.message import Request
from tests.core.driver import Driver, key
from tests.strategies.graphs import aggregate, scan

R = TypeVar("R")
Outer = Rpc[Any] | StreamRpc[Any, Any]
Q, W = QueryId("q"), WorkerId("w")
PLAN = aggregate(scan(), 2)
BYTES = dump_plan(PLAN)


class Cut(Exception):
    """The walk's caller has gone."""


class Hops:
    """An `Ask` that writes down who is asked what, and is cut before hop number `last`."""

    def __init__(self, core: CoreCoordinator, now_ms: int, last: int | None = None) -> None:
        self.told: list[str] = []
        self._core = core
        self._now_ms = now_ms
        self._last = last

    async def __call__(self, message: Request[R]) -> R:
        if len(self.told) == self._last:
            raise Cut
        self.told.append(f"{OWNERS[type(message)].value} {type(message).__name__}")
        return self._core.ask_owner(message, self._now_ms)


def walk(d: Driver, message: Outer, last: int | None = None) -> tuple[list[str], Any]:
    """Carry a message through: the hops, and the reply (None when it was cut). Of a text, which the
    core does not plan, it is what the planner says of that."""
    hops = Hops(d.core, d.now_ms, last)
    coroutine = WALKS[type(message)](hops, message)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return hops.told, done.value
    except UnsupportedPlan as refused:
        return hops.told, refused.message
    except Cut:
        return hops.told, None
    raise AssertionError("it waits for something other than an ask")


def beat(incarnation: int = 1) -> Heartbeat:
    return Heartbeat(W, 0, 0, frozenset({"ffq.splits"}), incarnation, "w:1", "test", ())


def registration(of: Assignment, worker: WorkerId | None = W) -> RegisterMapOutput:
    incarnation = 0 if worker is None else 1
    partitions = (OutputPartition(0, 10, 1, 1), OutputPartition(1, 20, 2, 1))
    return RegisterMapOutput(of.key, partitions, of.layout, worker, incarnation, "w:1")


def report(of: Assignment, worker: WorkerId | None = W) -> ReportTaskStatus:
    incarnation = 0 if worker is None else 1
    return ReportTaskStatus(of.key, TaskState.SUCCEEDED, "", of.layout, worker, incarnation)


Story = Callable[[Driver], Outer]


def _submit(_: Driver) -> Outer:
    return SubmitQuery(Q, BYTES)


def _submit_again(d: Driver) -> Outer:
    d.ask(SubmitQuery(Q, BYTES))
    return SubmitQuery(Q, BYTES)


def _plan(d: Driver) -> PlanSql:
    d.ask(beat())
    return PlanSql("SELECT 1")


def _run_text(d: Driver) -> Outer:
    d.ask(beat())
    return RunQuery(Q, PlanSql("SELECT 1"))


def _run_known_text(d: Driver) -> Outer:
    d.ask(SubmitQuery(Q, BYTES))
    return RunQuery(Q, PlanSql("SELECT 1"))


def _run_plan(_: Driver) -> Outer:
    return RunQuery(Q, BYTES)


def _beat(d: Driver) -> Outer:
    d.ask(SubmitQuery(Q, BYTES))
    return beat()


def _old_beat(d: Driver) -> Outer:
    d.ask(beat(2))
    return beat(1)


def _pull(d: Driver) -> Outer:
    d.ask(SubmitQuery(Q, BYTES))
    d.ask(beat())
    return GetTask(W, 4, 1)


def _old_pull(d: Driver) -> Outer:
    d.ask(beat(2))
    return GetTask(W, 4, 1)


def _mapped(d: Driver) -> Assignment:
    message = _pull(d)
    assert isinstance(message, GetTask)
    (task,) = d.ask(message)
    return task


def _register(d: Driver) -> Outer:
    return registration(_mapped(d))


def _register_peer(d: Driver) -> Outer:
    return registration(_mapped(d), None)


def _report(d: Driver) -> Outer:
    task = _mapped(d)
    d.ask(registration(task))
    return report(task)


def _report_peer(d: Driver) -> Outer:
    task = _mapped(d)
    d.ask(registration(task))
    return report(task, None)


def _locate(d: Driver) -> Outer:
    task = _mapped(d)
    d.ask(registration(task))
    d.ask(report(task))
    return FetchShufflePartition(key("q", 1, 0, 0), 1)


def _locate_empty(d: Driver) -> Outer:
    d.ask(SubmitQuery(Q, BYTES))
    (task,) = d.ask(GetTask(W, 1))
    d.ask(report(task, None))
    return FetchShufflePartition(task.key, 1)


def _fetch(d: Driver) -> Outer:
    task = _mapped(d)
    d.ask(registration(task))
    d.ask(report(task))
    while sinks := d.ask(GetTask(W, 1, 1)):
        d.ask(RegisterQueryResults(Q, b"rows", sinks[0].key))
        d.ask(report(sinks[0]))
    return FetchQueryResults(Q)


STORIES: dict[Story, list[str]] = {
    _submit: [
        "scheduling FindQuery",
        "scheduling ReadClusterSize",
        "planner ReadPlan",
        "scheduling AcceptQuery",
    ],
    _plan: ["scheduling ReadClusterSize", "planner PlanText"],
    _run_text: ["scheduling FindQuery", "scheduling ReadClusterSize", "planner ReadText"],
    _run_known_text: ["scheduling FindQuery", "scheduling ReadClusterSize", "planner PlanText"],
    _run_plan: [
        "scheduling FindQuery",
        "scheduling ReadClusterSize",
        "planner ReadPlan",
        "scheduling AcceptQuery",
    ],
    _submit_again: ["scheduling FindQuery", "planner DigestPlan"],
    _beat: ["liveness RecordHeartbeat", "scheduling ConfirmHeartbeat"],
    _old_beat: ["liveness RecordHeartbeat"],
    _pull: ["liveness RecordEvidence", "scheduling GetTask"],
    _old_pull: ["liveness RecordEvidence"],
    _register: ["liveness RecordEvidence", "scheduling RegisterMapOutput"],
    _register_peer: ["scheduling RegisterMapOutput", "liveness RecordEvidence"],
    _report: ["liveness RecordEvidence", "scheduling ReportTaskStatus"],
    _report_peer: ["scheduling ReportTaskStatus", "liveness RecordEvidence"],
    _locate: ["scheduling ResolveMapOutput", "registry ReadMapOutput"],
    _locate_empty: ["scheduling ResolveMapOutput"],
    _fetch: ["scheduling ResolveResult", "results ReadResult"],
}


def test_every_walk_is_told_here() -> None:
    told = {type(story(Driver())) for story in STORIES}
    missing = sorted(message.__name__ for message in WALKS.keys() - told)
    assert missing == [], "tell its hops in STORIES"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.strip("_"))
def test_a_walk_asks_these_and_no_more(story: Story) -> None:
    d = Driver()
    told, _ = walk(d, story(d))
    assert told == STORIES[story]


@pytest.mark.parametrize(
    ("story", "last"),
    [(story, last) for story, hops in STORIES.items() for last in range(len(hops))],
    ids=lambda value: value if isinstance(value, int) else value.__name__.strip("_"),
)
def test_a_walk_may_be_cut_after_any_hop_and_walked_again(story: Story, last: int) -> None:
    """Whoever left is answered, when he comes again, as if he had not been there."""
    whole, cut = Driver(), Driver()
    _, expected = walk(whole, story(whole))
    message = story(cut)
    told, nothing = walk(cut, message, last)
    assert (told, nothing) == (STORIES[story][:last], None)
    cut.core.validate_state()
    _, got = walk(cut, message)
    cut.core.validate_state()
    if isinstance(message, ReportTaskStatus) and last > 0 and message.worker_id is None:
        # The report counted though its answer was lost: repeated, it changes nothing (R15).
        assert (expected.counted, got.counted) == (True, False)
        return
    assert got == expected


def test_R22_two_that_register_at_a_time_lose_nothing() -> None:
    """Each hop of the one falls between two of the other, wherever that is."""
    for between in range(3):
        d = Driver()
        task = _mapped(d)
        first = part_of(registration(task), 0)
        second = part_of(registration(task), 1)
        walk(d, first, between)
        assert walk(d, second)[1].counted
        assert walk(d, first)[1].counted
        d.ask(report(task))
        for partition in (0, 1):
            where = d.ask(FetchShufflePartition(key("q", 1, 0, 0), partition))
            assert where.size is not None, f"partition {partition} is lost"


def test_R22_the_same_registration_again_changes_nothing_and_is_not_published() -> None:
    d = Driver()
    task = _mapped(d)
    outcomes = [d.core.scheduling.step(registration(task), 0) for _ in range(3)]
    assert [outcome.reply.counted for outcome in outcomes] == [True, True, True]
    assert [len(outcome.notices) for outcome in outcomes] == [1, 0, 0]
    before = d.core.scheduling.version
    d.core.scheduling.step(registration(task), 0)
    assert d.core.scheduling.version == before


def part_of(message: RegisterMapOutput, number: int) -> RegisterMapOutput:
    return RegisterMapOutput(
        message.key,
        message.partitions[number : number + 1],
        message.layout,
        message.worker_id,
        message.incarnation,
        message.endpoint,
    )


def test_R1_a_plan_is_digested_once() -> None:
    """Known, it is digested and not read; new, it is read in one pass that digests it too."""
    d = Driver()
    for expected in (["ReadPlan"], ["DigestPlan"]):
        told, _ = walk(d, SubmitQuery(Q, BYTES))
        assert [hop.split()[1] for hop in told if hop.startswith("planner")] == expected


def test_R23_an_attempt_of_another_layout_registers_nothing() -> None:
    d = Driver()
    task = _mapped(d)
    foreign = RegisterMapOutput(task.key, (), Layout(9, 9), W, 1, "w:1")
    assert not walk(d, foreign)[1].counted
    assert d.core.registry.state.queries == {}
    assert task.key.attempt == Attempt(1)
