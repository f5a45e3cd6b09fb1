"""validate_state finds what is inconsistent, and names it."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from ffq.core import CoordinatorSettings
from ffq.core.records import TaskRecord
from ffq.core.state import SchedulingState
from ffq.errors import InvariantViolated
from ffq.ids import QueryId, TaskId, WorkerId
from ffq.messages import DropQueryOutputs, QueryState, TaskState
from tests.core.driver import Driver, key
from tests.strategies.graphs import aggregate, scan

Q, W = QueryId("q"), WorkerId("w")


def busy() -> tuple[Driver, SchedulingState]:
    """A query with committed, running, waiting and ready map tasks, and an ended query."""
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=1000))
    d.submit("q", aggregate(scan(), 2), tables={"t": 5})
    d.beat("w")
    done, failed, _ = d.pull("w", 3)
    d.finish(done, {0: 1}, endpoint="w:1")
    d.fail(failed)
    d.submit("done", scan())
    _, other = d.pull("w", 2)
    assert d.finish(other).counted
    d.core.validate_state()
    return d, d.core.scheduling.state


def corrupt(state: SchedulingState, what: str) -> None:  # noqa: PLR0912
    query, worker = state.queries[Q], state.workers.live[W]
    maps = query.stages[1]
    match what:
        case "a count":
            maps.queued += 1
        case "the committed count":
            query.uncommitted -= 1
        case "a slot":
            worker.running.popitem()
        case "the running attempts":
            query.running.clear()
        case "the ready tasks":
            maps.again.append(TaskId(0))
        case "a share":
            maps.tasks[1].share = maps.tasks[0].share
        case "a position":
            maps.tasks.reverse()
        case "a record of what waits":
            maps.tasks.append(TaskRecord(TaskId(4), maps.shares[4]))
            maps.fresh -= 1
            maps.again.append(TaskId(4))
        case "more tasks than shares":
            maps.shares = maps.shares[:3]
        case "an offer":
            state.ready.drop(Q)
        case "a closed query":
            state.ready.close(Q)
        case "an unmet parent":
            query.stages[0].unmet = 0
        case "a second running attempt":
            maps.tasks[1].attempts[0].state = TaskState.RUNNING
        case "a gap in attempts":
            task = maps.tasks[1]
            task.attempts[0].key = key("q", 1, 1, 2)
        case "a lost flag":
            maps.tasks[0].lost = True
        case "who serves outputs":
            worker.outputs.clear()
        case "the result bytes":
            state.finished_result_bytes += 1
        case "the plan bytes":
            query.plan_bytes = b""
        case "the partitions":
            state.output_partitions += 1
        case "the backoff":
            query.stages[1].tasks[1].waiting = False
        case "an early success":
            query.state = QueryState.SUCCEEDED
        case "a terminal query that is not filed":
            state.finished.clear()
        case "an expired id that is held":
            state.expired[Q] = None
        case "a profile":
            worker.profile = None
        case "an attempt on nobody":
            del state.workers.live[W]
        case "a start":
            query.started_at_ms = None
        case "a family":
            maps.requirement = attrs.evolve(maps.requirement, family="another")
        case "a layout":
            maps.tasks, maps.shares, maps.layout = [], (), None
            maps.fresh = maps.queued = maps.running = maps.committed = maps.failed = 0
            maps.again.clear()
            query.running.clear()
        case "a notice":
            state.notices.append(DropQueryOutputs(Q))
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("a count", "stage 1 of query q counts"),
        ("the committed count", "query q counts 1 open stages"),
        ("a slot", "the slots of w"),
        ("the running attempts", "query q: its running attempts"),
        ("the ready tasks", "stage 1 of query q: its ready tasks"),
        ("a share", "task q/1/1 reads what another"),
        ("a position", "stage 1 of query q: its tasks are not in their positions"),
        ("a record of what waits", "task q/1/4 is kept, though it was never"),
        ("more tasks than shares", "stage 1 of query q has 4 tasks and 1 fresh ones of 3"),
        ("an offer", "what is offered is not what has work"),
        ("a closed query", "the closed queries"),
        ("an unmet parent", "stage 0 of query q counts 0 unmet parents of 1"),
        ("a second running attempt", "query q"),
        ("a gap in attempts", "has a gap in attempts"),
        ("a lost flag", "miscounts lost outputs"),
        ("who serves outputs", "the outputs of w"),
        ("the result bytes", "result bytes of finished queries"),
        ("the plan bytes", "plan bytes"),
        ("the partitions", "registered partitions"),
        ("the backoff", "stage 1 of query q: its ready tasks"),
        ("an early success", "query q is misfiled"),
        ("a terminal query that is not filed", "query done is misfiled"),
        ("an expired id that is held", "called expired"),
        ("a profile", "w is counted wrongly"),
        ("an attempt on nobody", "runs on a worker that is gone"),
        ("a start", "query q is RUNNING without a start"),
        ("a family", "query q has no one family"),
        ("a layout", "stage 1 of query q could run, but has no tasks"),
        ("a notice", "notices were left behind"),
    ],
)
def test_scheduling_names_what_is_inconsistent(what: str, named: str) -> None:
    d, state = busy()
    corrupt(state, what)
    with pytest.raises(InvariantViolated, match=named):
        d.core.validate_state()


@pytest.mark.parametrize(
    ("corruption", "named"),
    [
        (
            lambda d: d.core.liveness.state.workers.popitem(),
            "liveness knows 0 workers, scheduling 1",
        ),
        (lambda d: d.core.registry.state.queries.clear(), "the registry holds 0 partitions"),
        (lambda d: d.core.results.state.queries.clear(), "results hold 0 bytes"),
    ],
)
def test_the_machines_must_agree(corruption: Callable[[Driver], object], named: str) -> None:
    d, _ = busy()
    corruption(d)
    with pytest.raises(InvariantViolated, match=named):
        d.core.validate_state()


def test_the_stores_check_themselves() -> None:
    d, _ = busy()
    (upload,) = d.core.results.state.queries[QueryId("done")].values()
    upload.pieces = {5: b"rows"}
    with pytest.raises(InvariantViolated, match="gap at byte 0"):
        d.core.results.validate_state()
    (record,) = d.core.registry.state.queries[Q].values()
    record.partitions[1] = attrs.evolve(record.partitions[0], rows=7)
    with pytest.raises(InvariantViolated, match="keeps a partition as 1"):
        d.core.registry.validate_state()
    d.core.liveness.state.workers[WorkerId("v")] = attrs.evolve(
        d.core.liveness.state.workers[W], last_seen_ms=-1
    )
    with pytest.raises(InvariantViolated, match="not in the order"):
        d.core.liveness.validate_state()
