"""A cell is what the framework keeps for one actor: mailbox, state, accounts and its task.

A cell lives from spawn to end. Its actor object lives from start to restart: one incarnation. Each
incarnation has a nursery of its own, which holds the actor's children and background tasks, so
that an incarnation cannot end before everything below it has (A1).

What may happen when, and what follows, is in `_life.py`. Here is how it is carried out.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import trio
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled

from ffq.errors import words
from ffq.runtime._envelope import DONE, HANDLING, Envelope, busy_envelope
from ffq.runtime._failures import (
    is_stray,
    one_cancelled,
    only_cancelled,
    split_failure,
    stray,
)
from ffq.runtime._life import Event, after
from ffq.runtime._mailbox import MailboxCell
from ffq.runtime._serve import serve, serve_concurrently
from ffq.runtime._watch import tell_watchers, unwatch_all
from ffq.runtime.errors import ProtocolError
from ffq.runtime.hooks import Hooks
from ffq.runtime.lifecycle import Ended
from ffq.runtime.ref import ActorRef
from ffq.runtime.remarks import RemarkLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from ffq.runtime._actor_base import ActorBase
    from ffq.runtime._options import Options
    from ffq.runtime._system_base import SystemBase

logger = RemarkLogger(logging.getLogger("ffq.runtime"))


class Supervisor(Protocol):
    """A family, as far as a cell asks it: the one it belongs to, and its children's."""

    children: dict[str, Cell]

    def child_failed(self, cell: Cell) -> bool:
        """Decide on a failed child: True if it will be restarted."""
        ...

    def wait_for_turn(self, cell: Cell) -> None:
        """A child is down and waits for its restart."""
        ...

    def forget(self, cell: Cell) -> None:
        """A child has ended: its name is free."""
        ...

    async def stop_all(self) -> None:
        """Stop the children one after another, the last started first."""
        ...


class Cell(MailboxCell):
    """The framework's side of one actor. All methods run in the Trio thread."""

    __slots__ = (
        "args",
        "busy",
        "down_event",
        "ended_event",
        "errors",
        "factory",
        "family",
        "kind",
        "nursery",
        "parent",
        "ready_event",
        "restarts",
        "scope",
        "started_at",
        "up_event",
    )

    def __init__(
        self,
        system: SystemBase,
        parent: Supervisor,
        path: str,
        options: Options,
        factory: Callable[..., ActorBase[Any]],
        args: tuple[Any, ...],
        actor: ActorBase[Any],
    ) -> None:
        super().__init__(system, path, options, actor)
        self.parent = parent
        self.factory = factory
        self.args = args
        self.kind = type(actor)
        self.started_at = trio.current_time()
        self.restarts = 0
        self.errors: list[Exception] | None = None
        # Stands in the graph of waits for a start, an end, or the wait for a restart.
        self.busy: Envelope | None = busy_envelope(self)
        self.scope: trio.CancelScope | None = None
        self.nursery: trio.Nursery | None = None
        self.family: Supervisor | None = None
        """The children of this incarnation; made when first needed."""
        self.ready_event: trio.Event | None = None
        self.ended_event: trio.Event | None = None
        self.up_event: trio.Event | None = None
        self.down_event: trio.Event | None = None

    # The actor's task

    async def run(self) -> None:
        """The task of this actor, in its parent's nursery: incarnations until the end."""
        self.task = current_task()
        if HANDLING.get() is not None:  # a set costs 120 bytes an actor
            HANDLING.set(None)
        self.born = self.task.context.copy()
        try:
            while True:
                await self._incarnation()
                if not await self._goes_on():
                    return
        except BaseException as error:
            if self.life.unjudged:  # cleaning up after a cancellation failed
                self.parent.child_failed(self)
            if self.ready_event is not None and not only_cancelled(error):
                # Whoever spawned it should see what ends the system, and not an echo of it.
                self.system.at_end.append(self.ready_event.set)
                self.ready_event = None
            if isinstance(error, BaseExceptionGroup) and only_cancelled(error):
                raise one_cancelled(error) from None
            raise
        finally:
            self._finish()

    async def _incarnation(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                self.scope = nursery.cancel_scope
                if self.life.falling:  # it was killed or taken down before it could begin
                    nursery.cancel_scope.cancel()
                await self._begin()
                if self.life.started:
                    if self.options.max_concurrency == 1:
                        await serve(self)
                    else:
                        await serve_concurrently(self, nursery)
                    await self._drained()
                nursery.cancel_scope.cancel()
        finally:
            self.nursery = self.scope = self.family = None
            if self.life.started:
                await self._close()

    async def _begin(self) -> None:
        """Make the actor and let it start."""
        outside = self._enter_busy()
        try:
            if self.actor is None:
                self.actor = self._make_again()
            self.actor.attach(self)  # refuses an object that was an actor before
            await self.actor.on_start()
        except BaseException as error:  # noqa: BLE001  # goes to the spawner or to supervision
            self.fail_with(error, "starting")
            return
        finally:
            self._leave_busy(outside)
        self._on(Event.STARTED)
        self._wake_spawner()
        self._is_up()
        self.system.report(Hooks.actor_started, self.path, self.restarts)

    def _make_again(self) -> ActorBase[Any]:
        actor = self.factory(*self.args)
        if type(actor) is not self.kind:
            raise ProtocolError(
                f"{self.path}: the factory gave a {type(actor).__qualname__} at a restart and a "
                f"{self.kind.__qualname__} before; the refs to it promise one protocol"
            )
        return actor

    async def _drained(self) -> None:
        """The mailbox loop is done: end the children, unless a fall ends everything anyway."""
        if not self.life.falling:
            self._on(Event.DRAINED)
            if self.family is not None:
                await self.family.stop_all()

    async def _close(self) -> None:
        """Let the actor clean up after its nursery has closed; at once cancelled by a kill."""
        assert self.actor is not None
        with trio.CancelScope() as scope:
            self.scope = scope
            if self.life.killed:
                scope.cancel()
            outside = self._enter_busy()
            try:
                await self.actor.on_stop()
            except BaseException as error:  # noqa: BLE001  # goes to supervision
                self.fail_with(error, "stopping")
            finally:
                self._leave_busy(outside)
        self.scope = None

    def _enter_busy(self) -> Token[Envelope | None]:
        """Start and end count as handlers in the graph of waits. Returns what leads back out."""
        if self.busy is None:
            self.busy = busy_envelope(self)
        return HANDLING.set(self.busy)

    def _leave_busy(self, outside: Token[Envelope | None]) -> None:
        if self.busy is not None:
            self.busy.status = DONE
            self.busy = None
        HANDLING.reset(outside)  # leaves the context as the actor was born in

    async def _goes_on(self) -> bool:
        """After an incarnation: wait for the supervisor; True means start again, as it was born."""
        assert self.born is not None
        self.actor = None
        absorbed = self.life.unjudged and self.parent.child_failed(self)
        self._on(Event.ABSORBED if absorbed else Event.DOWN)
        if self.life.over:
            return False
        unwatch_all(self)
        self.forget_incarnation()
        self.busy = busy_envelope(self)
        self.parent.wait_for_turn(self)
        self._is_up()
        self._is_down()
        current_task().context = self.born.copy()  # taken up when the task goes on
        await wait_task_rescheduled(self._abort_down)
        return not self.life.over

    def _abort_down(self, _raise_cancel: Any) -> Abort:
        self._on(Event.CUT)
        self._leave_down()
        return Abort.SUCCEEDED

    def _leave_down(self) -> None:
        """The wait for a restart is over; what is to come is a start, or nothing."""
        if self.busy is not None:
            self.busy.status = DONE
        self.busy = None if self.life.over else busy_envelope(self)

    def _wake_down(self) -> None:
        assert self.task is not None
        self._leave_down()
        reschedule(self.task)

    def _finish(self) -> None:
        """The end: no mail, no name, watchers told, accounts closed. Does not wait."""
        if not self.life.over:
            self._on(Event.CUT)
        reason = self.life.reason
        error = self.error() if self.errors else None
        self.accepting = False
        self.ended = Ended(self.path, reason, error)
        self.bury_queued(f"the actor has ended ({reason.value})")
        self.parent.forget(self)
        unwatch_all(self)
        tell_watchers(self, self.ended)
        self.task = self.born = None
        self._wake_spawner()
        self._is_up()
        self._is_down()
        if self.ended_event is not None:
            self.ended_event.set()
        self.check_ledger()
        self.books = self.system.books
        self.enter_into(self.books)
        self.system.report(Hooks.actor_ended, self.ended)

    def _wake_spawner(self) -> None:
        """Whoever waits for the first start looks again."""
        if self.ready_event is not None:
            self.ready_event.set()
            self.ready_event = None

    def _is_up(self) -> None:
        """The restart of a group that waits for this one to start looks again."""
        if self.up_event is not None:
            self.up_event.set()
            self.up_event = None

    def _is_down(self) -> None:
        """The restart of a group that waits for this one to go down looks again."""
        if self.down_event is not None:
            self.down_event.set()
            self.down_event = None

    # The control lane

    def _on(self, event: Event) -> None:
        """The one place where an actor's life changes. Raises IllegalTransition."""
        self.life = after(self.life, event)

    def fail(self, error: Exception, doing: str) -> None:
        """This incarnation has failed: it ends, and supervision decides what comes next."""
        self._on(Event.FAIL)
        if self.errors is None:
            self.errors = []
        elif any(known is error for known in self.errors):
            return  # given to `ctx.fail` and raised as well
        self.note(error, doing)
        self.errors.append(error)
        self.system.report(Hooks.actor_failed, self.path, error)
        logger.debug("%s failed while %s: %s", self.path, doing, words(error))
        self._cancel()

    def fail_with(self, error: BaseException, doing: str) -> None:
        """`fail` with the Exceptions in `error`; raise what else is in it, such as a Cancelled."""
        if isinstance(error, Exception):
            self.fail(error, doing)
            return
        if is_stray(error):
            self.fail(stray(f"{self.path}, {doing},", error), doing)
            return
        failure, rest = split_failure(error)
        if failure is not None:
            self.fail(failure, doing)
        raise rest

    def _cancel(self) -> None:
        """Cancel what the incarnation is at: its handlers, tasks and children, or its cleanup."""
        if self.scope is not None:
            self.scope.cancel()

    def error(self) -> Exception:
        """What this incarnation failed with."""
        assert self.errors
        if len(self.errors) == 1:
            return self.errors[0]
        return ExceptionGroup(f"{self.path} failed more than once", self.errors)

    def kill(self) -> None:
        """End now: mail becomes dead letters, handlers are cancelled (A4)."""
        if self.life.killed or self.life.over:
            return
        down = self.life.down
        self._on(Event.KILL)
        self.accepting = False
        self._cancel()
        self.bury_queued("the actor was killed")
        if down:
            self._wake_down()

    def stop(self) -> None:
        """Take no new mail, finish what is there, then end; restarts go on until then (A4)."""
        if self.life.stopping or self.life.over:
            return
        self._on(Event.STOP)
        self.accepting = False
        if self.life.down and not self.has_mail():
            self._on(Event.DRAINED)
            self._wake_down()
        self.wake()

    def takes_children(self) -> bool:
        """False once the actor is stopping; a restart to finish its mail may start children."""
        return not self.life.stopping or self.busy is not None

    def suspend(self) -> trio.Event | None:
        """Have it go down because a sibling failed; the event is set when it is down.

        None when it is down already, or need not go down.
        """
        fell = self.life.falling
        self._on(Event.SIBLING)
        if not self.life.falls_for_sibling:
            return None
        if self.down_event is None:
            self.down_event = trio.Event()
        if not fell:  # an incarnation on its way down may clean up in peace
            self._cancel()
        return self.down_event

    def give_up(self) -> None:
        """Cancel the start or the cleanup under way, which waits for one that waits for it."""
        self._on(Event.GIVE_UP)
        self._cancel()

    def resume(self) -> trio.Event | None:
        """Start the next incarnation; the event is set when it is ready, down again or ended."""
        if not self.life.down:
            return None
        self._on(Event.RESUME)
        self.errors = None
        self.restarts += 1
        self.unstash()  # a new incarnation does not know what the last one waited for
        self.up_event = trio.Event()
        self._wake_down()
        return self.up_event

    async def wait_ended(self) -> Ended:
        """Wait until the actor has ended and its name is free."""
        while self.ended is None:
            if self.ended_event is None:
                self.ended_event = trio.Event()
            await self.ended_event.wait()
        return self.ended

    @property
    def ref(self) -> ActorRef[Any]:
        """A reference to this actor."""
        return ActorRef(self)

    # For the graph of waits

    def handlers(self) -> tuple[Envelope, ...]:
        """What this actor is busy with: its start, end or restart, or messages being handled."""
        if self.busy is not None:
            return (self.busy,)
        if self.running is not None:
            return tuple(self.running)
        return () if self.current is None else (self.current,)

    def slots_full(self) -> bool:
        """True when a queued message must wait for one of `handlers()` to finish."""
        if self.busy is not None:
            return True
        return len(self.handlers()) >= self.options.max_concurrency

    def children(self) -> tuple[Cell, ...]:
        """Living children, in order of their start."""
        return () if self.family is None else tuple(self.family.children.values())
