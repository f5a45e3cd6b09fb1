"""A way into an actor system from other threads and from asyncio (A13)."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from ffq.errors import words
from ffq.runtime._checks import check_function, check_seconds
from ffq.runtime._envelope import BRIDGE, HANDLING
from ffq.runtime._failures import is_stray, split_failure, stray
from ffq.runtime.blocking import wait_blocking
from ffq.runtime.errors import InvalidOption, ProtocolError, SystemClosed
from ffq.runtime.remarks import RemarkLogger

if TYPE_CHECKING:
    from ffq.runtime._envelope import Envelope
    from ffq.runtime._system_base import SystemBase
    from ffq.runtime.message import Sendable
    from ffq.runtime.ref import ActorRef

logger = RemarkLogger(logging.getLogger("ffq.runtime"))

M = TypeVar("M")
R = TypeVar("R")
T = TypeVar("T")


class Portal:
    """A way into an actor system from outside of its Trio thread.

    Get one with `system.portal()` in the Trio thread, use it anywhere else. Every call runs as a
    task of the system: when the system closes, calls under way raise SystemClosed. Giving up on a
    call (a timeout, Ctrl-C, a cancelled asyncio task) cancels it, and so its handler.
    """

    def __init__(self, system: SystemBase, nursery: trio.Nursery) -> None:
        self._system = system
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._process = os.getpid()

    def ask(self, ref: ActorRef[M], message: Sendable[M, R], *, timeout: float | None = None) -> R:
        """`await ref.ask(message)`, blocking this thread; `timeout` in seconds.

        Raises what the ask raises, TimeoutError, SystemClosed, ProtocolError in a Trio thread.
        """
        return self.call(partial(ref.ask, message), timeout=timeout)

    def tell(
        self, ref: ActorRef[M], message: Sendable[M, Any], *, timeout: float | None = None
    ) -> None:
        """`await ref.tell(message)`, blocking this thread while the mailbox is full."""
        self.call(partial(ref.tell, message), timeout=timeout)

    async def ask_asyncio(self, ref: ActorRef[M], message: Sendable[M, R]) -> R:
        """`await ref.ask(message)` from a coroutine that runs under asyncio."""
        return await asyncio.wrap_future(self.submit(partial(ref.ask, message)))

    async def tell_asyncio(self, ref: ActorRef[M], message: Sendable[M, Any]) -> None:
        """`await ref.tell(message)` from a coroutine that runs under asyncio."""
        await asyncio.wrap_future(self.submit(partial(ref.tell, message)))

    def call(self, function: Callable[[], Awaitable[T]], *, timeout: float | None = None) -> T:
        """Run any async function in the system, blocking this thread until it has returned."""
        if trio.lowlevel.in_trio_run():
            raise ProtocolError(
                f"a portal of the system {self._system.name} was used in a Trio thread, which it "
                "would block: await ref.ask() there"
            )
        future: Future[T] = Future()
        try:
            # In here as well: Ctrl-C may come when the function runs, but is not waited for yet.
            self._hand_over(future, function, timeout)
            return wait_blocking(future)
        finally:
            future.cancel()

    def submit(
        self, function: Callable[[], Awaitable[T]], *, timeout: float | None = None
    ) -> Future[T]:
        """Start an async function in the system. Cancelling the future cancels the function.

        Raises InvalidOption, SystemClosed.
        """
        future: Future[T] = Future()
        self._hand_over(future, function, timeout)
        return future

    def _hand_over(
        self, future: Future[T], function: Callable[[], Awaitable[T]], timeout: float | None
    ) -> None:
        what = f"a portal of the system {self._system.name}"
        if timeout is not None:
            check_seconds(f"{what}: timeout", timeout)
        check_function(what, function)
        scope = trio.CancelScope()
        # Threads that a handler starts with trio.to_thread know what is being handled.
        origin = HANDLING.get()
        if origin is not None and origin.cell.system is not self._system:
            origin = None
        future.add_done_callback(partial(self._given_up, scope))
        self.run_soon(partial(self._start, function, scope, future, timeout, origin))

    def run_soon(self, function: Callable[[], object]) -> None:
        """Call a plain function in the Trio thread, without waiting; an error of it is logged.

        Raises InvalidOption, SystemClosed.
        """
        what = f"a portal of the system {self._system.name}"
        if os.getpid() != self._process:  # its thread is not in the child: a call would hang
            raise SystemClosed(
                f"{what} leads into the process that this one was forked from; start a system here"
            )
        check_function(what, function)
        if inspect.iscoroutinefunction(function):
            raise InvalidOption(f"{what}: {words(function)} is async: give it to submit or call")
        try:
            self._token.run_sync_soon(self._call, function)
        except trio.RunFinishedError:
            raise self._closed() from None

    def _call(self, function: Callable[[], object]) -> None:
        # What is raised here would end the whole Trio run, as an internal error of it.
        try:
            function()
        except BaseException as error:  # raised again in the nursery, or logged
            if isinstance(error, Exception) or self._system.closed:
                name, called = self._system.name, words(function)
                logger.warning("a portal of the system %s: %s failed", name, called, exc_info=error)
            else:  # Ctrl-C and its like end the system, as out of a handler
                self._nursery.start_soon(_raise, error)

    def _given_up(self, scope: trio.CancelScope, future: Future[Any]) -> None:
        if future.cancelled():
            with suppress(SystemClosed):  # then nothing is left to cancel
                self.run_soon(scope.cancel)

    def _closed(self) -> SystemClosed:
        return SystemClosed(f"the system {self._system.name} is closed: its portal leads nowhere")

    def _start(
        self,
        function: Callable[[], Awaitable[T]],
        scope: trio.CancelScope,
        future: Future[T],
        seconds: float | None,
        origin: Envelope | None,
    ) -> None:
        if self._system.closed or self._system.stopping:
            _settle(future, error=self._closed())
            return
        self._nursery.start_soon(self._run, function, scope, future, seconds, origin)

    async def _run(
        self,
        function: Callable[[], Awaitable[T]],
        scope: trio.CancelScope,
        future: Future[T],
        seconds: float | None,
        origin: Envelope | None,
    ) -> None:
        HANDLING.set(origin)
        BRIDGE.set(trio.lowlevel.current_task())
        timer = trio.move_on_after(seconds if seconds is not None else float("inf"))
        try:
            with scope, timer:
                _settle(future, value=await function())
                return
        except Exception as error:  # noqa: BLE001  # handed to the thread that called
            _settle(future, error=error)
            return
        except BaseException as error:  # noqa: BLE001  # raised again
            if is_stray(error):
                where = f"a portal of the system {self._system.name}: {words(function)}"
                _settle(future, error=stray(where, error))
                return
            # Cancelled, alone or with what a cleanup raised, or Ctrl-C: the system is ending.
            failure, rest = split_failure(error)
            _settle(future, error=failure or self._closed())
            raise rest from None
        if timer.cancelled_caught:
            _settle(future, error=TimeoutError(f"no reply within {seconds} seconds"))
        else:
            future.cancel()


async def _raise(error: BaseException) -> None:
    raise error


def _settle(
    future: Future[T], *, value: T | None = None, error: BaseException | None = None
) -> None:
    """Give a future its outcome, unless its owner has cancelled it in the meantime."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)  # type: ignore[arg-type]  # None only where T is None
