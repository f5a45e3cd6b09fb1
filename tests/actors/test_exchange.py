"""Workers' streams at the coordinator's end, in one process on a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ffq import plan as p
from ffq.actors import ActorCoordinator, open_coordinator
from ffq.core import CoordinatorSettings
from ffq.errors import InvalidRequest, Unavailable
from ffq.ids import Attempt, QueryId, WorkerId
from ffq.messages import (
    MAX_REPORTS,
    AcceptQuery,
    Assignment,
    AttemptEnd,
    CancelQuery,
    EndAnswer,
    ErrorKind,
    FetchQueryResults,
    FinishAttempts,
    FromWorker,
    GetTask,
    HeartbeatReply,
    ListAttempts,
    ListWorkers,
    RecordEvidence,
    SubmitQuery,
    TaskState,
    ToWorker,
)
from ffq.runtime import Hooks
from ffq.service import Exchange
from tests.actors.harness import InlinePlanner, W, beat, output, result
from tests.actors.harness import report as reported

ONE_TASK = p.scan("t", ["k"])
TWO_STAGES = p.scan("t", ["k"]).aggregate(["k"], [p.col("k").count().alias("n")], partitions=4)
SECOND = 1_000
SETTINGS = CoordinatorSettings(worker_liveness_timeout_ms=5 * SECOND)


@attrs.define
class Handled(Hooks):
    """What the actors handled, by class."""

    messages: list[Any] = attrs.field(factory=list)
    then: dict[type, Callable[[], None]] = attrs.field(factory=dict)

    def message_handled(self, path: str, message: Any, error: BaseException | None) -> None:
        self.messages.append(message)
        self.then.get(type(message), lambda: None)()

    def count(self, kind: type) -> int:
        return sum(isinstance(each, kind) for each in self.messages)


@attrs.define
class Cluster:
    door: ActorCoordinator
    handled: Handled

    async def submit(self, query_id: str, plan: p.Relation = ONE_TASK) -> None:
        await self.door.ask(SubmitQuery(QueryId(query_id), plan.to_json()))

    async def states(self, query_id: str = "1") -> list[tuple[TaskState, WorkerId | None]]:
        attempts = await self.door.ask(ListAttempts(QueryId(query_id)))
        return [(each.state, each.worker_id) for each in attempts]


@asynccontextmanager
async def open_cluster() -> AsyncIterator[Cluster]:
    handled = Handled()
    async with open_coordinator(InlinePlanner(), SETTINGS, hooks=handled) as door:
        yield Cluster(door, handled)
        await door.validate_state()


@asynccontextmanager
async def connected(
    cluster: Cluster, limit: int = 1, *, worker: WorkerId = W, incarnation: int = 1
) -> AsyncIterator[Exchange]:
    """A stream whose first beat is answered, with room for `limit` assignments for a minute."""
    async with cluster.door.exchange() as exchange:
        await exchange.send(FromWorker(beat(worker, incarnation), limit, 60 * SECOND))
        answer = await exchange.receive()
        assert answer is not None
        assert answer.beat is not None
        assert answer.beat.accepted
        yield exchange


async def tasks_of(exchange: Exchange) -> tuple[Assignment, ...]:
    """Of the next message that has some."""
    with trio.fail_after(1_000):
        while True:
            message = await exchange.receive()
            assert message is not None
            if message.tasks:
                return message.tasks


async def nothing_comes(exchange: Exchange, seconds: float) -> None:
    with trio.move_on_after(seconds):
        raise AssertionError(await exchange.receive())


async def test_a_task_comes_as_soon_as_there_is_one_and_nobody_asked_before(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster) as exchange:
        await nothing_comes(exchange, 3)
        assert cluster.handled.count(GetTask) == 0
        since = trio.current_time()
        await cluster.submit("1")
        (task,) = await tasks_of(exchange)
        assert trio.current_time() == since
        assert task.key.query_id == "1"
        assert cluster.handled.count(GetTask) == 1


async def test_R18_a_worker_is_told_how_long_it_may_rest_within_its_liveness_timeout() -> None:
    for timeout_ms, rest_ms in ((15_000, 3_000), (2_000, 400), (600_000, 3_000)):
        settings = CoordinatorSettings(worker_liveness_timeout_ms=timeout_ms)
        async with (
            open_coordinator(InlinePlanner(), settings) as coordinator,
            coordinator.exchange() as exchange,
        ):
            for _ in range(2):
                await exchange.send(FromWorker(beat(W, 1), 1, SECOND))
                answer = await exchange.receive()
                assert answer is not None
                assert answer.rest_ms == rest_ms


async def test_R7_no_more_come_than_there_is_room_for_whenever_that_was_said(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 2) as exchange:
        for number in range(4):
            await cluster.submit(str(number))
        first = [*await tasks_of(exchange)]
        while len(first) < 2:
            first += await tasks_of(exchange)
        assert len(first) == 2
        # Said before they came: it is what it takes all in all.
        await exchange.send(FromWorker(None, 2, 60 * SECOND))
        await nothing_comes(exchange, 2)
        await exchange.send(FromWorker(None, 3, 60 * SECOND))
        assert len(await tasks_of(exchange)) == 1
        await nothing_comes(exchange, 2)


async def test_R7_a_limit_below_what_is_on_its_way_is_no_room(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 2) as exchange:
        for number in range(4):
            await cluster.submit(str(number))
        await trio.sleep(1)
        await exchange.send(FromWorker(None, 1, 60 * SECOND))
        await trio.sleep(1)
        assert len([*await tasks_of(exchange), *await tasks_of(exchange)]) == 2
        await nothing_comes(exchange, 2)
        await exchange.send(FromWorker(None, 3, 60 * SECOND))
        assert len(await tasks_of(exchange)) == 1


async def test_a_stage_that_is_done_wakes_those_who_wait_for_the_next(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1", TWO_STAGES)
        (task,) = await tasks_of(exchange)
        await exchange.send(FromWorker(None, 2, 60 * SECOND))
        await nothing_comes(exchange, 1)
        await cluster.door.ask(output(task, 0, 1, 2, 3))
        await cluster.door.ask(reported(task))
        (sink,) = await tasks_of(exchange)
        assert sink.key.stage_id == 0


async def test_one_task_wakes_one_of_all_that_wait_the_one_that_waits_longest(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        got: list[str] = []

        async def wait(name: str) -> None:
            async with connected(cluster, 1, worker=WorkerId(name)) as exchange:
                await tasks_of(exchange)
                got.append(name)
                await trio.sleep_forever()

        for number in range(20):
            nursery.start_soon(wait, f"w{number}")
            await wait_all_tasks_blocked()
        await cluster.submit("1")
        await wait_all_tasks_blocked()
        assert got == ["w0"]
        assert cluster.handled.count(GetTask) == 1
        for number in range(2, 5):
            await cluster.submit(str(number))
        await wait_all_tasks_blocked()
        assert got == ["w0", "w1", "w2", "w3"]
        nursery.cancel_scope.cancel()


async def test_who_is_called_and_leaves_passes_the_call_on(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        leaving = trio.CancelScope()

        async def wait() -> None:
            with leaving:
                async with connected(cluster, worker=WorkerId("a")):
                    await trio.sleep_forever()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        async with connected(cluster, worker=WorkerId("b")) as other:
            await wait_all_tasks_blocked()
            assert [seat.worker_id for seat in cluster.door.exchanges.bell.seats] == ["a", "b"]
            # In the moment in which it is called.
            cluster.handled.then[AcceptQuery] = leaving.cancel
            await cluster.submit("1")
            with trio.fail_after(1):
                assert len(await tasks_of(other)) == 1


async def test_R18_R19_a_push_is_no_evidence_of_life_and_silence_ends_what_was_pushed(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await trio.sleep(4)
        await cluster.submit("1")
        await tasks_of(exchange)
        await trio.sleep(2)
        assert await cluster.door.ask(ListWorkers()) == ()
        assert await cluster.states() == [(TaskState.FAILED, W), (TaskState.QUEUED, None)]
        # It is known again by its next beat, and served.
        await exchange.send(FromWorker(beat(), 2, 60 * SECOND))
        assert len(await tasks_of(exchange)) == 1


async def test_a_worker_that_fell_silent_gets_nothing_after_its_word_has_lapsed(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 0) as exchange:
        await exchange.send(FromWorker(None, 1, 2 * SECOND))
        await trio.sleep(2.5)
        await cluster.submit("1")
        await nothing_comes(exchange, 1)
        await exchange.send(FromWorker(beat(), 1, 2 * SECOND))
        assert len(await tasks_of(exchange)) == 1


async def test_R19_a_closed_stream_is_no_sign_of_death(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        async with connected(cluster) as exchange:
            await cluster.submit("1")
            await tasks_of(exchange)
        await trio.sleep(4)
        assert await cluster.states() == [(TaskState.RUNNING, W)]
        await cluster.door.ask(beat())
        await trio.sleep(4)
        assert await cluster.states() == [(TaskState.RUNNING, W)]


async def test_a_second_stream_of_a_worker_closes_the_first(autojump_clock: MockClock) -> None:
    async with (
        open_cluster() as cluster,
        connected(cluster) as first,
        connected(cluster) as second,
    ):
        with pytest.raises(Unavailable, match="w has opened another stream"):
            await first.receive()
        await cluster.submit("1")
        assert len(await tasks_of(second)) == 1


async def test_R19_an_older_incarnation_is_told_that_it_is_superseded_and_gets_nothing(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_cluster() as cluster,
        connected(cluster) as old,
        connected(cluster, 0, incarnation=2),
    ):
        with pytest.raises(Unavailable):
            await old.receive()
        async with cluster.door.exchange() as again:
            await again.send(FromWorker(beat(), 1, 60 * SECOND))
            answer = await again.receive()
            assert answer == ToWorker(
                beat=HeartbeatReply(accepted=False, superseded=True), rest_ms=SETTINGS.rest_ms
            )
            assert await again.receive() is None
        await cluster.submit("1")
        await trio.sleep(1)
        assert await cluster.states() == []


async def test_R19_one_that_is_replaced_by_a_call_is_told_with_its_next_beat(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster) as old:
        await cluster.door.ask(beat(incarnation=2))
        await cluster.submit("1")
        await nothing_comes(old, 1)
        await old.send(FromWorker(beat(), 1, 60 * SECOND))
        answer = await old.receive()
        assert answer is not None
        assert answer.beat is not None
        assert answer.beat.superseded
        assert await old.receive() is None


async def test_a_stream_that_its_worker_finishes_ends_in_order(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster, connected(cluster) as exchange:
        exchange.finish()
        assert await exchange.receive() is None
        await cluster.submit("1")
        await trio.sleep(1)
        assert await cluster.states() == []
        assert cluster.door.exchanges.open == {}


@pytest.mark.parametrize(
    "first",
    [FromWorker(None, 1, SECOND), FromWorker(beat(incarnation=0), 1, SECOND)],
    ids=["no beat", "no incarnation"],
)
async def test_a_stream_begins_by_saying_whose_it_is(
    autojump_clock: MockClock, first: FromWorker
) -> None:
    async with open_cluster() as cluster, cluster.door.exchange() as exchange:
        await exchange.send(first)
        with pytest.raises(InvalidRequest, match="its first message has no beat"):
            await exchange.receive()


async def test_a_beat_of_another_worker_ends_the_stream(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster, connected(cluster) as exchange:
        await exchange.send(FromWorker(beat(WorkerId("v")), 1, SECOND))
        with pytest.raises(InvalidRequest, match="a beat of worker v, incarnation 1; this stream"):
            await exchange.receive()
        assert [each.worker_id for each in await cluster.door.ask(ListWorkers())] == [W]


async def test_R22_an_attempts_end_carries_its_output_and_frees_the_next_stage(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1", TWO_STAGES)
        (task,) = await tasks_of(exchange)
        end = AttemptEnd(reported(task), output(task, 0, 1, 2, 3))
        unknown = AttemptEnd(
            attrs.evolve(end.report, key=attrs.evolve(task.key, attempt=Attempt(9)))
        )
        await exchange.send(FromWorker(None, 2, 60 * SECOND, (end, unknown, end)))
        answers = (EndAnswer.COUNTED, EndAnswer.REFUSED, EndAnswer.TOO_LATE)
        # What it frees goes down with the answer.
        answer = await exchange.receive()
        assert answer is not None
        assert answer.answers == answers
        (sink,) = answer.tasks
        assert sink.key.stage_id == 0
        made = result(sink, b"rows")
        await exchange.send(FromWorker(None, 2, 60 * SECOND, (AttemptEnd(reported(sink), made),)))
        assert await exchange.receive() == ToWorker(answers=(EndAnswer.COUNTED,))
        parts = await cluster.door.ask(FetchQueryResults(QueryId("1")))
        assert parts.parts == ((b"rows",),)


async def test_R7_what_goes_down_with_answers_fills_the_room_and_no_more(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 2) as exchange:
        for number in range(7):
            await cluster.submit(str(number))
        tasks = [*await tasks_of(exchange)]
        while len(tasks) < 2:
            tasks += await tasks_of(exchange)
        ends = tuple(AttemptEnd(reported(task), result(task, b"rows")) for task in tasks)
        await exchange.send(FromWorker(None, 4, 60 * SECOND, ends))
        answer = await exchange.receive()
        assert answer is not None
        assert answer.answers == (EndAnswer.COUNTED,) * 2
        assert answer.tasks
        more = [*answer.tasks]
        while len(more) < 2:
            more += await tasks_of(exchange)
        assert len(more) == 2
        await nothing_comes(exchange, 2)
        states = [each for number in range(7) for each in await cluster.states(str(number))]
        assert states.count((TaskState.RUNNING, W)) == 2


async def test_a_worker_whose_ends_freed_nothing_is_given_the_next_task_at_once(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1")
        (task,) = await tasks_of(exchange)
        end = AttemptEnd(reported(task), result(task, b"rows"))
        await exchange.send(FromWorker(None, 2, 60 * SECOND, (end,)))
        assert await exchange.receive() == ToWorker(answers=(EndAnswer.COUNTED,))
        since = trio.current_time()
        await cluster.submit("2")
        assert len(await tasks_of(exchange)) == 1
        assert trio.current_time() == since


async def test_R18_the_ends_of_one_message_are_taken_together_and_prove_life_once(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 3) as exchange:
        for query_id in ("1", "2", "3"):
            await cluster.submit(query_id, TWO_STAGES)
        tasks: list[Assignment] = []
        while len(tasks) < 3:
            tasks += await tasks_of(exchange)
        before = [cluster.handled.count(kind) for kind in (RecordEvidence, FinishAttempts)]
        assert before == [0, 0]
        ends = tuple(AttemptEnd(reported(task), output(task, 0, 1, 2, 3)) for task in tasks)
        await exchange.send(FromWorker(None, 3, 60 * SECOND, ends))
        assert await exchange.receive() == ToWorker(answers=(EndAnswer.COUNTED,) * 3)
        assert cluster.handled.count(FinishAttempts) == 1
        assert cluster.handled.count(RecordEvidence) == 1
        for query_id in ("1", "2", "3"):
            assert (await cluster.states(query_id))[-1] == (TaskState.SUCCEEDED, W)


async def test_R13_an_end_with_what_is_not_its_own_is_refused_and_the_others_count(
    autojump_clock: MockClock,
) -> None:
    """What it would do in calls, its worker then does in calls."""
    async with open_cluster() as cluster, connected(cluster, 5) as exchange:
        for number in range(5):
            await cluster.submit(str(number), TWO_STAGES)
        tasks: list[Assignment] = []
        while len(tasks) < 5:
            tasks += await tasks_of(exchange)
        made = [output(task, 0) for task in tasks]
        ends = (
            AttemptEnd(reported(tasks[0]), made[0]),
            AttemptEnd(reported(tasks[1]), made[2]),
            AttemptEnd(reported(tasks[2]), attrs.evolve(made[2], incarnation=2)),
            AttemptEnd(reported(tasks[3]), attrs.evolve(made[3], endpoint="elsewhere:1")),
            AttemptEnd(reported(tasks[4]), attrs.evolve(made[4], worker_id=None, incarnation=0)),
        )
        await exchange.send(FromWorker(None, 5, 60 * SECOND, ends))
        answer = await exchange.receive()
        refused = EndAnswer.REFUSED
        assert answer is not None
        assert answer.answers == (
            EndAnswer.COUNTED,
            *[refused] * 3,
            EndAnswer.COUNTED,
        )
        states = [(await cluster.states(str(number)))[-1][0] for number in range(5)]
        running = [TaskState.RUNNING] * 3
        assert states == [TaskState.SUCCEEDED, *running, TaskState.SUCCEEDED]


async def test_R26_a_result_that_is_refused_leaves_its_attempt_running(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 2) as exchange:
        await cluster.submit("1")
        await cluster.submit("2")
        tasks: list[Assignment] = []
        while len(tasks) < 2:
            tasks += await tasks_of(exchange)
        behind = attrs.evolve(result(tasks[0], b"rows"), offset=7)
        ends = (
            AttemptEnd(reported(tasks[0]), behind),
            AttemptEnd(reported(tasks[1]), result(tasks[1], b"rows")),
        )
        await exchange.send(FromWorker(None, 2, 60 * SECOND, ends))
        answer = await exchange.receive()
        assert answer == ToWorker(answers=(EndAnswer.REFUSED, EndAnswer.COUNTED))
        first = str(tasks[0].key.query_id)
        assert (await cluster.states(first))[0] == (TaskState.RUNNING, W)


async def test_R30_more_ends_than_are_taken_together_are_refused(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1", TWO_STAGES)
        (task,) = await tasks_of(exchange)
        ends = (AttemptEnd(reported(task), output(task, 0)),) * (MAX_REPORTS + 1)
        await exchange.send(FromWorker(None, 1, SECOND, ends))
        answer = await exchange.receive()
        assert answer is not None
        late = [EndAnswer.TOO_LATE] * (MAX_REPORTS - 1)
        assert answer.answers == (EndAnswer.COUNTED, *late, EndAnswer.REFUSED)


async def test_R3_a_sinks_success_without_its_result_fails_the_attempt(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1")
        (task,) = await tasks_of(exchange)
        await exchange.send(FromWorker(None, 1, SECOND, (AttemptEnd(reported(task)),)))
        await exchange.receive()
        assert (await cluster.states())[0] == (TaskState.FAILED, W)


async def test_R18_an_attempts_end_proves_its_worker_alive(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1", TWO_STAGES)
        (task,) = await tasks_of(exchange)
        await trio.sleep(4)
        end = AttemptEnd(reported(task), output(task, 0, 1, 2, 3))
        await exchange.send(FromWorker(None, 1, SECOND, (end,)))
        await exchange.receive()
        await trio.sleep(4)
        assert [each.worker_id for each in await cluster.door.ask(ListWorkers())] == [W]


async def test_a_report_in_another_workers_name_ends_the_stream(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.submit("1")
        (task,) = await tasks_of(exchange)
        report = attrs.evolve(reported(task, TaskState.FAILED), incarnation=2)
        await exchange.send(FromWorker(None, 1, SECOND, (AttemptEnd(report),)))
        with pytest.raises(InvalidRequest, match="a report of worker w, incarnation 2"):
            await exchange.receive()
        assert await cluster.states() == [(TaskState.RUNNING, W)]


async def test_R7_more_comes_to_wait_for_a_slot_and_is_called_back_for_one_that_is_free(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.door.ask(attrs.evolve(beat(), slots=1))
        for number in range(4):
            await cluster.submit(str(number))
        (first,) = await tasks_of(exchange)
        await exchange.send(FromWorker(None, 1, 60 * SECOND, (), 2))
        # As nobody knows how long such tasks take, as many wait as there are slots.
        (waiting,) = await tasks_of(exchange)
        await nothing_comes(exchange, 1)
        async with connected(cluster, 1, worker=WorkerId("v")) as other:
            await cluster.door.ask(attrs.evolve(beat(WorkerId("v")), slots=1))
            (third,) = await tasks_of(other)
            await exchange.send(FromWorker(None, 1, 60 * SECOND, (), 9))
            await nothing_comes(exchange, 1)
            for query_id in ("2", "3"):
                await cluster.door.ask(CancelQuery(QueryId(query_id), "not wanted"))
            assert third.key.query_id in {"2", "3"}
            await other.send(FromWorker(None, 2, 60 * SECOND))
            # Nothing is left, and v is free.
            message = await exchange.receive()
            assert message == ToWorker(recalled=(waiting.key,))
            report = attrs.evolve(reported(waiting, TaskState.FAILED), kind=ErrorKind.STOPPED)
            await exchange.send(FromWorker(None, 1, 60 * SECOND, (AttemptEnd(report),), 9))
            (again,) = await tasks_of(other)
            assert again.key == attrs.evolve(waiting.key, attempt=Attempt(2))
            answer = await exchange.receive()
            assert answer == ToWorker(answers=(EndAnswer.COUNTED,))
            await nothing_comes(exchange, 1)
        assert first.key.query_id != waiting.key.query_id


async def test_R11_a_task_whose_turn_it_is_does_not_wait_for_ever_behind_those_that_may(
    autojump_clock: MockClock,
) -> None:
    """The slot that becomes free is filled with it."""
    async with open_cluster() as cluster, connected(cluster, 1) as exchange:
        await cluster.door.ask(attrs.evolve(beat(), slots=1))
        await cluster.submit("1")
        await tasks_of(exchange)
        await exchange.send(FromWorker(None, 1, 60 * SECOND, (), 5))
        for number in range(2, 5):
            await cluster.submit(str(number))
        (waits,) = await tasks_of(exchange)
        await nothing_comes(exchange, 1)
        await exchange.send(FromWorker(None, 3, 60 * SECOND, (), 5))
        (given,) = await tasks_of(exchange)
        assert given.key.query_id in {"2", "3", "4"} - {waits.key.query_id}
