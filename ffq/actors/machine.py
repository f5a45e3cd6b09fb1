"""The actor that owns one machine, whichever: it steps it under its clock, and tells whom it must.

A machine that raises a typed error has changed nothing: the caller gets the error and the next
message is served. After any other exception (a bug of ours) the machine is checked: consistent, it
serves on; inconsistent, the actor fails, and with it, loudly, the coordinator. So it does after a
bug that leaves two machines at odds: one was told, and the other has not done its part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import attrs

from ffq.actors.outbox import Outbox
from ffq.actors.parties import Parties
from ffq.actors.posting import Answer
from ffq.actors.rhythm import Rhythm, Timer
from ffq.actors.watches import Watches
from ffq.core.machine import Machine, Notice, Outcome, Removal, Walk
from ffq.core.walks import OWNERS
from ffq.errors import FfqError, InvariantViolated
from ffq.messages import SweepStaleWorkers, Tick
from ffq.runtime import Actor, Request, handles
from ffq.runtime.remarks import RemarkLogger
from ffq.service import Posted

logger = RemarkLogger(logging.getLogger("ffq.actors"))

R = TypeVar("R")

BEATS: Final = (Tick, SweepStaleWorkers)
"""What timers send."""

Clock = Callable[[], int]
"""The coordinator's clock: unix ms that never go back."""


@attrs.frozen
class ValidateState(Request[None]):
    """Check the machine. Raises InvariantViolated."""


def _is_bug(error: Exception) -> bool:
    """A typed error is an answer, and the machine that raised it has changed nothing."""
    return not isinstance(error, FfqError) or isinstance(error, InvariantViolated)


class MachineActor(Actor[Any]):
    """The owner of one machine. It is handed in: an actor that starts finds it checked.

    Args:
        parties: the others, whom it asks and tells.
        timer: what it sends itself; None: nothing.
        watches: told of each step; None: nobody watches this machine.
        changed: called, between two steps, whenever one has changed the machine; None: nobody is.
    """

    def __init__(
        self,
        machine: Machine[Any],
        clock: Clock,
        parties: Parties,
        timer: Timer | None = None,
        watches: Watches | None = None,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self._machine = machine
        self._clock = clock
        self._parties = parties
        self._timer = timer
        self._rhythm: Rhythm | None = None
        self._look_at_ms: float = 0
        self._watches = watches
        self._changed = changed
        self._outbox = Outbox()
        self._others_know = False

    async def on_start(self) -> None:
        self._machine.validate_state()
        self.ctx.start_task(self._courier)
        if self._timer is not None:
            self._rhythm = Rhythm(self._timer, self.ctx)

    @handles(ValidateState)
    def validate_state(self, _: ValidateState) -> None:
        self._machine.validate_state()

    def handle(self, message: Request[Any]) -> Any:
        """The reply, or what the runtime awaits for it while this actor keeps its mailbox."""
        rhythm = self._rhythm
        if rhythm is None or not isinstance(message, BEATS):
            return self._handle(message)
        try:
            return self._handle(message)
        finally:
            rhythm.beaten()

    def _handle(self, message: Request[Any]) -> Any:
        machine, rhythm = self._machine, self._rhythm
        walk = machine.walks.get(type(message))
        if walk is not None:
            return self._hold(walk, message)
        state = machine.state
        version = state.version
        now_ms = self._clock()
        if now_ms >= self._look_at_ms and rhythm is not None:
            self._look_at_ms = now_ms + rhythm.period_ms
            rhythm.look()
        try:
            outcome = machine.step(message, now_ms)
        except Exception as error:
            if _is_bug(error):
                logger.exception("%s failed in %s", type(message).__name__, self.ctx.path)
                self._check_after_bug()
            raise
        if state.version != version:
            if rhythm is not None:
                rhythm.changed()
            if self._changed is not None:
                self._changed()
        if rhythm is not None:
            rhythm.stepped(now_ms)
        if self._watches:
            passed = isinstance(message, Tick)
            self._watches.heard(state.version, outcome.notices, time_passed=passed)
        return self._pass_on(outcome) if outcome.notices else outcome.reply

    handles(Request)(handle)  # of whatever class: the machine's table says which it takes

    def _pass_on(self, outcome: Outcome[Any]) -> Any:
        """Removals go to the courier; what must be told before the reply makes it wait."""
        told: list[Notice] = []
        for notice in outcome.notices:
            if isinstance(notice, Removal):
                self._outbox.put(notice)
            else:
                told.append(notice)
        return self._tell(outcome.reply, told) if told else outcome.reply

    def _tell(self, reply: R, told: list[Notice]) -> R | Coroutine[Any, Any, R]:
        """One after another. An idle party is told within this call, which takes no turn of the
        scheduler; where one is not, this actor waits for it with its mailbox.
        """
        for number, notice in enumerate(told, 1):
            answer = Answer()
            with self._agreeing():
                posted = self._parties.post_from(self._machine.party, notice, answer.take)
                if answer.there:
                    answer.result()
                    continue
            return self._go_on_telling(reply, told[number:], answer, posted)
        return reply

    async def _go_on_telling(
        self, reply: R, others: list[Notice], answer: Answer, posted: Posted
    ) -> R:
        with self._agreeing():
            await answer.comes(posted)
            answer.result()
        rest: Any = self._tell(reply, others)
        last: R = await rest if isinstance(rest, Coroutine) else rest
        return last

    @contextmanager
    def _agreeing(self) -> Iterator[None]:
        """The machine counts as told what it has to tell: should that fail, two would disagree."""
        try:
            yield
        except Exception as error:
            self.ctx.fail(error)
            raise

    async def _hold(self, walk: Walk[Any, R], message: Request[R]) -> R:
        """A walk that holds this machine, from its first step to its last."""
        self._others_know = False
        try:
            return await walk(self._ask, message)
        except Exception as error:
            if self._others_know and _is_bug(error):
                # Another machine has done its part and this one has not: the two disagree.
                self.ctx.fail(error)
            raise

    async def _ask(self, message: Request[R]) -> R:
        """In a walk that holds this machine: one of its own steps, or another party."""
        if OWNERS[type(message)] is not self._machine.party:
            answer = await self._parties.ask_from(self._machine.party, message)
            self._others_know = True
            return answer
        reply = self.handle(message)
        own: R = await reply if isinstance(reply, Coroutine) else reply
        return own

    async def _courier(self) -> None:
        """Deliver removals one by one, as long as the actor lives. No message waits for it.

        A bug on the way fails the actor: what one machine counts as removed, another still holds.
        """
        while True:
            notice = await self._outbox.get()
            try:
                await self._parties.ask(notice)
            except Exception as error:
                if _is_bug(error):
                    raise
                logger.warning("%s was not delivered: %r", type(notice).__name__, error)

    def _check_after_bug(self) -> None:
        try:
            self._machine.validate_state()
        except Exception as error:  # noqa: BLE001  # broken books can make the check itself fail
            self.ctx.fail(error)  # what it holds can no longer be trusted
