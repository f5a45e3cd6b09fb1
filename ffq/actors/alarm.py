"""Wakes an actor at the very moment at which something in its machine is due.

A rhythm (`ffq.actors.rhythm`) looks once a period while anything may be due: enough for timeouts
and backoffs, too late for what is better done at once.
"""

from __future__ import annotations

from collections.abc import Callable

from ffq.runtime import ActorContext, Request
from ffq.runtime import Timer as RuntimeTimer


class Alarm:
    """One actor's. `due`: when something is next, in unix ms; None: nothing is."""

    def __init__(self, due: Callable[[], int | None], message: Callable[[], Request[None]]) -> None:
        self._due = due
        self._message = message
        self._timer: RuntimeTimer | None = None
        self._at_ms: int | None = None

    def rang(self) -> None:
        """The message has been handled: what is still due needs another one."""
        self._at_ms = None

    def set(self, context: ActorContext, now_ms: int) -> None:
        """After a step: send the actor its message when that is due, and not before."""
        due_ms = self._due()
        if due_ms == self._at_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._at_ms = due_ms
        if due_ms is not None:
            seconds = max(0, due_ms - now_ms) / 1000
            self._timer = context.after(seconds, self._message, may_fail=True)
