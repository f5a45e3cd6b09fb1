"""Stopping a running fragment from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ffq.errors import QueryCanceled

# An interrupt that arrives just before a statement starts is forgotten by DuckDB: it is repeated.
_REPEAT_S: Final = 0.02


class CancelToken:
    """Cancels one fragment. `cancel` may be called from any thread, also before it starts."""

    def __init__(self) -> None:
        self._canceled = threading.Event()
        self._interrupted = False
        self._lock = threading.Lock()
        self._interrupts: dict[object, Callable[[], None]] = {}
        self._idle = threading.Event()
        self._idle.set()

    @property
    def canceled(self) -> bool:
        return self._canceled.is_set()

    def check(self) -> None:
        """Raises QueryCanceled once `cancel` was called."""
        if self._canceled.is_set():
            raise QueryCanceled("the fragment was canceled")

    def cancel(self) -> None:
        """Stop the fragment. Returns at once; what runs it raises QueryCanceled soon after."""
        with self._lock:
            self._canceled.set()
        self.interrupt()

    def interrupt(self) -> None:
        """Stop what runs now in DuckDB, of a fragment that is over or canceled. Returns at once."""
        with self._lock:
            if self._interrupted or not self._interrupts:
                return
            self._interrupted = True
        threading.Thread(target=self._interrupt_until_idle, name="ffq-cancel", daemon=True).start()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """While inside, `cancel` calls `interrupt`, again and again. Raises QueryCanceled."""
        mark = object()
        with self._lock:
            self.check()
            self._interrupts[mark] = interrupt
            self._idle.clear()
        try:
            yield
        finally:
            with self._lock:
                del self._interrupts[mark]
                if not self._interrupts:
                    self._idle.set()

    def _interrupt_until_idle(self) -> None:
        while True:
            with self._lock:
                for interrupt in self._interrupts.values():
                    interrupt()
            if self._idle.wait(_REPEAT_S):
                return
