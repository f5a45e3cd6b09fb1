"""The errors of the actor framework, in one tree.

ActorError
├── ProtocolError            the code is wrong, not the moment
│   ├── MissingHandler       a declared message has no handler (class definition)
│   ├── DuplicateHandler     two handlers of one class take one message (class definition)
│   ├── UnfrozenMessage      a message that is not a frozen attrs class
│   ├── MutablePayload       debug mode: a message carries a list, dict, set or bytearray
│   ├── UnhandledMessage     no handler takes this message
│   ├── WrongReplyType       debug mode: a handler returned something else than it declared
│   ├── InvalidOption        a bound or setting that cannot be (negative mailbox, ...)
│   ├── NotStarted           an actor object that no system has started
│   ├── WrongThread          a ref or context used in another thread than its system's
│   └── UnsendableRef        a ref was pickled or copied
├── WaitCycle                this ask (or tell, or stop) would wait on itself
├── MailboxFull              a `_nowait` send found no room
├── StashFull                no room in the stash
├── MessageExpired           a handler was cancelled at a deadline that was moved away since
├── ActorEnded               the actor ended, or ended before it replied
├── ActorFailed              a failure that supervision did not absorb (cause: the failure)
├── ActorNotFound            no actor of that name
├── NameTaken                the parent has a child of that name already
├── SystemClosed             the system is shutting down or closed
├── LedgerMismatch           a bug of the framework: a message is not accounted for
└── IllegalTransition        a bug of the framework: an actor's life took a step that cannot be
"""

from __future__ import annotations

from typing import ClassVar

from ffq.errors import FfqError


class ActorError(FfqError):
    """Base of the framework's own errors. Exceptions of handlers are raised as themselves."""

    reason: ClassVar[str] = "ACTOR"


class ProtocolError(ActorError):
    """The code that defines or uses an actor is wrong; trying again does not help."""


class MissingHandler(ProtocolError):
    """An actor class has no handler for a message of its declared protocol."""


class DuplicateHandler(ProtocolError):
    """Two handlers of one actor class take the same message."""


class UnfrozenMessage(ProtocolError):
    """A message that is not a frozen attrs class derived from Request."""


class MutablePayload(ProtocolError):
    """Debug mode: a field of a message holds a mutable container."""


class UnhandledMessage(ProtocolError):
    """The actor has no handler for this message."""


class WrongReplyType(ProtocolError):
    """Debug mode: a handler returned a value that is not of its message's reply type."""


class InvalidOption(ProtocolError):
    """A setting that cannot be, such as a negative mailbox size."""


class NotStarted(ProtocolError):
    """An actor object was used that no system has started."""


class WrongThread(ProtocolError):
    """A ref or a context was used in another thread than its system's. Nothing has changed."""


class UnsendableRef(ProtocolError):
    """A ref was pickled or copied: it leads to an actor of this process and of one system."""


class WaitCycle(ActorError):
    """Waiting here would wait on itself through a chain of actors.

    `path` is the chain of actor paths; its first and last element are the same actor.
    """

    def __init__(self, message: str, path: tuple[str, ...]) -> None:
        super().__init__(message)
        self.path = path


class MailboxFull(ActorError):
    """A `_nowait` send found the mailbox full."""


class StashFull(ActorError):
    """`ctx.stash()` found the stash full."""


class MessageExpired(ActorError):
    """The handler of an ask was cancelled at a deadline that its asker has moved away since."""


class ActorEnded(ActorError):
    """The actor ended before it handled the message or before it replied."""


class ActorFailed(ActorError):
    """A failure past what supervision restarts; `__cause__` is the failure itself.

    `path` is the actor in which the failure began.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class ActorNotFound(ActorError):
    """No actor of that name or path is alive."""


class NameTaken(ActorError):
    """The parent already has a living child of that name."""


class SystemClosed(ActorError):
    """The system, or the actor that should take the child, is shutting down or gone."""


class LedgerMismatch(ActorError):
    """Sent is not handled + rejected + expired + dead-lettered + in flight: a framework bug."""


class IllegalTransition(ActorError):
    """The table of an actor's life has no such step: a framework bug."""
