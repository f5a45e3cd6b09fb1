"""What belongs to an incarnation that is over neither reaches the next one nor acts on it (A10)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import (
    Actor,
    ActorContext,
    ActorEnded,
    ActorRef,
    ActorSystem,
    Request,
    Supervision,
    Terminated,
    handles,
)
from tests.runtime.stock import Add, Counter, Fail, settle

TWICE = Supervision(max_restarts=2)


@attrs.frozen
class Do(Request[None]):
    """What to do, in one message: nothing is handled between two of these words."""

    words: str


class Watcher(Actor[Do]):
    """Puts every notice aside."""

    def __init__(self, other: ActorRef[Any], log: list[str]) -> None:
        self.other = other
        self.log = log

    @handles(Terminated)
    def gone(self, message: Terminated) -> None:
        self.log.append(f"{self.ctx.restarts}: {message.ref.name}")
        self.ctx.stash()

    @handles(Do)
    def do(self, message: Do) -> None:
        for word in message.words.split():
            match word:
                case "watch":
                    self.ctx.watch(self.other)
                case "unwatch":
                    self.ctx.unwatch(self.other)
                case "unstash":
                    self.ctx.unstash_all()
                case "fail":
                    raise ValueError("as told")


@pytest.mark.parametrize("undo", ["unwatch", "unstash unwatch", "fail", "unstash fail"])
async def test_A9_a_stashed_notice_is_gone_when_its_watch_is(undo: str) -> None:
    log: list[str] = []
    async with ActorSystem(supervision=TWICE) as system:
        other = await system.spawn(Counter, name="other")
        watcher = await system.spawn(Watcher, other, log)
        await watcher.ask(Do("watch"))
        await other.kill()
        await settle()
        await watcher.ask(Do("unstash"))
        await settle()
        assert log == ["0: other", "0: other"], "as long as it is watched it comes again"
        await watcher.tell(Do(undo))
        await watcher.ask(Do("unstash"))
        await settle()
        assert log == ["0: other", "0: other"]
        assert system.ledger.in_flight == 0


class Old(Counter):
    """Gives its context away."""

    def __init__(self, contexts: list[ActorContext]) -> None:
        super().__init__()
        self.contexts = contexts

    async def on_start(self) -> None:
        self.contexts.append(self.ctx)


async def forever() -> None:
    await trio.sleep_forever()


USES: dict[str, Callable[[ActorContext, ActorRef[Any]], object]] = {
    "fail": lambda ctx, _: ctx.fail(ValueError("late")),
    "every": lambda ctx, _: ctx.every(1, Add(1)),
    "after": lambda ctx, _: ctx.after(1, Add(1)),
    "watch": lambda ctx, other: ctx.watch(other),
    "start_task": lambda ctx, _: ctx.start_task(forever),
    "spawn": lambda ctx, _: ctx.spawn(Counter),
    "unstash_all": lambda ctx, _: ctx.unstash_all(),
    "stash": lambda ctx, _: ctx.stash(),
}


@pytest.mark.parametrize("over", ["restarted", "ended"])
@pytest.mark.parametrize("use", USES)
async def test_A10_the_context_of_an_incarnation_that_is_over_does_nothing(
    use: str, over: str
) -> None:
    contexts: list[ActorContext] = []
    async with ActorSystem(supervision=TWICE) as system:
        old = await system.spawn(Old, contexts, name="old")
        other = await system.spawn(Counter)
        if over == "ended":
            await old.stop()
        else:
            await old.tell(Fail())
            assert await old.ask(Add(1)) == 1
        ctx = contexts[0]
        with pytest.raises(ActorEnded, match="/old: this incarnation, number 0, is over"):
            made = USES[use](ctx, other)
            if use == "spawn":
                await made  # type: ignore[misc]
        assert ctx.children == ()
        ctx.unwatch(other)
        if over == "restarted":
            assert ctx.restarts == 1
            assert await old.ask(Add(1)) == 2, "it goes on as it was"
            for stop in (ctx.stop, ctx.kill):
                with pytest.raises(ActorEnded, match="is over"):
                    stop()
            assert old.alive
        else:
            ctx.stop()
            ctx.kill()  # it has ended: as asked


async def test_A10_a_job_of_an_old_incarnation_cannot_fail_the_new_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    contexts: list[ActorContext] = []
    async with ActorSystem(supervision=TWICE) as system:
        old = await system.spawn(Old, contexts, name="old")
        portal = system.portal()
        await old.tell(Fail())
        assert await old.ask(Add(1)) == 1
        job = threading.Thread(
            target=lambda: portal.run_soon(lambda: contexts[0].fail(ValueError("late")))
        )
        job.start()
        await trio.to_thread.run_sync(job.join)
        await settle()
        assert await old.ask(Add(1)) == 2
    assert "this incarnation, number 0, is over" in caplog.text
