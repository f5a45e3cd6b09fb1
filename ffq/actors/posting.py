"""A message of the outer world answered without a task of its own.

A walk awaits nothing but `ask`. So nobody needs to run it as a task: it is sent on, by one
`send(None)` and then by each reply, from where that reply is there: in the actor that gave it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from math import inf
from types import coroutine
from typing import Any, TypeVar

import trio

from ffq.actors.parties import Parties
from ffq.runtime.message import Request
from ffq.service import OnReply, Posted

R = TypeVar("R")


@coroutine
def hop(message: Request[R]) -> Generator[Request[Any], R, R]:
    """What a walk asks by when a `PostedWalk` drives it: that is handed the message, and hands in
    the reply.
    """
    return (yield message)


class Answer:
    """What a message that was posted is answered with."""

    __slots__ = ("error", "heard", "there", "value")

    def __init__(self) -> None:
        self.there = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.heard: trio.Event | None = None

    def take(self, value: Any, error: BaseException | None) -> None:
        self.there, self.value, self.error = True, value, error
        if self.heard is not None:
            self.heard.set()

    async def comes(self, posted: Posted) -> None:
        """Until it is there; cancelled, nobody wants it any more."""
        if self.there:
            return
        self.heard = trio.Event()
        try:
            await self.heard.wait()
        finally:
            if not self.there:
                posted.give_up()

    def result(self) -> Any:
        """The reply. Raises the error."""
        if self.error is None:
            return self.value
        error, self.error = self.error, None
        try:
            raise error
        finally:
            del error, self  # the error has this frame, and would be in a cycle with it


async def ask_at_once(parties: Parties, message: Request[R]) -> R:
    """As `parties.ask` of an actor, by a task that is no handler. An idle one answers within this
    call: two turns of the scheduler less, and no checkpoint.
    """
    answer = Answer()
    posted = parties.post(message, answer.take, inf)
    if not answer.there:
        await answer.comes(posted)
    reply: R = answer.result()
    return reply


class PostedWalk:
    """A walk under way. Each hop is posted to its party, and its reply sends the walk on."""

    __slots__ = ("_deadline", "_hop", "_on_reply", "_over", "_parties", "_walk")

    def __init__(
        self,
        walk: Coroutine[Request[Any], Any, Any],
        parties: Parties,
        on_reply: OnReply,
        deadline: float,
    ) -> None:
        self._walk = walk
        self._parties = parties
        self._on_reply = on_reply
        self._deadline = deadline
        self._hop: Posted | None = None
        self._over = False

    def begin(self) -> None:
        """To its first hop. Raises what the walk raises before any reply."""
        self._ask(self._walk.send(None))

    @property
    def awaited(self) -> bool:
        """Whether the function is still to be called."""
        return not self._over

    def give_up(self) -> None:
        """As a walk whose caller is cancelled: the hop under way is its last."""
        self._over = True
        if self._hop is not None:
            self._hop.give_up()
        self._walk.close()

    def _go_on(self, reply: Any, error: BaseException | None) -> None:
        """A hop has been answered."""
        if self._over:  # given up within this hop, before it was known here
            return
        while True:
            try:
                message = self._walk.send(reply) if error is None else self._walk.throw(error)
            except StopIteration as end:
                self._end(end.value, None)
                return
            except Exception as failure:  # noqa: BLE001  # is the answer
                self._end(None, failure)
                return
            try:
                self._ask(message)
            except Exception as failure:  # noqa: BLE001  # the walk's own to deal with
                reply, error = None, failure
            else:
                return

    def _end(self, reply: Any, error: BaseException | None) -> None:
        self._over = True
        self._on_reply(reply, error)

    def _ask(self, message: Request[Any]) -> None:
        hop = self._parties.post(message, self._go_on, self._deadline)
        if hop.awaited:  # else it has been answered already, and a later one may be under way
            self._hop = hop
