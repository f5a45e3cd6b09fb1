"""By which way a worker holds its stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ffq.service import OpenExchange

_TRIES: Final = 2
"""A coordinator that is just starting may answer calls and break a stream, but not twice."""


@attrs.define
class Ways:
    """The first way, unless calls are answered while streams of it are of no use.

    Then the next one, while that is of use; after it the first again.

    Args:
        ways: at least one, the best first.
    """

    ways: Sequence[OpenExchange]
    _at: int = 0
    _vain: int = 0

    @property
    def way(self) -> OpenExchange:
        """To be tried next."""
        return self.ways[self._at]

    def ended(self, *, attached: bool, answered: bool) -> None:
        """A stream of `way` ended.

        Args:
            attached: the coordinator had answered on it.
            answered: it answered calls meanwhile.
        """
        if attached:
            self._at = self._vain = 0
        elif answered:
            self._vain += 1
            if self._vain >= _TRIES:
                self._vain = 0
                self._at = (self._at + 1) % len(self.ways)
