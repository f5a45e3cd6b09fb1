"""What all actors of one system share: its name and switches, and where they report to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from ffq.runtime.deadletters import DeadLetterOffice
from ffq.runtime.hooks import Hooks
from ffq.runtime.ledger import Ledger

P = ParamSpec("P")


class SystemBase(ABC):
    """The part of an actor system that its actors use; `ActorSystem` is the whole."""

    def __init__(self, name: str, debug: bool, hooks: Hooks | None) -> None:
        self.name = name
        self.debug = debug
        self.hooks = hooks
        self.observed = debug or hooks is not None
        """Every message is checked or reported: false means that nobody wants to know."""
        self.dead_letters = DeadLetterOffice()
        self.ledger = Ledger()
        self.stopping = False
        self.closed = False
        self.at_end: list[Callable[[], object]] = []
        """Frees who waited for what ended the whole system by worse than an Exception."""

    @abstractmethod
    def fail(self, error: Exception, doing: str) -> None:
        """A failure that no supervision absorbed: everything ends."""

    def report(
        self, hook: Callable[Concatenate[Hooks, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Call a hook, named as `Hooks.actor_started`, if there are hooks.

        One that raises fails the system, not the actor it tells of.
        """
        if self.hooks is None:
            return
        try:
            getattr(self.hooks, hook.__name__)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # leaves the block, as any failure at the top
            self.fail(error, f"calling the hook {hook.__name__}")
