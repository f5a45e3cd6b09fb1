"""A1: what a failed or cancelled start leaves behind (nothing), and ends in awkward moments."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorFailed, ActorRef, ActorSystem, Supervision, handles
from ffq.runtime.errors import ActorNotFound, InvalidOption, NameTaken
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total, settle


class Household(Actor[Total]):
    """Starts a child and a task, and then fails or waits, as it is told to."""

    def __init__(self, log: list[str], how: str) -> None:
        self.log = log
        self.how = how

    async def on_start(self) -> None:
        await self.ctx.spawn(Logs, self.log, name="child")
        self.ctx.start_task(self.background)
        self.ctx.every(1, Total())
        await settle()
        if self.how == "raise":
            raise OSError("start")
        if self.how == "child fails":
            await self.ctx.children[0].tell(Fail())
        await trio.sleep_forever()

    async def background(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("task ended")

    @handles(Total)
    def total(self, message: Total) -> int:
        return 0


class Logs(Counter):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def on_stop(self) -> None:
        self.log.append("child ended")


@pytest.mark.parametrize(
    ("how", "error"), [("raise", OSError), ("child fails", ActorFailed), ("cancel", None)]
)
async def test_A1_a_start_that_fails_leaves_nothing_behind(
    how: str, error: type[Exception] | None
) -> None:
    """No child, task or timer, no name, and no failure that supervision would hear of."""
    log: list[str] = []
    async with ActorSystem() as system:
        with trio.CancelScope() as scope:
            if error is None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(system.spawn, Household, log, how)
                    await settle()
                    scope.cancel()
            else:
                with pytest.raises(error) as caught:
                    await system.spawn(Household, log, how, name="h")
                assert "/h" in str(caught.value.__notes__)
        assert sorted(log) == ["child ended", "task ended"]
        assert system.tree() == ()
        tasks = trio.lowlevel.current_task().child_nurseries[-1].child_tasks
        assert not tasks
        with pytest.raises(ActorNotFound):
            system.get_actor("h")
        await system.spawn(Counter, name="h")


async def test_A1_an_asker_that_goes_while_the_handler_spawns_ends_the_half_started() -> None:
    log: list[str] = []

    class Spawns(Actor[Total | Add]):
        @handles(Total)
        async def total(self, message: Total) -> int:
            await self.ctx.spawn(Household, log, "wait", name="half")
            return 1

        @handles(Add)
        def add(self, message: Add) -> int:
            return len(self.ctx.children)

    async with ActorSystem() as system:
        ref = await system.spawn(Spawns)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Total())
            await settle()
            assert log == []
            nursery.cancel_scope.cancel()
        assert await ref.ask(Add(1)) == 0
        assert sorted(log) == ["child ended", "task ended"]


@pytest.mark.parametrize("restarts", [0, 1])
async def test_A1_a_crash_while_the_system_shuts_down_waits_for_all_and_comes_out(
    restarts: int,
) -> None:
    """The last message fails while the block is being left; the others are still waited for."""
    log: list[str] = []
    gate = Gate()

    class Late(Counter):
        @handles(Hold)
        async def hold(self, message: Hold) -> str:
            await gate.wait(message.who)
            raise OSError("late")

    async def run() -> None:
        async with ActorSystem(supervision=Supervision(max_restarts=restarts)) as system:
            await system.spawn(Logs, log)
            late = await system.spawn(Late, name="late")
            await ActorRef(late.cell).tell(Hold("x"))
            nursery.start_soon(open_later)

    async def open_later() -> None:
        await settle()
        gate.open.set()

    async with trio.open_nursery() as nursery:
        if restarts:
            await run()
        else:
            with pytest.raises(ActorFailed, match="/late .*late"):
                await run()
    assert log == ["child ended"]
    assert gate.log == ["x waits", "x done"]


async def test_A1_a_deep_tree_ends_from_the_leaves_up() -> None:
    """A hundred generations: neither the end nor the tree runs out of stack."""
    log: list[int] = []

    class Generation(Actor[Total]):
        def __init__(self, depth: int) -> None:
            self.depth = depth

        async def on_start(self) -> None:
            if self.depth < 100:
                await self.ctx.spawn(Generation, self.depth + 1, name="child")

        async def on_stop(self) -> None:
            log.append(self.depth)

        @handles(Total)
        def total(self, message: Total) -> int:
            return self.depth

    async with ActorSystem() as system:
        await system.spawn(Generation, 1, name="child")
        assert len(system.render_tree().splitlines()) == 102
    assert log == list(range(100, 0, -1))


async def test_A9_get_if_exists_gives_no_actor_of_another_class() -> None:
    async with ActorSystem() as system:
        await system.spawn(Holder, Gate(), name="x")
        with pytest.raises(NameTaken, match="/x is alive and a Holder, not a Counter"):
            await system.spawn(Counter, name="x", get_if_exists=True)
        with pytest.raises(NameTaken, match="not a Counter"):
            await system.spawn(partial(partial(Counter), 5), name="x", get_if_exists=True)
        with pytest.raises(InvalidOption, match="/Counter: get_if_exists=True needs a name"):
            await system.spawn(Counter, get_if_exists=True)


async def test_A9_a_name_is_free_the_moment_the_actor_is_gone() -> None:
    """Not a scheduler's pass later: whoever is told of the end can take the name."""
    async with ActorSystem() as system:
        for end in ("stop", "kill"):
            for _ in range(3):
                ref = await system.spawn(Counter, name="same")
                with pytest.raises(NameTaken, match="/same"):
                    await system.spawn(Counter, name="same")
                await getattr(ref, end)()

        class Bad(Counter):
            async def on_start(self) -> None:
                raise OSError("start")

        for _ in range(3):
            with pytest.raises(OSError, match="start"):
                await system.spawn(Bad, name="same")


async def test_A9_a_name_stays_taken_while_its_actor_restarts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Slow(Counter):
        async def on_start(self) -> None:
            await trio.sleep(5 if self.ctx.restarts else 0)

    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Slow, name="s")
        await ref.tell(Fail())
        await trio.sleep(1)
        with pytest.raises(NameTaken, match="/s"):
            await system.spawn(Slow, name="s")
        assert system.get_actor("s") == ref


@pytest.mark.parametrize("name", ["", "a/b", "/", "line\nbreak", "tab\t", "\x00", 5, b"bytes"])
async def test_bad_input_names(name: object) -> None:
    async with ActorSystem() as system:
        with pytest.raises(InvalidOption, match="/: name="):
            await system.spawn(Counter, name=name)  # type: ignore[arg-type]


async def test_A9_names_may_be_of_any_script() -> None:
    async with ActorSystem() as system:
        for name in ("ünïcode", "名前", "with space", "🙂", "..", "-", "x" * 1000):
            ref = await system.spawn(Counter, name=name)
            assert system.get_actor(f"/{name}") == ref
        for absent in ("", "/", "//", "../x", "-/"):
            assert system.find_actor(absent) is None
