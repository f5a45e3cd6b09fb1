"""From one thread to another, in order, and with one wake-up for all that waits.

To wake the other thread's loop is dear: a system call on each side, and the interpreter's lock is
let go in between. So it is done only when the other side has not been told already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

MOST = 64
"""Actions done at one wake-up; then the other side's loop has its turn."""


class Handover:
    """Actions that one thread puts in and another, which has a loop, does.

    Args:
        wake: has the other thread's loop call a function, soon and in its own thread. What it
            raises when that loop has ended is raised by `put`.
    """

    __slots__ = ("_told", "_waiting", "_wake")

    def __init__(self, wake: Callable[[Callable[[], None]], object]) -> None:
        self._wake: Final = wake
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._told = False

    def put(self, action: Callable[..., object], *args: Any) -> None:
        """Have `action(*args)` done by the other thread. In it an action must not raise."""
        # First into the queue, then the look whether it is told: the other thread does it the
        # other way round, so that nothing stays behind unnoticed.
        self._waiting.append((action, args))
        if not self._told:
            self._tell()

    def _tell(self) -> None:
        self._told = True
        try:
            self._wake(self._work)
        except BaseException:
            self._told = False
            raise

    def _work(self) -> None:
        """In the other thread."""
        self._told = False
        waiting = self._waiting
        try:
            for _ in range(min(len(waiting), MOST)):
                action, args = waiting.popleft()
                action(*args)
        finally:
            if waiting and not self._told:
                self._tell()
