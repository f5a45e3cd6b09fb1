"""References: the only way to talk to an actor."""

from __future__ import annotations

from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, NoReturn, SupportsIndex, TypeVar

from trio import current_effective_deadline, current_time, move_on_after
from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    wait_task_rescheduled,
)

from ffq.errors import words
from ffq.runtime._checks import check_seconds, is_number
from ffq.runtime._debug_checks import check_payload
from ffq.runtime._envelope import HANDLING, Envelope, Late, Posted, handling
from ffq.runtime._serve import serve_now
from ffq.runtime._waits import enter, leave, waiting
from ffq.runtime.errors import InvalidOption, MessageExpired, UnsendableRef
from ffq.runtime.message import Sendable

if TYPE_CHECKING:
    from collections.abc import Callable

    # The default makes a bare `ActorRef` one that takes any message. Type checkers know
    # typing_extensions without it being installed.
    from typing_extensions import TypeVar as TypeVarWithDefault

    from ffq.runtime._handlers import Route
    from ffq.runtime._mailbox import MailboxCell
    from ffq.runtime.lifecycle import Ended

    M_contra = TypeVarWithDefault("M_contra", contravariant=True, default=Any)
else:
    M_contra = TypeVar("M_contra", contravariant=True)

R = TypeVar("R")


class ActorRef(Generic[M_contra]):
    """A typed reference to an actor that takes the messages `M_contra`, a union of classes.

    It stays valid over restarts. Refs are equal when they lead to the same actor, hashable, and
    may be put into messages. Use them in the Trio thread only; `system.portal()` is for others.
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: MailboxCell) -> None:
        self._cell = cell

    @property
    def path(self) -> str:
        """Where the actor stands, such as /bank/account-7."""
        return self._cell.path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._cell.name

    @property
    def alive(self) -> bool:
        """False once the actor has ended."""
        return self._cell.ended is None

    @property
    def cell(self) -> MailboxCell:
        """The framework's side of the actor; not for users."""
        return self._cell

    def _cell_for(self, _message: Any) -> MailboxCell:
        return self._cell

    async def ask(self, message: Sendable[M_contra, R]) -> R:
        """Send a message and wait for its reply.

        Waits for room when the mailbox is full. The reply must come before the deadline of the
        scope around this call; when that scope is cancelled the handler is cancelled too (A5).

        Raises the handler's own exception, WaitCycle, ActorEnded, SystemClosed, UnhandledMessage,
        UnfrozenMessage, WrongThread; and MessageExpired where the handler was cancelled at a
        deadline that has been moved away since.
        """
        cell = self._cell_for(message)
        if get_ident() != cell.system.thread:
            cell.system.check_thread(cell.path)
        route = cell.routes.get(message.__class__)
        if route is None:
            route = cell.route_for(message)
        if cell.observed:
            _inspect(cell, message)
        while True:
            deadline = current_effective_deadline()
            if deadline == -inf:
                await checkpoint()  # raises Cancelled: nothing was sent
            envelope = Envelope(cell, message, route, deadline, current_task(), True)
            origin = HANDLING.get()
            if origin is not None:
                origin = handling()
            if origin is not None:
                _enter(origin, envelope, cell)
                try:
                    cell.post(envelope)
                    await wait_task_rescheduled(envelope.abandon)
                finally:
                    leave(origin, envelope)
            else:
                cell.post(envelope)
                await wait_task_rescheduled(envelope.abandon)
            error = envelope.error
            if error is None:
                value: R = envelope.value
                return value
            try:
                if error.__class__ is not Late:
                    raise error
                await _past_deadline(error)
            finally:
                # The traceback holds this frame; without this the error would be in a cycle.
                del error, envelope

    async def tell(self, message: Sendable[M_contra, Any], *, deadline: float = inf) -> None:
        """Send a message without waiting for its handler; waits for room in a full mailbox (A3).

        `deadline` is absolute, in seconds of `trio.current_time()`: not handled by then, the
        message is skipped and counted as expired. A message to an ended actor becomes a dead
        letter.

        Raises WaitCycle, SystemClosed, UnhandledMessage, UnfrozenMessage, InvalidOption,
        WrongThread.
        """
        cell = self._cell_for(message)
        if get_ident() != cell.system.thread:
            cell.system.check_thread(cell.path)
        route = cell.routes.get(message.__class__)
        if route is None:
            route = cell.route_for(message)
        if cell.observed:
            _inspect(cell, message)
        if deadline != inf:
            _expect_deadline(cell, message, deadline)
        await checkpoint_if_cancelled()
        envelope = Envelope(cell, message, route, deadline, None, False)
        if len(cell.mailbox) < cell.limit or not cell.accepting or cell.has_room():
            cell.post(envelope)
            await cancel_shielded_checkpoint()
            return
        origin = handling()
        if origin is not None:
            _enter(origin, envelope, cell)
        try:
            envelope.task = current_task()
            cell.post(envelope)
            await wait_task_rescheduled(envelope.withdraw)
        finally:
            if origin is not None:
                leave(origin, envelope)

    def tell_nowait(self, message: Sendable[M_contra, Any], *, deadline: float = inf) -> None:
        """Send a message at once. Raises MailboxFull, and what `tell` raises but WaitCycle."""
        cell = self._cell_for(message)
        cell.system.check_thread(cell.path)
        route: Route = cell.routes.get(message.__class__) or cell.route_for(message)
        if cell.observed:
            _inspect(cell, message)
        if deadline != inf:
            _expect_deadline(cell, message, deadline)
        cell.post_nowait(Envelope(cell, message, route, deadline, None, False))

    def post(
        self,
        message: Sendable[M_contra, R],
        on_reply: Callable[[Any, BaseException | None], None],
        *,
        deadline: float = inf,
    ) -> Posted:
        """Ask without a task that waits: `on_reply(reply, None)` or `on_reply(None, error)`.

        It is called once, in the Trio thread, by whoever has the reply: so it must be quick and
        wait for nothing. What it raises fails the system. It is not called after `give_up()` of
        what is returned. The plain handler of an idle actor is run within this very call, and the
        function then called in it too. With a full mailbox the message waits for room, as an
        ask does. `deadline` is absolute, in seconds of `trio.current_time()`: a handler that has
        not ended by then is cancelled, one that has not begun never does. Whoever cannot wait for
        the actor to come to that calls `give_up` himself.

        The errors handed over are those of `ask`, with MessageExpired at the deadline. A handler
        that posts does not wait: no WaitCycle is looked for.

        Raises ActorEnded, SystemClosed, UnhandledMessage, UnfrozenMessage, WrongThread.
        """
        cell = self._cell_for(message)
        if get_ident() != cell.system.thread:
            cell.system.check_thread(cell.path)
        route = cell.routes.get(message.__class__)
        if route is None:
            route = cell.route_for(message)
        if cell.observed:
            _inspect(cell, message)
        envelope = Posted(cell, message, route, deadline, on_reply)
        if not serve_now(cell, envelope):
            cell.post(envelope)
        return envelope

    def stop_nowait(self) -> None:
        """Ask the actor to take no new mail, finish what it has, and end. Raises WrongThread."""
        self._own_cell().stop()

    def kill_nowait(self) -> None:
        """End the actor now: its handlers are cancelled, its mail becomes dead letters.

        Raises WrongThread.
        """
        self._own_cell().kill()

    async def stop(self, *, timeout: float = inf) -> Ended:  # noqa: ASYNC109  # not of this wait
        """`stop_nowait` and wait until the actor and its children have ended (A4).

        An actor that has not ended within `timeout` seconds is killed: what becomes of it, and not
        whether this call waits, is what the timeout says. The scope around says the latter.

        Raises WaitCycle when called from a handler the end would have to wait for, InvalidOption.
        """
        if timeout is not inf:
            check_seconds(f"{self.path}: stop timeout", timeout)
        cell = self._own_cell()
        with waiting(cell, "stop"):
            cell.stop()
            if timeout != inf:
                with move_on_after(timeout):
                    return await self._wait()
                cell.kill()
            return await self._wait()

    async def kill(self) -> Ended:
        """`kill_nowait` and wait until the actor and its children have ended (A4).

        Raises WaitCycle when called from a handler the end would have to wait for; the actor is
        killed all the same.
        """
        cell = self._own_cell()
        cell.kill()
        with waiting(cell, "kill"):
            return await self._wait()

    async def wait_ended(self) -> Ended:
        """Wait until the actor has ended, and say how. Raises WrongThread."""
        with waiting(self._own_cell(), "wait for the end"):
            return await self._wait()

    def _own_cell(self) -> MailboxCell:
        """For what changes something or waits. Raises WrongThread."""
        self._cell.system.check_thread(self._cell.path)
        return self._cell

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise UnsendableRef(
            f"{self!r} leads to an actor of this process: it cannot be pickled or copied. Send its "
            "path, and find the actor with system.get_actor(path)"
        )

    async def _wait(self) -> Ended:
        await checkpoint()
        return await self._cell.wait_ended()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other._cell is self._cell

    def __hash__(self) -> int:
        return hash(self._cell)

    def __repr__(self) -> str:
        return f"<ActorRef {self.path}>"


async def _past_deadline(late: BaseException) -> None:
    """Of an ask: its deadline has passed. A timeout is the asker's own matter: it is its scope that
    ends the wait, here. Returns where the deadline was moved meanwhile and the message may be sent
    again, no handler having begun.
    """
    while current_effective_deadline() <= current_time():
        await checkpoint()
    if not isinstance(late, Late) or late.begun:
        raise MessageExpired(str(late))


def _enter(origin: Envelope, envelope: Envelope, cell: MailboxCell) -> None:
    """Record the wait of a handler; a refused one counts as a rejected message."""
    try:
        enter(origin, envelope, f"sending {type(envelope.message).__qualname__}")
    except Exception:
        cell.reject()
        raise


def _inspect(cell: MailboxCell, message: Any) -> None:
    if cell.system.debug:
        check_payload(cell.path, message)


def _expect_deadline(cell: MailboxCell, message: Any, deadline: float) -> None:
    """Raise InvalidOption for what no moment is later than; else have it looked out for."""
    if not is_number(deadline):
        cell.reject()
        raise InvalidOption(
            f"{cell.path}: deadline={words(deadline)} of {type(message).__qualname__} must be a "
            "time in seconds of trio.current_time()"
        )
    cell.late_from = min(cell.late_from, deadline)
