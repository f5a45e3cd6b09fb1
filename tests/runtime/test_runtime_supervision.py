"""A6: supervision is data. A7: no exception is lost. A9: names and watches."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import (
    Actor,
    ActorFailed,
    ActorRef,
    ActorSystem,
    Backoff,
    EndReason,
    Request,
    Strategy,
    Supervision,
    Terminated,
    handles,
)
from ffq.runtime.errors import ActorNotFound, InvalidOption, NameTaken, UnhandledMessage
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total, settle


class Noted(Counter):
    """A counter that logs its starts and ends."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def on_start(self) -> None:
        self.log.append(f"+{self.ctx.name}")

    async def on_stop(self) -> None:
        self.log.append(f"-{self.ctx.name}")


async def trio_of_children(
    system: ActorSystem, log: list[str]
) -> tuple[ActorRef[Add | Total | Fail], ...]:
    refs = [await system.spawn(Noted, log, name=name) for name in "abc"]
    log.clear()
    return tuple(refs)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["-b", "+b"]),
        (Strategy.REST_FOR_ONE, ["-b", "-c", "+b", "+c"]),
        (Strategy.ONE_FOR_ALL, ["-b", "-c", "-a", "+a", "+b", "+c"]),
    ],
)
async def test_A6_strategies_restart_whom_they_say_in_order(
    strategy: Strategy, expected: list[str]
) -> None:
    log: list[str] = []
    async with ActorSystem(supervision=Supervision(strategy, max_restarts=1)) as system:
        _, b, _ = await trio_of_children(system, log)
        await b.tell(Fail())
        await settle()
        assert log == expected


async def test_A6_state_after_a_restart_is_what_init_gives() -> None:
    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Counter, 100)
        await ref.tell(Add(1))
        await ref.tell(Fail())
        await ref.tell(Add(10))  # the mailbox and the ref outlive the restart
        assert await ref.ask(Total()) == 110


async def test_A6_past_max_restarts_the_failure_leaves_the_system() -> None:
    with pytest.raises(ActorFailed, match="/Counter-1 failed after 2 restarts") as caught:
        async with ActorSystem(supervision=Supervision(max_restarts=2)) as system:
            ref = await system.spawn(Counter)
            for _ in range(3):
                await ref.tell(Fail("this one"))
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(caught.value.__cause__) == "this one"
    assert caught.value.path == "/Counter-1"


async def test_A6_by_default_nothing_is_restarted() -> None:
    with pytest.raises(ActorFailed):
        async with ActorSystem() as system:
            ref = await system.spawn(Counter)
            await ref.tell(Fail())
            await trio.sleep_forever()


async def test_A6_restarts_are_counted_within_a_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    policy = Supervision(max_restarts=1, within=10.0)
    with pytest.raises(ActorFailed, match="after 4 restarts"):
        async with ActorSystem(supervision=policy) as system:
            ref = await system.spawn(Counter)
            for _ in range(3):
                await ref.tell(Fail())
                await trio.sleep(11)
            for _ in range(2):
                await ref.tell(Fail())
                await trio.sleep(9)
            raise AssertionError("two failures within the window must go up")


async def test_A6_backoff_grows_up_to_its_maximum(
    autojump_clock: trio.testing.MockClock,
) -> None:
    starts: list[float] = []

    class Timed(Counter):
        async def on_start(self) -> None:
            starts.append(trio.current_time())

    policy = Supervision(max_restarts=4, backoff=Backoff(initial=1, factor=3, maximum=5))
    async with ActorSystem(supervision=policy) as system:
        ref = await system.spawn(Timed)
        for _ in range(4):
            await ref.tell(Fail())
        await ref.ask(Total())
    assert starts == pytest.approx([0, 1, 4, 9, 14])


async def test_A6_a_failed_restart_counts_as_a_failure() -> None:
    starts = 0

    class Doomed(Counter):
        async def on_start(self) -> None:
            nonlocal starts
            starts += 1
            if starts > 1:
                raise OSError("not again")

    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem(supervision=Supervision(max_restarts=3)) as system:
            ref = await system.spawn(Doomed)
            await ref.tell(Fail())
            await trio.sleep_forever()
    assert starts == 4
    assert isinstance(caught.value.__cause__, OSError)


class Boss(Actor[Fail]):
    """Its one child fails on demand; with no restarts, the failure is the boss's."""

    async def on_start(self) -> None:
        self.child = await self.ctx.spawn(Counter, name="child")

    @handles(Fail)
    async def fail(self, message: Fail) -> None:
        await self.child.tell(message)


async def test_A6_failure_goes_up_level_by_level() -> None:
    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        boss = await system.spawn(Boss, name="boss")
        old: ActorRef[Total] = system.get_actor("/boss/child")
        await boss.ask(Fail())
        await settle()
        (info,) = system.tree()
        assert info.restarts == 1
        assert not old.alive
        assert await system.get_actor("/boss/child").ask(Total()) == 0


async def test_A6_a_childs_own_policy_overrides_its_parents() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter, supervision=Supervision(max_restarts=1))
        await ref.tell(Fail())
        assert await ref.ask(Total()) == 0
        assert system.tree()[0].restarts == 1


async def test_A6_a_failing_background_task_is_the_actors_failure() -> None:
    class Background(Counter):
        async def on_start(self) -> None:
            if self.ctx.restarts == 0:
                self.ctx.start_task(self.break_down)

        async def break_down(self) -> None:
            await trio.lowlevel.checkpoint()
            raise OSError("background")

    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Background)
        await settle()
        assert await ref.ask(Total()) == 0
        assert system.tree()[0].restarts == 1


async def test_A6_a_killed_actor_is_not_restarted_while_it_backs_off(
    autojump_clock: trio.testing.MockClock,
) -> None:
    policy = Supervision(max_restarts=5, backoff=Backoff(initial=100, maximum=100))
    async with ActorSystem(supervision=policy) as system:
        ref = await system.spawn(Counter)
        await ref.tell(Fail())
        await trio.sleep(1)
        ended = await ref.kill()
        assert trio.current_time() < 50
        assert isinstance(ended.error, ValueError)


async def test_A6_policies_that_cannot_be_are_refused() -> None:
    for make in (
        lambda: Supervision(max_restarts=-1),
        lambda: Supervision(max_restarts=1.5),  # type: ignore[arg-type]
        lambda: Supervision(within=0),
        lambda: Supervision(within=math.nan),
        lambda: Backoff(initial=-1),
        lambda: Backoff(factor=0.5),
        lambda: Backoff(initial=9, maximum=1),
        lambda: Backoff(initial=math.nan),
        lambda: Backoff(factor=math.nan),
        lambda: Backoff(maximum=math.inf),  # would wait for ever at last
    ):
        with pytest.raises(InvalidOption):
            make()


async def test_A7_a_handlers_exception_reaches_the_asker_as_itself() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter, name="c")
        with pytest.raises(ValueError, match="boom") as caught:
            await ref.ask(Fail())
        assert caught.value.__notes__ == ["raised by the actor /c while handling Fail"]
        assert [entry.name for entry in caught.traceback][-1] == "fail"
        assert await ref.ask(Total()) == 0  # the actor goes on


async def test_A7_each_actor_on_the_way_adds_its_note() -> None:
    class Front(Actor[Fail]):
        @handles(Fail)
        async def fail(self, message: Fail) -> None:
            await back.ask(message)

    async with ActorSystem() as system:
        back = await system.spawn(Counter, name="back")
        front = await system.spawn(Front, name="front")
        with pytest.raises(ValueError, match="boom") as caught:
            await front.ask(Fail())
    assert [note.split()[4] for note in caught.value.__notes__] == ["/back", "/front"]


async def test_A7_several_failures_of_one_incarnation_all_come_out() -> None:
    class Bad(Counter):
        async def on_stop(self) -> None:
            raise OSError("and the cleanup too")

    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem() as system:
            ref = await system.spawn(Bad)
            await ref.tell(Fail())
            await trio.sleep_forever()
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert [type(error) for error in cause.exceptions] == [ValueError, OSError]


@pytest.mark.parametrize("end", ["stop", "kill", "cancel", "leave"])
async def test_A7_a_failing_on_stop_is_not_lost_however_the_actor_ends(end: str) -> None:
    class Bad(Counter):
        async def on_stop(self) -> None:
            raise OSError("cleanup")

    with pytest.raises(ActorFailed, match="cleanup"), trio.CancelScope() as scope:
        async with ActorSystem() as system:
            ref = await system.spawn(Bad)
            if end == "cancel":
                scope.cancel()
            if end in ("stop", "kill"):
                await getattr(ref, end)()
            if end != "leave":
                await trio.sleep_forever()


async def test_A7_the_blocks_own_error_and_a_crash_leave_together() -> None:
    class Bad(Counter):
        async def on_stop(self) -> None:
            raise OSError("cleanup")

    with pytest.raises(BaseExceptionGroup) as caught:
        async with ActorSystem() as system:
            await system.spawn(Bad)
            raise KeyError("mine")
    assert caught.group_contains(KeyError)
    assert caught.group_contains(ActorFailed)


async def test_A9_names_are_found_and_free_again_when_the_actor_is_gone() -> None:
    async with ActorSystem() as system:
        first = await system.spawn(Counter, name="c")
        assert system.get_actor("c") == first == system.get_actor("/c", Counter)
        with pytest.raises(NameTaken, match="/c is alive"):
            await system.spawn(Counter, name="c")
        with pytest.raises(ActorNotFound, match="Holder"):
            system.get_actor("c", Holder)
        await first.stop()
        with pytest.raises(ActorNotFound, match="'c'"):
            system.get_actor("c")
        second = await system.spawn(Counter, name="c")
        assert second != first


async def test_A9_get_if_exists_shares_one_actor_also_while_it_starts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Slow(Counter):
        async def on_start(self) -> None:
            await trio.sleep(5)

    refs: list[ActorRef[Add | Total | Fail]] = []
    async with ActorSystem() as system:

        async def get() -> None:
            refs.append(await system.spawn(Slow, name="s", get_if_exists=True))
            assert await refs[-1].ask(Total()) == 0

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(get)
    assert len(set(refs)) == 1
    assert trio.current_time() == pytest.approx(5)


@attrs.frozen
class Watch(Request[None]):
    ref: ActorRef[Add | Total | Fail]
    undo: bool = False


class Watcher(Actor[Watch]):
    def __init__(self, seen: list[Terminated]) -> None:
        self.seen = seen

    @handles(Watch)
    def watch(self, message: Watch) -> None:
        (self.ctx.unwatch if message.undo else self.ctx.watch)(message.ref)

    @handles(Terminated)
    def down(self, message: Terminated) -> None:
        self.seen.append(message)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda ref: ref.stop_nowait(), EndReason.STOPPED),
        (lambda ref: ref.kill_nowait(), EndReason.KILLED),
    ],
)
async def test_A9_watch_tells_the_end_and_why(
    end: Callable[[ActorRef[Add | Total | Fail]], None], reason: EndReason
) -> None:
    seen: list[Terminated] = []
    async with ActorSystem() as system:
        watcher = await system.spawn(Watcher, seen)
        ref = await system.spawn(Counter)
        other = await system.spawn(Counter)
        await watcher.ask(Watch(ref))
        await watcher.ask(Watch(other))
        await watcher.ask(Watch(other, undo=True))
        end(ref)
        end(other)
        await settle()
        await watcher.ask(Watch(ref))  # an end in the past is told at once
        await settle()
    assert [(message.ref, message.ended.reason) for message in seen] == [(ref, reason)] * 2


async def test_A9_watch_tells_the_failure() -> None:
    seen: list[Terminated] = []
    # The failure itself goes up as well: to a parent that is restarted for it.
    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        watcher = await system.spawn(Watcher, seen)
        boss = await system.spawn(Boss, name="boss")
        await watcher.ask(Watch(system.get_actor("/boss/child")))
        await boss.tell(Fail("why"))
        await settle()
    (message,) = seen
    assert message.ended.reason is EndReason.FAILED
    assert str(message.ended.error) == "why"


async def test_A9_watching_needs_a_handler() -> None:
    class Blind(Actor[Watch]):
        @handles(Watch)
        def watch(self, message: Watch) -> None:
            self.ctx.watch(message.ref)

    async with ActorSystem() as system:
        blind = await system.spawn(Blind, name="blind")
        with pytest.raises(UnhandledMessage, match=r"/blind.*Terminated"):
            await blind.ask(Watch(await system.spawn(Counter)))


async def test_A9_notices_of_ended_watchers_leave_no_trace() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        watcher = await system.spawn(Watcher, [])
        await watcher.ask(Watch(ref))
        await watcher.stop()
        assert not ref.cell.watchers
        holder = await system.spawn(Holder, gate)
        gate.open.set()
        assert await holder.ask(Hold("x")) == "x"
