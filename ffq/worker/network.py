"""How fast map outputs get to those who read them, as far as this worker has seen."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

import attrs
import trio

DEFAULT_LINK_MBIT: Final = 1_000
"""Of a network that nothing is known of, megabits a second."""
LEAST_BYTES: Final = 1 << 20
"""Of one fetch that says something of the network; of a smaller one most of the time is waiting."""
_MEMORY_BYTES: Final = 1 << 30
"""After so many bytes those before count half."""


def bytes_per_s(mbit: int) -> float:
    """Of megabits a second; inf of 0, which stands for a network that costs nothing."""
    return mbit * 1e6 / 8 if mbit else inf


@attrs.define
class Network:
    """What went between hosts, and what was read in this one. Used in the Trio thread.

    Readers of this worker's outputs are taken to be where those are whose outputs it reads.

    Args:
        assumed_bytes_per_s: between hosts, until it was seen; inf: always taken to cost nothing.
    """

    assumed_bytes_per_s: float = bytes_per_s(DEFAULT_LINK_MBIT)
    clock: Callable[[], float] = trio.current_time
    _one_host: bool = attrs.field(default=False, init=False)
    _near_bytes: float = attrs.field(default=0, init=False)
    _far_bytes: float = attrs.field(default=0, init=False)
    _timed_bytes: float = attrs.field(default=0, init=False)
    _timed_s: float = attrs.field(default=0, init=False)
    _open: int = attrs.field(default=0, init=False)
    _since: float = attrs.field(default=0, init=False)

    def reached_at(self, host: str) -> None:
        """Others reach this worker there: where that is this host alone, they all are here."""
        try:
            self._one_host = ipaddress.ip_address(host.strip("[]")).is_loopback
        except ValueError:
            self._one_host = host == "localhost"

    def near(self, size: int) -> None:
        """So many bytes were read from this host."""
        self._near_bytes += size
        self._forget()

    @contextmanager
    def fetching(self, expected: int) -> Iterator[Callable[[int], None]]:
        """A fetch from another host, of about so many bytes; to be told what comes.

        Several at a time share the network: what counts is the time in which any is open.
        """
        timed = expected >= LEAST_BYTES

        def came(size: int) -> None:
            self._far_bytes += size
            self._timed_bytes += size * timed

        if timed:
            self._note_time()
            self._open += 1
        try:
            yield came
        finally:
            if timed:
                self._note_time()
                self._open -= 1
            self._forget()

    def to_readers_bytes_per_s(self) -> float:
        """Bytes in a second to those who read outputs of this worker; inf: they all are here."""
        far, near = self._far_bytes, self._near_bytes
        if self._one_host or self.assumed_bytes_per_s == inf or (near and not far):
            return inf
        seen = self._timed_bytes >= LEAST_BYTES and self._timed_s > 0
        link = self._timed_bytes / self._timed_s if seen else self.assumed_bytes_per_s
        return link * (far + near) / far if far else link

    def _note_time(self) -> None:
        now = self.clock()
        if self._open:
            self._timed_s += now - self._since
        self._since = now

    def _forget(self) -> None:
        """What was long ago counts less: a cluster grows, and a network changes."""
        if self._near_bytes + self._far_bytes > _MEMORY_BYTES:
            self._near_bytes /= 2
            self._far_bytes /= 2
        if self._timed_bytes > _MEMORY_BYTES:
            self._timed_bytes /= 2
            self._timed_s /= 2
