"""A8: an ask that would wait on itself, through any chain, raises at once and names the path."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, WaitCycle, handles
from tests.runtime.stock import settle


@attrs.frozen
class Go(Request[str]):
    """Ask the first of the names for a Go with the rest; then answer."""

    names: tuple[str, ...] = ()
    together: bool = False


class Node(Actor[Go]):
    def __init__(self, gate: trio.Event | None = None) -> None:
        self.gate = gate

    @handles(Go)
    async def go(self, message: Go) -> str:
        if self.gate is not None:
            await self.gate.wait()
        find: Callable[[str], ActorRef[Go]] = self.ctx.system.get_actor
        if message.together:
            async with trio.open_nursery() as nursery:
                for name in message.names:
                    nursery.start_soon(find(name).ask, Go())
        elif message.names:
            return await find(message.names[0]).ask(Go(message.names[1:]))
        return self.ctx.name


async def test_A8_ask_to_oneself_raises_at_once() -> None:
    async with ActorSystem() as system:
        a = await system.spawn(Node, name="a")
        with pytest.raises(WaitCycle, match="/a → /a") as caught:
            await a.ask(Go(("a",)))
        assert caught.value.path == ("/a", "/a")
        assert await a.ask(Go()) == "a"


async def test_A8_a_chain_of_four_names_the_path() -> None:
    async with ActorSystem() as system:
        for name in "abcd":
            await system.spawn(Node, name=name)
        a: ActorRef[Go] = system.get_actor("a")
        with pytest.raises(WaitCycle) as caught:
            await a.ask(Go(("b", "c", "d", "b")))
        assert caught.value.path == ("/d", "/b", "/c", "/d")
        assert "/d → /b → /c → /d" in str(caught.value)
        assert await a.ask(Go(("b", "c", "d"))) == "d"
    assert system.ledger.rejected == 1


async def test_A8_two_chains_that_block_each_other() -> None:
    """a asks b while b, for another asker, is about to ask a."""
    gate = trio.Event()
    errors: list[WaitCycle] = []
    async with ActorSystem() as system:
        a = await system.spawn(Node, gate, name="a")
        b = await system.spawn(Node, gate, name="b")

        async def ask(ref: ActorRef[Go], to: str) -> None:
            try:
                await ref.ask(Go((to,)))
            except WaitCycle as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, a, "b")
            nursery.start_soon(ask, b, "a")
            await settle()
            gate.set()
    assert [sorted(set(error.path)) for error in errors] == [["/a", "/b"]]


async def test_A8_parallel_asks_of_one_handler_are_seen() -> None:
    async with ActorSystem() as system:
        for name in "abc":
            await system.spawn(Node, name=name)
        a: ActorRef[Go] = system.get_actor("a")
        assert await a.ask(Go(("b", "c"), together=True)) == "a"
        with pytest.raises(ExceptionGroup) as caught:
            await a.ask(Go(("b", "a"), together=True))
        assert caught.group_contains(WaitCycle, match="/a → /a")


async def test_A8_a_free_slot_is_no_cycle_and_no_free_slot_is() -> None:
    async with ActorSystem() as system:
        a = await system.spawn(Node, name="a", max_concurrency=3)
        assert await a.ask(Go(("a", "a"))) == "a"
        with pytest.raises(WaitCycle, match="/a → /a"):
            await a.ask(Go(("a", "a", "a")))


async def test_A8_a_busy_actor_in_no_cycle_is_waited_for() -> None:
    gate = trio.Event()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        await system.spawn(Node, gate, name="busy")
        a = await system.spawn(Node, name="a")
        nursery.start_soon(system.get_actor("busy").ask, Go())
        nursery.start_soon(a.ask, Go(("busy",)))
        await settle()
        assert len(system.pending_asks()) == 3
        gate.set()


async def test_A8_waiting_for_ones_own_end_raises() -> None:
    class Stopper(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            await self.ctx.system.get_actor("top").stop()
            return ""

    class Top(Actor[Go]):
        async def on_start(self) -> None:
            self.child = await self.ctx.spawn(Stopper, name="child")

        @handles(Go)
        async def go(self, message: Go) -> str:
            return await self.child.ask(message)

    async with ActorSystem() as system:
        top = await system.spawn(Top, name="top")
        with pytest.raises(WaitCycle, match="stop"):
            await top.ask(Go())
        lone = await system.spawn(Stopper, name="lone")
        with pytest.raises(WaitCycle, match="/top/child → /top"):
            await top.ask(Go())
        assert lone.alive


async def test_A8_a_start_that_asks_the_spawning_parent_raises() -> None:
    class Child(Actor[Go]):
        async def on_start(self) -> None:
            await self.ctx.system.get_actor("parent").ask(Go())

        @handles(Go)
        def go(self, message: Go) -> str:
            return ""

    class Parent(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            await self.ctx.spawn(Child, name="child")
            return ""

    async with ActorSystem() as system:
        parent = await system.spawn(Parent, name="parent")
        with pytest.raises(WaitCycle, match="/parent/child → /parent → /parent/child"):
            await parent.ask(Go())


async def test_A8_a_caught_cycle_leaves_the_actors_usable() -> None:
    class Careful(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            try:
                return await self.ctx.ref.ask(Go())
            except WaitCycle as error:
                return " ".join(error.path)

    async with ActorSystem() as system:
        ref = await system.spawn(Careful, name="c")
        assert await ref.ask(Go()) == "/c /c"
        assert await ref.ask(Go()) == "/c /c"


async def test_A8_an_end_that_asks_whoever_waits_for_it_raises() -> None:
    class Child(Actor[Go]):
        async def on_stop(self) -> None:
            try:
                await self.ctx.system.get_actor("parent").ask(Go())
            except WaitCycle as error:
                seen.append(error.path)

        @handles(Go)
        def go(self, message: Go) -> str:
            return ""

    class Parent(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            await (await self.ctx.spawn(Child, name="child")).stop()
            return "done"

    seen: list[tuple[str, ...]] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Parent, name="parent")
        assert await parent.ask(Go()) == "done"
    assert seen == [("/parent/child", "/parent", "/parent/child")]


@pytest.mark.parametrize("length", [1, 2, 5, 2000])
async def test_A8_a_ring_of_any_length_is_refused_and_named(length: int) -> None:
    """Two thousand: the search is not bounded by Python's stack."""
    async with ActorSystem() as system:
        names = tuple(f"n{number}" for number in range(length))
        for name in names:
            await system.spawn(Node, name=name)
        first = system.get_actor("n0")
        with pytest.raises(WaitCycle) as caught:
            await first.ask(Go((*names[1:], "n0")))
        last = f"/{names[-1]}"
        assert caught.value.path == (last, *(f"/{name}" for name in names))
        assert await first.ask(Go(names[1:])) == names[-1]


async def test_A8_a_ring_through_pools_is_refused() -> None:
    class Through(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            return await pools[message.names[0]].ask(Go(message.names[1:]))

    async with ActorSystem() as system:
        pools = {
            name: await system.spawn_pool(Through, size=size, name=name)
            for name, size in (("one", 1), ("two", 2))
        }
        with pytest.raises(WaitCycle) as caught:
            await pools["one"].ask(Go(("two", "one", "")))
        assert caught.value.path == ("/two/0", "/one/0", "/two/0")
        # Every member of a pool that a round of asks goes through is busy: the third finds none.
        with pytest.raises(WaitCycle, match="/two/1"):
            await pools["two"].ask(Go(("two", "two", "")))


async def test_A8_a_ring_through_waiting_tells_is_refused() -> None:
    """a tells b, whose mailbox is full; b asks c, and c tells a, whose mailbox is full."""

    class Teller(Actor[Go]):
        def __init__(self, gate: trio.Event, how: str) -> None:
            self.gate = gate
            self.how = how

        @handles(Go)
        async def go(self, message: Go) -> str:
            await self.gate.wait()
            if message.names:
                other: ActorRef[Go] = self.ctx.system.get_actor(message.names[0])
                await getattr(other, self.how)(Go())
            return ""

    errors: list[WaitCycle] = []
    async with ActorSystem() as system:
        gate = trio.Event()
        for name, how in (("a", "tell"), ("b", "ask"), ("c", "tell")):
            await system.spawn(Teller, gate, how, name=name, mailbox=1)

        async def ask(name: str, other: str) -> None:
            try:
                await system.get_actor(name).ask(Go((other,)))
            except WaitCycle as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
                nursery.start_soon(ask, name, other)
            await settle()
            for name in "abc":
                await system.get_actor(name).tell(Go())  # now the mailbox is full
            gate.set()
    assert len(errors) == 1
    assert set(errors[0].path) == {"/a", "/b", "/c"}


async def test_A8_a_task_the_handler_does_not_wait_for_is_no_part_of_it() -> None:
    """Started in a nursery of somebody else, it may ask its own actor: that is no cycle."""
    replies: list[str] = []

    class Delegates(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            if message.names:
                elsewhere.start_soon(ask_later, self.ctx.ref)
                await settle()
            return self.ctx.name

    async def ask_later(ref: ActorRef[Go]) -> None:
        replies.append(await ref.ask(Go()))

    async with ActorSystem() as system, trio.open_nursery() as elsewhere:
        ref = await system.spawn(Delegates, name="d")
        assert await ref.ask(Go(("x",))) == "d"
    assert replies == ["d"]


async def test_A8_spawn_waits_for_the_start_and_not_for_what_the_child_handles() -> None:
    """A grandchild may ask the actor whose handler waits for the child to start."""
    replies: list[str] = []

    class Grandchild(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            replies.append(await self.ctx.system.get_actor("top").ask(Go()))
            return ""

    class Child(Actor[Go]):
        async def on_start(self) -> None:
            grandchild = await self.ctx.spawn(Grandchild)
            await grandchild.tell(Go())
            await settle()

        @handles(Go)
        def go(self, message: Go) -> str:
            return ""

    class Top(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            if message.names:
                await self.ctx.spawn(Child)
            return self.ctx.name

    async with ActorSystem() as system:
        top = await system.spawn(Top, name="top")
        assert await top.ask(Go(("x",))) == "top"
        await settle()
    assert replies == ["top"]


async def test_A8_siblings_that_stop_each_other_raise_and_end() -> None:
    class Stops(Actor[Go]):
        @handles(Go)
        async def go(self, message: Go) -> str:
            await gate.wait()
            try:
                await self.ctx.system.get_actor(message.names[0]).stop()
            except WaitCycle as error:
                paths.append(error.path)
            return ""

    gate = trio.Event()
    paths: list[tuple[str, ...]] = []
    async with ActorSystem() as system:
        for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
            await (await system.spawn(Stops, name=name)).tell(Go((other,)))
        await settle()
        gate.set()
    assert [sorted(set(path)) for path in paths] == [["/a", "/b", "/c"]]
