"""What the four actors have in common: each owns one core machine and asks it under its clock.

A machine that raises a typed error has changed nothing: the caller gets the error and the next
message is served. After any other exception (a bug of ours) the machine is checked: consistent, it
serves on; inconsistent, the actor fails, and with it, loudly, the coordinator.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import attrs
import trio

from ffq.core import Outcome
from ffq.errors import FfqError, InvariantViolated
from ffq.runtime import Actor, Request, handles

logger = logging.getLogger("ffq.actors")

Clock = Callable[[], int]
"""The coordinator's monotonic clock, ms."""

Q = TypeVar("Q")
R = TypeVar("R")
M_contra = TypeVar("M_contra", contravariant=True)


class Machine(Protocol):
    """What every core machine can do."""

    def validate_state(self) -> None: ...


@attrs.frozen
class ValidateState(Request[None]):
    """Check the machine. Raises InvariantViolated."""


class MachineActor(Actor[M_contra]):
    """The owner of one machine. It is handed in: an actor that starts finds it checked."""

    def __init__(self, machine: Machine, clock: Clock) -> None:
        self._machine = machine
        self._clock = clock

    async def on_start(self) -> None:
        self._machine.validate_state()

    @handles(ValidateState)
    def validate_state(self, _: ValidateState) -> None:
        self._machine.validate_state()

    def decide(self, step: Callable[[Q, int], R], msg: Q) -> R:
        """`step(msg, now)` of the machine. Raises what it raises."""
        try:
            return step(msg, self._clock())
        except Exception as error:
            if not isinstance(error, FfqError) or isinstance(error, InvariantViolated):
                logger.exception("%s failed in %s", type(msg).__name__, self.ctx.path)
                self._check_after_bug()
            raise

    def reply(self, step: Callable[[Q, int], Outcome[R]], msg: Q) -> R:
        """`decide` for a machine that tells nobody anything."""
        return self.decide(step, msg).reply

    async def repeat(self, period_ms: int, message: Callable[[], Request[None]]) -> None:
        """A task: send oneself `message()` every `period_ms`, made when it is sent.

        One that fails has been dealt with by `decide`: the next is sent all the same.
        """
        while True:
            await trio.sleep(period_ms / 1000)
            try:
                await self.ctx.ref.ask(message())
            except Exception as error:  # noqa: BLE001  # a timer must not die of one failure
                logger.warning("%s: a timer's message failed: %r", self.ctx.path, error)

    def _check_after_bug(self) -> None:
        try:
            self._machine.validate_state()
        except Exception as error:  # noqa: BLE001  # broken books can make the check itself fail
            self.stop_loudly(error)

    def stop_loudly(self, error: Exception) -> None:
        """Fail this actor, whoever asks: what it holds can no longer be trusted."""

        async def fail() -> None:
            raise error

        self.ctx.start_task(fail)
