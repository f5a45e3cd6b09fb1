"""What an engine has found out and need not ask again: answers that depend on nothing but the key.

A stage's second task asks what its first one has asked, and so does a query that is run again. An
answer from here takes microseconds, one of the engine's half a millisecond and more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

import attrs

from ffq.engine.columns import Footer

V = TypeVar("V")

_MOST_OF_ALL: Final = 8
"""No answer takes more than one of so many parts of the room: it would drive all others out."""
_TYPE_CHARACTERS: Final = 4 * 1024 * 1024
_STREAM_BYTES: Final = 1024 * 1024
_FOOTER_PARTS: Final = 64 * 1024


class Answers(Generic[V]):
    """Answers by what was asked; those not asked for longest are dropped. Thread-safe.

    Args:
        room: what the weights of all may add up to, in whatever unit the caller weighs.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def keep(self, key: Hashable, answer: V, weight: int) -> None:
        """`weight`: of key and answer."""
        if weight * _MOST_OF_ALL > self._room:
            return
        with self._lock:
            _, before = self._kept.pop(key, (None, 0))
            self._kept[key] = answer, weight
            self._used += weight - before
            while self._used > self._room:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._used -= dropped

    @property
    def used(self) -> int:
        """The sum of the weights."""
        return self._used


@attrs.frozen
class Known:
    """All of one engine.

    Attributes:
        types: of expressions over columns of some types.
        streams: the engine's types of an Arrow stream's columns, by the schema's bytes.
        footers: of files, by path and version.
    """

    types: Answers[tuple[str, ...]] = attrs.field(factory=lambda: Answers(_TYPE_CHARACTERS))
    streams: Answers[tuple[str, ...]] = attrs.field(factory=lambda: Answers(_STREAM_BYTES))
    footers: Answers[Footer] = attrs.field(factory=lambda: Answers(_FOOTER_PARTS))
