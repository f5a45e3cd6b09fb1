"""While a command starts: Ctrl-C ends it at once, since there is nothing to clean up yet.

Python's own way, an exception out of whatever line is running, is for what cleans up. It is no way
out of the import of a module in C: such a module may swallow it, or abort the process.
What a start makes are modules, and no garbage: looking for some took a tenth of its time.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def starting() -> Iterator[None]:
    """Ctrl-C ends the process at once, until `started` or the end of this block.

    Leaves it alone in a thread, and where somebody else hears it already, or it is ignored.
    """
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _leave)
    gc.disable()
    try:
        yield
    finally:
        started()


def started() -> None:
    """There is something to clean up from now on: Ctrl-C is a KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not gc.isenabled():
        gc.freeze()  # modules stay: no collection looks through them again
        gc.enable()


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
