"""What is too much for one step is done in slices: the state is right between any two of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ffq.core import CoordinatorSettings
from ffq.core.machine import Machine
from ffq.errors import NotReady, UnknownId
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    CancelQuery,
    DropQueryOutputs,
    ErrorKind,
    FetchShufflePartition,
    ForgetMore,
    FreeQueryId,
    GoOn,
    OutputPartition,
    PublishMapOutput,
    QueryState,
    ReadMapOutput,
    RecordEvidence,
    SweepStaleWorkers,
)
from ffq.runtime.message import Request
from tests.core.driver import Driver, key
from tests.strategies.graphs import aggregate, scan

Q = QueryId("q")
TASKS = 7


def busy(done: int = TASKS - 1, **settings: int) -> Driver:
    """Of seven map tasks these have committed, the last ones; slices are of two records."""
    most = {"max_concurrent_tasks_per_query": TASKS, "max_concurrent_tasks_per_worker": TASKS}
    d = Driver(CoordinatorSettings(**most, **settings))
    d.core.scheduling.state.slice = 2
    d.core.registry.state.slice = 2
    d.submit("q", aggregate(scan(), 2), tables={"t": TASKS})
    d.beat("w")
    for each in d.pull("w", TASKS)[-done:]:
        d.finish(each, {0: 3, 1: 4}, endpoint="w:1")
    return d


def steps(machine: Machine[Any], first: Request[Any], now_ms: int = 0) -> list[list[Any]]:
    """What each step told others, from the first to the last slice; each left all consistent."""
    told: list[list[Any]] = []
    going: Request[Any] | None = first
    while going is not None:
        notices = list(machine.step(going, now_ms).notices)
        machine.validate_state()
        own = [each for each in notices if isinstance(each, GoOn | ForgetMore)]
        assert len(own) <= 1, "one slice at a time"
        told.append([each for each in notices if each not in own])
        going = own[0] if own else None
    return told


def partitions_kept(d: Driver) -> int:
    return sum(
        len(attempt.output.partitions)
        for stage in d.core.scheduling.state.queries[Q].stages
        for task in stage.tasks
        for attempt in task.attempts
        if attempt.output is not None
    )


def test_R5_a_canceled_query_has_ended_before_its_records_are_freed() -> None:
    d = busy()
    d.core.scheduling.step(CancelQuery(Q, "enough"), 0)
    assert partitions_kept(d) > 0
    status = d.status("q")
    assert status.state is QueryState.CANCELED
    maps = status.stages[1]
    assert (maps.running_tasks, maps.succeeded_tasks, maps.failed_tasks) == (0, TASKS - 1, 1)
    assert (maps.map_output_rows, maps.map_output_partitions) == (7 * (TASKS - 1), 12)
    worker = d.worker("w")
    assert worker is not None
    assert worker.running_attempts == 0
    with pytest.raises(NotReady, match="CANCELED"):
        d.core.ask(FetchShufflePartition(key("q", 1, 1, 1), 0), 0)


def test_the_end_of_a_query_is_told_at_once_and_its_records_are_freed_in_slices() -> None:
    d = busy()
    before = d.status("q").stages
    told = steps(d.core.scheduling, CancelQuery(Q, "enough"))
    assert [type(each).__name__ for each in told[0]] == ["DropQueryOutputs", "DropQueryResults"]
    assert len(told) > TASKS, "two records a slice: a key, or a task with its output"
    assert not any(told[1:])
    assert partitions_kept(d) == 0
    assert not d.core.scheduling.state.chores
    assert [each.map_output_bytes for each in d.status("q").stages] == [
        each.map_output_bytes for each in before
    ]


def test_R27_an_evicted_query_is_gone_at_once_and_its_records_are_freed_in_slices() -> None:
    d = busy(max_finished_queries=1)
    query = d.core.scheduling.state.queries[Q]
    d.submit("other", scan())
    d.cancel("q")
    told = steps(d.core.scheduling, CancelQuery(QueryId("other"), ""))
    assert told[0][-1] == FreeQueryId(Q)
    with pytest.raises(UnknownId, match="no longer kept"):
        d.status("q")
    assert len(told) > TASKS
    assert not any(stage.tasks for stage in query.stages)


def test_two_queries_are_freed_in_turn() -> None:
    d = busy()
    d.submit("b", aggregate(scan(), 2), tables={"t": TASKS})
    for each in d.pull("w", TASKS - 1):
        d.finish(each, {0: 3}, endpoint="w:1")
    machine = d.core.scheduling
    first = machine.step(CancelQuery(Q, ""), 0)
    second = machine.step(CancelQuery(QueryId("b"), ""), 0)
    assert [isinstance(each, GoOn) for each in first.notices].count(True) == 1
    assert not any(isinstance(each, GoOn) for each in second.notices), "one is on its way"
    chores = list(machine.state.chores)
    machine.step(GoOn(), 0)
    assert list(machine.state.chores) == chores[::-1]
    steps(machine, GoOn())
    assert partitions_kept(d) == 0
    version = machine.version
    machine.step(GoOn(), 0)
    assert machine.version == version, "nothing is left to be done"


def falls_silent(d: Driver, worker: str, *, and_beats: str) -> None:
    """The worker is lost, and nothing is gone on with before it is asked for."""
    d.core.at_once = False
    d.now_ms += d.settings.worker_liveness_timeout_ms + 1
    d.beat(and_beats)
    d.sweep()
    assert d.worker(worker) is None


def readable(d: Driver) -> Iterator[str]:
    """Whether the committed output of each map task may be read."""
    for task in range(TASKS):
        try:
            d.core.ask(FetchShufflePartition(key("q", 1, task, 0), 0), 0)
            yield "there"
        except NotReady as error:
            yield error.stable_reason


def test_R8_R19_what_a_lost_worker_served_is_lost_at_once_and_made_again_in_slices() -> None:
    d = busy(done=TASKS)
    d.beat("v")
    (reduce,) = d.pull("v", 1)
    maps = d.core.scheduling.state.queries[Q].stages[1]
    falls_silent(d, "w", and_beats="v")
    assert list(d.core.slices) == [GoOn()]
    assert set(readable(d)) == {"OUTPUT_LOST"}, "seven are more than a slice, and none is there"
    assert d.fail(reduce, kind=ErrorKind.STOPPED).counted
    assert d.pull("v", 1) == (), "R8: what it reads is lost"
    for left in (5, 3, 1):
        d.go_on()
        assert ([len(each) for each in maps.losing], maps.queued) == ([left], 0)
    d.go_on()  # the last one is marked, and the first two are queued
    assert (maps.losing, maps.queued, len(maps.lost)) == ([], 2, 5)
    again = d.pull("v", TASKS)
    assert [each.key.attempt for each in again] == [2, 2]
    for each in again:
        d.finish(each, {0: 1}, endpoint="v:1")
    assert d.pull("v", 1) == (), "R8: five are still to be made again"
    while d.core.slices:
        d.go_on()
    again = d.pull("v", TASKS)
    assert len(again) == TASKS - 2
    for each in again:
        d.finish(each, {0: 1}, endpoint="v:1")
    assert set(readable(d)) == {"there"}
    assert {each.key.stage_id for each in d.pull("v", TASKS)} == {0}


def test_what_a_lost_worker_served_of_a_query_that_ends_is_not_made_again() -> None:
    d = busy()
    d.beat("v")
    falls_silent(d, "w", and_beats="v")
    d.cancel("q")
    while d.core.slices:
        d.go_on()
    maps = d.status("q").stages[1]
    assert (maps.queued_tasks, maps.succeeded_tasks) == (1, TASKS - 1)
    assert not d.core.scheduling.state.chores


def test_R19_of_very_many_stale_workers_one_sweep_loses_a_slice() -> None:
    d = Driver(CoordinatorSettings(worker_liveness_timeout_ms=1000))
    for number in range(5):
        d.beat(f"w{number}")
    liveness = d.core.liveness
    liveness.state.slice = 2
    sweep = SweepStaleWorkers(1001)
    first = liveness.step(sweep, 1001)
    assert [type(each).__name__ for each in first.notices] == ["WorkerLost"] * 2 + [
        "SweepStaleWorkers"
    ]
    assert first.notices[-1] == sweep, "as of the time at which it was first sent"
    liveness.step(RecordEvidence(WorkerId("w4"), 1), 1002)
    second = liveness.step(sweep, 1002)
    assert [getattr(each, "worker_id", "") for each in second.notices] == ["w2", "w3"]
    assert list(liveness.state.workers) == ["w4"]


def test_the_registry_forgets_a_query_at_once_and_frees_it_in_slices() -> None:
    d = Driver()
    registry = d.core.registry
    registry.state.slice = 2
    for task in range(TASKS):
        parts = (OutputPartition(0, 1, 1, 1), OutputPartition(1, 1, 1, 1))
        registry.step(PublishMapOutput(key("q", 1, task, 1), "w:1", parts), 0)
    registry.step(PublishMapOutput(key("b", 1, 0, 1), "w:1", parts), 0)
    first = registry.step(DropQueryOutputs(Q), 0)
    assert first.notices == (ForgetMore(),)
    assert registry.state.held_partitions() == 2
    with pytest.raises(NotReady, match="no map output"):
        registry.step(ReadMapOutput(key("q", 1, 0, 1), 0), 0)
    assert registry.step(DropQueryOutputs(QueryId("b")), 0).notices == (), "one is on its way"
    told = steps(registry, ForgetMore())
    assert len(told) > TASKS - 1
    assert not any(told)
    assert not registry.state.forgotten
