"""Ctrl-C, SIGTERM and SIGHUP: the first asks a process to stop cleanly, the second makes it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import attrs
import trio

from ffq.cli.interrupts import started
from ffq.cli.output.consoles import flushed, note

_READ_BYTES = 4096
T = TypeVar("T")


def run_command(
    main: Callable[[], Awaitable[T]],
    *,
    run: Callable[[Callable[[], Awaitable[T]]], T] | None = None,
) -> T:
    """`trio.run` for commands, or `run` in its place, where their start is over: from here Ctrl-C
    is theirs to hear.
    """
    started()
    return trio.run(main) if run is None else run(main)


async def until_signalled(
    work: Callable[[], Awaitable[None]],
    *,
    request_stop: Callable[[], None] | None = None,
    stop_with_stdin: bool = False,
) -> signal.Signals | None:
    """Run `work` until it ends, or until the first signal stops it.

    Args:
        request_stop: makes `work` end in order; without it, it is cancelled.
        stop_with_stdin: also stop when stdin closes. Whoever started this process through a pipe
            is gone then, even if it was killed without a chance to say so.

    Returns:
        The signal that stopped it; None when it ended by itself or stdin closed.
    """
    scope = trio.CancelScope()
    stop = _Stop(request_stop or scope.cancel)
    with trio.open_signal_receiver(*_heard()) as signals:
        async with trio.open_nursery() as watchers:
            watchers.start_soon(stop.on_signals, signals)
            if stop_with_stdin:
                watchers.start_soon(stop.on_closed_stdin)
            with scope:
                await work()
            watchers.cancel_scope.cancel()
    return stop.signal


def _heard() -> list[signal.Signals]:
    """A process under `nohup` is to outlive its terminal: what is ignored stays so."""
    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    return heard


@attrs.define
class _Stop:
    _request: Callable[[], None]
    signal: signal.Signals | None = None

    async def on_signals(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if self.signal is not None:
                _leave_at_once(number)
            self.signal = signal.Signals(number)
            note("stopping; once more to stop at once")
            self._request()

    async def on_closed_stdin(self) -> None:
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
            while await stdin.receive_some(_READ_BYTES):
                pass
        self._request()


def _leave_at_once(number: int) -> None:
    """No cleaning up: the user asked twice."""
    flushed(sys.stderr)
    os._exit(128 + number)
