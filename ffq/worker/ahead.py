"""What waits at a worker for a slot, and how much may: about so many ms of work."""

from __future__ import annotations

import attrs

from ffq.bounds import MAX_AHEAD
from ffq.ids import AttemptKey
from ffq.messages import Assignment

_UP, _DOWN = 0.5, 0.125
"""How much of an attempt's time is believed at once: of a longer one more, since what waits behind
such ones waits long."""


@attrs.define
class Ahead:
    """Assignments that wait for a slot, the oldest first.

    Attributes:
        slots: attempts that run at once.
        work_ms: of so much work may wait.
    """

    slots: int
    work_ms: int
    _waiting: dict[AttemptKey, Assignment] = attrs.field(factory=dict)
    _mean_s: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: AttemptKey) -> bool:
        return key in self._waiting

    @property
    def keys(self) -> tuple[AttemptKey, ...]:
        return tuple(self._waiting)

    def put(self, assignment: Assignment) -> None:
        """Putting one that waits already changes nothing."""
        self._waiting.setdefault(assignment.key, assignment)

    def take(self, key: AttemptKey | None = None) -> Assignment | None:
        """It waits no more; without a key, the oldest. None: there is none."""
        if key is None:
            key = next(iter(self._waiting), None)
        return None if key is None else self._waiting.pop(key, None)

    def note(self, seconds: float) -> None:
        """An attempt has had a slot for so long."""
        mean = self._mean_s
        if mean is None:
            self._mean_s = seconds
        else:
            self._mean_s = mean + (seconds - mean) * (_UP if seconds > mean else _DOWN)

    @property
    def room(self) -> int:
        """How many more may wait: none before it is known how long one takes."""
        if self._mean_s is None:
            return 0
        most = MAX_AHEAD
        if self._mean_s > 0:
            most = min(most, int(self.work_ms / 1000 * self.slots / self._mean_s))
        return max(0, most - len(self._waiting))
