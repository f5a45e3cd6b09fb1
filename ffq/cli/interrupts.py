"""Ctrl-C while a command starts: there is nothing to clean up yet, and it ends at once.

Python's own way, an exception out of whatever line is running, is for what cleans up. It is no way
out of the import of a module in C: such a module may swallow it, or abort the process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def starting() -> Iterator[None]:
    """Ctrl-C ends the process at once, until `started` or the end of this block.

    Does nothing in a thread, and where somebody else hears Ctrl-C already, or it is ignored.
    """
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        started()


def started() -> None:
    """There is something to clean up from now on: Ctrl-C is a KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
