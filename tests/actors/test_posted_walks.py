"""Messages of the outer world that are posted: walks that nobody runs as a task."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from ffq.actors import ActorCoordinator, open_coordinator
from ffq.actors.machine import ValidateState
from ffq.core.liveness import LIVENESS
from ffq.core.machine import Party
from ffq.core.scheduling import SCHEDULING
from ffq.core.walks import OWNERS, PLANS, WALKS
from ffq.errors import FfqError, UnknownId
from ffq.messages import (
    CancelQuery,
    GetQueryStatus,
    GetTask,
    ListTables,
    ListWorkers,
    PlanSql,
    RecordEvidence,
    Rpc,
    RunQuery,
    SubmitQuery,
)
from ffq.plan import dump_plan
from ffq.runtime.errors import SystemClosed
from tests.actors.harness import (
    PLAN,
    InlinePlanner,
    Q,
    W,
    beat,
    open_actors,
    output,
    pull,
    report,
    step_replaced,
)
from tests.runtime.stock import settle


class Answer:
    """Where one reply or error goes."""

    def __init__(self) -> None:
        self.got: list[tuple[Any, BaseException | None]] = []

    def __call__(self, reply: Any, error: BaseException | None) -> None:
        self.got.append((reply, error))


async def posted(coordinator: ActorCoordinator, message: Rpc[Any]) -> Any:
    answer = Answer()
    coordinator.post(message, answer, trio.current_time() + 10)
    await settle()
    ((reply, error),) = answer.got
    if error is not None:
        raise error
    return reply


async def course(post: bool) -> list[str]:
    """A query's life, and what is answered in it."""
    said: list[str] = []
    async with open_coordinator(InlinePlanner(), clock=lambda: 1000) as coordinator:

        async def say(message: Rpc[Any]) -> Any:
            try:
                if post:
                    reply = await posted(coordinator, message)
                else:
                    reply = await coordinator.ask(message)
            except FfqError as error:
                reply = repr(error)
            said.append(str(reply))
            return reply

        await say(pull())
        await say(beat())
        await coordinator.ask(SubmitQuery(Q, dump_plan(PLAN.node)))
        (first,) = await say(pull())
        await say(output(first, 0, 1))
        await say(report(first))
        await say(pull())
        await say(pull(incarnation=2))
        await say(beat())
        await say(CancelQuery(Q, "enough"))
        await say(GetTask(W, 1, 2))
        await say(output(first, 0))
        await say(GetQueryStatus(Q))
    return said


async def test_a_whole_query_goes_the_same_way_posted_as_asked() -> None:
    asked = await course(post=False)
    assert await course(post=True) == asked
    assert len(asked) == 12


async def test_an_error_of_a_hop_is_the_answer() -> None:
    async with open_actors() as coordinator:
        with pytest.raises(UnknownId):
            await posted(coordinator, CancelQuery(Q, "why"))


async def test_a_bug_in_a_hop_is_the_answer_and_the_next_call_is_served() -> None:
    def broken(_state: Any, _message: Any, _now: int) -> Any:
        raise ZeroDivisionError

    async with open_actors() as coordinator:
        await coordinator.ask(beat())
        with step_replaced(GetTask, broken), pytest.raises(ZeroDivisionError):
            await posted(coordinator, pull())
        assert await posted(coordinator, pull()) == ()


@pytest.mark.parametrize("gives_up", [True, False])
@pytest.mark.parametrize("during", ["evidence", "assign"])
async def test_given_up_during_a_hop_nothing_comes_after_it(gives_up: bool, during: str) -> None:
    seen: list[str] = []
    evidence: Any = LIVENESS.rows[RecordEvidence].step
    assign: Any = SCHEDULING.rows[GetTask].step
    walks: list[Any] = []

    def see(hop: str) -> None:
        seen.append(hop)
        if gives_up and hop == during:
            walks[0].give_up()

    def first(state: Any, message: Any, now: int) -> Any:
        see("evidence")
        return evidence(state, message, now)

    def second(state: Any, message: Any, now: int) -> Any:
        see("assign")
        return assign(state, message, now)

    answer = Answer()
    async with open_actors() as coordinator:
        await coordinator.ask(beat())
        with step_replaced(RecordEvidence, first), step_replaced(GetTask, second):
            # So that it is not idle, and the first hop comes when the walk is known here.
            coordinator.parties.actors[Party.LIVENESS].tell_nowait(ValidateState())
            walks.append(coordinator.post(pull(), answer, trio.current_time() + 10))
            await settle()
    assert seen == ["evidence", "assign"][: 1 if gives_up and during == "evidence" else 2]
    assert answer.got == ([] if gives_up else [((), None)])


async def test_given_up_while_its_second_hop_waits_that_is_never_handled() -> None:
    seen: list[str] = []

    def step(_state: Any, message: Any, _now: int) -> Any:
        seen.append(type(message).__name__)
        return ()

    answer = Answer()
    async with open_actors() as coordinator:
        await coordinator.ask(beat())
        await settle()
        with step_replaced(GetTask, step):
            # Its actor has something to do before; that of the first hop is idle.
            coordinator.parties.actors[Party.SCHEDULING].tell_nowait(ValidateState())
            coordinator.post(pull(), answer, trio.current_time() + 10).give_up()
            await settle()
    assert seen == []
    assert answer.got == []


async def test_a_coordinator_that_has_ended_says_so_at_once() -> None:
    async with open_actors() as coordinator:
        pass
    for message in (pull(), ListWorkers()):
        with pytest.raises(SystemClosed):
            coordinator.post(message, Answer(), trio.current_time() + 10)


async def test_what_takes_the_planner_is_asked_and_all_else_is_posted() -> None:
    async with open_actors() as coordinator:
        messages = {*WALKS, *OWNERS}
        asked = {message for message in messages if not coordinator.posts(message)}
    planned = {message for message, owner in OWNERS.items() if owner is Party.PLANNER}
    names = {message.__name__ for message in planned}
    walks: dict[type, Any] = dict(WALKS)
    plan = {message for message, walk in walks.items() if names & {*walk.__code__.co_names}}
    assert asked == plan | planned
    assert {*PLANS} == plan == {SubmitQuery, PlanSql, RunQuery}
    assert ListTables in planned
