"""One message under way: who waits for it, how long, and what its handler waits for in turn."""

from __future__ import annotations

from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from trio.lowlevel import Abort, Task, current_task, reschedule

from ffq.runtime.errors import MessageExpired

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from ffq.runtime._handlers import Route
    from ffq.runtime._system_base import SystemBase

    OnReply = Callable[[Any, BaseException | None], None]

QUEUED = 0
RUNNING = 1
DONE = 2


class Node(Protocol):
    """An actor, as far as its messages and the graph of waits know it."""

    @property
    def path(self) -> str:
        """Where it stands."""
        ...

    @property
    def system(self) -> SystemBase:
        """The system it lives in."""
        ...

    @property
    def task(self) -> Task | None:
        """The task it lives in; None before its start and after its end."""
        ...

    def withdraw(self, envelope: Envelope) -> None:
        """Whoever waited with this message, which no handler has begun, has gone."""
        ...

    def handlers(self) -> tuple[Envelope, ...]:
        """What it is busy with: its start, end or restart, or messages being handled."""
        ...

    def slots_full(self) -> bool:
        """True when a queued message must wait for one of `handlers()` to finish."""
        ...

    def children(self) -> tuple[Node, ...]:
        """Living children, in order of their start."""
        ...


class Envelope:
    """A message on its way; also stands for an actor's start or end, which can wait too.

    `deadline` is absolute, in seconds of Trio's clock. `task` is the task parked on it: for an ask
    the asker until the reply, for a tell the sender until there is room. `waits` holds what the
    handler of this message waits for now (envelopes, or actors it waits to end). One that is DONE
    before its handler has begun was withdrawn, and may still lie in the mailbox, to be skipped.
    """

    __slots__ = (
        "asks",
        "cell",
        "deadline",
        "error",
        "message",
        "route",
        "scope",
        "status",
        "task",
        "value",
        "waits",
    )

    may_fail = False
    """A failure of a message that is no ask is logged, and does not fail the actor."""
    of_incarnation = False
    """A timer's or a watch's: it goes with the incarnation that set that."""
    on_reply: OnReply | None = None
    """Who is called with the reply, where no task waits for it (`ActorRef.post`)."""
    at_once = False
    """Its handler runs right now within the call that posts it, so not in the actor's task."""

    def __init__(
        self,
        cell: Node,
        message: Any,
        route: Route | None,
        deadline: float,
        task: Task | None,
        asks: bool,
    ) -> None:
        self.cell = cell
        self.message = message
        self.route = route
        self.deadline = deadline
        self.task = task
        self.asks = asks
        self.status = QUEUED
        self.value: Any = None
        self.error: BaseException | None = None
        self.scope: trio.CancelScope | None = None
        self.waits: list[Envelope | Node] | None = None

    @property
    def awaited(self) -> bool:
        """Whether somebody still waits for what becomes of it."""
        return self.task is not None

    def leave_out(self) -> None:
        """Whoever waits hears of it by an exception of the very call that sends it."""
        self.task = None

    def abandon(self, _raise_cancel: Callable[[], Any]) -> Abort:
        """The asker was cancelled: cancel its handler, unless the message is detached (A5)."""
        self.task = None
        if self.status == QUEUED:
            self.cell.withdraw(self)
        elif self.scope is not None and self.route is not None:
            scope, self.scope = self.scope, None
            if self.status == RUNNING and not self.route.detached:
                self.cell.system.cancel(scope)
        return Abort.SUCCEEDED

    def withdraw(self, _raise_cancel: Callable[[], Any]) -> Abort:
        """A sender that waited for room was cancelled: its message was never sent."""
        self.task = None
        self.take_back()
        return Abort.SUCCEEDED

    def take_back(self) -> None:
        """Nobody wants it any more: unless its handler has begun, it never will."""
        if self.status == QUEUED:
            self.cell.withdraw(self)

    def wake(self, error: BaseException | None = None) -> None:
        """Let the parked task go on, with `error` if given; nothing happens if nobody waits."""
        task = self.task
        if task is not None:
            self.task = None
            self.error = error
            reschedule(task)

    def __repr__(self) -> str:
        what = "start or end" if self.route is None else type(self.message).__qualname__
        return f"<{what} to {self.cell.path}>"


class Posted(Envelope):
    """An ask whose reply goes to a function. No task waits, so none stands at its end of a wait."""

    __slots__ = ("at_once", "on_reply")

    def __init__(
        self, cell: Node, message: Any, route: Route, deadline: float, on_reply: OnReply
    ) -> None:
        super().__init__(cell, message, route, deadline, None, True)
        self.on_reply: OnReply | None = on_reply
        self.at_once = False

    @property
    def awaited(self) -> bool:
        """Whether the function is still to be called."""
        return self.on_reply is not None

    def leave_out(self) -> None:
        """Whoever posts hears of it by an exception of the very call that posts it."""
        self.on_reply = None

    def give_up(self) -> None:
        """As an ask that is cancelled (A5): the function is not called any more."""
        if self.on_reply is not None:
            self.on_reply = None
            self.abandon(_no_exception)

    def wake(self, error: BaseException | None = None) -> None:
        """Call the function, once, with the reply or with `error`."""
        on_reply = self.on_reply
        if on_reply is None:
            return
        self.on_reply = None
        if isinstance(error, Late):
            error = MessageExpired(str(error))
        try:
            on_reply(self.value if error is None else None, error)
        except Exception as failure:  # noqa: BLE001  # of nobody here: as a hook's
            what = type(self.message).__qualname__
            self.cell.system.fail(failure, f"handing over the reply to {what}")


class TimerEnvelope(Envelope):
    """A timer's message. A class and not fields, for hardly any message is one."""

    __slots__ = ()

    of_incarnation = True


class TolerantTimerEnvelope(TimerEnvelope):
    """A timer's message that may fail."""

    __slots__ = ()

    may_fail = True


class NoticeEnvelope(Envelope):
    """The notice that an actor, `about`, has ended."""

    __slots__ = ("about",)

    of_incarnation = True

    def __init__(self, cell: Node, message: Any, route: Route | None, about: Node) -> None:
        super().__init__(cell, message, route, inf, None, False)
        self.about = about


class Late(MessageExpired):
    """What wakes an asker whose deadline the mailbox saw pass before Trio did.

    It says `begun`, whether the handler had begun, and never leaves the asker's `ask`.
    """

    def __init__(self, message: str, begun: bool) -> None:
        super().__init__(message)
        self.begun = begun


# The message whose handler runs in the current task, or None outside of handlers. Tasks inherit it
# from the task that starts them, also those a handler starts in a nursery it does not wait for.
HANDLING: ContextVar[Envelope | None] = ContextVar("ffq_handling", default=None)
# The task of a portal's call that a handler made from a thread of its own: it waits for that task.
BRIDGE: ContextVar[Task | None] = ContextVar("ffq_bridge", default=None)


def handling() -> Envelope | None:
    """The message being handled in this task, if its handler has not finished.

    Asks made in a nursery of the handler's own count as the handler's, and those that a thread of
    the handler's makes through a portal; those of a task that it started elsewhere do not, for the
    handler does not wait for them.
    """
    envelope = HANDLING.get()
    if envelope is None or envelope.status != RUNNING:
        return None
    return envelope if envelope.at_once or _is_below(envelope.cell.task) else None


def _is_below(owner: Task | None) -> bool:
    task, bridge = current_task(), BRIDGE.get()
    while task is not owner and task is not bridge:
        if task.parent_nursery is None:
            return False
        task = task.parent_nursery.parent_task
    return True


def _no_exception() -> None:
    """Stands for what Trio hands to an abort function, where no task was cancelled."""


def busy_envelope(cell: Node) -> Envelope:
    """Stands for the start or the end of an actor in the graph of who waits for whom."""
    envelope = Envelope(cell, None, None, inf, None, False)
    envelope.status = RUNNING
    return envelope
