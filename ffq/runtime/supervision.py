"""Supervision as data: what a parent does when a child fails (A6)."""

from __future__ import annotations

import enum
from math import inf

import attrs

from ffq.errors import words
from ffq.runtime._checks import check_instance, check_seconds, is_number
from ffq.runtime.errors import InvalidOption


class Strategy(enum.Enum):
    """Which children are restarted when one of them fails."""

    ONE_FOR_ONE = "one_for_one"
    """Only the child that failed."""
    ONE_FOR_ALL = "one_for_all"
    """All children, in order of their start."""
    REST_FOR_ONE = "rest_for_one"
    """The child that failed and those started after it."""


@attrs.frozen
class Backoff:
    """How long to wait before a restart, in seconds: initial, initial * factor, ... up to maximum.

    The count starts again when a whole `Supervision.within` passes without a failure.
    """

    initial: float = 0.0
    factor: float = 2.0
    maximum: float = 60.0

    def __attrs_post_init__(self) -> None:
        sound = (
            all(map(is_number, (self.initial, self.factor, self.maximum)))
            and 0 <= self.initial <= self.maximum < inf
            and 1 <= self.factor < inf
        )
        if not sound:
            raise InvalidOption(
                f"{words(self)}: a backoff needs 0 <= initial <= maximum and factor >= 1, all "
                "finite"
            )

    def delay(self, restart: int) -> float:
        """Seconds to wait before the restart number `restart`, counted from 1."""
        try:
            return min(self.maximum, self.initial * self.factor ** (restart - 1))
        except OverflowError:
            return self.maximum


@attrs.frozen
class Supervision:
    """What happens when a child fails: at most `max_restarts` within `within` seconds.

    The failure that would need one restart more goes up: the parent fails with it. The default
    restarts nothing, so no failure is hidden.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    max_restarts: int = 0
    within: float = inf
    backoff: Backoff = attrs.field(factory=Backoff)

    def __attrs_post_init__(self) -> None:
        check_instance("strategy", self.strategy, Strategy)
        check_instance("backoff", self.backoff, Backoff)
        whole = isinstance(self.max_restarts, int) and not isinstance(self.max_restarts, bool)
        if not whole or self.max_restarts < 0:
            raise InvalidOption(
                f"max_restarts={words(self.max_restarts)}: must be a whole number, 0 or more"
            )
        check_seconds("within", self.within, positive=True)


class RestartBudget:
    """Counts the restarts of one policy. Holds at most `max_restarts` times."""

    __slots__ = ("_policy", "_times")

    def __init__(self, policy: Supervision) -> None:
        self._policy = policy
        self._times: list[float] = []

    def spend(self, now: float) -> float | None:
        """Take one restart at `now`: the seconds to back off, or None when none is left."""
        self._times = [time for time in self._times if now - time < self._policy.within]
        if len(self._times) >= self._policy.max_restarts:
            return None
        self._times.append(now)
        return self._policy.backoff.delay(len(self._times))
