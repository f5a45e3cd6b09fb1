"""Fetching shuffle inputs: resume, fallback, and naming all that is lost."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from ffq.errors import (
    InvalidPlan,
    QuotaExceeded,
    ShuffleInputError,
    StorageError,
    UnsupportedPlan,
)
from ffq.ids import Attempt, StageId, TaskId
from ffq.messages import Assignment, Bytes, PartitionSize, ShuffleInput
from ffq.plan.codec import parse_plan
from ffq.plan.reducing import reduced
from ffq.plan.stages import cut
from ffq.worker.inputs import FetchSettings, fetch_inputs
from ffq.worker.wanted import InputPart, SharedOutput, wanted_parts
from tests.strategies.graphs import keyed_join, scan
from tests.worker.fakes import (
    PARTITIONS,
    PLAN,
    FakeTransport,
    MemorySpool,
    key,
    sink_task,
)

W1, W2 = "w1:1", "w2:2"
SINK = cut(parse_plan(PLAN)).stages[0]


def map_input(task: int, endpoint: str, *partitions: int, attempt: int = 1) -> ShuffleInput:
    return ShuffleInput(
        StageId(1),
        TaskId(task),
        Attempt(attempt),
        endpoint,
        tuple(PartitionSize(partition, 8, 1) for partition in partitions),
    )


def part(task: int, endpoint: str = W1, partition: int = 0) -> InputPart:
    return InputPart(key(1, task), partition, endpoint)


async def fetch(transport: FakeTransport, *parts: InputPart) -> list[bytes]:
    fetched = await fetch_inputs({0: parts}, transport, FetchSettings(), lambda part: MemorySpool())
    return [item.spool.data for item in fetched[0]]  # type: ignore[attr-defined]


def test_each_named_partition_is_wanted_once_in_order() -> None:
    """R25: exactly the committed attempts named, each (map task, partition) once."""
    task = sink_task([map_input(1, W2, 3, 0, attempt=4), map_input(0, W1, 2)])
    task = attrs.evolve(task, reduce_partitions=(0, 2, 3))
    assert wanted_parts(task, SINK) == {
        0: (
            InputPart(key(1, 0), 2, W1, 8),
            InputPart(key(1, 1, 4), 0, W2, 8),
            InputPart(key(1, 1, 4), 3, W2, 8),
        )
    }


def test_partitions_of_other_tasks_are_not_read() -> None:
    task = attrs.evolve(sink_task([map_input(0, W1, 0, 1, 2, 3)]), reduce_partitions=(2,))
    (parts,) = wanted_parts(task, SINK).values()
    assert [item.reduce_partition for item in parts] == [2]


async def test_what_came_with_the_assignment_is_not_fetched() -> None:
    source = map_input(0, W1, 0, 1)
    first = attrs.evolve(source.partitions[0], content=b"8 bytes.")
    source = attrs.evolve(source, partitions=(first, *source.partitions[1:]))
    task = attrs.evolve(sink_task([source]), reduce_partitions=(0, 1))
    (parts,) = wanted_parts(task, SINK).values()
    transport = FakeTransport({(W1, key(1), 1): b"the rest"})
    assert await fetch(transport, *parts) == [b"8 bytes.", b"the rest"]
    assert [partition for _, _, partition, _ in transport.opened] == [1]


async def test_what_came_and_is_not_all_that_is_registered_is_fetched() -> None:
    source = map_input(0, W1, 0)
    short = attrs.evolve(source.partitions[0], content=b"7 bytes")
    task = sink_task([attrs.evolve(source, partitions=(short,))])
    (parts,) = wanted_parts(task, SINK).values()
    transport = FakeTransport({(W1, key(1), 0): b"8 bytes."})
    assert await fetch(transport, *parts) == [b"8 bytes."]


def test_when_all_is_empty_one_partition_is_read_for_its_schema() -> None:
    task = attrs.evolve(sink_task([map_input(0, W1), map_input(1, W2)]), reduce_partitions=(2, 3))
    assert wanted_parts(task, SINK) == {0: (InputPart(key(1, 0), 2, W1),)}


def test_of_a_stage_that_gives_out_its_keys_they_are_read_whole_and_its_rows_are_not() -> None:
    """Where nobody has given out one, their columns are."""
    graph = cut(keyed_join(scan("t"), scan("u"), 4))
    (choice,) = graph.joins
    probe = reduced(graph.stages[choice.probe], choice)
    made = [attrs.evolve(map_input(at, W1, 0, 3, 4), stage_id=choice.build) for at in range(2)]
    task = attrs.evolve(sink_task(made), key=key(choice.probe), reduce_partitions=())
    (parts,) = wanted_parts(task, probe).values()
    assert [(item.key.task_id, item.reduce_partition) for item in parts] == [(0, 4), (1, 4)]
    empty = [attrs.evolve(each, partitions=()) for each in made]
    (parts,) = wanted_parts(attrs.evolve(task, inputs=tuple(empty)), probe).values()
    assert [(item.key.task_id, item.reduce_partition) for item in parts] == [(0, 4)]
    (parts,) = wanted_parts(attrs.evolve(task, inputs=()), probe).values()
    assert [(item.endpoint, item.reduce_partition) for item in parts] == [("", 4)]


def test_without_inputs_the_coordinator_serves_the_committed_attempt() -> None:
    """A coordinator on the fixed wire: one map task a stage, attempt 0 means the committed one."""
    (parts,) = wanted_parts(sink_task(), SINK).values()
    assert parts == tuple(InputPart(key(1, attempt=0), p, "") for p in range(PARTITIONS))


def fixed_wire_task(**changes: object) -> Assignment:
    return attrs.evolve(sink_task(), **{"task_count": 0, **changes})  # type: ignore[arg-type]


def test_on_the_fixed_wire_the_newest_shared_attempt_is_read_exactly() -> None:
    """R25: exact attempts only; sizes are those of the files, so that nothing is lost unseen."""
    shared = {StageId(1): SharedOutput(key(1, attempt=3), {2: 77})}
    (parts,) = wanted_parts(fixed_wire_task(), SINK, shared).values()
    assert parts == tuple(
        InputPart(key(1, attempt=3), each, "", 77 if each == 2 else 0, fixed_wire=True)
        for each in range(PARTITIONS)
    )


def test_on_the_fixed_wire_empty_partitions_need_not_be_assigned() -> None:
    shared = {StageId(1): SharedOutput(key(1), {2: 77})}
    (parts,) = wanted_parts(fixed_wire_task(reduce_partitions=(2,)), SINK, shared).values()
    assert len(parts) == PARTITIONS
    with pytest.raises(UnsupportedPlan, match="left reduce partition 2 of 4 out"):
        wanted_parts(fixed_wire_task(reduce_partitions=(0, 1)), SINK, shared)


def test_on_the_fixed_wire_partitions_beyond_those_of_a_parent_are_of_another_parent() -> None:
    task = fixed_wire_task(reduce_partitions=tuple(range(PARTITIONS + 3)))
    (parts,) = wanted_parts(task, SINK).values()
    assert [each.reduce_partition for each in parts] == list(range(PARTITIONS))
    assert {each.key.attempt for each in parts} == {0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"key": key(0, task=1)}, "task 7/0/1/1: .* as one task, .* but gave it task 1"),
        ({"split_count": 2}, "but shared its partitions out to 2 tasks each"),
        ({"reduce_partitions": (0, 1, 3)}, "but left reduce partition 2 of 4 out"),
    ],
)
def test_R31_a_share_of_a_stage_on_the_fixed_wire_is_refused(
    changes: dict[str, object], told: str
) -> None:
    with pytest.raises(UnsupportedPlan, match=told):
        wanted_parts(fixed_wire_task(**changes), SINK)


def test_a_partition_that_the_parent_does_not_write_is_refused() -> None:
    task = attrs.evolve(sink_task(), reduce_partitions=(PARTITIONS,))
    with pytest.raises(InvalidPlan, match="partition 4, but stage 1 writes 4"):
        wanted_parts(task, SINK)


async def test_a_broken_stream_goes_on_where_it_broke(autojump_clock: MockClock) -> None:
    """R24."""
    transport = FakeTransport({(W1, key(1), 0): b"0123456789abcdef"}, breaks=3)
    assert await fetch(transport, part(0)) == [b"0123456789abcdef"]
    assert [start for *_, start in transport.opened] == [0, 4, 8, 12]


async def test_an_unnamed_partition_on_the_fixed_wire_is_an_empty_one(
    autojump_clock: MockClock,
) -> None:
    """One empty chunk, not finalized, watermark 0. From ours it would be a stream that broke."""
    transport = FakeTransport({("", key(1), 0): b""}, finalized=False)
    empty = InputPart(key(1), 0, "", fixed_wire=True)
    assert await fetch(transport, empty) == [b""]
    with pytest.raises(ShuffleInputError, match="unfinished"):
        await fetch(transport, attrs.evolve(empty, fixed_wire=False))
    with pytest.raises(ShuffleInputError, match="0 bytes, the shared folder has 9: .*SHUFFLE_ROOT"):
        await fetch(transport, attrs.evolve(empty, bytes=9))


async def test_many_parts_arrive_each_in_its_spool(autojump_clock: MockClock) -> None:
    data = {(W1, key(1, task), 0): bytes([task]) * task for task in range(100)}
    got = await fetch(FakeTransport(data), *(part(task) for task in range(100)))
    assert got == [bytes([task]) * task for task in range(100)]


async def test_the_coordinator_is_asked_for_what_a_worker_does_not_serve(
    autojump_clock: MockClock,
) -> None:
    """A worker that this one cannot reach may still be reached by the coordinator."""
    data = {("", key(1, task), 0): b"via" for task in range(3)}
    transport = FakeTransport(data, away={W1})
    assert await fetch(transport, *(part(task) for task in range(3))) == [b"via"] * 3


async def test_all_lost_inputs_are_named_at_once(autojump_clock: MockClock) -> None:
    """One dead worker costs one wait, not one for each of its outputs."""
    transport = FakeTransport({(W2, key(1, 9), 0): b"there"}, away={W1, ""})
    parts = [part(task) for task in range(50)] + [part(9, W2)]
    since = trio.current_time()
    with pytest.raises(ShuffleInputError, match="connection refused; and 47 more") as info:
        await fetch(transport, *parts)
    assert info.value.inputs == tuple((1, task, 1) for task in range(50))
    assert trio.current_time() - since < 15
    asked_of_coordinator = [endpoint for endpoint, *_ in transport.opened if not endpoint]
    assert len(asked_of_coordinator) <= FetchSettings().concurrency


async def test_an_output_that_is_not_registered_is_lost_without_waiting(
    autojump_clock: MockClock,
) -> None:
    """R23: a stale or unknown attempt is an explicit error."""
    since = trio.current_time()
    with pytest.raises(ShuffleInputError, match="not registered") as info:
        await fetch(FakeTransport(), part(0), part(1))
    assert info.value.inputs == ((1, 0, 1), (1, 1, 1))
    assert trio.current_time() == since


async def test_a_worker_back_in_time_loses_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    transport = FakeTransport({(W1, key(1), 0): b"data"}, away={W1, ""})

    async def come_back() -> None:
        await trio.sleep(3)
        transport.away.clear()

    nursery.start_soon(come_back)
    assert await fetch(transport, part(0)) == [b"data"]


async def test_a_silent_stream_counts_as_broken(autojump_clock: MockClock) -> None:
    transport = FakeTransport({("", key(1), 0): b"01234567"}, silent=True)
    with pytest.raises(ShuffleInputError, match="no answer within 10000 ms"):
        await fetch(transport, part(0, ""))


async def test_a_chunk_with_a_gap_is_refused(autojump_clock: MockClock) -> None:
    transport = FakeTransport({(W1, key(1), 0): b"01234567"}, skew=1)
    with pytest.raises(ShuffleInputError, match="expected 0 on") as info:
        await fetch(transport, part(0))
    assert info.value.inputs == ((1, 0, 1),)


async def test_a_part_of_another_size_than_registered_is_lost(autojump_clock: MockClock) -> None:
    """A truncated file, or that of a worker that has begun anew."""
    transport = FakeTransport({(W1, key(1), 0): b"0123"})
    registered = attrs.evolve(part(0), bytes=8)
    with pytest.raises(ShuffleInputError, match="has 4 bytes, registered were 8") as info:
        await fetch(transport, registered)
    assert info.value.inputs == ((1, 0, 1),)


async def test_no_room_for_a_spool_is_this_workers_fault(autojump_clock: MockClock) -> None:
    class Full(MemorySpool):
        async def write(self, data: Bytes) -> None:
            raise StorageError("no space left on device")

    transport = FakeTransport({(W1, key(1), 0): b"data"})
    with pytest.raises(StorageError, match="no space left"):
        await fetch_inputs({0: [part(0)]}, transport, FetchSettings(), lambda part: Full())


async def test_a_peer_that_is_busy_is_asked_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """It lacks nothing, and neither does this worker: the task is not to be charged."""
    transport = FakeTransport({(W1, key(1), 0): b"data"}, busy={W1})

    async def less_to_do() -> None:
        await trio.sleep(3)
        transport.busy.clear()

    nursery.start_soon(less_to_do)
    assert await fetch(transport, part(0)) == [b"data"]
    assert len(transport.opened) == 4  # each time after as long as it was told


async def test_a_peer_that_stays_busy_is_no_lost_output(autojump_clock: MockClock) -> None:
    transport = FakeTransport({(W1, key(1), 0): b"data"}, busy={W1})
    with pytest.raises(QuotaExceeded, match="streams are open"):
        await fetch(transport, part(0))
