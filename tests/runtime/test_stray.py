"""A cancellation of another scope, kept and raised again, is a failure of who raises it (A7)."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorSystem, Request, Supervision, handles
from ffq.runtime.errors import ProtocolError
from tests.runtime.stock import Add, Counter

STRAY = r"raised a trio\.Cancelled of another scope, kept from an earlier call"
TWICE = Supervision(max_restarts=2)


@attrs.frozen
class Load(Request[int]):
    pass


@attrs.frozen
class Raise(Request[None]):
    """Has the actor raise a stray cancellation, alone or beside an error; or keep on in a task."""

    how: str


async def stray() -> trio.Cancelled:
    """What a call ended with whose scope is gone."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            return error
    raise AssertionError("the scope was cancelled")


class Cache(Actor[Load | Raise | Add]):
    """Keeps what its first load ended with, value or exception, for all who come later."""

    def __init__(self) -> None:
        self.kept: BaseException | None = None

    @handles(Load)
    async def load(self, message: Load) -> int:
        if self.kept is not None:
            raise self.kept
        try:
            await trio.sleep(1_000)
        except BaseException as error:
            self.kept = error
            raise
        return 0

    @handles(Raise)
    async def fall(self, message: Raise) -> None:
        match message.how:
            case "alone":
                raise await stray()
            case "in a group":
                raise BaseExceptionGroup("both", [await stray(), ValueError("beside it")])
            case _:
                self.ctx.start_task(self._raise)

    async def _raise(self) -> None:
        raise await stray()

    @handles(Add)
    def add(self, message: Add) -> int:
        return self.ctx.restarts


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_A7_an_asker_gets_it_as_an_error_and_the_actor_goes_on(
    autojump_clock: trio.testing.MockClock, concurrency: int
) -> None:
    async with ActorSystem(supervision=TWICE) as system:
        cache = await system.spawn(Cache, name="cache", max_concurrency=concurrency)
        with trio.move_on_after(1):
            await cache.ask(Load())
        for _ in range(2):
            with pytest.raises(ProtocolError, match=f"/cache: the handler of Load {STRAY}"):
                await cache.ask(Load())
        for how in ("alone", "in a group"):
            with pytest.raises(ProtocolError, match=f"the handler of Raise {STRAY}") as raised:
                await cache.ask(Raise(how))
            assert isinstance(raised.value.__cause__, trio.Cancelled | BaseExceptionGroup)
        assert await cache.ask(Add(0)) == 0, "no restart"


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("how", ["alone", "in a task"])
async def test_A7_of_a_tell_and_of_a_task_it_fails_the_actor_alone(
    autojump_clock: trio.testing.MockClock, concurrency: int, how: str
) -> None:
    async with ActorSystem(supervision=TWICE) as system:
        cache = await system.spawn(Cache, name="cache", max_concurrency=concurrency)
        other = await system.spawn(Counter)
        await cache.tell(Raise(how))
        await trio.testing.wait_all_tasks_blocked()
        assert await cache.ask(Add(0)) == 1
        assert await other.ask(Add(1)) == 1


@pytest.mark.parametrize("where", ["on_start", "on_stop"])
async def test_A7_of_a_start_or_an_end_it_is_a_failure_of_that(where: str) -> None:
    class Broken(Counter):
        async def on_start(self) -> None:
            if where == "on_start":
                raise await stray()

        async def on_stop(self) -> None:
            if where == "on_stop":
                raise await stray()

    with pytest.raises(Exception, match=STRAY):
        async with ActorSystem() as system:
            broken = await system.spawn(Broken, name="broken")
            await broken.stop()


async def test_A13_a_call_through_a_portal_ends_with_it_and_the_system_goes_on() -> None:
    async def falls() -> None:
        raise await stray()

    async with ActorSystem() as system:
        counter, portal = await system.spawn(Counter), system.portal()

        def call() -> None:
            with pytest.raises(ProtocolError, match=f"falls.* {STRAY}"):
                portal.call(falls)

        await trio.to_thread.run_sync(call)
        assert await counter.ask(Add(1)) == 1
