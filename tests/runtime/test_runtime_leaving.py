"""A7: nothing that leaves a handler, a start, a cleanup or a task is lost or takes a wrong way out.

Trio raises a cancellation together with what a cleanup raised as one group: the cancellation goes
to its scope and the rest to supervision.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorEnded, ActorFailed, ActorRef, ActorSystem, handles
from ffq.runtime.errors import ActorError
from tests.runtime.stock import Add, Counter, Fail, Hold, Total, settle


async def messy() -> None:
    """Wait in a nursery; a cancellation makes one of its tasks raise."""

    async def untidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(untidy)
        nursery.start_soon(trio.sleep_forever)


class Messy(Actor[Total | Add]):
    @handles(Total)
    async def total(self, message: Total) -> int:
        await messy()
        return 0

    @handles(Add)
    async def add(self, message: Add) -> int:
        return message.n


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_A7_a_group_from_a_handler_whose_asker_has_left_hurts_nobody(
    concurrency: int,
) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Messy, max_concurrency=concurrency)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Total())
            await settle()
            nursery.cancel_scope.cancel()
        assert await ref.ask(Add(1)) == 1
    assert system.ledger.handled == 2
    assert system.ledger.unheard == 1


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("end", ["kill", "cancel", "raise"])
async def test_A7_a_group_from_a_handler_cut_off_by_the_end_leaves_the_system(
    end: str, concurrency: int
) -> None:
    with pytest.raises((ActorFailed, ExceptionGroup)) as caught, trio.CancelScope() as scope:
        async with ActorSystem() as system:
            ref = await system.spawn(Messy, max_concurrency=concurrency)
            await ref.tell(Total())
            await settle()
            if end == "kill":
                await ref.kill()
            if end == "raise":
                raise KeyError("mine")
            scope.cancel()
            await trio.sleep_forever()
    left = caught.value
    failures = left.exceptions if isinstance(left, ExceptionGroup) else (left,)
    expected = {ActorFailed, KeyError} if end == "raise" else {ActorFailed}
    assert {type(error) for error in failures} == expected
    (failed,) = [error for error in failures if isinstance(error, ActorFailed)]
    assert isinstance(failed.__cause__, ExceptionGroup)
    assert [str(error) for error in failed.__cause__.exceptions] == ["cleanup"]
    assert system.ledger.handled == 1


async def test_A7_a_group_from_a_cancelled_start_reaches_the_spawner() -> None:
    class BadStart(Counter):
        async def on_start(self) -> None:
            await messy()

    async with ActorSystem() as system:
        with trio.CancelScope() as scope, pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(system.spawn, BadStart))
                await settle()
                scope.cancel()
        assert caught.value.subgroup(ValueError)
        assert system.tree() == ()


async def test_A7_groups_from_tasks_and_cleanups_go_to_supervision() -> None:
    class Parent(Counter):
        async def on_start(self) -> None:
            self.ctx.start_task(messy)

        async def on_stop(self) -> None:
            await messy()

    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem() as system:
            ref = await system.spawn(Parent, name="p")
            await settle()
            await ref.kill()
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert len(cause.exceptions) == 2  # the task's and the cleanup's
    assert [str(error.__notes__) for error in cause.exceptions] == [
        "['raised by the actor /p while running the task messy']",
        "['raised by the actor /p while stopping']",
    ]


class Beyond(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


@pytest.mark.parametrize("kind", [Beyond, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("where", ["ask", "tell", "nursery", "start", "task", "stop"])
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_A7_what_is_no_exception_ends_the_system_and_leaves_as_itself(
    kind: type[BaseException], where: str, concurrency: int
) -> None:
    class Bad(Actor[Total | Add]):
        async def on_start(self) -> None:
            if where == "start":
                raise kind
            if where == "task":
                self.ctx.start_task(self.task)

        async def on_stop(self) -> None:
            if where == "stop":
                raise kind

        async def task(self) -> None:
            raise kind

        @handles(Total)
        async def total(self, message: Total) -> int:
            raise kind

        @handles(Add)
        async def add(self, message: Add) -> int:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(self.task)
            return 0

    with pytest.raises(kind):
        async with ActorSystem() as system:
            ref = await system.spawn(Bad, max_concurrency=concurrency)
            if where == "tell":
                await ref.tell(Total())
            elif where in ("ask", "nursery"):
                await ref.ask(Total() if where == "ask" else Add(1))
            elif where == "stop":
                await ref.stop()
            await trio.sleep_forever()
    assert system.closed


async def test_A7_a_handler_that_swallows_its_cancellation_ends_all_the_same() -> None:
    """It cannot be woken twice, but nothing comes after it: no reply, no further message."""

    class Deaf(Actor[Total | Add]):
        @handles(Total)
        async def total(self, message: Total) -> int:
            try:
                await trio.sleep_forever()
            except BaseException:  # noqa: BLE001
                return 7

        @handles(Add)
        def add(self, message: Add) -> int:
            handled.append(message.n)
            return message.n

    handled: list[int] = []
    raised: list[BaseException] = []
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Deaf)

        async def ask(message: Any) -> None:
            try:
                await ref.ask(message)
            except ActorError as error:
                raised.append(error)

        nursery.start_soon(ask, Total())
        await settle()
        nursery.start_soon(ask, Add(1))
        await settle()
        await ref.kill()
    assert handled == []
    assert [type(error) for error in raised] == [ActorEnded]


async def test_A7_an_error_of_the_start_names_the_actor_also_before_it_exists() -> None:
    class Unmade(Counter):
        def __init__(self) -> None:
            raise OSError("no")

    async with ActorSystem() as system:
        with pytest.raises(OSError, match="no") as caught:
            await system.spawn(Unmade, name="u")
        assert caught.value.__notes__ == ["raised while /u was made, before it started"]


async def test_A7_an_asker_outside_of_the_system_gets_an_answer_when_it_crashes() -> None:
    """Its scope is not cancelled by the crash, so only an error can free it."""

    class Crash(Counter):
        @handles(Hold)
        async def hold(self, message: Hold) -> str:
            raise Beyond

    raised: list[type[BaseException]] = []

    async def ask(ref: Any) -> None:
        try:
            await ref.ask(Hold("x"))
        except ActorEnded as error:
            raised.append(type(error))

    async with trio.open_nursery() as outside:
        with pytest.raises(Beyond):
            async with ActorSystem() as system:
                ref = ActorRef((await system.spawn(Crash)).cell)
                outside.start_soon(ask, ref)
                await trio.sleep_forever()
    assert raised == [ActorEnded]
    with pytest.raises(ValueError, match="boom"):  # the fixture class is sound otherwise
        async with ActorSystem() as system:
            await (await system.spawn(Crash)).ask(Fail())
