"""Short blocking work on threads of our own.

Trio's default limiter belongs to the program that embeds us: its threads may be waiting for the
very work that is to run here, and then none would ever be free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple, Unpack

import trio

MAX_THREADS: Final = 32
"""At once, in one Trio run. None of the work here waits for other such work."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("ffq_threads")


async def run_blocking(
    function: Callable[[Unpack[Ts]], T], *args: *Ts, abandon_on_cancel: bool = False
) -> T:
    """What `function` returns or raises. As `trio.to_thread.run_sync`, but for the limiter."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(MAX_THREADS)
        _limiter.set(limiter)
    return await trio.to_thread.run_sync(
        function, *args, limiter=limiter, abandon_on_cancel=abandon_on_cancel
    )
