"""What all actors of one system share: its name and switches, and where they report to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from ffq.runtime.deadletters import DeadLetterOffice
from ffq.runtime.errors import WrongThread
from ffq.runtime.hooks import Hooks
from ffq.runtime.ledger import Ledger

if TYPE_CHECKING:
    import trio

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
        self.books = Ledger()
        """Of the actors that have ended, and of late mail to them."""
        self.thread = 0
        """Where it runs, as `threading.get_ident` says."""
        self.stopping = False
        self.closed = False
        self._to_cancel: list[trio.CancelScope] | None = None
        self.nested = 0
        """Posted messages that are handled within each other's `post` right now."""
        self.at_end: list[Callable[[], object]] = []
        """Frees who waited for what ended the whole system by worse than an Exception."""

    def check_thread(self, what: str) -> None:
        """Raise WrongThread, before anything changes, unless this is the system's own thread."""
        if get_ident() != self.thread:
            raise WrongThread(
                f"{what} was used in another thread than that of the system {self.name}: get "
                "`portal = system.portal()` in the Trio thread, and call "
                "`portal.ask(ref, message)`, `portal.tell` or `portal.call` in this one"
            )

    def cancel(self, scope: trio.CancelScope) -> None:
        """Cancel the scope of a handler whose asker has gone.

        What its handler asks loses its asker by that, within this very call, and so on: such
        scopes take their turn here, for a chain of asks may be deeper than Python's stack.
        """
        if self._to_cancel is not None:
            self._to_cancel.append(scope)
            return
        scopes = self._to_cancel = [scope]
        try:
            while scopes:
                scopes.pop().cancel()
        finally:
            self._to_cancel = None

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
