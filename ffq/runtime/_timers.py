"""Timers: messages an actor sends itself, on Trio's clock (A10)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import trio

from ffq.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from ffq.runtime._cell import Cell


class Timer:
    """A running timer; it ends with the incarnation that started it."""

    __slots__ = ("_scope",)

    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    def cancel(self) -> None:
        """Send no more messages. What is in the mailbox already is still handled."""
        self._scope.cancel()

    async def run(self, cell: Cell, first: float, period: float, message: Any) -> None:
        """Send `message` at `first` and then every `period` seconds (inf: never again).

        A tick waits for room like any other sender, and ticks missed meanwhile are skipped: a
        slow actor gets fewer ticks, never a heap of them.
        """
        due = first
        with self._scope:
            while True:
                await trio.sleep_until(due)
                if not cell.accepting:  # a stopping actor finishes its mail, ticks add no more
                    return
                await cell.ref.tell(message)
                if period == inf:
                    return
                missed = max(0.0, (trio.current_time() - due) // period)
                due += period * (missed + 1)


def check_seconds(path: str, what: str, seconds: float, *, positive: bool) -> None:
    """Raise InvalidOption unless `seconds` is a finite time that makes sense."""
    if not 0 <= seconds < inf or (positive and seconds == 0):
        least = "more than 0" if positive else "0 or more"
        raise InvalidOption(f"{path}: {what} {seconds!r} seconds must be finite and {least}")
