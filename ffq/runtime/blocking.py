"""Waits of threads that run no Trio, which Ctrl-C always ends.

Python raises KeyboardInterrupt between two instructions of its main thread. A signal that comes
when the thread has gone to wait for a lock but does not wait yet, or that the system hands to
another thread, wakes nobody: a wait without a time limit would then last for ever.
"""

from __future__ import annotations

import queue
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Final, TypeVar

LOOK_EVERY_S: Final = 0.1
"""How late a signal that woke nobody is seen at most."""

T = TypeVar("T")


def wait_blocking(future: Future[T]) -> T:
    """The future's result, or its exception."""
    # A future's own wait, interrupted in an unlucky place, leaves the future locked for ever.
    ready: queue.SimpleQueue[Future[T]] = queue.SimpleQueue()
    future.add_done_callback(ready.put)
    settled: Future[T] | None = None
    while settled is None:
        with suppress(queue.Empty):
            settled = ready.get(timeout=LOOK_EVERY_S)
    return settled.result()


def join_blocking(thread: Thread) -> None:
    """Wait until the thread has ended."""
    while thread.is_alive():
        thread.join(LOOK_EVERY_S)
