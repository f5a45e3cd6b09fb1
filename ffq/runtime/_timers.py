"""Timers: messages an actor sends itself, on Trio's clock (A10)."""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import current_task, wait_task_rescheduled

from ffq.errors import words
from ffq.runtime._checks import is_number
from ffq.runtime._envelope import QUEUED, TimerEnvelope, TolerantTimerEnvelope
from ffq.runtime.errors import InvalidOption
from ffq.runtime.remarks import RemarkLogger

if TYPE_CHECKING:
    from ffq.runtime._mailbox import MailboxCell

logger = RemarkLogger(logging.getLogger("ffq.runtime"))


class Timer:
    """A running timer; it ends with the incarnation that started it."""

    __slots__ = ("_envelope", "_last", "_scope")

    def __init__(self, may_fail: bool) -> None:
        self._scope = trio.CancelScope()
        self._envelope = TolerantTimerEnvelope if may_fail else TimerEnvelope
        self._last: TimerEnvelope | None = None

    def cancel(self) -> None:
        """Send no more messages, and take back the one that waits to be handled, if one does."""
        self._scope.cancel()
        if self._last is not None:
            self._last.take_back()

    async def run(self, cell: MailboxCell, first: float, period: float, message: Any) -> None:
        """Send `message` at `first` and then every `period` seconds (inf: never again).

        A function is called for the message when it is due. One that raises has sent nothing: the
        error leaves this call, or is logged where the message may fail.

        A tick waits for room like any other message. Ticks that come due while the last one has
        not been taken up are skipped: a slow actor gets fewer ticks, never a heap of them.
        """
        due = first
        with self._scope:
            while True:
                await trio.sleep_until(due)
                if not cell.accepting:  # a stopping actor finishes its mail, ticks add no more
                    return
                if self._last is None or self._last.status != QUEUED:
                    last = self._last = self._made(cell, message)
                    if last is not None and not cell.post(last):
                        last.task = current_task()
                        await wait_task_rescheduled(last.withdraw)
                if period == inf:
                    return
                late = max(0.0, trio.current_time() - due)
                due += late - late % period + period  # how many it missed may be beyond a float

    def _made(self, cell: MailboxCell, message: Any) -> TimerEnvelope | None:
        try:
            made = message() if callable(message) else message
        except Exception as error:
            if not self._envelope.may_fail:
                raise
            logger.warning("%s: a timer's message could not be made: %s", cell.path, words(error))
            return None
        return self._envelope(cell, made, cell.route_for(made), inf, None, False)


def check_delay(path: str, what: str, seconds: float, *, positive: bool) -> None:
    """Raise InvalidOption unless `seconds` is a finite time that makes sense."""
    if not is_number(seconds) or not 0 <= seconds < inf or (positive and seconds == 0):
        least = "more than 0" if positive else "0 or more"
        raise InvalidOption(
            f"{path}: {what} {words(seconds)} seconds must be a finite number, {least}, that "
            "fits a float"
        )
