"""What is kept by attempt, in a table that grows in pieces.

A dict that gets full is copied into a larger one: with a million entries that takes twenty
milliseconds, in the one step that happened to come then. Here neighbouring tasks have a small dict
of their own, so that no step copies more than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import attrs

from ffq.ids import AttemptKey

V = TypeVar("V")

_BITS: Final = 12
"""Of so many low bits of its number a task's neighbours are told apart."""


@attrs.define(eq=False)
class ByAttempt(Generic[V]):
    """A mapping from attempts to what is kept of them, by and large in the order of their tasks."""

    _pieces: dict[int, dict[AttemptKey, V]] = attrs.field(factory=dict)

    def __setitem__(self, key: AttemptKey, value: V) -> None:
        number = key.task_id >> _BITS
        piece = self._pieces.get(number)
        if piece is None:
            piece = self._pieces[number] = {}
        piece[key] = value

    def __getitem__(self, key: AttemptKey) -> V:
        return self._pieces[key.task_id >> _BITS][key]

    def __contains__(self, key: AttemptKey) -> bool:
        piece = self._pieces.get(key.task_id >> _BITS)
        return piece is not None and key in piece

    def __delitem__(self, key: AttemptKey) -> None:
        number = key.task_id >> _BITS
        piece = self._pieces[number]
        del piece[key]
        if not piece:
            del self._pieces[number]

    def __iter__(self) -> Iterator[AttemptKey]:
        for piece in self._pieces.values():
            yield from piece

    def __len__(self) -> int:
        """Not for each task: it looks at every piece."""
        return sum(map(len, self._pieces.values()))

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def get(self, key: AttemptKey) -> V | None:
        piece = self._pieces.get(key.task_id >> _BITS)
        return None if piece is None else piece.get(key)

    def values(self) -> Iterator[V]:
        for piece in self._pieces.values():
            yield from piece.values()

    def items(self) -> Iterator[tuple[AttemptKey, V]]:
        for piece in self._pieces.values():
            yield from piece.items()

    def popitem(self) -> tuple[AttemptKey, V]:
        """Take one out, of the piece that was begun last. Raises KeyError: there is none."""
        number, piece = next(reversed(self._pieces.items()), (0, {}))
        item = piece.popitem()
        if not piece:
            del self._pieces[number]
        return item
