"""Hooks: what a system tells about itself, for metrics and traces (A12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffq.runtime.deadletters import DeadLetter
    from ffq.runtime.lifecycle import Ended


class Hooks:
    """Subclass it, override what you want to know, give it to `ActorSystem(hooks=...)`.

    Hooks are plain calls in the Trio thread at the moment of the event: they must be quick. What
    one raises leaves the system's block, as a failure that no supervision absorbs. They cost a few
    hundred nanoseconds per message, so they are off by default.
    """

    def actor_started(self, path: str, restarts: int) -> None:
        """An actor is ready, for the first time or after a restart."""

    def actor_failed(self, path: str, error: Exception) -> None:
        """An incarnation failed; a restart or the actor's end follows."""

    def actor_ended(self, ended: Ended) -> None:
        """An actor has ended and its name is free."""

    def message_handled(self, path: str, message: Any, error: BaseException | None) -> None:
        """A handler has finished; `error` is what it raised, if it did."""

    def dead_letter(self, letter: DeadLetter) -> None:
        """A message became a dead letter."""
