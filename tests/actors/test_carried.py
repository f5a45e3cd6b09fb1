"""Small map outputs that travel with reports and assignments: whose they are, and how many."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from trio.testing import MockClock

from ffq.actors.carried import CarriedOutputs
from ffq.core.assignment import encoded_bytes
from ffq.ids import Attempt, AttemptKey, QueryId, StageId, TaskId, WorkerId
from ffq.messages import (
    MAX_CARRIED_BYTES,
    Assignment,
    AttemptEnd,
    CancelQuery,
    EndAnswer,
    FromWorker,
    Layout,
    OutputPartition,
    PartitionSize,
    RegisterMapOutput,
    ReportTaskStatus,
    ShuffleInput,
    TaskState,
    ToWorker,
)
from ffq.service import Exchange
from tests.actors.harness import beat, output
from tests.actors.harness import report as reported
from tests.actors.test_exchange import SECOND, TWO_STAGES, connected, open_cluster, tasks_of

LAYOUT = Layout(1, 1)
OTHER = WorkerId("other")


def key(query: str = "1", task: int = 0, attempt: int = 1) -> AttemptKey:
    return AttemptKey(QueryId(query), StageId(1), TaskId(task), Attempt(attempt))


def end(of: AttemptKey, *contents: bytes, sizes: Sequence[int] | None = None) -> AttemptEnd:
    """Of an output of as many partitions, from 0 on."""
    given = list(map(len, contents)) if sizes is None else sizes
    parts = tuple(OutputPartition(at, size, 1, 1) for at, size in enumerate(given))
    report = ReportTaskStatus(of, TaskState.SUCCEEDED, "", LAYOUT)
    return AttemptEnd(report, RegisterMapOutput(of, parts, LAYOUT, endpoint="w:1"), contents)


def reads(of: AttemptKey, *sizes: int) -> Assignment:
    """A task that reads an output."""
    parts = tuple(PartitionSize(at, size, 1) for at, size in enumerate(sizes))
    source = ShuffleInput(of.stage_id, of.task_id, of.attempt, "w:1", parts)
    reader = AttemptKey(of.query_id, StageId(0), TaskId(0), Attempt(1))
    return Assignment(reader, b"plan", (0,), LAYOUT, inputs=(source,))


def contents(task: Assignment) -> list[bytes]:
    return [each.content for source in task.inputs for each in source.partitions]


def given(carried: CarriedOutputs, of: AttemptKey, *sizes: int) -> list[bytes]:
    (task,) = carried.filled([reads(of, *sizes)], "other:1")
    return contents(task)


def test_what_is_kept_goes_with_each_assignment_that_reads_it() -> None:
    carried = CarriedOutputs()
    assert carried.keep(end(key(), b"one", b"two")) == key()
    for _ in range(2):
        assert given(carried, key(), 3, 3) == [b"one", b"two"]
    assert given(carried, key(query="2"), 3, 3) == [b"", b""]
    assert given(carried, key(task=1), 3, 3) == [b"", b""]


def test_of_another_attempt_nothing_is_given() -> None:
    """R25: which one is read, the assignment says."""
    carried = CarriedOutputs()
    carried.keep(end(key(attempt=1), b"old"))
    assert given(carried, key(attempt=2), 3) == [b""]
    carried.keep(end(key(attempt=2), b"new"))
    assert given(carried, key(attempt=2), 3) == [b"new"]


def test_who_serves_it_is_sent_none_of_it() -> None:
    carried = CarriedOutputs()
    carried.keep(end(key(), b"one"))
    (task,) = carried.filled([reads(key(), 3)], "w:1")
    assert contents(task) == [b""]


def test_the_first_of_an_attempt_stays_whoever_says_it_again() -> None:
    carried = CarriedOutputs()
    carried.keep(end(key(), b"one"))
    assert carried.keep(end(key(), b"two")) is None
    assert given(carried, key(), 3) == [b"one"]


@pytest.mark.parametrize(
    "one",
    [
        end(key(), b"one", sizes=[4]),
        end(key(), b"one", sizes=[3, 3]),
        end(key(), bytes(MAX_CARRIED_BYTES), b"x"),
        AttemptEnd(end(key()).report, None, (b"one",)),
        end(key()),
    ],
    ids=["other bytes than registered", "other partitions", "large", "no output", "nothing"],
)
def test_what_is_not_of_the_output_or_large_is_not_kept(one: AttemptEnd) -> None:
    carried = CarriedOutputs()
    assert carried.keep(one) is None
    assert carried.used == 0


def test_all_of_a_query_goes_with_it_and_all_that_it_took() -> None:
    carried = CarriedOutputs()
    for query in ("1", "2"):
        for task in range(3):
            carried.keep(end(key(query, task), b"rows"))
    took = carried.used
    carried.drop(key("2", 2))
    carried.drop_query(QueryId("1"))
    assert given(carried, key("1"), 4) == [b""]
    assert given(carried, key("2"), 4) == [b"rows"]
    assert carried.used == took // 3
    carried.drop(key("2", 0))
    carried.drop(key("2", 1))
    carried.drop(key("2", 1))
    assert carried.used == 0


def test_for_more_than_there_is_room_for_the_oldest_queries_go_and_never_its_own() -> None:
    carried = CarriedOutputs(room=4_000)
    for query in ("1", "2"):
        carried.keep(end(key(query), bytes(1_000)))
    assert carried.keep(end(key("3"), bytes(2_000))) == key("3")
    assert given(carried, key("1"), 1_000) == [b""]
    assert carried.keep(end(key("3", 1), bytes(3_000))) is None
    assert given(carried, key("3"), 2_000) == [bytes(2_000)]
    assert carried.used <= 4_000


def test_a_message_holds_no_more_than_it_may() -> None:
    plain = reads(key(), 100)
    carried = CarriedOutputs(sent=2 * encoded_bytes(plain) + 150)
    carried.keep(end(key(), bytes(100)))
    filled = carried.filled([plain, plain], "other:1")
    assert list(map(contents, filled)) == [[bytes(100)], [b""]]


# --- on a stream -------------------------------------------------------------------------------


async def _mapped(exchange: Exchange, limit: int) -> Assignment:
    """A map task whose end comes with four bytes for each of its partitions, counted."""
    (task,) = await tasks_of(exchange)
    made = attrs.evolve(
        output(task), partitions=tuple(OutputPartition(at, 4, 1, 1) for at in range(4))
    )
    ended = AttemptEnd(reported(task), made, (b"rows",) * 4)
    await exchange.send(FromWorker(None, limit, 60 * SECOND, (ended,)))
    answer = await exchange.receive()
    assert answer is not None
    assert answer.answers == (EndAnswer.COUNTED,)
    return task


async def test_a_stage_that_another_worker_reads_comes_with_its_tasks(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_cluster() as cluster,
        connected(cluster, 1) as exchange,
        connected(cluster, 0, worker=OTHER) as reader,
    ):
        await cluster.submit("1", TWO_STAGES)
        await _mapped(exchange, 1)
        await reader.send(FromWorker(None, 1, 60 * SECOND))
        (task,) = await tasks_of(reader)
        assert contents(task) == [b"rows"] * 4


async def test_whoever_made_it_is_sent_none_of_it(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1", TWO_STAGES)
        await _mapped(exchange, 1)
        await exchange.send(FromWorker(None, 2, 60 * SECOND))
        (task,) = await tasks_of(exchange)
        assert contents(task) == [b""] * 4


async def test_what_does_not_count_is_not_kept(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1", TWO_STAGES)
        (task,) = await tasks_of(exchange)
        stale = attrs.evolve(task, key=attrs.evolve(task.key, attempt=Attempt(7)))
        made = attrs.evolve(output(stale), partitions=(OutputPartition(0, 4, 1, 1),))
        ended = AttemptEnd(reported(stale), made, (b"rows",))
        await exchange.send(FromWorker(None, 1, 60 * SECOND, (ended,)))
        answer = await exchange.receive()
        assert answer is not None
        assert answer.answers != (EndAnswer.COUNTED,)
        assert cluster.door.exchanges.carried.used == 0


async def test_the_end_of_a_query_that_its_worker_hears_of_frees_all_of_it(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1", TWO_STAGES)
        await _mapped(exchange, 1)
        carried = cluster.door.exchanges.carried
        assert carried.used > 0
        await cluster.door.ask(CancelQuery(QueryId("1"), ""))
        assert carried.used > 0
        held = attrs.evolve(beat(), held_queries=(QueryId("1"),))
        await exchange.send(FromWorker(held, 1, 60 * SECOND))
        answer: ToWorker | None = None
        while answer is None or answer.beat is None:
            answer = await exchange.receive()
        assert answer.beat.ended_queries == (QueryId("1"),)
        assert carried.used == 0
