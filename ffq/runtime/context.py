"""What an actor sees of the framework: `self.ctx`."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn, TypeVarTuple, Unpack, cast

import trio

from ffq.errors import words
from ffq.runtime._checks import check_function, check_instance
from ffq.runtime._envelope import HANDLING, handling
from ffq.runtime._failures import Stashed
from ffq.runtime._family import family_of
from ffq.runtime._timers import Timer, check_delay
from ffq.runtime._watch import unwatch, watch
from ffq.runtime.errors import ActorEnded, ProtocolError
from ffq.runtime.ref import ActorRef
from ffq.runtime.spawner import Spawner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ffq.runtime._cell import Cell
    from ffq.runtime._family import Family
    from ffq.runtime.message import Request
    from ffq.runtime.system import ActorSystem

    TimerMessage = Request[Any] | Callable[[], Request[Any]]

Ts = TypeVarTuple("Ts")


class ActorContext(Spawner):
    """An actor's own view: its children, tasks, timers, stash and watches.

    Everything started here belongs to the incarnation that has this context, and ends with it. Used
    later, by a thread that is left for one, what would change something raises ActorEnded.
    """

    __slots__ = ("_incarnation", "_own")

    def __init__(self, cell: Cell) -> None:
        self._own = cell
        self._incarnation = cell.restarts

    @property
    def _cell(self) -> Cell:
        """For what changes something. Raises WrongThread, and ActorEnded: it is a later one's."""
        self._own.system.check_thread(self._own.path)
        if not self._is_present:
            raise ActorEnded(
                f"{self.path}: this incarnation, number {self._incarnation}, is over; its context "
                f"can do nothing any more"
            )
        return self._own

    @property
    def _is_present(self) -> bool:
        """False once this incarnation is over and another has begun, or the actor has ended."""
        return self._own.restarts == self._incarnation and self._own.ended is None

    @property
    def _family(self) -> Family:
        return family_of(self._cell)

    @property
    def ref(self) -> ActorRef[Any]:
        """A ref to this actor that takes its private messages too."""
        return self._own.ref

    @property
    def path(self) -> str:
        """Where this actor stands, such as /bank/account-7."""
        return self._own.path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._own.name

    @property
    def system(self) -> ActorSystem:
        """The system this actor lives in."""
        return cast("ActorSystem", self._own.system)  # cells know only what they need of it

    @property
    def children(self) -> tuple[ActorRef[Any], ...]:
        """Living children, in order of their start."""
        self._own.system.check_thread(self.path)
        return tuple(child.ref for child in self._own.children() if self._is_present)

    @property
    def restarts(self) -> int:
        """How often this actor was restarted; 0 in its first incarnation."""
        self._own.system.check_thread(self.path)
        return self._own.restarts

    def start_task(
        self,
        function: Callable[[Unpack[Ts]], Awaitable[object]],
        *args: *Ts,
        name: str | None = None,
    ) -> trio.CancelScope:
        """Run an async function beside the handlers, in the actor's nursery.

        Its exception is the actor's failure. Returns the scope that cancels it. What the task
        asks is not part of any handler, so it takes no part in the detection of wait cycles.

        Raises InvalidOption for what is no function.
        """
        check_function(f"{self.path}: start_task", function)
        scope = trio.CancelScope()
        nursery = self._family.nursery
        what: str = name or getattr(function, "__qualname__", None) or repr(function)
        nursery.start_soon(partial(self._run_task, scope, function, args, what), name=what)
        return scope

    async def _run_task(
        self,
        scope: trio.CancelScope,
        function: Callable[..., Awaitable[object]],
        args: tuple[Any, ...],
        what: str,
    ) -> None:
        HANDLING.set(None)
        try:
            with scope:
                await function(*args)
        except BaseException as error:  # noqa: BLE001  # the actor's failure, to supervision
            self._cell.fail_with(error, f"running the task {what}")

    def after(self, seconds: float, message: TimerMessage, *, may_fail: bool = False) -> Timer:
        """Send this actor `message` once, `seconds` from now (A10).

        A function is called for the message when it is due. With `may_fail`, a failure of its
        handler does not fail the actor: see `every`. It is gone with this incarnation, also when it
        waits in the mailbox already.
        """
        check_delay(self.path, "a timer of", seconds, positive=False)
        return self._timer(seconds, inf, message, may_fail)

    def every(
        self,
        seconds: float,
        message: TimerMessage,
        *,
        first: float | None = None,
        may_fail: bool = False,
    ) -> Timer:
        """Send this actor `message` every `seconds`, the first time `first` seconds from now (A10).

        `first` is `seconds` when not given. At most one tick waits; missed ticks are skipped. A
        function is called for each message when it is due, and so may write the time into it.

        A tick is a tell: when its handler raises, the actor fails. With `may_fail` the actor goes
        on as it is and the next tick comes all the same; the error is logged as a warning of the
        logger `ffq.runtime`, and `Hooks.message_handled` gets it. `fail` still fails the actor.

        Raises InvalidOption, UnhandledMessage, UnfrozenMessage.
        """
        check_delay(self.path, "a period of", seconds, positive=True)
        start = seconds if first is None else first
        check_delay(self.path, "a first tick after", start, positive=False)
        return self._timer(start, seconds, message, may_fail)

    def _timer(self, first: float, period: float, message: TimerMessage, may_fail: bool) -> Timer:
        if not callable(message):
            self._cell.check_message(message)
        timer = Timer(may_fail)
        self._family.nursery.start_soon(
            self._run_timer, timer, trio.current_time() + first, period, message
        )
        return timer

    async def _run_timer(
        self, timer: Timer, first: float, period: float, message: TimerMessage
    ) -> None:
        HANDLING.set(None)
        try:
            await timer.run(self._cell, first, period, message)
        except Exception as error:  # noqa: BLE001  # the actor's failure, to supervision
            self._cell.fail(error, "making a timer's message")

    def stash(self) -> NoReturn:
        """Put the message being handled aside and leave the handler; its asker goes on waiting.

        Raises StashFull. The message is in the stash when the handler has left its `finally`.
        """
        cell = self._cell
        envelope = handling()
        if envelope is None or envelope.cell is not cell or envelope.route is None:
            raise ProtocolError(f"{self.path}: stash() works inside a handler of this actor only")
        cell.check_stash(envelope.message)
        raise Stashed

    def unstash_all(self) -> None:
        """Put all stashed messages back at the head of the mailbox, oldest first."""
        self._cell.unstash()

    def watch(self, ref: ActorRef[Any]) -> None:
        """Get a Terminated message when that actor ends; at once if it has (A9).

        Raises UnhandledMessage when this actor has no handler for Terminated, InvalidOption.
        """
        check_instance(f"{self.path}: watch", ref, ActorRef)
        watch(self._cell, ref.cell)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Undo `watch`: no notice comes any more, also none that waits, or is stashed, already."""
        check_instance(f"{self.path}: unwatch", ref, ActorRef)
        self._own.system.check_thread(self.path)
        if self._is_present:  # else the watches are gone with their incarnation
            unwatch(self._own, ref.cell)

    def fail(self, error: Exception) -> None:
        """Fail this actor with `error`, whoever asks; supervision decides what comes next (A7).

        For a handler or a task that finds that this incarnation cannot go on: an error that a
        handler merely raises goes to its asker, if it has one, and leaves the actor as it is. All
        that the actor runs is cancelled: handlers, tasks, children. The call itself returns, and so
        the handler that made it has until its next checkpoint to say what its asker gets: what it
        returns or raises goes there as ever. At the checkpoint it is cancelled, and its asker gets
        ActorEnded. `error` raised after this call counts once; any other one is added to it.

        Raises ProtocolError when `error` is no Exception, and ActorEnded when this incarnation is
        over: then nobody is left to fail.
        """
        if not isinstance(error, Exception):
            raise ProtocolError(f"{self.path}: fail() takes an Exception, not {words(error)}")
        if self._cell.life.down or self._cell.life.over:
            raise ActorEnded(f"{self.path} has ended or waits for its restart: it cannot fail now")
        doing = "calling ctx.fail()"
        envelope = handling()
        if envelope is not None and envelope.cell is self._cell and envelope.route is not None:
            doing = f"handling {type(envelope.message).__qualname__}"
        self._cell.fail(error, doing)

    def stop(self) -> None:
        """Stop this actor: it finishes its mailbox, then ends. Does not wait."""
        if not self._has_ended():
            self._cell.stop()

    def kill(self) -> None:
        """End this actor now. Does not wait."""
        if not self._has_ended():
            self._cell.kill()

    def _has_ended(self) -> bool:
        self._own.system.check_thread(self.path)
        return self._own.ended is not None
