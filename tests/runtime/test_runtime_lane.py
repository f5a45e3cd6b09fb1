"""A4: the control lane under load; A3, A5, A8: senders and starts in awkward moments."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import (
    Actor,
    ActorFailed,
    ActorSystem,
    EndReason,
    Supervision,
    Terminated,
    WaitCycle,
    handles,
)
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total, settle


class Tireless(Actor[Add]):
    """Every message brings the next: its mailbox is never empty."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @handles(Add)
    async def add(self, message: Add) -> int:
        self.log.append("user")
        await self.ctx.ref.tell(message)
        return 0

    @handles(Terminated)
    def down(self, message: Terminated) -> None:
        self.log.append("notice")


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_A4_no_load_of_user_messages_holds_up_an_end(end: str, concurrency: int) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Tireless, [], max_concurrency=concurrency)
        for _ in range(8):
            await ref.tell(Add(1))
        await trio.lowlevel.checkpoint()
        before = ref.cell.handled
        ended = await getattr(ref, end)()
        # A stop handles what it has; nothing that comes later, though it keeps coming.
        assert ref.cell.handled - before <= (8 + concurrency if end == "stop" else concurrency)
    assert ended.reason is (EndReason.STOPPED if end == "stop" else EndReason.KILLED)
    assert system.dead_letters.count > 0


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_A4_a_notice_overtakes_all_user_messages(concurrency: int) -> None:
    log: list[str] = []
    gate = Gate()

    class Watching(Tireless):
        async def on_start(self) -> None:
            self.ctx.watch(counter)

        @handles(Hold)
        async def hold(self, message: Hold) -> str:
            await gate.wait(message.who)
            return ""

        @handles(Add)
        def add_quietly(self, message: Add) -> int:
            self.log.append("user")
            return 0

    async with ActorSystem() as system:
        counter = await system.spawn(Counter)
        ref = (await system.spawn(Watching, log, max_concurrency=concurrency)).cell.ref
        for who in range(concurrency):
            await ref.tell(Hold(str(who)))
        await settle()
        for _ in range(50):
            await ref.tell(Add(1))
        await counter.kill()
        gate.open.set()
        await ref.stop()
    assert log == ["notice", *["user"] * 50]


async def test_A4_kill_comes_before_stop_and_stop_before_notices() -> None:
    """All at once, while a handler runs: the kill wins; without it the stop lets mail finish."""
    gate = Gate()
    log: list[str] = []

    class Watching(Holder):
        async def on_start(self) -> None:
            self.ctx.watch(counter)

        @handles(Terminated)
        def down(self, message: Terminated) -> None:
            log.append("notice")

    async with ActorSystem() as system:
        for kill in (True, False):
            counter = await system.spawn(Counter)
            ref = await system.spawn(Watching, gate)
            await ref.tell(Hold("a"))
            await ref.tell(Hold("b"))
            await settle()
            ref.stop_nowait()
            await counter.kill()  # the watcher stops: its notice is a dead letter
            if kill:
                ref.kill_nowait()
            gate.open.set()
            ended = await ref.wait_ended()
            assert ended.reason is (EndReason.KILLED if kill else EndReason.STOPPED)
            gate.log.append("|")
    assert log == []
    assert gate.log == [
        "a waits",
        "a cancelled",
        "|",
        "a waits",
        "a done",
        "b waits",
        "b done",
        "|",
    ]


@pytest.mark.parametrize("end", ["stop", "kill", "restart", "fail"])
async def test_A3_a_tell_that_waits_for_room_is_freed_however_the_actor_goes_on(
    end: str,
) -> None:
    gate = Gate()
    sent: list[str] = []

    class Fragile(Holder):
        @handles(Fail)
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with trio.open_nursery() as nursery:
        policy = Supervision(max_restarts=int(end == "restart"))
        failure: Any = pytest.raises(ActorFailed) if end == "fail" else nullcontext()
        with failure:
            async with ActorSystem(supervision=policy) as system:
                ref = (await system.spawn(Fragile, gate, mailbox=1)).cell.ref

                async def send(who: str) -> None:
                    await ref.tell(Hold(who))
                    sent.append(who)

                await ref.tell(Hold("a"))
                await ref.tell(Fail() if end in ("restart", "fail") else Hold("b"))
                for who in "cd":
                    nursery.start_soon(send, who)
                await settle()
                assert sent == []
                if end != "kill":
                    gate.open.set()
                if end in ("stop", "kill"):
                    await getattr(ref, end)()
                if end == "restart":
                    await ref.ask(Total())
                if end == "fail":
                    await trio.sleep_forever()
    assert sorted(sent) == ["c", "d"]
    done = [line for line in gate.log if line.endswith("done")]
    assert len(done) == {"stop": 4, "kill": 0, "restart": 3, "fail": 1}[end]
    assert system.ledger.dead == {"stop": 0, "kill": 3, "restart": 0, "fail": 2}[end]


async def test_A8_an_actor_cannot_ask_itself_while_it_starts_or_stops() -> None:
    raised: list[tuple[str, ...]] = []

    class Selfish(Counter):
        async def on_start(self) -> None:
            await self.ask_myself()

        async def on_stop(self) -> None:
            await self.ask_myself()

        async def ask_myself(self) -> None:
            with pytest.raises(WaitCycle) as caught:
                await self.ctx.ref.ask(Total())
            raised.append(caught.value.path)

    async with ActorSystem() as system:
        ref = await system.spawn(Selfish, name="s")
        assert await ref.ask(Total()) == 0
    assert raised == [("/s", "/s")] * 2


async def test_A1_the_scope_of_a_task_cancels_it_and_nothing_else() -> None:
    log: list[str] = []

    @attrs.frozen
    class Cancel(Total):
        pass

    class Owner(Counter):
        async def on_start(self) -> None:
            self.scope = self.ctx.start_task(self.task, "first")
            self.ctx.start_task(self.task, "second")

        async def task(self, name: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                log.append(name)

        @handles(Cancel)
        def cancel(self, message: Cancel) -> int:
            self.scope.cancel()
            return 0

    async with ActorSystem() as system:
        ref = await system.spawn(Owner)
        await ref.ask(Cancel())
        await settle()
        assert log == ["first"]
        assert await ref.ask(Add(1)) == 1
    assert log == ["first", "second"]


async def test_A11_two_systems_of_one_run_keep_books_of_their_own() -> None:
    class Bridge(Actor[Add]):
        def __init__(self, other: Any) -> None:
            self.other = other

        @handles(Add)
        async def add(self, message: Add) -> int:
            return 1 + int(await self.other.ask(message))

    async with ActorSystem("far") as far, ActorSystem("near") as near:
        counter = await far.spawn(Counter, name="same")
        bridge = await near.spawn(Bridge, counter, name="same")
        assert await bridge.ask(Add(1)) == 2
        assert near.get_actor("same") != far.get_actor("same")
    assert (near.ledger.handled, far.ledger.handled) == (1, 1)
