"""A1: spawn waits for readiness, and nothing outlives the system. A4: stop, kill, control lane."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorFailed, ActorSystem, EndReason, Terminated, handles
from ffq.runtime.errors import ActorEnded, SystemClosed
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total, settle


class Starter(Actor[Add]):
    """Takes a second to start, and fails where it is told to."""

    def __init__(self, log: list[str], fails: str = "") -> None:
        self.log = log
        self.fails = fails
        if fails == "init":
            raise RuntimeError("init")

    async def on_start(self) -> None:
        self.log.append("starting")
        try:
            await trio.sleep(1)
        except trio.Cancelled:
            self.log.append("cancelled")
            raise
        if self.fails == "start":
            raise RuntimeError("start")
        self.log.append("ready")

    @handles(Add)
    def add(self, message: Add) -> int:
        return message.n


class Parent(Actor[Total]):
    """Has `depth` generations below it, two children each, and logs its end."""

    def __init__(self, depth: int, log: list[str]) -> None:
        self.depth = depth
        self.log = log

    async def on_start(self) -> None:
        for number in range(2 if self.depth else 0):
            await self.ctx.spawn(Parent, self.depth - 1, self.log, name=str(number))
        self.ctx.start_task(trio.sleep_forever)

    async def on_stop(self) -> None:
        self.log.append(self.ctx.path)

    @handles(Total)
    def total(self, message: Total) -> int:
        return len(self.ctx.children)


async def test_A1_spawn_returns_when_the_actor_is_ready(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Starter, log)
        assert log == ["starting", "ready"]
        assert trio.current_time() == pytest.approx(1)
        assert await ref.ask(Add(3)) == 3


@pytest.mark.parametrize("where", ["init", "start"])
async def test_A1_failed_start_raises_in_the_spawner(
    where: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with ActorSystem() as system:
        with pytest.raises(RuntimeError, match=where):
            await system.spawn(Starter, [], where, name="s")
        assert system.find_actor("s") is None
        await system.spawn(Starter, [], name="s")


async def test_A1_cancelled_spawn_ends_the_half_started_actor(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log: list[str] = []
    async with ActorSystem() as system:
        with trio.move_on_after(0.5) as scope:
            await system.spawn(Starter, log, name="s")
        assert scope.cancelled_caught
        assert log == ["starting", "cancelled"]
        assert system.find_actor("s") is None


async def test_A1_leaving_the_system_has_waited_for_every_actor() -> None:
    log: list[str] = []
    async with ActorSystem() as system:
        await system.spawn(Parent, 3, log)
    assert len(log) == 15
    assert system.tree() == ()


async def test_A1_no_orphans_when_the_block_is_cancelled() -> None:
    log: list[str] = []
    with trio.CancelScope() as scope:
        async with ActorSystem() as system:
            await system.spawn(Parent, 3, log)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert len(log) == 15


async def test_A1_no_orphans_when_the_block_raises() -> None:
    log: list[str] = []
    with pytest.raises(KeyError, match="mine"):
        async with ActorSystem() as system:
            await system.spawn(Parent, 3, log)
            raise KeyError("mine")
    assert len(log) == 15


async def test_A1_no_orphans_when_an_actor_crashes() -> None:
    log: list[str] = []
    with pytest.raises(ActorFailed, match="/Counter-1"):
        async with ActorSystem() as system:
            await system.spawn(Parent, 3, log)
            counter = await system.spawn(Counter)
            await counter.tell(Fail())
            await trio.sleep_forever()
    assert len(log) == 15


async def test_A1_shielded_cleanup_is_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    done: list[str] = []

    class Careful(Actor[Total]):
        @handles(Total)
        async def total(self, message: Total) -> int:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(30)
                    done.append("cleaned")

    async with ActorSystem() as system:
        ref = await system.spawn(Careful)
        await ref.tell(Total())
        await settle()
        await ref.kill()
        assert done == ["cleaned"]


async def test_A1_keyboard_interrupt_in_a_handler_leaves_the_system_as_itself() -> None:
    class Interrupted(Actor[Total]):
        @handles(Total)
        def total(self, message: Total) -> int:
            raise KeyboardInterrupt

    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        async with ActorSystem() as system:
            await system.spawn(Parent, 2, log)
            ref = await system.spawn(Interrupted)
            await ref.ask(Total())
    assert len(log) == 7


async def test_A4_stop_finishes_the_mailbox() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        for who in "abc":
            await ref.tell(Hold(who))
        ref.stop_nowait()
        await settle()
        assert ref.alive
        gate.open.set()
        ended = await ref.wait_ended()
    assert ended.reason is EndReason.STOPPED
    assert [line for line in gate.log if line.endswith("done")] == ["a done", "b done", "c done"]


async def test_A4_stop_also_handles_what_waits_for_room() -> None:
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate, mailbox=1)
        for who in "abcd":
            nursery.start_soon(ref.tell, Hold(who))
        await settle()
        ref.stop_nowait()
        gate.open.set()
        await ref.wait_ended()
    assert sorted(gate.log)[::2] == ["a done", "b done", "c done", "d done"]


async def test_A4_kill_overtakes_a_full_mailbox_and_a_running_handler() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate, mailbox=2)
        for who in "abc":
            await ref.tell(Hold(who))
        ended = await ref.kill()
        assert ended.reason is EndReason.KILLED
        assert gate.log == ["a waits", "a cancelled"]
        assert system.dead_letters.count == 2


async def test_A4_kill_before_stop() -> None:
    gate = Gate()
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, gate)
        await ref.tell(Hold("a"))
        await ref.tell(Hold("b"))
        ref.stop_nowait()
        ref.kill_nowait()
        assert (await ref.wait_ended()).reason is EndReason.KILLED
    assert "b waits" not in gate.log


async def test_A4_pending_asks_of_a_killed_actor_raise() -> None:
    gate = Gate()
    raised: list[str] = []
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Holder, gate, mailbox=1, name="h")

        async def ask(who: str) -> None:
            with pytest.raises(ActorEnded, match="/h"):
                await ref.ask(Hold(who))
            raised.append(who)

        for who in "abc":  # one is handled, one in the mailbox, one waits for room
            nursery.start_soon(ask, who)
        await settle()
        await ref.kill()
    assert sorted(raised) == ["a", "b", "c"]


async def test_A4_children_stop_in_reverse_order_of_start() -> None:
    log: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Parent, 2, log, name="p")
        await ref.stop()
    assert log == ["/p/1/1", "/p/1/0", "/p/1", "/p/0/1", "/p/0/0", "/p/0", "/p"]


async def test_A4_supervision_before_user_messages() -> None:
    gate = Gate()

    class Watcher(Actor[Hold]):
        @handles(Hold)
        async def hold(self, message: Hold) -> str:
            await gate.wait(message.who)
            return message.who

        @handles(Terminated)
        def down(self, message: Terminated) -> None:
            gate.log.append(f"{message.ref.path} down")

        async def on_start(self) -> None:
            self.ctx.watch(counter)

    async with ActorSystem() as system:
        counter = await system.spawn(Counter, name="counter")
        watcher = await system.spawn(Watcher)
        for who in "abc":
            await watcher.tell(Hold(who))
        await settle()
        await counter.stop()
        gate.open.set()
        await watcher.stop()
    assert gate.log[:3] == ["a waits", "a done", "/counter down"]


async def test_A4_an_actor_can_stop_itself() -> None:
    class Once(Actor[Total]):
        @handles(Total)
        def total(self, message: Total) -> int:
            self.ctx.stop()
            return 1

    async with ActorSystem() as system:
        ref = await system.spawn(Once)
        assert await ref.ask(Total()) == 1
        assert (await ref.wait_ended()).reason is EndReason.STOPPED


async def test_A4_on_stop_runs_after_tasks_and_children_are_gone() -> None:
    log: list[str] = []

    class Top(Actor[Total]):
        async def on_start(self) -> None:
            await self.ctx.spawn(Parent, 0, log, name="child")
            self.ctx.start_task(self.background)

        async def background(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                log.append("task")

        async def on_stop(self) -> None:
            log.append("top")
            with pytest.raises(SystemClosed, match="/top"):
                await self.ctx.spawn(Counter)

        @handles(Total)
        def total(self, message: Total) -> int:
            return 0

    async with ActorSystem() as system:
        ref = await system.spawn(Top, name="top")
        await ref.stop()
    assert log == ["/top/child", "task", "top"]


async def test_A1_a_group_raised_in_the_block_stays_itself() -> None:
    group = ExceptionGroup("mine", [KeyError("a"), OSError("b")])
    with pytest.raises(ExceptionGroup) as caught:
        async with ActorSystem() as system:
            await system.spawn(Counter)
            raise group
    assert caught.value is group
