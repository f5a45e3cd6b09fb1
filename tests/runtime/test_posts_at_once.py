"""To its handler a posted message is like any other, also where it is handled within the post."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import attrs
import pytest
import trio

from ffq.runtime import Actor, ActorEnded, ActorSystem, Request, Supervision, handles
from tests.runtime.stock import settle


@attrs.frozen
class Do(Request[Any]):
    """Do this with the actor."""

    what: Callable[[Doer], Any]


@attrs.frozen
class Open(Request[None]):
    """Take what has been put aside."""


class Doer(Actor[Do | Open]):
    def __init__(self) -> None:
        self.opened = False

    @handles(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)

    @handles(Open)
    def open(self, _: Open) -> None:
        self.opened = True
        self.ctx.unstash_all()


@attrs.define
class Replies:
    got: list[tuple[Any, type | None]] = attrs.field(factory=list)

    def __call__(self, reply: Any, error: BaseException | None) -> None:
        self.got.append((reply, None if error is None else type(error)))


async def _wait() -> None:
    await trio.sleep_forever()


async def _turn() -> None:
    await trio.lowlevel.checkpoint()


def _kill(doer: Doer) -> None:
    doer.ctx.kill()
    raise KeyError


def _stop(doer: Doer) -> None:
    doer.ctx.stop()
    raise KeyError


def _fail(doer: Doer) -> None:
    error = KeyError()
    doer.ctx.fail(error)
    raise error


def _fail_and_wait(doer: Doer) -> Coroutine[Any, Any, None]:
    doer.ctx.fail(KeyError())
    return _wait()


@pytest.mark.parametrize(
    ("what", "error", "survives"),
    [
        (_kill, KeyError, False),
        (_stop, KeyError, False),
        (_fail, KeyError, True),
        (_fail_and_wait, ActorEnded, True),
    ],
)
async def test_A7_a_handler_that_ends_its_actor_is_answered(
    what: Callable[[Doer], Any], error: type, survives: bool
) -> None:
    replies = Replies()
    async with ActorSystem(supervision=Supervision(max_restarts=1)) as system:
        ref = await system.spawn(Doer)
        await settle()
        ref.post(Do(what), replies)
        await settle()
        assert replies.got == [(None, error)]
        assert ref.alive is survives
        assert list(system.pending_asks()) == []
        if survives:
            ref.post(Do(lambda _: "anew"), replies)
            assert replies.got[1:] == [("anew", None)]
            ref.cell.check_ledger()
    assert len(replies.got) == 1 + survives


async def test_A10_it_is_put_aside_and_handled_later() -> None:
    replies = Replies()

    def closed(doer: Doer) -> str:
        if not doer.opened:
            doer.ctx.stash()
        return "in"

    async with ActorSystem() as system:
        ref = await system.spawn(Doer)
        await settle()
        for _ in range(2):
            ref.post(Do(closed), replies)
            await settle()
        assert replies.got == []
        assert ref.cell.in_flight() == 2
        ref.post(Open(), replies)
        await settle()
        assert replies.got == [(None, None), ("in", None), ("in", None)]
        ref.cell.check_ledger()


async def test_A10_what_it_starts_is_not_its_handler() -> None:
    told: list[str] = []

    async def task(doer: Doer) -> None:
        with pytest.raises(Exception, match="inside a handler") as caught:
            doer.ctx.stash()
        told.append(type(caught.value).__name__)

    def start(doer: Doer) -> Coroutine[Any, Any, None]:
        doer.ctx.start_task(task, doer)
        return _turn()

    replies = Replies()
    async with ActorSystem() as system:
        ref = await system.spawn(Doer)
        await settle()
        ref.post(Do(start), replies)
        await settle()
    assert told == ["ProtocolError"]
    assert replies.got == [(None, None)]


async def test_A7_an_interrupt_of_the_function_is_whose_call_it_is() -> None:
    def interrupted(_reply: Any, _error: BaseException | None) -> None:
        raise KeyboardInterrupt

    async with ActorSystem() as system:
        ref = await system.spawn(Doer)
        await settle()
        with pytest.raises(KeyboardInterrupt):
            ref.post(Do(lambda _: 1), interrupted)
        assert await ref.ask(Do(lambda _: 2)) == 2
        ref.cell.check_ledger()
        assert ref.cell.handled == 2
