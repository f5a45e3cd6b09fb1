"""The worker loop on a virtual clock: beating, pulling, running, reporting, stopping."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.errors import (
    DataError,
    DiskError,
    ExecutionError,
    FfqError,
    InvalidPlan,
    InvalidRequest,
    OperatorError,
    OutOfMemory,
    PlanningError,
    QuotaExceeded,
    StartupError,
    StorageError,
    UnsupportedPlan,
)
from ffq.ids import Attempt, StageId, TaskId
from ffq.messages import (
    NO_USAGE,
    ErrorKind,
    GetTask,
    PartitionSize,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    ShuffleInput,
    TaskState,
)
from ffq.worker.loop import LoopSettings
from ffq.worker.ports import TaskOutput, Work
from tests.worker.fakes import (
    IDENTITY,
    LAYOUT,
    ONE_PARTITION,
    PLAN,
    QUERY,
    FakeCoordinator,
    MemoryResult,
    World,
    key,
    map_task,
    sink_task,
    until,
)


async def test_a_map_attempt_is_run_registered_and_reported_in_that_order(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R22: registration comes before the SUCCEEDED that needs it."""
    world = World(FakeCoordinator(queue=[map_task()]))
    await nursery.start(world.loop().run)
    await until(lambda: world.coordinator.reports)
    register, report = (
        call
        for call in world.coordinator.calls
        if isinstance(call, RegisterMapOutput | ReportTaskStatus)
    )
    assert register == RegisterMapOutput(
        key(1), ONE_PARTITION.partitions, LAYOUT, IDENTITY.worker_id, 1_000, IDENTITY.endpoint
    )
    assert report == ReportTaskStatus(
        key(1), TaskState.SUCCEEDED, "", LAYOUT, IDENTITY.worker_id, 1_000, usage=NO_USAGE
    )
    await until(lambda: world.executor.released == {key(1): True})
    nursery.cancel_scope.cancel()


async def test_a_result_is_uploaded_in_chunks_before_success_is_reported(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R3, R26: keyed by attempt, offsets contiguous, the last piece marked."""
    world = World(FakeCoordinator(queue=[sink_task()]))
    world.transport.data = {("", key(1, attempt=0), p): b"x" for p in range(4)}
    data = bytes(range(256)) * 10_000

    async def behave(work: Work) -> TaskOutput:
        return MemoryResult(data)

    world.executor.behave = behave
    await nursery.start(world.loop().run)
    await until(lambda: world.coordinator.reports)
    uploads = world.coordinator.of_type(RegisterQueryResults)
    assert [upload.last for upload in uploads] == [False, False, True]
    assert world.coordinator.results == {key(0): data}
    assert world.coordinator.reports[0].state is TaskState.SUCCEEDED
    assert world.coordinator.calls.index(uploads[-1]) < world.coordinator.calls.index(
        world.coordinator.reports[0]
    )
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [5 << 20, 70 << 20])
async def test_a_result_goes_in_one_call_where_no_extension_field_came(
    autojump_clock: MockClock, nursery: trio.Nursery, size: int
) -> None:
    """R26: whole, or not at all: of several calls the last would be the whole result."""
    world = World(FakeCoordinator(queue=[attrs.evolve(sink_task(), task_count=0)]))
    world.transport.data = {("", key(1, attempt=0), p): b"x" for p in range(4)}

    async def behave(work: Work) -> TaskOutput:
        return MemoryResult(bytes(size))

    world.executor.behave = behave
    await nursery.start(world.loop().run)
    await until(lambda: world.coordinator.reports)
    uploads = world.coordinator.of_type(RegisterQueryResults)
    (report,) = world.coordinator.reports
    if size < world.settings.attempts.max_message_bytes:
        assert [len(upload.payload) for upload in uploads] == [size]
        assert report.state is TaskState.SUCCEEDED
    else:
        assert (uploads, report.state) == ([], TaskState.FAILED)
        assert f"the result has {size} bytes, and must go in one message" in report.message
        assert "at most 67107840 (--max-message-bytes)" in report.message
    nursery.cancel_scope.cancel()


async def test_a_busy_worker_keeps_beating_and_lists_what_it_runs(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R20: a task of ten minutes does not delay a single beat."""
    world = World(FakeCoordinator(queue=[map_task(0), map_task(1)]))

    async def behave(work: Work) -> TaskOutput:
        await trio.sleep(600)
        return ONE_PARTITION

    world.executor.behave = behave
    await nursery.start(world.loop().run)
    await until(lambda: len(world.executor.started) == 2)
    before = len(world.coordinator.beats)
    await trio.sleep(300)
    assert len(world.coordinator.beats) - before == 300
    last = world.coordinator.beats[-1]
    assert last.running_attempts == (key(1, 0), key(1, 1))
    assert last.running_tasks == 2
    assert last.capabilities == {"ffq.splits"}
    assert (last.incarnation, last.endpoint, last.family) == (1_000, "127.0.0.1:1", "fake-1")
    nursery.cancel_scope.cancel()


async def test_no_more_attempts_run_at_once_than_there_are_slots(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(FakeCoordinator(queue=[map_task(task) for task in range(10)]))

    async def behave(work: Work) -> TaskOutput:
        await trio.sleep(3)
        return ONE_PARTITION

    world.executor.behave = behave
    await nursery.start(world.loop().run)
    await until(lambda: len(world.coordinator.reports) == 10)
    assert world.executor.most_at_once == 2
    assert max(call.capacity for call in world.coordinator.of_type(GetTask)) == 2
    nursery.cancel_scope.cancel()


async def test_threads_that_do_not_stop_take_slots(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(FakeCoordinator(queue=[map_task()]))
    world.executor.stuck = 2
    await nursery.start(world.loop().run)
    await trio.sleep(10)
    assert not world.coordinator.of_type(GetTask)
    assert {(beat.slots, beat.stuck_tasks) for beat in world.coordinator.beats} == {(2, 2)}
    world.executor.stuck = 1
    await until(lambda: world.coordinator.reports)
    assert {call.capacity for call in world.coordinator.of_type(GetTask)} == {1}
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PlanningError("no column 'x'"), ErrorKind.PLAN),
        (UnsupportedPlan("Window is not supported"), ErrorKind.PLAN),
        (InvalidPlan("plan.Foo"), ErrorKind.PLAN),
        (OperatorError("operator 'o' raised"), ErrorKind.OPERATOR),
        (DataError("Could not convert string 'zz'"), ErrorKind.DATA),
        (DiskError("cannot write the result: no space left"), ErrorKind.ENVIRONMENT),
        (OutOfMemory("failed to allocate 1 GiB"), ErrorKind.ENVIRONMENT),
        (MemoryError("no room"), ErrorKind.ENVIRONMENT),
        (OSError(28, "No space left on device"), ErrorKind.ENVIRONMENT),
        (StorageError("cannot read 't.parquet'"), ErrorKind.EXTERNAL),
        (ExecutionError("an internal error of the engine"), ErrorKind.EXECUTION),
        (ZeroDivisionError("a bug"), ErrorKind.EXECUTION),
        (ExceptionGroup("g", [KeyError("a bug")]), ErrorKind.EXECUTION),
    ],
)
async def test_any_error_of_a_fragment_is_reported_and_the_worker_goes_on(
    autojump_clock: MockClock, nursery: trio.Nursery, error: Exception, kind: ErrorKind
) -> None:
    """R14, R17: the kind says whose fault it was; the next attempt runs."""
    world = World(FakeCoordinator(queue=[map_task()]))

    async def behave(work: Work) -> TaskOutput:
        if work.assignment.key.attempt == 1:
            raise error
        return ONE_PARTITION

    world.executor.behave = behave
    await nursery.start(world.loop().run)
    await until(lambda: world.coordinator.reports)
    world.coordinator.queue.append(map_task(attempt=2))
    await until(lambda: len(world.coordinator.reports) == 2)
    failed, succeeded = world.coordinator.reports
    assert (failed.state, failed.kind) == (TaskState.FAILED, kind)
    assert str(error.args[-1]) in failed.message or "KeyError: 'a bug'" in failed.message
    assert "Traceback" not in failed.message
    assert succeeded.state is TaskState.SUCCEEDED
    assert world.executor.released == {key(1): False, key(1, attempt=2): True}
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("error", "tries", "kind"),
    [
        (InvalidRequest("no such partition"), 1, ErrorKind.EXECUTION),
        (QuotaExceeded("too many partitions", retry_after_ms=10), 5, ErrorKind.EXTERNAL),
        (ExecutionError("internal error", reason="INTERNAL"), 3, ErrorKind.EXECUTION),
    ],
)
async def test_an_output_that_is_refused_is_a_failure_but_not_of_the_plan(
    autojump_clock: MockClock, nursery: trio.Nursery, error: FfqError, tries: int, kind: ErrorKind
) -> None:
    """R17: a coordinator without room is nobody's fault here."""
    world = World(FakeCoordinator(queue=[map_task()], refuse_registration=error))
    await nursery.start(world.loop().run)
    await until(lambda: world.coordinator.reports)
    (report,) = world.coordinator.reports
    assert (report.state, report.kind) == (TaskState.FAILED, kind)
    assert error.message in report.message
    assert len(world.coordinator.of_type(RegisterMapOutput)) == tries
    await until(lambda: world.executor.released == {key(1): False})
    nursery.cancel_scope.cancel()


async def test_an_assignment_that_is_no_plan_is_a_plan_error(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    import attrs

    bad = [
        attrs.evolve(map_task(0), plan_bytes=b"not json"),
        attrs.evolve(map_task(1), key=key(9), plan_bytes=PLAN),
    ]
    world = World(FakeCoordinator(queue=bad))
    await nursery.start(world.loop().run)
    await until(lambda: len(world.coordinator.reports) == 2)
    assert {report.kind for report in world.coordinator.reports} == {ErrorKind.PLAN}
    assert not world.executor.started
    nursery.cancel_scope.cancel()


async def test_a_report_waits_out_the_coordinators_absence(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A report is retried, not lost; the attempt stays listed until it is answered."""
    world = World(FakeCoordinator(queue=[map_task()]))

    async def behave(work: Work) -> TaskOutput:
        world.coordinator.up = False
        return ONE_PARTITION

    world.executor.behave = behave
    loop = world.loop()
    await nursery.start(loop.run)
    await until(lambda: not world.coordinator.up)
    await trio.sleep(3600)
    assert loop.running == (key(1),)
    world.coordinator.up = True
    await until(lambda: world.coordinator.reports)
    await until(lambda: loop.running == ())
    world.coordinator.queue.append(map_task(1))
    world.executor.behave = None
    await until(lambda: len(world.coordinator.reports) == 2)
    nursery.cancel_scope.cancel()


async def test_a_report_is_not_lost_to_a_busy_coordinator(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R30: over a bound the caller is slowed, and nothing is dropped."""
    world = World(FakeCoordinator(queue=[map_task()], refuse_reports=50))
    loop = world.loop()
    await nursery.start(loop.run)
    await until(lambda: world.coordinator.reports)
    await until(lambda: loop.running == ())
    assert len(world.coordinator.reports) == 51
    assert {report.state for report in world.coordinator.reports} == {TaskState.SUCCEEDED}
    nursery.cancel_scope.cancel()


async def test_a_coordinator_that_came_back_empty_ends_the_attempt(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(FakeCoordinator(queue=[map_task()], unknown={key(1)}))
    loop = world.loop()
    await nursery.start(loop.run)
    await until(lambda: world.executor.released)
    assert world.executor.released == {key(1): False}
    assert not world.coordinator.reports
    assert loop.running == ()
    nursery.cancel_scope.cancel()


async def test_an_output_that_may_be_committed_is_kept(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The answer to SUCCEEDED was lost and the attempt is told to stop: it may have counted."""
    world = World(FakeCoordinator(queue=[map_task()], lose_report_answers=10_000))
    loop = world.loop()
    await nursery.start(loop.run)
    await until(lambda: world.coordinator.reports)
    world.coordinator.stop = (key(1),)
    await until(lambda: loop.running == ())
    assert world.executor.released == {key(1): True}
    nursery.cancel_scope.cancel()


async def test_a_stopped_attempt_is_interrupted_and_not_reported(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R5: the heartbeat's answer names attempts to stop; their slots are free at once."""
    world = World(FakeCoordinator(queue=[map_task(0), map_task(1)]))

    async def behave(work: Work) -> TaskOutput:
        await trio.sleep_forever()
        raise AssertionError

    world.executor.behave = behave
    loop = world.loop()
    await nursery.start(loop.run)
    await until(lambda: len(world.executor.started) == 2)
    world.coordinator.stop = (key(1, 0), key(5, 5))
    await until(lambda: loop.running == (key(1, 1),))
    assert world.executor.interrupted == [key(1, 0)]
    assert world.executor.released == {key(1, 0): False}
    assert not world.coordinator.reports
    nursery.cancel_scope.cancel()


async def test_files_of_ended_queries_are_removed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(FakeCoordinator(ended=(QUERY,)))
    world.executor.held = [QUERY]
    await nursery.start(world.loop().run)
    await until(lambda: QUERY in world.executor.forgotten)
    assert world.coordinator.beats[0].held_queries == (QUERY,)
    nursery.cancel_scope.cancel()


async def test_every_held_query_is_told_in_turn(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A heartbeat is bounded, and yet no query's files are forgotten."""
    from ffq.ids import QueryId

    held = [QueryId(str(number)) for number in range(2_500)]
    world = World()
    world.executor.held = held
    await nursery.start(world.loop().run)
    await until(lambda: len(world.coordinator.beats) == 4)
    told = [beat.held_queries for beat in world.coordinator.beats]
    assert [len(names) for names in told] == [1000, 1000, 500, 1000]
    assert {name for names in told[:3] for name in names} == set(held)
    nursery.cancel_scope.cancel()


async def test_an_orderly_stop_reports_what_runs_as_stopped(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(FakeCoordinator(queue=[map_task(0), map_task(1)]))

    async def behave(work: Work) -> TaskOutput:
        await trio.sleep_forever()
        raise AssertionError

    world.executor.behave = behave
    loop = world.loop()
    async with trio.open_nursery() as worker:
        await worker.start(loop.run)
        await until(lambda: len(world.executor.started) == 2)
        loop.stop()
    assert [(report.state, report.kind) for report in world.coordinator.reports] == [
        (TaskState.FAILED, ErrorKind.STOPPED)
    ] * 2
    assert loop.running == ()


async def test_an_orderly_stop_ends_also_when_the_coordinator_is_away(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(FakeCoordinator(queue=[map_task()]))

    async def behave(work: Work) -> TaskOutput:
        await trio.sleep_forever()
        raise AssertionError

    world.executor.behave = behave
    loop = world.loop()
    with trio.fail_after(60):
        async with trio.open_nursery() as worker:
            await worker.start(loop.run)
            await until(lambda: world.executor.started)
            world.coordinator.up = False
            loop.stop()
    assert not world.coordinator.reports


async def test_a_worker_that_never_reaches_its_coordinator_ends_with_one_line(
    autojump_clock: MockClock,
) -> None:
    world = World(FakeCoordinator(up=False))
    with pytest.raises(StartupError, match=r"no coordinator answers at 127\.0\.0\.1:50051") as info:
        await world.loop().run()
    assert "\n" not in str(info.value)


async def test_without_a_connect_timeout_it_tries_for_ever(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(
        FakeCoordinator(up=False, queue=[map_task()]),
        settings=LoopSettings(slots=1, connect_timeout_ms=0),
    )
    nursery.start_soon(world.loop().run)
    await trio.sleep(7_200)
    world.coordinator.up = True
    await until(lambda: world.coordinator.reports)
    assert world.coordinator.calls[0] == world.coordinator.beats[0]
    nursery.cancel_scope.cancel()


async def test_an_idle_worker_polls_gently_and_a_busy_one_at_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World()
    await nursery.start(world.loop().run)
    await trio.sleep(60)
    before = len(world.coordinator.of_type(GetTask))
    await trio.sleep(10)
    assert 80 <= len(world.coordinator.of_type(GetTask)) - before <= 101
    world.coordinator.queue = [map_task(task) for task in range(200)]
    since = trio.current_time()
    await until(lambda: len(world.coordinator.reports) == 200)
    assert trio.current_time() - since < 2
    nursery.cancel_scope.cancel()


async def test_a_cancelled_loop_reports_nothing(autojump_clock: MockClock) -> None:
    """A crash: the coordinator learns of it by silence."""
    world = World(FakeCoordinator(queue=[map_task()]))

    async def behave(work: Work) -> TaskOutput:
        await trio.sleep_forever()
        raise AssertionError

    world.executor.behave = behave
    async with trio.open_nursery() as worker:
        await worker.start(world.loop().run)
        await until(lambda: world.executor.started)
        worker.cancel_scope.cancel()
    assert not world.coordinator.reports


async def test_only_what_lies_elsewhere_is_fetched(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """R25: each part once, from the worker's own disk where it is there."""
    size = (PartitionSize(0, 4, 1),)
    inputs = [
        ShuffleInput(StageId(1), TaskId(0), Attempt(1), IDENTITY.endpoint, size),
        ShuffleInput(StageId(1), TaskId(1), Attempt(1), IDENTITY.endpoint, size),
        ShuffleInput(StageId(1), TaskId(2), Attempt(1), "w2:2", size),
    ]
    world = World(FakeCoordinator(queue=[sink_task(inputs)]))
    world.executor.here = {(key(1, 0), 0): b"here", (key(1, 2), 0): b"not this one"}
    world.transport.data = {
        (IDENTITY.endpoint, key(1, 1), 0): b"gone",
        ("w2:2", key(1, 2), 0): b"away",
    }
    read: list[bytes] = []

    async def behave(work: Work) -> TaskOutput:
        read.extend(item.spool.data for item in work.inputs[0])  # type: ignore[attr-defined]
        return MemoryResult(b"result")

    world.executor.behave = behave
    await nursery.start(world.loop().run)
    await until(lambda: world.coordinator.reports)
    assert read == [b"here", b"gone", b"away"]
    assert {opened[0] for opened in world.transport.opened} == {IDENTITY.endpoint, "w2:2"}
    assert key(1, 0) not in {opened[1] for opened in world.transport.opened}
    nursery.cancel_scope.cancel()
