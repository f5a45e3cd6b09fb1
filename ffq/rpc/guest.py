"""A Trio run that is the guest of gRPC's asyncio loop: both in one thread.

For processes that do little but serve calls. Where Trio has a thread of its own each call crosses
between the two, there and back, and to wake the other thread costs more than most calls' work.
Here the loop calls what it would hand over. What an idle actor answers at once needs no step of
Trio's at all; whatever waits has Trio's scheduler run, as a callback of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

from ffq.rpc.loop import finish, hosting

T = TypeVar("T")


@trio.lowlevel.enable_ki_protection  # Ctrl-C is for `main`, as under `trio.run`
def run_as_guest(main: Callable[[], Awaitable[T]]) -> T:
    """As `trio.run`; the servers of this run share its thread with gRPC's loop.

    Not in a thread that has a running loop or Trio run already.
    """
    loop = asyncio.new_event_loop()
    ended: asyncio.Future[Any] = loop.create_future()

    asyncio.set_event_loop(loop)
    try:
        with hosting(loop):
            trio.lowlevel.start_guest_run(
                main,
                run_sync_soon_threadsafe=loop.call_soon_threadsafe,
                run_sync_soon_not_threadsafe=loop.call_soon,
                done_callback=ended.set_result,
            )
            outcome = loop.run_until_complete(ended)
        finish(loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    result: T = outcome.unwrap()
    return result
