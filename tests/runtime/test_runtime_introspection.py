"""A12: the tree of actors, its rendering, hooks."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from ffq.runtime import ActorSystem, DeadLetter, Ended, Hooks, State, Supervision
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, settle


async def test_A12_the_tree_tells_state_depth_counts_and_age(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gate = Gate()
    async with ActorSystem("demo", supervision=Supervision(max_restarts=1)) as system:
        pool = await system.spawn_pool(Counter, 5, size=2, name="pool")
        for _ in range(3):
            await pool.ask(Add(1))
        holder = await system.spawn(Holder, gate, name="holder", mailbox=1)
        async with trio.open_nursery() as nursery:
            for who in "abc":
                nursery.start_soon(holder.tell, Hold(who))
            failing = await system.spawn(Counter, name="failing")
            await failing.tell(Fail())
            await trio.sleep(2.5)
            holder.stop_nowait()
            top = {info.path: info for info in system.tree()}
            text = system.render_tree()
            gate.open.set()
    assert list(top) == ["/pool", "/holder", "/failing"]
    assert [child.handled for child in top["/pool"].children] == [2, 1]
    assert [info.path for info in top["/pool"].walk()] == ["/pool", "/pool/0", "/pool/1"]
    holding = top["/holder"]
    assert (holding.mailbox, holding.capacity, holding.waiting_senders) == (1, 1, 1)
    assert holding.state is State.STOPPING
    assert holding.age == pytest.approx(2.5)
    assert top["/failing"].restarts == 1
    assert text.splitlines() == [
        "system demo",
        "actor    class    state     mailbox  handled  restarts  age s",
        "pool     Pool     running      0/64        0         0    2.5",
        "  0      Counter  running      0/64        2         0    2.5",
        "  1      Counter  running      0/64        1         0    2.5",
        "holder   Holder   stopping    1+1/1        0         0    2.5",
        "failing  Counter  running      0/64        1         1    2.5",
    ]


async def test_A12_pending_asks_are_listed() -> None:
    gate = Gate()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        holder = await system.spawn(Holder, gate, name="h")
        nursery.start_soon(holder.ask, Hold("a"), name="asker one")
        await settle()
        (ask,) = system.pending_asks()
        assert (ask.target, ask.message, ask.asker) == ("/h", Hold("a"), "asker one")
        gate.open.set()


async def test_A12_hooks_hear_of_everything() -> None:
    class Recorder(Hooks):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def actor_started(self, path: str, restarts: int) -> None:
            self.heard.append(f"start {path} {restarts}")

        def actor_failed(self, path: str, error: Exception) -> None:
            self.heard.append(f"fail {path} {error}")

        def actor_ended(self, ended: Ended) -> None:
            self.heard.append(f"end {ended.path} {ended.reason.value}")

        def message_handled(self, path: str, message: Any, error: BaseException | None) -> None:
            self.heard.append(f"handled {path} {message} {error}")

        def dead_letter(self, letter: DeadLetter) -> None:
            self.heard.append(f"dead {letter.path} {letter.message}")

    hooks = Recorder()
    async with ActorSystem(hooks=hooks, supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Counter, name="c")
        await ref.ask(Add(1))
        await ref.tell(Fail())
        await settle()
        await ref.stop()
        await ref.tell(Add(2))
    assert hooks.heard == [
        "start /c 0",
        "handled /c Add(n=1) None",
        "handled /c Fail(why='boom') boom",
        "fail /c boom",
        "start /c 1",
        "end /c stopped",
        "dead /c Add(n=2)",
    ]
