"""Exceptions of all kinds hurt nobody, and deep trees are shown and ended (A7, A12)."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import attrs
import pytest
import trio

from ffq.runtime import (
    Actor,
    ActorFailed,
    ActorSystem,
    Hooks,
    Request,
    Supervision,
    handles,
)
from ffq.runtime.errors import InvalidOption
from tests.runtime.stock import settle


@dataclasses.dataclass(frozen=True)
class FrozenDataclass(Exception):
    name: str = "frozen"


@attrs.frozen
class FrozenAttrs(Exception):
    name: str = "frozen"


class NoNotes(Exception):
    def add_note(self, note: str) -> None:
        raise RuntimeError("no notes, please")


class OddNotes(Exception):
    __notes__ = 5  # type: ignore[assignment]


class NoRepr(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class Endless(Exception):
    def __repr__(self) -> str:
        return "x" * 10**6


SHARED = KeyError("one object for all")
KINDS: list[Callable[[], Exception]] = [
    FrozenDataclass,
    FrozenAttrs,
    NoNotes,
    OddNotes,
    NoRepr,
    Endless,
    lambda: SHARED,
    lambda: ExceptionGroup("both", [FrozenDataclass(), NoRepr()]),
]


@attrs.frozen
class Do(Request[str]):
    what: str


class Thrower(Actor[Do]):
    def __init__(self, make: Callable[[], Exception], where: str) -> None:
        self.make = make
        self.where = where
        if where == "init":
            raise make()

    async def on_start(self) -> None:
        if self.where == "start":
            raise self.make()
        if self.where == "child":
            await self.ctx.spawn(Thrower, self.make, "start")

    async def on_stop(self) -> None:
        if self.where == "stop":
            raise self.make()

    @handles(Do)
    async def do(self, message: Do) -> str:
        match message.what:
            case "raise":
                raise self.make()
            case "fail":
                self.ctx.fail(self.make())
            case "task":
                self.ctx.start_task(self.throw)
            case "timer":
                self.ctx.after(0, self.throw_now)
            case "tolerant timer":
                self.ctx.after(0, self.throw_now, may_fail=True)
        return "fine"

    async def throw(self) -> None:
        raise self.make()

    def throw_now(self) -> Do:
        raise self.make()


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("where", ["init", "start", "child"])
async def test_A7_any_exception_of_a_start_reaches_the_spawner(
    make: Callable[[], Exception], where: str
) -> None:
    kind = type(make())
    async with ActorSystem() as system:
        for _ in range(2):
            with pytest.raises(kind):
                await system.spawn(Thrower, make, where)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_A7_any_exception_of_a_handler_reaches_its_asker(
    make: Callable[[], Exception], concurrency: int
) -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Thrower, make, "", max_concurrency=concurrency)
        for _ in range(3):
            with pytest.raises(type(make())):
                await ref.ask(Do("raise"))
        assert await ref.ask(Do("")) == "fine"
        assert await ref.ask(Do("tolerant timer")) == "fine"
        await settle()
        assert await ref.ask(Do("")) == "fine"


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("what", ["raise", "fail", "task", "timer"])
async def test_A7_any_exception_of_an_actor_goes_to_supervision(
    make: Callable[[], Exception], what: str
) -> None:
    class Watching(Hooks):
        def actor_failed(self, path: str, error: Exception) -> None:
            failed.append(type(error))

    failed: list[type] = []
    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem(supervision=Supervision(max_restarts=2), hooks=Watching()) as system:
            ref = await system.spawn(Thrower, make, "", name="t")
            for _ in range(3):
                await ref.tell(Do(what))
                await settle()
            await trio.sleep_forever()
    assert failed == [type(make())] * 3
    assert isinstance(caught.value.__cause__, type(make()))
    assert str(caught.value).startswith("/t failed after 2 restarts: ")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("make", KINDS)
async def test_A7_any_exception_of_a_cleanup_or_a_hook_leaves_the_system(
    make: Callable[[], Exception],
) -> None:
    with pytest.raises(ActorFailed):
        async with ActorSystem() as system:
            await system.spawn(Thrower, make, "stop")

    class Bad(Hooks):
        def actor_started(self, path: str, restarts: int) -> None:
            raise make()

    with pytest.raises(type(make())):
        async with ActorSystem(hooks=Bad()) as system:
            await system.spawn(Thrower, make, "")


async def test_A7_an_exception_object_that_is_raised_for_ever_does_not_grow() -> None:
    shared = KeyError("one for all")
    async with ActorSystem() as system:
        for n in range(100):
            ref = await system.spawn(Thrower, lambda: shared, "", name=f"t{n}")
            with pytest.raises(KeyError):
                await ref.ask(Do("raise"))
            await ref.stop()
    assert 0 < len(shared.__notes__) <= 16
    assert shared.__notes__[0] == "raised by the actor /t0 while handling Do"


# --- deep trees ------------------------------------------------------------------------------


class Level(Actor[Do]):
    def __init__(self, below: int) -> None:
        self.below = below

    async def on_start(self) -> None:
        if self.below:
            self.child = await self.ctx.spawn(Level, self.below - 1, name="n")

    @handles(Do)
    async def do(self, message: Do) -> str:
        if self.below:
            return await self.child.ask(message)
        if message.what == "fail":
            raise ValueError("quote ' and \\ backslash")
        await trio.Event().wait()
        return ""


async def fail_at_the_bottom(levels: int) -> ActorFailed:
    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem() as system:
            await system.spawn(Level, levels, name="n")
            await system.get_actor("/n" * (levels + 1)).tell(Do("fail"))
            await trio.sleep_forever()
    return caught.value


async def test_A7_the_text_of_a_failure_is_as_long_from_a_depth_of_twenty_as_of_one() -> None:
    one, twenty = await fail_at_the_bottom(1), await fail_at_the_bottom(20)
    assert str(one) == (
        '/n failed after 0 restarts: /n/n failed: ValueError("quote \' and \\\\ backslash")'
    )
    assert str(twenty) == str(one).replace("/n/n", "/n" * 21)
    assert twenty.path == "/n" * 21


@pytest.fixture
def recursion_limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("end", ["stop", "leave", "kill", "raise", "cancel"])
async def test_A12_a_deep_tree_is_shown_and_ends(end: str, recursion_limit: None) -> None:
    with trio.CancelScope() as scope, suppress(KeyError):
        await deep_tree(1000, end, scope)
    assert scope.cancelled_caught == (end == "cancel")


async def test_A12_the_end_of_a_deep_tree_takes_time_with_its_levels_and_not_with_their_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = []

    def write(each: trio.Cancelled) -> str:
        written.append(each)
        return "Cancelled"

    monkeypatch.setattr(trio.Cancelled, "__repr__", write)
    async with ActorSystem() as system:
        top = await system.spawn(Level, 50, name="n")
        await top.kill()
    assert len(written) <= 50 * 4  # Trio writes what leaves a nursery: 50 levels had 1,300 of them


async def test_A12_more_levels_than_can_be_ended_are_refused(recursion_limit: None) -> None:
    async with ActorSystem() as system:
        with pytest.raises(InvalidOption, match="at most 1024 levels below their system"):
            await system.spawn(Level, 1024, name="n")
        assert system.tree() == ()


async def deep_tree(levels: int, end: str, scope: trio.CancelScope) -> None:
    async with ActorSystem() as system:
        top = await system.spawn(Level, levels, name="n")
        (info,) = system.tree()
        assert [each.path.count("n") for each in info.walk()] == [*range(1, levels + 2)]
        assert repr(info).endswith("children=<1>)")
        assert len(system.render_tree().splitlines()) == levels + 3
        async with trio.open_nursery() as nursery:
            nursery.start_soon(top.ask, Do("wait"))
            await settle()
            assert len(system.pending_asks()) == levels + 1
            nursery.cancel_scope.cancel()
        await settle()
        assert system.ledger.handled == levels + 1
        match end:
            case "stop":
                await top.stop()
            case "kill":
                await top.kill()
            case "raise":
                raise KeyError("mine")
            case "cancel":
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert system.tree() == () or end == "leave"
