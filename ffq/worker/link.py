"""The worker's side of its coordinator: who it is there, and calls that outlive an absence."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

from ffq.errors import InvariantViolated, Unavailable
from ffq.ids import WorkerId
from ffq.messages import Rpc
from ffq.proto.rows import row_of
from ffq.retry import RetryPolicy, until_answered, within
from ffq.runtime.remarks import RemarkLogger
from ffq.service import Coordinator

R = TypeVar("R")

logger = RemarkLogger(logging.getLogger("ffq.worker"))


@attrs.frozen
class WorkerIdentity:
    """What a worker says about itself in every call.

    Attributes:
        incarnation: tells a restarted worker from the one before it; greater after a restart, > 0,
            and no other process's.
        capabilities: custom operators by name, and features (`ffq.splits`); asked at every
            heartbeat, for operators may be registered later.
        endpoint: `host:port` where others fetch its map outputs.
        family: its engine's hashes and aggregate states (R31).
    """

    worker_id: WorkerId
    incarnation: int
    capabilities: Callable[[], frozenset[str]]
    endpoint: str
    family: str


@attrs.define
class CoordinatorLink:
    """Says once when the coordinator goes away and once when it is back."""

    coordinator: Coordinator
    name: str
    retry: RetryPolicy
    _away: bool = False
    _answered_at: float = -math.inf

    async def once(self, message: Rpc[R], *, timeout_ms: int | None = None) -> R:
        """One try. Raises Unavailable, or the error that the coordinator answered."""
        retry = self.retry
        if timeout_ms is not None:
            retry = attrs.evolve(retry, timeout_ms=timeout_ms)
        try:
            answer = await within(self.coordinator.ask(message), retry, type(message).__name__)
        except Unavailable as error:
            self._missed(error)
            raise
        self.answered()
        return answer

    async def ask(self, message: Rpc[R], *, quota_tries: int | None = None) -> R:
        """Try until it answers. The way out is to be cancelled.

        Raises InvariantViolated for what may not be repeated.
        """
        if not row_of(message).repeatable:
            raise InvariantViolated(f"{type(message).__name__} must not be sent a second time")
        retry = self.retry
        if quota_tries is not None:
            retry = attrs.evolve(retry, quota_tries=quota_tries)
        answer = await until_answered(
            lambda: self.coordinator.ask(message),
            retry,
            type(message).__name__,
            on_failure=self._missed,
        )
        self.answered()
        return answer

    @property
    def answered_at(self) -> float:
        """When it last answered anything, on Trio's clock; -infinity when it never did."""
        return self._answered_at

    @property
    def silent_ms(self) -> float:
        """Time since it last answered anything; infinite when it never did."""
        return (trio.current_time() - self._answered_at) * 1000

    def _missed(self, error: Unavailable) -> None:
        if not self._away:
            self._away = True
            logger.warning("coordinator %s is unreachable, trying on: %s", self.name, error.message)

    def answered(self) -> None:
        """It said something just now, by whatever way."""
        self._answered_at = trio.current_time()
        if self._away:
            self._away = False
            logger.info("coordinator %s answers again", self.name)
