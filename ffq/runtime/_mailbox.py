"""The bounded mailbox of an actor, its waiting senders, and the accounts of its messages (A3, A11).

Three queues, served in this order: notices (the control lane: ends of watched actors), the mailbox
of at most `capacity` messages, and the senders parked because it was full. Bounds: one notice per
watched actor, one waiting message per parked task, `stash_size` messages in the stash. A message
that is withdrawn frees its room at once; in the mailbox it lies on, DONE, until it is skipped. An
ask is withdrawn when its scope ends; a tell that is late, when another message needs its room.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import Abort, Task, reschedule

from ffq.runtime._envelope import DONE, QUEUED, Envelope, Late, NoticeEnvelope
from ffq.runtime._handlers import find_route
from ffq.runtime._life import NEW, Life
from ffq.runtime._words import note
from ffq.runtime.deadletters import DeadLetter
from ffq.runtime.errors import (
    ActorEnded,
    LedgerMismatch,
    MailboxFull,
    StashFull,
    SystemClosed,
)
from ffq.runtime.hooks import Hooks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextvars import Context

    from ffq.runtime._actor_base import ActorBase
    from ffq.runtime._envelope import Node
    from ffq.runtime._handlers import Route, Routes
    from ffq.runtime._options import Options
    from ffq.runtime._system_base import SystemBase
    from ffq.runtime.ledger import Ledger
    from ffq.runtime.lifecycle import Ended


class MailboxCell(ABC):
    """The half of a cell that takes, keeps and accounts for messages.

    The other half, `Cell`, stands above the refs, the mailbox loops and the watches. What these ask
    of it is declared here.
    """

    __slots__ = (
        "accepting",
        "actor",
        "begun",
        "books",
        "born",
        "capacity",
        "current",
        "dead",
        "ended",
        "expired",
        "handled",
        "idle",
        "late_from",
        "life",
        "limit",
        "mailbox",
        "notices",
        "observed",
        "options",
        "overflow",
        "path",
        "rejected",
        "routes",
        "running",
        "sent",
        "stashed",
        "system",
        "task",
        "unheard",
        "watchers",
        "watching",
    )

    def __init__(
        self,
        system: SystemBase,
        path: str,
        options: Options,
        actor: ActorBase[Any],
    ) -> None:
        self.actor: ActorBase[Any] | None = actor
        self.life: Life = NEW
        self.ended: Ended | None = None
        self.watchers: dict[MailboxCell, None] | None = None
        self.watching: dict[MailboxCell, None] | None = None
        self.system = system
        self.observed = system.observed
        self.path = path
        self.options = options
        self.routes: Routes = type(actor).__routes__
        self.capacity = options.mailbox
        self.mailbox: deque[Envelope] = deque()
        # The capacity, and what was withdrawn and still lies in the mailbox.
        self.limit = options.mailbox
        # The first deadline of a tell that may lie in the mailbox, which nobody's scope watches.
        self.late_from = inf
        self.overflow: OrderedDict[Envelope, None] | None = None
        self.notices: OrderedDict[Node, NoticeEnvelope] | None = None
        self.stashed: dict[Envelope, None] | None = None
        self.current: Envelope | None = None
        self.running: dict[Envelope, None] | None = None
        self.accepting = True
        self.idle = False
        # What was begun within the call that posted it, and the actor's task is to go on with.
        self.begun: Envelope | None = None
        self.task: Task | None = None
        # The context variables that each incarnation starts with; None before and after its life.
        self.born: Context | None = None
        # Mail that comes after the end is added here, to the system's ledger; until then None.
        self.books: Ledger | None = None
        self.sent = self.handled = self.rejected = self.expired = self.dead = 0
        self.unheard = 0
        """Errors that answered an ask, and nobody heard: its asker had left."""

    @property
    def name(self) -> str:
        """The last part of the path: unique among siblings, free again after the end."""
        return self.path.rpartition("/")[2]

    def route_for(self, message: Any) -> Route:
        """The handler for a message class met for the first time.

        Raises UnfrozenMessage, UnhandledMessage: the message counts as rejected.
        """
        try:
            return find_route(self.routes, message, self.path)
        except Exception:
            self.reject()
            raise

    def reject(self) -> None:
        """Count a message that its sender gets back as an error."""
        self.sent += 1
        self.rejected += 1
        if self.books is not None:
            self.books.add(sent=1, rejected=1)

    def check_message(self, message: Any) -> None:
        """Raise UnfrozenMessage or UnhandledMessage, without counting it as a rejected message."""
        if message.__class__ not in self.routes:
            find_route(self.routes, message, self.path)

    def post(self, envelope: Envelope) -> bool:
        """Take a message: True if it went into the mailbox, False if its sender must wait.

        Raises ActorEnded or SystemClosed for an ask when the actor takes no mail any more; a tell
        becomes a dead letter.
        """
        self.sent += 1
        if not self.accepting:
            self._refuse(envelope)
            return True
        if len(self.mailbox) < self.limit or self.has_room():
            self.mailbox.append(envelope)
            if self.idle:
                self.wake()
            return True
        if self.overflow is None:
            self.overflow = OrderedDict()
        self.overflow[envelope] = None
        return False

    def post_nowait(self, envelope: Envelope) -> None:
        """Take a message if there is room. Raises MailboxFull."""
        if self.accepting and not self.has_room():
            self.reject()
            raise MailboxFull(
                f"{self.path}: the mailbox is full ({self.capacity} messages), so "
                f"{type(envelope.message).__qualname__} was not taken; `await ref.tell()` waits"
            )
        self.post(envelope)

    def notify(self, envelope: NoticeEnvelope) -> None:
        """Put the notice of an end on the control lane, before all user messages; once."""
        if self.notices is None:
            self.notices = OrderedDict()
        if envelope.about in self.notices:
            return
        self.sent += 1
        if not self.accepting:
            self.bury(envelope, "the watcher has ended")
            return
        self.notices[envelope.about] = envelope
        if self.idle:
            self.wake()

    def take_notice(self) -> Envelope:
        """The notice that has waited longest."""
        assert self.notices
        return self.notices.popitem(last=False)[1]

    def forget_notice(self, about: MailboxCell) -> None:
        """A watch was undone: what it has brought already, and nobody has handled, goes with it."""
        envelope = self.notices.pop(about, None) if self.notices else None
        if envelope is not None:
            self._expired(envelope)
        if about.ended is not None:  # else there was none that could have been stashed
            for other in self._set_aside():
                if isinstance(other, NoticeEnvelope) and other.about is about:
                    other.take_back()

    def _set_aside(self) -> list[Envelope]:
        """Messages that wait for their turn, or for it to come again."""
        return [*self.mailbox, *(self.overflow or ()), *(self.stashed or ())]

    def wake(self) -> None:
        """Let the parked mailbox loop look again."""
        if self.idle and self.task is not None:
            self.idle = False
            reschedule(self.task)

    def abort_idle(self, _raise_cancel: Any) -> Abort:
        """The mailbox loop was cancelled while it was parked."""
        self.idle = False
        return Abort.SUCCEEDED

    def admit(self) -> None:
        """Move the first waiting message into the room that has come free."""
        overflow = self.overflow
        if overflow and len(self.mailbox) < self.limit:
            envelope, _ = overflow.popitem(last=False)
            self.mailbox.append(envelope)
            if not envelope.asks:
                envelope.wake()

    def withdraw(self, envelope: Envelope) -> None:
        """Nobody wants a message any more that no handler has begun: its room is free (A5)."""
        self._expired(envelope)
        if self.overflow is not None and envelope in self.overflow:
            del self.overflow[envelope]
        elif self.stashed is not None and envelope in self.stashed:
            del self.stashed[envelope]
        else:
            self.limit += 1
            if self.limit > 2 * self.capacity:
                self._sweep()
            self.admit()

    def has_room(self) -> bool:
        """Whether a message finds room; a full mailbox takes back that of tells that are late."""
        if len(self.mailbox) >= self.limit and self.late_from <= trio.current_time():
            self.late_from = self._withdraw_late(list(self.mailbox))
        return len(self.mailbox) < self.limit

    def _withdraw_late(self, envelopes: Iterable[Envelope]) -> float:
        """Withdraw tells whose deadline has passed. Returns the first that is to come."""
        now, first = trio.current_time(), inf
        for envelope in envelopes:
            if envelope.asks or envelope.status != QUEUED:
                continue  # an asker's own scope says when it gives up
            if envelope.deadline <= now:
                self.withdraw(envelope)
            else:
                first = min(first, envelope.deadline)
        return first

    def _sweep(self) -> None:
        """Throw out what was withdrawn, so that the mailbox holds no more than twice its room."""
        wanted = [envelope for envelope in self.mailbox if envelope.status == QUEUED]
        self.mailbox.clear()
        self.mailbox.extend(wanted)
        self.limit = self.capacity

    def skip(self) -> None:
        """What was taken out of the mailbox had been withdrawn."""
        self.limit -= 1

    def forget_incarnation(self) -> None:
        """What an incarnation's timers and watches have brought ends with it (A9, A10)."""
        while self.notices:
            self._expired(self.take_notice())
        for envelope in self._set_aside():
            if envelope.of_incarnation:
                envelope.take_back()

    def expire(self, envelope: Envelope) -> None:
        """Skip a message whose deadline has passed before a handler could begin (A5)."""
        self._expired(envelope)
        what = type(envelope.message).__qualname__
        envelope.wake(
            Late(f"{self.path}: the deadline of {what} passed before it was handled", begun=False)
        )

    def _expired(self, envelope: Envelope) -> None:
        self.expired += 1
        envelope.status = DONE

    def check_stash(self, message: Any) -> None:
        """Raise StashFull unless there is room for one more message."""
        if self.stashed and len(self.stashed) >= self.options.stash:
            self._withdraw_late(list(self.stashed))
        if len(self.stashed or ()) >= self.options.stash:
            raise StashFull(
                f"{self.path}: the stash holds {self.options.stash} messages already; "
                f"{type(message).__qualname__} does not fit"
            )

    def stash(self, envelope: Envelope) -> None:
        """Put a message aside: it waits again. Raises StashFull."""
        self.check_stash(envelope.message)
        self.current = None
        envelope.status = QUEUED
        envelope.value = None  # of one that was begun within its post: its handler begins anew
        if envelope.asks and not envelope.awaited:  # its asker went while its handler was left
            self._expired(envelope)
            return
        if self.stashed is None:
            self.stashed = {}
        self.stashed[envelope] = None

    def unstash(self) -> None:
        """Put stashed messages back at the head of the mailbox, oldest first."""
        if self.stashed:
            self.late_from = -inf  # any of them may be late
            self.mailbox.extendleft(reversed(self.stashed))
            self.stashed.clear()
            self.wake()

    def pending(self) -> list[Envelope]:
        """Every message in flight: queued, waiting for room, stashed or being handled."""
        pending: list[Envelope] = [*self.notices.values()] if self.notices else []
        pending += [each for each in self.mailbox if each.status == QUEUED]
        for queue in (self.overflow, self.stashed, self.running):
            if queue:
                pending += queue
        if self.current is not None:
            pending.append(self.current)
        return pending

    def bury_queued(self, why: str) -> None:
        """Make dead letters of all mail that no handler has begun."""
        if not (self.notices or self.mailbox or self.overflow or self.stashed):
            return
        queued = [*(self.notices or {}).values(), *self._set_aside()]
        for queue in (self.notices, self.mailbox, self.overflow, self.stashed):
            if queue:
                queue.clear()
        self.limit = self.capacity
        for envelope in queued:
            if envelope.status == QUEUED:
                self.bury(envelope, why)

    def bury(self, envelope: Envelope, why: str) -> None:
        """Make a dead letter of one message and tell the asker that waits for its reply."""
        self.dead += 1
        envelope.status = DONE
        letter = DeadLetter(self.path, envelope.message, why)
        self.system.dead_letters.publish(letter)
        self.system.report(Hooks.dead_letter, letter)
        envelope.wake(self._gone(envelope, why) if envelope.asks else None)

    def _refuse(self, envelope: Envelope) -> None:
        envelope.leave_out()  # the sender runs this very call: it gets the error as a raise
        self.bury(envelope, "the actor takes no new messages")
        if self.books is not None:
            self.books.add(sent=1, dead=1)
        if self.system.closed:
            raise SystemClosed(
                f"{self.path}: the system {self.system.name} is closed; "
                f"{type(envelope.message).__qualname__} was not taken"
            )
        if envelope.asks:
            raise self._gone(envelope, "it takes no new messages")

    def _gone(self, envelope: Envelope, why: str) -> ActorEnded:
        return ActorEnded(
            f"{self.path} will not reply to {type(envelope.message).__qualname__}: {why}"
        )

    def has_mail(self) -> bool:
        """True while a message waits to be handled (one in the stash waits for another)."""
        return bool(self.notices or self.overflow) or self.queued() > 0

    def queued(self) -> int:
        """Messages in the mailbox, without those that were withdrawn."""
        return len(self.mailbox) - (self.limit - self.capacity)

    def load(self) -> int:
        """Messages queued, and what it is busy with."""
        return self.queued() + len(self.handlers())

    def enter_into(self, ledger: Ledger) -> None:
        """Add this actor's counts."""
        ledger.add(
            sent=self.sent,
            handled=self.handled,
            rejected=self.rejected,
            expired=self.expired,
            dead=self.dead,
            unheard=self.unheard,
            in_flight=self.in_flight(),
        )

    def in_flight(self) -> int:
        """Messages sent to this actor that have no fate yet."""
        return len(self.pending())

    def check_ledger(self) -> None:
        """Raise LedgerMismatch unless every message is accounted for (A11)."""
        known = self.handled + self.rejected + self.expired + self.dead + self.in_flight()
        if self.sent != known:
            raise LedgerMismatch(
                f"{self.path}: sent {self.sent} is not handled {self.handled} + rejected "
                f"{self.rejected} + expired {self.expired} + dead-lettered {self.dead} + "
                f"in flight {self.in_flight()}"
            )

    def note(self, error: Exception, doing: str) -> None:
        """Write on an error, once, which actor it comes from and what that was doing."""
        note(error, f"raised by the actor {self.path} while {doing}")

    # The other half

    @abstractmethod
    def stop(self) -> None:
        """Take no new mail, finish what is there, then end; restarts go on until then (A4)."""

    @abstractmethod
    def kill(self) -> None:
        """End now: mail becomes dead letters, handlers are cancelled (A4)."""

    @abstractmethod
    async def wait_ended(self) -> Ended:
        """Wait until the actor has ended and its name is free."""

    @abstractmethod
    def fail(self, error: Exception, doing: str) -> None:
        """This incarnation has failed: it ends, and supervision decides what comes next."""

    @abstractmethod
    def handlers(self) -> tuple[Envelope, ...]:
        """What it is busy with: its start, end or restart, or messages being handled."""

    @abstractmethod
    def slots_full(self) -> bool:
        """True when a queued message must wait for one of `handlers()` to finish."""

    @abstractmethod
    def children(self) -> tuple[MailboxCell, ...]:
        """Living children, in order of their start."""
