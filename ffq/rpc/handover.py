"""From one thread to another, in order, and with one wake-up for all that waits.

To wake the other thread's loop is dear: a system call on each side, and the interpreter's lock is
let go in between. So it is done only when the other side has not been told already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

MOST = 64
"""Actions done at one wake-up; then the other side's loop has its turn."""


class Puts(Protocol):
    """A way from one side to the other."""

    def put(self, action: Callable[..., object], *args: Any) -> None:
        """Have `action(*args)` done by the other side. In it an action must not raise."""
        ...


class Handover:
    """Actions that one thread puts in and another, which has a loop, does.

    Args:
        wake: has the other thread's loop call a function, soon and in its own thread. What it
            raises when that loop has ended is raised by `put`.
        later: has this thread's loop call a function at its next turn: then all that is put in
            within one turn goes over together. What `wake` raises is then for `lost`.
        lost: called, in this thread, with each action that can be handed over no more, and its
            arguments.
        back: the way back. What the actions put into it goes over together, after them.
    """

    __slots__ = ("_back", "_held", "_later", "_lost", "_told", "_waiting", "_wake")

    def __init__(
        self,
        wake: Callable[[Callable[[], None]], object],
        *,
        later: Callable[[Callable[[], None]], object] | None = None,
        lost: Callable[..., None] | None = None,
        back: Handover | None = None,
    ) -> None:
        self._wake: Final = wake
        self._later: Final = later
        self._lost: Final = lost
        self._back: Final = back
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._told = False
        self._held = False

    def put(self, action: Callable[..., object], *args: Any) -> None:
        """Have `action(*args)` done by the other thread. In it an action must not raise."""
        # First into the queue, then the look whether it is told: the other thread does it the
        # other way round, so that nothing stays behind unnoticed.
        self._waiting.append((action, args))
        if self._told or self._held:
            return
        if self._later is None:
            self._tell()
        else:
            self._told = True
            self._later(self._tell_later)

    def _tell(self) -> None:
        self._told = True
        try:
            self._wake(self._work)
        except BaseException:
            self._told = False
            raise

    def _tell_later(self) -> None:
        """In this thread, at the turn after a `put`."""
        if not self._waiting:  # an earlier wake-up has served it
            self._told = False
            return
        try:
            self._tell()
        except Exception:  # noqa: BLE001  # the loop has ended: each is dealt with as its own
            while self._waiting:
                action, args = self._waiting.popleft()
                assert self._lost is not None
                self._lost(action, *args)

    def _hold(self) -> None:
        self._held = True

    def _let_go(self) -> None:
        self._held = False
        if self._waiting and not self._told:
            self._tell()

    def _work(self) -> None:
        """In the other thread."""
        self._told = False
        waiting, back = self._waiting, self._back
        if back is not None:
            back._hold()
        try:
            for _ in range(min(len(waiting), MOST)):
                action, args = waiting.popleft()
                action(*args)
        finally:
            try:
                if waiting and not self._told:
                    self._tell()
            finally:
                if back is not None:
                    back._let_go()


class Here:
    """The way to a side that is in the same thread: what is put in is done at once."""

    __slots__ = ()

    def put(self, action: Callable[..., object], *args: Any) -> None:
        action(*args)
