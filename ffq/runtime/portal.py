"""Bridges: talk to actors from other threads, from asyncio and from synchronous code (A13)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple, Unpack

import trio

from ffq.runtime._options import DEFAULT_MAILBOX
from ffq.runtime._portal import Portal
from ffq.runtime.blocking import join_blocking, wait_blocking
from ffq.runtime.errors import ProtocolError, SystemClosed
from ffq.runtime.system import ActorSystem

if TYPE_CHECKING:
    from ffq.runtime._actor_base import ActorBase
    from ffq.runtime.message import Sendable
    from ffq.runtime.ref import ActorRef
    from ffq.runtime.supervision import Supervision

__all__ = ["Portal", "SyncActorSystem"]

M = TypeVar("M")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class SyncActorSystem:
    """An actor system on a Trio thread of its own, for synchronous code.

        with SyncActorSystem("bank") as actors:
            counter = actors.spawn(Counter, 0)
            assert actors.ask(counter, Add(5)) == 5

    Leaving the block stops the system as `async with ActorSystem` does, and raises what it raised.
    """

    def __init__(
        self, name: str = "actors", *, supervision: Supervision | None = None, debug: bool = False
    ) -> None:
        self._system = ActorSystem(name, supervision=supervision, debug=debug)
        self._opened: Future[Portal] = Future()
        self._outcome: Future[None] = Future()
        self._thread = threading.Thread(target=self._run_thread, name=f"actors-{name}")
        self._leave = trio.Event()
        self._scope = trio.CancelScope()
        self._portal: Portal | None = None

    @property
    def portal(self) -> Portal:
        """The portal to the system. Raises SystemClosed outside of the `with` block."""
        if self._portal is None:
            raise SystemClosed(f"the system {self._system.name} is not open: use `with`")
        return self._portal

    @property
    def system(self) -> ActorSystem:
        """The system itself, for use in its Trio thread only."""
        return self._system

    def __enter__(self) -> Self:
        if self._thread.ident is not None:
            raise SystemClosed(f"the system {self._system.name} was used already; make a new one")
        try:
            self._thread.start()
            self._portal = wait_blocking(self._opened)
        except BaseException:  # Ctrl-C too: whoever is not let in does not close the block
            self._abandon()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if threading.current_thread() is self._thread:
            raise ProtocolError(
                f"the system {self._system.name} was closed on its own thread, which its end waits "
                "for: leave the block where it was entered"
            )
        portal, self._portal = self.portal, None
        with suppress(SystemClosed):  # it has crashed: the outcome says how
            portal.run_soon(self._leave.set if error is None else self._scope.cancel)
        join_blocking(self._thread)
        failure = self._outcome.exception()
        if failure is not None and error is not None:
            both = [failure, error]
            raise BaseExceptionGroup(
                f"the system {self._system.name} failed, as did its block", both
            )
        self._outcome.result()

    def _abandon(self) -> None:
        if self._thread.ident is not None:
            with suppress(Exception):  # it has ended by itself
                wait_blocking(self._opened).run_soon(self._scope.cancel)
            join_blocking(self._thread)

    def _run_thread(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001  # raised in the thread that owns the block
            self._outcome.set_exception(error)
            if not self._opened.done():
                self._opened.set_exception(error)
        else:
            self._outcome.set_result(None)

    async def _main(self) -> None:
        with self._scope:
            async with self._system as system:
                self._opened.set_result(system.portal())
                await self._leave.wait()

    def spawn(
        self,
        factory: Callable[[Unpack[Ts]], ActorBase[M]],
        *args: *Ts,
        name: str | None = None,
        mailbox: int = DEFAULT_MAILBOX,
        max_concurrency: int = 1,
    ) -> ActorRef[M]:
        """`await system.spawn(...)`, blocking. See `Spawner.spawn`."""
        return self.portal.call(
            partial(
                self._system.spawn,
                factory,
                *args,
                name=name,
                mailbox=mailbox,
                max_concurrency=max_concurrency,
            )
        )

    def ask(self, ref: ActorRef[M], message: Sendable[M, R], *, timeout: float | None = None) -> R:
        """See `Portal.ask`."""
        return self.portal.ask(ref, message, timeout=timeout)

    def tell(
        self, ref: ActorRef[M], message: Sendable[M, Any], *, timeout: float | None = None
    ) -> None:
        """See `Portal.tell`."""
        self.portal.tell(ref, message, timeout=timeout)
