"""Waiting in Trio for a future that some other thread completes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import trio
from trio.lowlevel import Abort

T_co = TypeVar("T_co", covariant=True)


class ThreadFuture(Protocol[T_co]):
    """What grpc.Future and concurrent.futures.Future have in common."""

    def cancel(self) -> bool: ...

    def result(self) -> T_co: ...

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> Any: ...


@trio.lowlevel.enable_ki_protection
async def wait_future(future: ThreadFuture[T_co]) -> T_co:
    """The future's result, or its exception; cancelling the wait cancels the future."""
    task = trio.lowlevel.current_task()
    token = trio.lowlevel.current_trio_token()
    waiting = True

    def wake() -> None:
        nonlocal waiting
        if waiting:
            waiting = False
            trio.lowlevel.reschedule(task)

    def done(_future: object) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(wake)

    def abort(_raise_cancel: object) -> Abort:
        nonlocal waiting
        waiting = False
        future.cancel()
        return Abort.SUCCEEDED

    future.add_done_callback(done)
    await trio.lowlevel.wait_task_rescheduled(abort)
    return future.result()
