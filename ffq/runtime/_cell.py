"""A cell is what the framework keeps for one actor: mailbox, state, accounts and its task.

A cell lives from spawn to end. Its actor object lives from start to restart: one incarnation. Each
incarnation has a nursery of its own, which holds the actor's children and background tasks, so
that an incarnation cannot end before everything below it has (A1).
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled

from ffq.runtime._envelope import DONE, HANDLING, Envelope, phase_envelope
from ffq.runtime._failures import only_cancelled, split_failure
from ffq.runtime._family import Family
from ffq.runtime._mailbox import MailboxCell
from ffq.runtime._serve import serve, serve_concurrently
from ffq.runtime.errors import ProtocolError
from ffq.runtime.lifecycle import Ended, EndReason, State, Terminated
from ffq.runtime.ref import ActorRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from ffq.runtime._options import Options
    from ffq.runtime.actor import Actor

logger = logging.getLogger("ffq.runtime")


class Cell(MailboxCell):
    """The framework's side of one actor. All methods run in the Trio thread."""

    __slots__ = (
        "actor",
        "args",
        "born",
        "down_event",
        "dying",
        "ended",
        "ended_event",
        "errors",
        "factory",
        "families",
        "finished",
        "killed",
        "kind",
        "max_concurrency",
        "name",
        "nursery",
        "observed",
        "parent",
        "parked",
        "phase",
        "ready_event",
        "restart",
        "restarts",
        "scope",
        "started_at",
        "state",
        "stopping",
        "suspended",
        "up_event",
        "watchers",
        "watching",
    )

    def __init__(
        self,
        parent: Family,
        name: str,
        options: Options,
        factory: Callable[..., Actor[Any]],
        args: tuple[Any, ...],
        actor: Actor[Any],
    ) -> None:
        system = parent.system
        super().__init__(system, f"{parent.path}/{name}", options, type(actor).__routes__)
        self.parent = parent
        self.name = name
        self.factory = factory
        self.args = args
        self.actor: Actor[Any] | None = actor
        self.kind = type(actor)
        self.max_concurrency = options.max_concurrency
        self.observed = system.debug or system.hooks is not None
        self.state = State.STARTING
        self.started_at = trio.current_time()
        self.restarts = 0
        self.born = self.dying = self.killed = self.stopping = False
        self.finished = self.suspended = self.parked = self.restart = False
        self.errors: list[Exception] | None = None
        self.phase: Envelope | None = phase_envelope(self)
        self.scope: trio.CancelScope | None = None
        self.nursery: trio.Nursery | None = None
        self.families: Family | None = None
        self.ended: Ended | None = None
        self.ready_event: trio.Event | None = None
        self.ended_event: trio.Event | None = None
        self.up_event: trio.Event | None = None
        self.down_event: trio.Event | None = None
        self.watchers: dict[Cell, None] | None = None
        self.watching: dict[Cell, None] | None = None

    # The actor's task

    async def run(self) -> None:
        """The task of this actor, in its parent's nursery: incarnations until the end."""
        self.task = current_task()
        HANDLING.set(None)
        try:
            while True:
                await self._incarnation()
                if not await self._goes_on():
                    return
        except BaseException as error:
            if self.born and self.errors:  # cleaning up after a cancellation failed
                self.parent.child_failed(self)
            if self.ready_event is not None and not only_cancelled(error):
                # Whoever spawned it should see what ends the system, and not an echo of it.
                self.system.at_end.append(self.ready_event.set)
                self.ready_event = None
            raise
        finally:
            self._finish()

    async def _incarnation(self) -> None:
        self.state = State.STARTING
        self.dying = self.suspended = self.finished = False
        self.errors = None
        started = False
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                self.scope = nursery.cancel_scope
                if self.killed:
                    nursery.cancel_scope.cancel()
                started = await self._begin()
                if started:
                    if self.max_concurrency == 1:
                        await serve(self)
                    else:
                        await serve_concurrently(self, nursery)
                    self.finished = not self.dying
                    if self.families is not None and not self.dying:
                        await self.families.stop_all()
                nursery.cancel_scope.cancel()
        finally:
            self.nursery = self.scope = self.families = None
            if started:
                await self._close()

    async def _begin(self) -> bool:
        """Make the actor and let it start: False when that failed."""
        self._enter_phase()
        try:
            if self.actor is None:
                self.actor = self._make_again()
            self.actor.attach(self)  # refuses an object that was an actor before
            await self.actor.on_start()
        except BaseException as error:  # noqa: BLE001  # goes to the spawner or to supervision
            self.fail_with(error, "starting")
            return False
        finally:
            self._leave_phase()
        self.state = State.STOPPING if self.stopping else State.RUNNING
        self.born = True
        self._signal("ready_event", "up_event")
        self.system.call_hook("actor_started", self.path, self.restarts)
        return True

    def _make_again(self) -> Actor[Any]:
        actor = self.factory(*self.args)
        if type(actor) is not self.kind:
            raise ProtocolError(
                f"{self.path}: the factory gave a {type(actor).__qualname__} at a restart and a "
                f"{self.kind.__qualname__} before; the refs to it promise one protocol"
            )
        return actor

    async def _close(self) -> None:
        """Let the actor clean up after its nursery has closed; at once cancelled by a kill."""
        assert self.actor is not None
        with trio.CancelScope() as scope:
            self.scope = scope
            if self.killed:
                scope.cancel()
            self._enter_phase()
            try:
                await self.actor.on_stop()
            except BaseException as error:  # noqa: BLE001  # goes to supervision
                self.fail_with(error, "stopping")
            finally:
                self._leave_phase()
        self.scope = None

    def _enter_phase(self) -> None:
        """Start and end count as handlers in the graph of waits."""
        if self.phase is None:
            self.phase = phase_envelope(self)
        HANDLING.set(self.phase)

    def _leave_phase(self) -> None:
        if self.phase is not None:
            self.phase.status = DONE
            self.phase = None
        HANDLING.set(None)

    async def _goes_on(self) -> bool:
        """After an incarnation: wait for the supervisor; True means start again.

        One that a sibling's failure took down while it first started starts again as well: whoever
        spawned it goes on waiting.
        """
        self.actor = None
        if self.errors and not (self.born and self.parent.child_failed(self)):
            return False
        if self.killed or not (self.errors or self.suspended):
            return False
        self.unwatch_all()
        self.restart = False
        self.parked = True
        self.state = State.RESTARTING
        self.phase = phase_envelope(self)
        self.parent.wait_for_turn(self)
        self._signal("up_event", "down_event")
        await wait_task_rescheduled(self._abort_parked)
        if self.restart:
            self.unstash()  # a new incarnation does not know what the last one waited for
        return self.restart

    def _abort_parked(self, _raise_cancel: Any) -> Abort:
        self._unpark(restart=False)
        return Abort.SUCCEEDED

    def _unpark(self, restart: bool) -> None:
        if self.phase is not None:
            self.phase.status = DONE
        self.phase = phase_envelope(self) if restart else None
        self.parked = False
        self.restart = restart

    def _finish(self) -> None:
        """The end: no mail, no name, watchers told, accounts closed. Does not wait."""
        if self.errors:
            reason, error = EndReason.FAILED, self.error()
        else:
            stopped = self.stopping and not self.killed and self.born
            reason, error = EndReason.STOPPED if stopped else EndReason.KILLED, None
        self.accepting = False
        self.state = State.ENDED
        self.ended = Ended(self.path, reason, error)
        self.bury_queued(f"the actor has ended ({reason.value})")
        self.parent.forget(self)
        self.unwatch_all()
        for watcher in self.watchers or ():
            watcher.notify_end(self)
        self.watchers = None
        self.task = None
        self._signal("ready_event", "up_event", "ended_event", "down_event")
        self.check_ledger()
        self.books = self.system.ledger
        self.books.add(
            sent=self.sent,
            handled=self.handled,
            rejected=self.rejected,
            expired=self.expired,
            dead=self.dead,
        )
        self.system.call_hook("actor_ended", self.ended)

    # The control lane

    def note(self, error: Exception, doing: str) -> None:
        """Write on an error which actor it comes from, and what that did."""
        error.add_note(f"raised by the actor {self.path} while {doing}")

    def fail(self, error: Exception, doing: str) -> None:
        """This incarnation has failed: it ends, and supervision decides what comes next."""
        self.note(error, doing)
        if self.errors is None:
            self.errors = []
        self.errors.append(error)
        self.system.call_hook("actor_failed", self.path, error)
        logger.debug("%s failed while %s: %r", self.path, doing, error)
        self.die()

    def fail_with(self, error: BaseException, doing: str) -> None:
        """`fail` with the Exceptions in `error`; raise what else is in it, such as a Cancelled."""
        if isinstance(error, Exception):
            self.fail(error, doing)
            return
        failure, rest = split_failure(error)
        if failure is not None:
            self.fail(failure, doing)
        raise rest

    def die(self) -> None:
        """End this incarnation now: its handlers, tasks and children are cancelled."""
        self.dying = True
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
        if self.ended is not None or self.killed:
            return
        self.killed = True
        self.accepting = False
        self.die()
        self.bury_queued("the actor was killed")
        self._wake_parked(restart=False)

    def stop(self) -> None:
        """Take no new mail, finish what is there, then end; restarts go on until then (A4)."""
        if self.stopping or self.ended is not None:
            return
        self.stopping = True
        self.accepting = False
        if self.state is State.RUNNING:
            self.state = State.STOPPING
        if not self.has_mail():
            self._wake_parked(restart=False)  # a restart would have nothing left to do
        self.wake()

    def takes_children(self) -> bool:
        """False once the actor is stopping; a restart to finish its mail may start children."""
        return not self.stopping or self.phase is not None

    def suspend(self) -> trio.Event | None:
        """End this incarnation because a sibling failed; the event is set when it is down."""
        if self.parked or self.ended is not None:
            return None
        if (self.stopping or self.killed) and not self.suspended:
            return None
        self.suspended = True
        if self.down_event is None:
            self.down_event = trio.Event()
        if not self.dying:  # an incarnation on its way down may clean up in peace
            self.die()
        return self.down_event

    def give_up(self) -> None:
        """Cancel the start or the cleanup under way, which waits for one that waits for it."""
        self.suspended = True
        self.die()

    def resume(self) -> trio.Event | None:
        """Start the next incarnation; the event is set when it is ready, down again or ended."""
        if not self.parked:
            return None
        self.restarts += 1
        self.up_event = trio.Event()
        self._wake_parked(restart=True)
        return self.up_event

    def _wake_parked(self, restart: bool) -> None:
        if self.parked and self.task is not None:
            self._unpark(restart)
            reschedule(self.task)

    def _signal(self, *events: str) -> None:
        """Wake who waits for these, and forget them: the next wait is for the next time."""
        for name in events:
            event: trio.Event | None = getattr(self, name)
            if event is not None:
                event.set()
                setattr(self, name, None)

    async def wait_ended(self) -> Ended:
        """Wait until the actor has ended and its name is free."""
        while self.ended is None:
            if self.ended_event is None:
                self.ended_event = trio.Event()
            await self.ended_event.wait()
        return self.ended

    # Family and watches

    @property
    def family(self) -> Family:
        """The children of this incarnation; made when first needed. Raises SystemClosed."""
        if self.families is None:
            self.families = Family.of_cell(self)
        return self.families

    @property
    def ref(self) -> ActorRef[Any]:
        """A reference to this actor."""
        return ActorRef(self)

    def watch(self, other: Cell) -> None:
        """Have Terminated sent to this actor when `other` ends; at once if it has."""
        self.check_message(Terminated(other.ref, Ended(other.path, EndReason.STOPPED)))
        if other.ended is not None:
            self.notify_end(other)
            return
        if other.watchers is None:
            other.watchers = {}
        if self.watching is None:
            self.watching = {}
        other.watchers[self] = self.watching[other] = None

    def unwatch(self, other: Cell) -> None:
        """Undo `watch`; does nothing when there was none."""
        for table, key in ((other.watchers, self), (self.watching, other)):
            if table is not None:
                table.pop(key, None)

    def unwatch_all(self) -> None:
        """The watches of an incarnation end with it."""
        for watched in self.watching or ():
            if watched.watchers is not None:
                watched.watchers.pop(self, None)
        self.watching = None

    def notify_end(self, other: Cell) -> None:
        """Put Terminated on this actor's control lane."""
        assert other.ended is not None
        if self.watching is not None:
            self.watching.pop(other, None)
        message = Terminated(other.ref, other.ended)
        route = self.route_for(message)
        self.notify(Envelope(self, message, route, inf, None, False))

    # For the graph of waits

    def handlers(self) -> tuple[Envelope, ...]:
        """What this actor is busy with: its start, end or restart, or messages being handled."""
        if self.phase is not None:
            return (self.phase,)
        if self.running is not None:
            return tuple(self.running)
        return () if self.current is None else (self.current,)

    def slots_full(self) -> bool:
        """True when a queued message must wait for one of `handlers()` to finish."""
        if self.phase is not None:
            return True
        return len(self.handlers()) >= self.max_concurrency

    def children(self) -> tuple[Cell, ...]:
        """Living children, in order of their start."""
        return () if self.families is None else tuple(self.families.children.values())
