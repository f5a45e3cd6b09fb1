"""Dead letters: messages that no actor will handle, for whoever wants to see them (A11)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from ffq.runtime.errors import InvalidOption


@attrs.frozen
class DeadLetter:
    """A message that was sent to `path` and that no handler will take, and why."""

    path: str
    message: Any
    why: str


class DeadLetterFeed:
    """What a subscriber reads: `async for letter in feed`. Holds at most `buffer` letters."""

    def __init__(self, buffer: int) -> None:
        self._send, self._receive = trio.open_memory_channel[DeadLetter](buffer)
        self.dropped = 0
        """Letters this subscriber did not get because it was `buffer` letters behind."""

    def put(self, letter: DeadLetter) -> None:
        """Add a letter, or count it as dropped when the buffer is full or the system closed."""
        try:
            self._send.send_nowait(letter)
        except (trio.WouldBlock, trio.ClosedResourceError):
            self.dropped += 1

    def close(self) -> None:
        """End the iteration once the buffered letters are read."""
        self._send.close()

    def __aiter__(self) -> DeadLetterFeed:
        return self

    async def __anext__(self) -> DeadLetter:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


class DeadLetterOffice:
    """Where the dead letters of a system go. `count` is their total."""

    def __init__(self) -> None:
        self.count = 0
        self._closed = False
        self._feeds: list[DeadLetterFeed] = []

    def publish(self, letter: DeadLetter) -> None:
        """Count a letter and give it to every subscriber."""
        self.count += 1
        for feed in self._feeds:
            feed.put(letter)

    @contextmanager
    def subscribe(self, buffer: int = 64) -> Iterator[DeadLetterFeed]:
        """Read dead letters while the block runs; `buffer` letters are kept for a slow reader.

        The loop over them ends when the system has closed. Raises InvalidOption.
        """
        if not isinstance(buffer, int) or isinstance(buffer, bool) or buffer < 0:
            raise InvalidOption(
                f"dead letters: buffer={buffer!r} must be a whole number, 0 or more"
            )
        feed = DeadLetterFeed(buffer)
        self._feeds.append(feed)
        if self._closed:
            feed.close()
        try:
            yield feed
        finally:
            self._feeds.remove(feed)
            feed.close()

    def close(self) -> None:
        """The system has ended: let every subscriber's loop end."""
        self._closed = True
        for feed in self._feeds:
            feed.close()
