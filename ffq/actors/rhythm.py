"""When an actor is sent its timer's message: every period, and not while time changes nothing.

An idle coordinator then sleeps: each look wakes a thread, and nothing would come of it. For what is
better done at once than within a period, the machine names the very moment.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Protocol

import attrs
import trio

from ffq.runtime import Request


class Cancels(Protocol):
    """A timer that was set."""

    def cancel(self) -> None: ...


class Sets(Protocol):
    """An actor's own context."""

    def every(
        self,
        seconds: float,
        message: Callable[[], Request[None]],
        *,
        first: float,
        may_fail: bool,
    ) -> Cancels: ...


@attrs.frozen
class Timer:
    """A message that an actor sends itself every `period_ms`, made when it is sent.

    Attributes:
        due_in_ms: asked after each message: for how long nothing will have to be done, if nothing
            changes; inf: for ever. Less than a period is a period.
        woken: whether a change of the machine may bring that forward. Where it can only put it off,
            nobody need look again, but for clocks: by which it is due may go ahead of Trio's.
        moment_ms: asked after each step: when something is due that must not wait for a period, by
            the machine's clock; inf: nothing is. None: nothing ever will be.
    """

    period_ms: int
    message: Callable[[], Request[None]]
    due_in_ms: Callable[[], float] = float
    woken: bool = True
    moment_ms: Callable[[], float] | None = None


class Rhythm:
    """One timer at work. To be told of each of its messages, of each step and of each change; and,
    when a period has passed by the machine's clock, to look.
    """

    def __init__(self, timer: Timer, ctx: Sets) -> None:
        self._timer: Final = timer
        self._ctx: Final = ctx
        self._sleeps = False
        self._asked_ms = -inf
        self._next: Cancels | None = None
        self._next_ms = inf
        self._moment_ms = inf
        self._moment_at_ms = inf  # as Trio's clock has it
        self._set(timer.period_ms)

    @property
    def period_ms(self) -> int:
        return self._timer.period_ms

    def beaten(self) -> None:
        """Its message has been handled."""
        period_ms = self._timer.period_ms
        due_ms = self._timer.due_in_ms()
        self._sleeps = due_ms > period_ms
        if self._moment_at_ms <= _now_ms():
            self._moment_at_ms = inf  # this was its message, whatever came of it
        self._set(max(period_ms, due_ms))

    def changed(self) -> None:
        """The machine has: what was said of the future may hold no more.

        Of the first change in a period it is asked again. More are not told apart: a look then
        costs no more than the message.
        """
        if not self._sleeps or not self._timer.woken:
            return
        period_ms, now_ms = self._timer.period_ms, _now_ms()
        due_ms = 0.0
        if now_ms >= self._asked_ms + period_ms:
            self._asked_ms = now_ms
            due_ms = self._timer.due_in_ms()
        if due_ms <= period_ms:
            self._sleeps = False
            self._set(period_ms)
        elif now_ms + due_ms < self._next_ms:
            self._set(due_ms)

    def stepped(self, now_ms: int) -> None:
        """The machine has taken a step, at this time by its clock: something may be due at another
        moment, or at none.
        """
        if self._timer.moment_ms is None:
            return
        moment_ms = self._timer.moment_ms()
        if moment_ms != self._moment_ms:
            self._moment_ms = moment_ms
            self._moment_at_ms = _now_ms() + moment_ms - now_ms
            self._arm()

    def look(self) -> None:
        """Whether its message is due earlier than it was when this fell asleep."""
        if self._sleeps and not self._timer.woken:
            period_ms = self._timer.period_ms
            due_ms = max(period_ms, self._timer.due_in_ms())
            if _now_ms() + due_ms + period_ms < self._next_ms:
                self._set(due_ms)

    def _set(self, after_ms: float) -> None:
        self._next_ms = _now_ms() + after_ms
        self._arm()

    def _arm(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        after_ms = max(0, min(self._next_ms, self._moment_at_ms) - _now_ms())
        if after_ms == inf:
            return
        # Each puts off the next. Should one not be made, or fail before it does, that comes anyway.
        self._next = self._ctx.every(
            self._timer.period_ms / 1000, self._timer.message, first=after_ms / 1000, may_fail=True
        )


def _now_ms() -> float:
    return trio.current_time() * 1000
