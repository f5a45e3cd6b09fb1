"""Operators that are classes: set up once in a process for each config, and kept."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import attrs

from ffq.engine.cancel import CancelToken
from ffq.errors import FfqError

logger = logging.getLogger("ffq.engine")

MOST_IDLE: Final = 8
"""How many are kept that nobody uses."""
_LOOK_S: Final = 0.05
"""How often who waits looks whether the query was canceled: no lock hears of that."""

Key: TypeAlias = tuple[object, tuple[tuple[str, str], ...]]


@attrs.define(eq=False)
class Instance:
    """One that is set up.

    Attributes:
        value: what the class made; None while it is being made.
        failure: why it could not be made.
        users: fragments that use it, or wait for it.
        calls: held during each call of it.
    """

    value: Any = None
    made: bool = False
    failure: FfqError | None = None
    users: int = 0
    calls: threading.Lock = attrs.field(factory=threading.Lock)

    @contextmanager
    def alone(self, cancel: CancelToken) -> Iterator[None]:
        """While inside, no other thread is. Raises QueryCanceled."""
        while not self.calls.acquire(timeout=_LOOK_S):
            cancel.check()
        try:
            yield
        finally:
            self.calls.release()


class Instances:
    """Those of one process, by operator and config. Thread-safe.

    One that is in use is never closed. Of those that are not, the ones used last are kept; the
    others, and all when no engine is open any more, are closed by their `close()`, if they have it.
    """

    def __init__(self, most_idle: int = MOST_IDLE) -> None:
        self._most_idle = most_idle
        self._known: OrderedDict[Key, Instance] = OrderedDict()
        self._changed = threading.Condition()
        self._engines = 0

    def open(self) -> None:
        """An engine may use them from now on."""
        with self._changed:
            self._engines += 1

    def close(self) -> None:
        """An engine does so no longer."""
        with self._changed:
            self._engines -= 1
            unused = self._unused()
        _close_all(unused)

    @contextmanager
    def using(self, key: Key, make: Callable[[], Any], cancel: CancelToken) -> Iterator[Instance]:
        """The instance, made by the first who asks for it; others wait for that.

        When making it fails, all who wait get the same error, and who asks later tries it again.

        Args:
            make: raises FfqError alone.

        Raises:
            FfqError: of `make`. QueryCanceled: while waiting.
        """
        with self._changed:
            instance = self._known.get(key)
            makes = instance is None
            if instance is None:
                instance = self._known[key] = Instance()
            instance.users += 1
            self._known.move_to_end(key)
        try:
            if makes:
                self._make(key, instance, make)
            else:
                self._wait(instance, cancel)
            yield instance
        finally:
            with self._changed:
                instance.users -= 1
                unused = self._unused()
            _close_all(unused)

    def _make(self, key: Key, instance: Instance, make: Callable[[], Any]) -> None:
        try:
            value = make()
        except FfqError as error:
            with self._changed:
                instance.failure = error
                del self._known[key]
                self._changed.notify_all()
            raise
        with self._changed:
            instance.value, instance.made = value, True
            self._changed.notify_all()

    def _wait(self, instance: Instance, cancel: CancelToken) -> None:
        with self._changed:
            while not instance.made:
                if instance.failure is not None:
                    raise instance.failure
                cancel.check()
                self._changed.wait(_LOOK_S)

    def _unused(self) -> list[Instance]:
        """Taken out: those to be closed."""
        idle = [key for key, instance in self._known.items() if not instance.users]
        most = self._most_idle if self._engines > 0 else 0
        return [self._known.pop(key) for key in idle[: max(0, len(idle) - most)]]


def _close_all(instances: list[Instance]) -> None:
    """Nobody's query waits for this: what fails here is logged."""
    for instance in instances:
        close = getattr(instance.value, "close", None)
        if instance.made and callable(close):
            try:
                close()
            except Exception:
                logger.exception("an operator's close() failed: %s", type(instance.value).__name__)
