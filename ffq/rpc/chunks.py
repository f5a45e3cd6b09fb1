"""Chunks that need no call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class InMemory(Generic[T]):
    """Chunks that are there already; who takes them waits between them."""

    def __init__(self, chunks: Iterator[T]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> InMemory[T]:
        return self

    async def __anext__(self) -> T:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration
