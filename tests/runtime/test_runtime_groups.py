"""A6: restarts of groups, when a restart meets another failure, a start, a stop or an ask."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import (
    Actor,
    ActorRef,
    ActorSystem,
    Backoff,
    Request,
    Strategy,
    Supervision,
    Terminated,
    WaitCycle,
    handles,
)
from ffq.runtime.errors import ProtocolError
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total, settle

ALL = Supervision(Strategy.ONE_FOR_ALL, max_restarts=100)
REST = Supervision(Strategy.REST_FOR_ONE, max_restarts=100)


@attrs.frozen
class Ask(Request[str]):
    """The name of the actor, asked of it."""


class Member(Actor[Ask | Fail]):
    """Asks somebody when it starts or stops, as the test says; logs what came of it."""

    def __init__(self, log: list[str], starts: dict[str, str], stops: dict[str, str]) -> None:
        self.log = log
        self.starts = starts
        self.stops = stops

    async def on_start(self) -> None:
        self.log.append(f"+{self.ctx.name}")
        if self.ctx.restarts:
            await self.ask_the_one_in(self.starts)

    async def on_stop(self) -> None:
        self.log.append(f"-{self.ctx.name}")
        await self.ask_the_one_in(self.stops)

    async def ask_the_one_in(self, whom: dict[str, str]) -> None:
        name = whom.pop(self.ctx.name, None)
        if name is not None:
            try:
                self.log.append(f"{self.ctx.name} got {await self.find(name).ask(Ask())}")
            except WaitCycle as error:
                self.log.append(" ".join(error.path))

    def find(self, name: str) -> ActorRef[Ask]:
        return self.ctx.system.get_actor(name)

    @handles(Ask)
    def name(self, message: Ask) -> str:
        return self.ctx.name

    @handles(Fail)
    async def fail(self, message: Fail) -> None:
        raise ValueError(message.why)


async def members(
    system: ActorSystem, log: list[str], starts: dict[str, str], stops: dict[str, str]
) -> list[ActorRef[Ask | Fail]]:
    refs = [await system.spawn(Member, log, starts, stops, name=name) for name in "abc"]
    log.clear()
    return refs


async def test_A6_a_start_that_asks_a_sibling_whose_turn_comes_later_raises() -> None:
    """a is started before c, and would wait for c for ever."""
    log: list[str] = []
    async with ActorSystem(supervision=ALL) as system:
        _, b, c = await members(system, log, {"a": "c", "c": "a"}, {})
        await b.tell(Fail())
        await settle()
        assert log == ["-b", "-c", "-a", "+a", "/a /c /a", "+b", "+c", "c got a"]
        assert await c.ask(Ask()) == "c"


async def test_A6_a_cleanup_that_asks_a_sibling_that_is_down_raises() -> None:
    log: list[str] = []
    async with ActorSystem(supervision=ALL) as system:
        a, b, _ = await members(system, log, {}, {"a": "b", "c": "a"})
        await b.tell(Fail())
        await settle()
        assert log == ["-b", "-c", "c got a", "-a", "/a /b /a", "+a", "+b", "+c"]
        assert await a.ask(Ask()) == "a"


async def test_A6_a_sibling_that_fails_under_a_start_that_asked_it_frees_the_start() -> None:
    """c starts and waits for b; b fails before it answers. Neither can go first: c starts anew."""
    log: list[str] = []

    class Slow(Member):
        async def name(self, message: Ask) -> str:  # type: ignore[override]
            await trio.sleep_forever()

    async with ActorSystem(supervision=REST) as system:
        starts = {"c": "b"}
        await system.spawn(Member, log, starts, {}, name="a")
        b = await system.spawn(Slow, log, starts, {}, name="b", max_concurrency=2)
        c = await system.spawn(Member, log, starts, {}, name="c")
        log.clear()
        await c.tell(Fail())
        await settle()
        assert log == ["-c", "+c"]  # and c waits for b
        await b.tell(Fail())
        await settle()
        assert log == ["-c", "+c", "-b", "+b", "+c"]
        assert await c.ask(Ask()) == "c"


async def test_A6_a_cleanup_that_waits_for_a_sibling_which_then_fails_is_cut_off() -> None:
    """c fails and its cleanup asks b; b fails before it answers. The restart waits for c's end."""
    log: list[str] = []

    class Slow(Member):
        async def name(self, message: Ask) -> str:  # type: ignore[override]
            await trio.sleep_forever()

    async with ActorSystem(supervision=ALL) as system:
        stops = {"c": "b"}
        b = await system.spawn(Slow, log, {}, stops, name="b", max_concurrency=2)
        c = await system.spawn(Member, log, {}, stops, name="c")
        log.clear()
        await c.tell(Fail())
        await settle()
        assert log == ["-c"]  # and its cleanup waits
        await b.tell(Fail())
        await settle()
        assert log == ["-c", "-b", "+b", "+c"]
        assert await c.ask(Ask()) == "c"


async def test_A6_another_failure_during_a_group_restart_is_no_loss(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """While b starts again, a fails: both restart once more, and all are there after it."""
    log: list[str] = []

    class Slow(Member):
        async def on_start(self) -> None:
            await trio.sleep(1 if self.ctx.restarts else 0)
            await super().on_start()

    async with ActorSystem(supervision=ALL) as system:
        a = await system.spawn(Member, log, {}, {}, name="a")
        b = await system.spawn(Slow, log, {}, {}, name="b")
        c = await system.spawn(Member, log, {}, {}, name="c")
        await c.tell(Fail())
        await trio.sleep(0.5)  # a is up again, b is starting
        await a.tell(Fail())
        await trio.sleep(5)
        for ref, name in ((a, "a"), (b, "b"), (c, "c")):
            assert await ref.ask(Ask()) == name
        assert [info.restarts for info in system.tree()] == [2, 2, 1]  # c was down all the time


async def test_A6_an_early_failure_takes_down_the_rest_that_is_starting(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The member that goes down twice in one restart is not left down (rest for one)."""
    log: list[str] = []

    class Slow(Member):
        async def on_start(self) -> None:
            await trio.sleep(1)
            await super().on_start()

    async with ActorSystem(supervision=REST) as system:
        a = await system.spawn(Member, log, {}, {}, name="a")
        b = await system.spawn(Slow, log, {}, {}, name="b")
        c = await system.spawn(Slow, log, {}, {}, name="c")
        log.clear()
        for delay in (0.0, 0.5, 1.0, 1.5, 2.0):
            await b.tell(Fail())
            await trio.sleep(delay)
            await a.tell(Fail())
            await trio.sleep(10)
            assert [await ref.ask(Ask()) for ref in (a, b, c)] == ["a", "b", "c"]


async def test_A6_a_first_start_caught_in_a_group_restart_is_started_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever spawned it goes on waiting and gets a ref that works."""
    starts: list[float] = []

    class Slow(Counter):
        async def on_start(self) -> None:
            starts.append(trio.current_time())
            await trio.sleep(5)

    async with ActorSystem(supervision=ALL) as system:
        counter = await system.spawn(Counter)
        async with trio.open_nursery() as nursery:

            async def fail() -> None:
                await trio.sleep(2)
                await counter.tell(Fail())

            nursery.start_soon(fail)
            slow = await system.spawn(Slow)
        assert starts == pytest.approx([0, 2])
        assert trio.current_time() == pytest.approx(7)
        assert await slow.ask(Add(1)) == 1


async def test_A6_cleanup_under_way_is_not_cut_off_by_a_siblings_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cleaned: list[str] = []

    class Careful(Counter):
        async def on_stop(self) -> None:
            await trio.sleep(1)
            cleaned.append(self.ctx.name)

    async with ActorSystem(supervision=ALL) as system:
        a = await system.spawn(Careful, name="a")
        b = await system.spawn(Careful, name="b")
        await a.tell(Fail())
        await trio.sleep(0.5)
        await b.tell(Fail())
        await trio.sleep(5)
        assert cleaned[:2] == ["a", "b"]


async def test_A6_a_restart_in_a_group_replaces_the_one_a_backoff_had_in_store(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The second failure backs off for its own time, whatever the first one had begun."""
    starts: list[float] = []

    class Timed(Counter):
        async def on_start(self) -> None:
            starts.append(trio.current_time())

    alone = Supervision(max_restarts=9, backoff=Backoff(initial=10, factor=10, maximum=100))
    async with ActorSystem(supervision=ALL) as system:
        counter = await system.spawn(Counter)
        timed = await system.spawn(Timed, supervision=alone)
        await timed.tell(Fail())  # would restart at 10
        await trio.sleep(1)
        await counter.tell(Fail())  # restarts it at 1
        await trio.sleep(1)
        await timed.tell(Fail())  # at 2: backs off until 102
        await trio.sleep(200)
        assert starts == pytest.approx([0, 1, 102])


@pytest.mark.parametrize("mail", [False, True])
async def test_A4_stop_waits_for_a_backoff_only_if_there_is_mail_to_finish(
    mail: bool, autojump_clock: trio.testing.MockClock
) -> None:
    policy = Supervision(max_restarts=5, backoff=Backoff(initial=100, maximum=100))
    async with ActorSystem(supervision=policy) as system:
        ref = await system.spawn(Counter)
        await ref.tell(Fail())
        if mail:
            await ref.tell(Add(1))
        await trio.sleep(1)
        await ref.stop()
        assert trio.current_time() == pytest.approx(100 if mail else 1)
    assert system.ledger.handled == (2 if mail else 1)


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("delay", [0.5, 1.5, 2.5, 3.5])
async def test_A4_an_actor_that_ends_while_its_group_restarts_holds_up_nobody(
    how: str, delay: float, autojump_clock: trio.testing.MockClock
) -> None:
    class Slow(Counter):
        async def on_start(self) -> None:
            await trio.sleep(1 if self.ctx.restarts else 0)

        async def on_stop(self) -> None:
            await trio.sleep(1)

    async with ActorSystem(supervision=ALL) as system:
        refs = [await system.spawn(Slow, name=name) for name in "abc"]
        await refs[0].tell(Fail())
        await trio.sleep(delay)
        await getattr(refs[1], how)()
        await trio.sleep(10)
        assert [info.path for info in system.tree()] == ["/a", "/c"]
        assert [await ref.ask(Add(1)) for ref in (refs[0], refs[2])] == [1, 1]


async def test_A6_what_must_outlive_a_restart_is_handed_in_by_the_parent() -> None:
    class Keeper(Actor[Add | Fail]):
        def __init__(self, kept: list[int]) -> None:
            self.kept = kept
            self.own: list[int] = []

        @handles(Add)
        def add(self, message: Add) -> int:
            self.kept.append(message.n)
            self.own.append(message.n)
            return 10 * len(self.kept) + len(self.own)

        @handles(Fail)
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Keeper, [])
        assert await ref.ask(Add(1)) == 11
        await ref.tell(Fail())
        assert await ref.ask(Add(2)) == 21


async def test_A6_a_factory_must_make_a_new_object_of_the_same_class_each_time() -> None:
    shared = Counter()
    kinds: list[Callable[[], Actor[Add]]] = [Counter, lambda: Holder(Gate())]  # type: ignore[list-item, return-value]

    def changing() -> Actor[Add]:
        return kinds.pop(0)()

    async with ActorSystem() as system:
        await system.spawn(lambda: shared, name="first")
        with pytest.raises(ProtocolError, match=r"/second: .*is or was /first"):
            await system.spawn(lambda: shared, name="second")
        assert system.find_actor("second") is None

    with pytest.raises(
        Exception, match="gave a Holder at a restart and a Counter before"
    ) as caught:
        async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
            ref = await system.spawn(changing, name="c")
            await ref.cell.ref.tell(Fail())
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, ProtocolError)


async def test_A9_a_watch_ends_with_the_incarnation_that_began_it() -> None:
    seen: list[str] = []

    class Watcher(Actor[Fail]):
        async def on_start(self) -> None:
            if not self.ctx.restarts:
                self.ctx.watch(target)

        @handles(Terminated)
        def down(self, message: Terminated) -> None:
            seen.append(message.ref.path)

        @handles(Fail)
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        target = await system.spawn(Counter)
        watcher = await system.spawn(Watcher)
        await watcher.tell(Fail())
        await settle()
        await target.stop()
        await settle()
    assert seen == []


async def test_A10_what_is_stashed_at_a_restart_is_tried_again() -> None:
    """The new incarnation does not know of the stash, so it must not keep anybody waiting."""

    class Moody(Actor[Hold | Fail | Total]):
        @handles(Hold)
        def hold(self, message: Hold) -> str:
            if not self.ctx.restarts:
                self.ctx.stash()
            return message.who

        @handles(Fail)
        def fail(self, message: Fail) -> None:
            raise ValueError

        @handles(Total)
        def total(self, message: Total) -> int:
            return 0

    replies: list[str] = []
    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Moody)
        async with trio.open_nursery() as nursery:

            async def ask(who: str) -> None:
                replies.append(await ref.ask(Hold(who)))

            for who in "ab":
                nursery.start_soon(ask, who)
                await settle()
            await ref.tell(Fail())
    assert sorted(replies) == ["a", "b"]
