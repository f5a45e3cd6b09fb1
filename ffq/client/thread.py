"""Something of Trio's for code without Trio: it lives on a thread, and other threads call it."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Generic, TypeVar, TypeVarTuple, Unpack

import attrs
import trio

from ffq.errors import InvalidRequest, Unavailable
from ffq.rpc.forks import check_process
from ffq.runtime._failures import only_cancelled, split_failure
from ffq.runtime.blocking import join_blocking, wait_blocking

C = TypeVar("C")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@attrs.frozen
class ThreadWords:
    """What errors call it. kind: its class, `SyncClient`; thread: the name of its thread; use: how
    it is opened; instead: what a Trio program uses.
    """

    kind: str
    thread: str
    use: str
    instead: str

    @property
    def closed(self) -> str:
        return f"this {self.kind} was closed while the call was under way"

    @property
    def not_open(self) -> str:
        return f"this {self.kind} is not open: {self.use}"


class TrioThread(Generic[C]):
    """Opens an async context manager in a Trio run of its own, on a thread; threads may share it.

    Whatever ends the wait for a call ends the call there. The end ends all of them.

    Args:
        manager: what to open, and so what calls are made of.
    """

    def __init__(
        self, manager: Callable[[], AbstractAsyncContextManager[C]], words: ThreadWords
    ) -> None:
        self._manager = manager
        self._words = words
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._value: C | None = None
        self._stop: trio.Event | None = None
        self._calls: trio.Nursery | None = None

    @property
    def is_open(self) -> bool:
        return self._thread is not None and self._value is not None

    @property
    def value(self) -> C:
        """What was opened. Raises Unavailable."""
        if self._value is None or self._token is None:
            raise Unavailable(self._words.not_open)
        return self._value

    def open(self) -> None:
        """Returns when it is open. Raises InvalidRequest, and what opening raises."""
        if trio.lowlevel.in_trio_run():
            raise InvalidRequest(
                f"ffq.{self._words.kind} would block this Trio run: use {self._words.instead} in it"
            )
        future, abandon = self.opening()
        try:
            wait_blocking(future)
        except BaseException:  # Ctrl-C too: whoever is not let in does not close the block
            abandon()
            raise

    def opening(self) -> tuple[Future[None], Callable[[], None]]:
        """Begin to open: what tells when it is, and what gives it up and waits for its end."""
        check_process()
        if self._thread is not None:
            raise InvalidRequest(
                f"this {self._words.kind} is open already: share it in its with block, or make "
                f"another one"
            )
        opened: Future[None] = Future()
        scope = trio.CancelScope()
        self._thread = threading.Thread(
            target=trio.run, args=(self._serve, opened, scope), name=self._words.thread, daemon=True
        )

        def abandon() -> None:
            self._abandon(opened, scope)

        try:
            self._thread.start()
        except BaseException:
            abandon()
            raise
        _OPEN.add(self)
        return opened, abandon

    def _abandon(self, opened: Future[None], scope: trio.CancelScope) -> None:
        opened.cancel()
        if self._token is not None:
            with suppress(trio.RunFinishedError):  # it has ended by itself
                self._token.run_sync_soon(scope.cancel)
        if self._thread is not None and self._thread.ident is not None:
            join_blocking(self._thread)
        self._forget()

    def _forget(self) -> None:
        self._token = self._thread = None
        _OPEN.discard(self)

    def close(self) -> None:
        """End the calls under way (they raise Unavailable) and the thread, and wait for it."""
        check_process()
        thread = self._thread
        if threading.current_thread() is thread:
            raise InvalidRequest(
                f"a {self._words.kind} was closed on its own thread, on which progress callbacks "
                "run and which its end waits for: close it on the thread that opened it"
            )
        self.request_end()
        if thread is not None:
            join_blocking(thread)
        self._forget()

    def request_end(self) -> None:
        """As `close`, but waits for nobody: in any thread."""
        token, stop = self._token, self._stop
        if token is not None and stop is not None:
            with suppress(trio.RunFinishedError):  # it has ended by itself
                token.run_sync_soon(stop.set)

    def call(self, method: Callable[[Unpack[Ts]], Awaitable[T]], *args: *Ts) -> T:
        """Run one call on that thread and wait: whatever ends the wait here ends the call."""
        if trio.lowlevel.in_trio_run():
            check_process()
            raise InvalidRequest(
                f"a {self._words.kind} was used in a Trio thread, which it would block; its own is "
                "one, on which progress callbacks run, and finalizers may: use it on another "
                f"thread, or {self._words.instead} in a Trio program"
            )
        future, cancel = self.begin(method, *args)
        try:
            return wait_blocking(future)
        finally:
            if not future.done():  # Ctrl-C, or the like
                cancel()

    def soon(self, function: Callable[[], object]) -> None:
        """Have a plain function called there. Of a thread that has ended nothing is asked."""
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(function)

    def begin(
        self, method: Callable[[Unpack[Ts]], Awaitable[T]], *args: *Ts
    ) -> tuple[Future[T], Callable[[], None]]:
        """Begin one call there: its future, and what cancels it. Raises Unavailable."""
        check_process()
        token, calls = self._token, self._calls
        if token is None or calls is None:
            raise Unavailable(self._words.closed)
        future: Future[T] = Future()
        scope = trio.CancelScope()

        def cancel() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)

        try:
            token.run_sync_soon(self._start, method, args, scope, future)
        except trio.RunFinishedError:
            raise Unavailable(self._words.closed) from None
        return future, cancel

    def _start(
        self,
        method: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
        scope: trio.CancelScope,
        future: Future[T],
    ) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if self._calls is None or self._calls.cancel_scope.cancel_called:
            future.set_exception(Unavailable(self._words.closed))
        else:
            self._calls.start_soon(_answer, method, args, scope, future, self._words.closed)

    async def _serve(self, opened: Future[None], scope: trio.CancelScope) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if not opened.set_running_or_notify_cancel():
            return
        try:
            # Calls end before what they are made of does: what they must still say goes through it.
            with scope:
                async with self._manager() as value, trio.open_nursery() as self._calls:
                    self._value = value
                    self._stop = trio.Event()
                    opened.set_result(None)
                    await self._stop.wait()
                    self._calls.cancel_scope.cancel()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)


async def _answer(
    method: Callable[..., Awaitable[T]],
    args: tuple[object, ...],
    scope: trio.CancelScope,
    future: Future[T],
    closed: str,
) -> None:
    """Run one call, and give its caller what comes of it: SystemExit of a callback too."""
    try:
        with scope:
            future.set_result(await method(*args))
    except BaseException as error:  # noqa: BLE001  # raised in the thread that called
        failure, rest = split_failure(error)
        if only_cancelled(rest):  # the block has ended
            future.set_exception(failure or Unavailable(closed))
            raise rest from None
        future.set_exception(error)
    finally:
        if not future.done():
            future.set_exception(Unavailable(closed))


_OPEN: Final[set[TrioThread[Any]]] = set()
"""Those of this process that are open: what their programs have not closed ends with it."""


@atexit.register
def _close_all() -> None:
    for each in list(_OPEN):
        each.close()


# In a child that was forked there are no such threads.
os.register_at_fork(after_in_child=_OPEN.clear)
