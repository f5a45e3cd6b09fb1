"""The actors around the core: flows, timers, notices, crashes and cancellation."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from unittest.mock import Mock, patch

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ffq import plan as p
from ffq.actors import ActorSettings, steady_unix_ms
from ffq.actors.machine import MachineActor
from ffq.actors.outbox import Outbox
from ffq.actors.parties import Parties
from ffq.actors.rhythm import Timer
from ffq.core import CoordinatorSettings
from ffq.core.liveness import liveness_machine
from ffq.core.machine import Machine, Party
from ffq.core.registry import drop_query_outputs
from ffq.core.reporting import register_map_output
from ffq.core.state import SchedulingState
from ffq.errors import InvariantViolated, NotReady, PlanConflict, QuotaExceeded, UnknownId
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import (
    AdmitResult,
    CancelQuery,
    DropMapOutputs,
    DropQueryOutputs,
    DropQueryResults,
    FetchQueryResults,
    FetchShufflePartition,
    FreeQueryId,
    GetQueryStatus,
    ListWorkers,
    PublishMapOutput,
    QueryState,
    RecordHeartbeat,
    RegisterMapOutput,
    RegisterReply,
    StoreResult,
    SubmitQuery,
    SweepStaleWorkers,
    TaskState,
    Tick,
    WorkerChanged,
    WorkerLost,
)
from ffq.runtime import Actor, ActorFailed, ActorSystem, handles
from tests.actors.harness import (
    PLAN,
    InlinePlanner,
    Q,
    W,
    attempts,
    beat,
    open_actors,
    output,
    pull,
    report,
    result,
    status,
    step_replaced,
)


async def test_a_query_runs_through_all_four_actors(autojump_clock: MockClock) -> None:
    async with open_actors() as coordinator:
        reply = await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        assert reply.state is QueryState.QUEUED
        await coordinator.ask(beat())
        (task,) = await coordinator.ask(pull())
        assert (await coordinator.ask(output(task, 1, 2))).counted
        assert (await coordinator.ask(report(task))).counted
        where = await coordinator.ask(FetchShufflePartition(task.key, 1))
        assert (where.endpoint, where.size is not None) == ("w:1", True)
        (reducer,) = await coordinator.ask(pull())
        assert (await coordinator.ask(result(reducer, b"rows"))).counted
        await coordinator.ask(report(reducer))
        assert (await status(coordinator)).state is QueryState.SUCCEEDED
        assert (await coordinator.ask(FetchQueryResults(Q))).parts == ((b"rows",),)


async def test_R19_coordinator_finds_stale_workers_without_any_rpc(
    autojump_clock: MockClock,
) -> None:
    settings = CoordinatorSettings(worker_liveness_timeout_ms=15_000)
    async with open_actors(settings) as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        await coordinator.ask(beat())
        (task,) = await coordinator.ask(pull())
        await trio.sleep(14.9)
        assert len(await coordinator.ask(ListWorkers())) == 1
        await trio.sleep(1.2)
        assert await coordinator.ask(ListWorkers()) == ()
        again = AttemptKey(Q, task.key.stage_id, task.key.task_id, Attempt(2))
        assert await attempts(coordinator) == {
            task.key: TaskState.FAILED,
            again: TaskState.QUEUED,
        }


async def test_R20_a_worker_that_keeps_beating_is_never_stale(autojump_clock: MockClock) -> None:
    settings = CoordinatorSettings(worker_liveness_timeout_ms=1000)
    async with open_actors(settings) as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        await coordinator.ask(beat())
        (task,) = await coordinator.ask(pull())
        for _ in range(200):
            await trio.sleep(0.9)
            assert (await coordinator.ask(beat())).accepted
        assert await attempts(coordinator) == {task.key: TaskState.RUNNING}


class SlowScheduling(Actor[WorkerChanged | WorkerLost]):
    """Takes 5 s to hear of the worker v; remembers what it was told."""

    def __init__(self, told: list[WorkerChanged | WorkerLost]) -> None:
        self._told = told

    @handles(WorkerChanged)
    async def changed(self, msg: WorkerChanged) -> None:
        self._told.append(msg)
        if msg.worker_id == "v":
            await trio.sleep(5)

    @handles(WorkerLost)
    def lost(self, msg: WorkerLost) -> None:
        self._told.append(msg)


async def test_R19_evidence_that_waits_in_the_mailbox_counts_before_the_sweep_behind_it(
    autojump_clock: MockClock,
) -> None:
    """Held up past the timeout, liveness finds nobody stale whose beats came in time."""
    told: list[WorkerChanged | WorkerLost] = []
    machine = liveness_machine(CoordinatorSettings(worker_liveness_timeout_ms=1000))
    now = steady_unix_ms()
    timer = Timer(300, lambda: SweepStaleWorkers(now()))
    async with ActorSystem() as system:
        slow = await system.spawn(SlowScheduling, told)
        parties = Parties(InlinePlanner(), {Party.SCHEDULING: slow})
        liveness = await system.spawn(MachineActor, machine, now, parties, timer)
        await liveness.ask(RecordHeartbeat(beat(W)))
        async with trio.open_nursery() as nursery:
            await trio.sleep(0.5)
            nursery.start_soon(liveness.ask, RecordHeartbeat(beat(WorkerId("v"))))
            # The next sweep queues behind v's beat; handled 5 s later it speaks of its own time.
            await trio.sleep(0.2)
            for _ in range(9):  # until just before v, which beats no more, is found stale itself
                nursery.start_soon(liveness.ask, RecordHeartbeat(beat(W)))
                await trio.sleep(0.5)
    assert [type(notice) for notice in told] == [WorkerChanged, WorkerChanged]


async def test_R10_time_alone_fails_a_query_that_nobody_can_run(autojump_clock: MockClock) -> None:
    settings = CoordinatorSettings(unrunnable_timeout_ms=5000)
    async with open_actors(settings) as coordinator:
        await coordinator.ask(SubmitQuery(Q, p.scan("t", ["k"]).custom("udf").to_json()))
        await coordinator.ask(beat())
        await trio.sleep(10)
        final = await status(coordinator)
        assert final.state is QueryState.FAILED
        assert "udf" in final.message


async def test_R5_notices_reach_the_stores(autojump_clock: MockClock) -> None:
    async with open_actors() as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        await coordinator.ask(beat())
        (task,) = await coordinator.ask(pull())
        await coordinator.ask(output(task, 1))
        drop = Mock(side_effect=drop_query_outputs)
        with step_replaced(DropQueryOutputs, drop):
            await coordinator.ask(CancelQuery(Q, "enough"))
            await wait_all_tasks_blocked()
        assert [call.args[1] for call in drop.call_args_list] == [DropQueryOutputs(Q)]
        with pytest.raises((NotReady, UnknownId)):
            await coordinator.ask(FetchShufflePartition(task.key, 1))


async def test_an_unexpected_error_hits_its_own_caller_only(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_actors() as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        with (
            step_replaced(CancelQuery, Mock(side_effect=ZeroDivisionError("bug"))),
            pytest.raises(ZeroDivisionError),
        ):
            await coordinator.ask(CancelQuery(Q, ""))
        assert "CancelQuery failed in /scheduling" in caplog.text
        assert (await status(coordinator)).state is QueryState.QUEUED


async def test_a_failing_tick_is_tried_again(autojump_clock: MockClock) -> None:
    async with open_actors(actors=ActorSettings(tick_ms=100)) as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        tick = Mock(side_effect=ZeroDivisionError("bug"))
        with step_replaced(Tick, tick):
            await trio.sleep(1)
        assert tick.call_count > 5
        assert (await status(coordinator)).state is QueryState.QUEUED


@pytest.mark.parametrize("broken", [InvariantViolated("slots do not add up"), KeyError("slot")])
async def test_a_machine_found_inconsistent_stops_the_coordinator_loudly(
    broken: Exception, autojump_clock: MockClock
) -> None:
    """Also one so broken that the check itself fails."""
    with pytest.raises(ActorFailed) as caught:  # the block is what fails
        async with open_actors() as coordinator:
            with (
                step_replaced(GetQueryStatus, Mock(side_effect=ZeroDivisionError)),
                patch.object(Machine, "validate_state", side_effect=broken),
                pytest.raises(ZeroDivisionError),
            ):
                await coordinator.ask(GetQueryStatus(Q))
            await trio.sleep_forever()
    assert caught.value.__cause__ is broken


@pytest.mark.parametrize(
    ("fails", "stops"),
    [(AdmitResult, False), (StoreResult, True), (DropQueryResults, True), (PublishMapOutput, True)],
)
async def test_a_bug_that_leaves_two_machines_at_odds_stops_the_coordinator(
    fails: type, stops: bool, autojump_clock: MockClock
) -> None:
    """Scheduling has counted a result, or what it forgets; its neighbour has not."""
    bug = ZeroDivisionError("bug")
    ends = pytest.raises(ActorFailed) if stops else nullcontext()
    with ends as caught:
        async with open_actors() as coordinator:
            await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
            await coordinator.ask(beat())
            (task,) = await coordinator.ask(pull())
            with step_replaced(fails, Mock(side_effect=bug)), suppress(ZeroDivisionError):
                await coordinator.ask(output(task, 1))
                await coordinator.ask(report(task))
                (task,) = await coordinator.ask(pull())
                await coordinator.ask(result(task, b"rows"))
                await coordinator.ask(CancelQuery(Q, "enough"))
                await wait_all_tasks_blocked()
            if stops:
                await trio.sleep(60)  # of the virtual clock; it ends before
            await coordinator.ask(result(task, b"rows"))
    if caught is not None:
        assert caught.value.__cause__ is bug


async def test_a_typed_error_of_the_core_is_no_crash(autojump_clock: MockClock) -> None:
    async with open_actors() as coordinator:
        with pytest.raises(UnknownId):
            await status(coordinator)
        with pytest.raises(UnknownId):
            await coordinator.ask(CancelQuery(Q, ""))


async def test_a_registration_whose_caller_goes_away_half_way_is_finished(
    autojump_clock: MockClock,
) -> None:
    """Scheduling has merged it: the registry must have it too."""
    async with open_actors() as coordinator:
        await coordinator.ask(SubmitQuery(Q, PLAN.to_json()))
        await coordinator.ask(beat())
        (task,) = await coordinator.ask(pull())
        with trio.CancelScope() as scope:

            def register(state: SchedulingState, msg: RegisterMapOutput, now: int) -> RegisterReply:
                scope.cancel()
                return register_map_output(state, msg, now)

            with step_replaced(RegisterMapOutput, register):
                await coordinator.ask(output(task, 1))
        assert scope.cancelled_caught
        await coordinator.ask(report(task))
        where = await coordinator.ask(FetchShufflePartition(task.key, 1))
        assert where.size is not None


async def test_R30_full_mailboxes_slow_callers_down_and_lose_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_actors(actors=ActorSettings(mailbox=1)) as coordinator:
        async with trio.open_nursery() as nursery:
            for n in range(100):
                worker = WorkerId(f"w{n}")
                nursery.start_soon(coordinator.ask, beat(worker))
                nursery.start_soon(coordinator.ask, pull(worker))
                submit = SubmitQuery(QueryId(str(n)), PLAN.to_json())
                nursery.start_soon(coordinator.ask, submit)
        assert len(await coordinator.ask(ListWorkers())) == 100


async def test_R30_the_outbox_merges_what_concerns_one_query() -> None:
    def key(query: str, task: int) -> AttemptKey:
        return AttemptKey(QueryId(query), StageId(1), TaskId(task), Attempt(1))

    outbox = Outbox()
    for n in range(1000):
        outbox.put(DropMapOutputs((key("a", n % 3), key("b", 0))))
        outbox.put(DropQueryOutputs(QueryId("a")))
        outbox.put(DropQueryResults(QueryId("a")))
    assert len(outbox) == 4
    assert [await outbox.get() for _ in range(4)] == [
        DropMapOutputs((key("a", 0), key("a", 1), key("a", 2))),
        DropMapOutputs((key("b", 0),)),
        DropQueryOutputs(QueryId("a")),
        DropQueryResults(QueryId("a")),
    ]


async def test_the_outbox_hands_out_no_more_keys_than_a_store_may_be_kept_by() -> None:
    keys = [AttemptKey(Q, StageId(1), TaskId(task), Attempt(1)) for task in range(2_500)]
    outbox = Outbox()
    outbox.put(DropMapOutputs(tuple(keys[:1_800])))
    outbox.put(DropMapOutputs(tuple(keys[1_700:])))
    outbox.put(FreeQueryId(Q))
    got = [await outbox.get() for _ in range(4)]
    assert got[3] == FreeQueryId(Q), "after all that names the query"
    dropped = [each.keys for each in got if isinstance(each, DropMapOutputs)]
    assert [len(each) for each in dropped] == [1_000, 1_000, 500]
    assert [each for some in dropped for each in some] == keys
    assert len(outbox) == 0


async def test_the_outbox_wakes_who_waits_for_it(autojump_clock: MockClock) -> None:
    outbox = Outbox()
    async with trio.open_nursery() as nursery:

        async def put() -> None:
            await trio.sleep(1)
            outbox.put(DropQueryOutputs(Q))

        nursery.start_soon(put)
        assert await outbox.get() == DropQueryOutputs(Q)


async def test_a_machine_may_wait_only_for_those_that_cannot_wait_for_it() -> None:
    parties = Parties(InlinePlanner())
    with pytest.raises(InvariantViolated, match="registry may not ask scheduling for CancelQuery"):
        await parties.ask_from(Party.REGISTRY, CancelQuery(Q, ""))
    with pytest.raises(InvariantViolated, match="scheduling may not ask liveness"):
        await parties.ask_from(Party.SCHEDULING, RecordHeartbeat(beat()))


async def test_the_clock_is_the_wall_clock_at_the_start_and_never_goes_back(
    mock_clock: MockClock,
) -> None:
    with patch("time.time", return_value=1_000.5):
        now = steady_unix_ms()
    assert now() == 1_000_500
    with patch("time.time", return_value=3.0):  # somebody sets the wall clock back
        mock_clock.jump(1.25)
        assert now() == 1_001_750


async def test_R27_what_a_query_left_is_never_removed_from_its_successor(
    autojump_clock: MockClock,
) -> None:
    """The removals of many queries are on their way when one of their ids is used again."""
    settings = CoordinatorSettings(max_finished_queries=1, unrunnable_timeout_ms=1)
    names = [QueryId(str(number)) for number in range(100, 160)]
    sink = p.scan("t", ["k"]).filter(p.col("k") > 1)
    refused = 0
    async with open_actors(settings) as coordinator:
        for name in names:
            await coordinator.ask(SubmitQuery(name, sink.custom("nobody.has").to_json()))
        await coordinator.ask(beat())
        reused, submit = names[-3], None
        while submit is None:  # every step of the actors may be the one between
            await trio.lowlevel.checkpoint()
            try:
                submit = await coordinator.ask(SubmitQuery(reused, sink.to_json()))
            except PlanConflict:
                await trio.sleep(0.05)  # the first still waits for its operator
            except QuotaExceeded:
                refused += 1
        (task,) = await coordinator.ask(pull())
        assert (await coordinator.ask(result(task, b"rows"))).counted
        await coordinator.ask(report(task))
        await wait_all_tasks_blocked()
        assert (await coordinator.ask(FetchQueryResults(reused))).parts == ((b"rows",),)
    assert refused
