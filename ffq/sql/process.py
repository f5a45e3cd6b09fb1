"""A planning process as its parent has it: started, asked within limits, and ended."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ffq.errors import (
    ExecutionError,
    FfqError,
    PlanningError,
    PlanningLimit,
    StartupError,
    Unavailable,
)
from ffq.messages import SqlPlan
from ffq.sql.declared import declared_columns
from ffq.sql.frames import (
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    Hello,
    answered,
    framed,
    load_basis,
    load_header,
    load_reply,
)
from ffq.sql.interpreter import interpreter
from ffq.sql.kept import Basis
from ffq.sql.limits import PlanningLimits

_START_S: Final = 60.0
_POLL_MS: Final = 20
_UNWANTED_S: Final = 0.5
"""What a plan that nobody wants any more may still take: most take less, and a new process takes as
much to start, while others wait for it."""
_CHUNK: Final = 1 << 16


class _GivenUp(Exception):
    """It has taken too long for what nobody wants."""


class PlanningProcess:
    """One child. `ask` is called by one thread at a time, `kill` by any."""

    def __init__(self, hello: Hello) -> None:
        """Raises StartupError: it cannot be started."""
        self._interpreter = interpreter()
        self._process = self._interpreter.process
        self._closing = threading.Lock()
        self._open = True
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        self._outgoing = memoryview(framed(hello.dump()))
        self._incoming = bytearray()
        self._ready = False
        self._unwanted_at: float | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it was not ended, as far as is known."""
        return self._open and self._process.poll() is None

    def ask(self, request: bytes, limits: PlanningLimits) -> tuple[SqlPlan, Basis | None]:
        """Blocks until it has answered, or is ended because it took too much.

        Args:
            request: as `dump_request` writes it.

        Returns:
            The plan, and what it holds for, where that was asked for and can be said.

        Raises:
            PlanningLimit: it took more time or memory than `limits` allow. The process is ended.
            PlanningError: it died of the query. The process is ended.
            Unavailable: it was ended by `kill`, or took too long after `hurry`.
        """
        if not self._ready:
            self._begin()
        watch = _Watch(self.pid, limits)

        def check() -> None:
            watch.check()
            self._check_wanted()

        self._outgoing = memoryview(framed(request))
        try:
            header = load_header(self._frame(check))
            while (question := header.get("operator")) is not None:
                self._outgoing = memoryview(framed(answered(question, declared_columns)))
                header = load_header(self._frame(check))
            return load_reply(header, self._frame(check)), load_basis(header)
        except PlanningLimit:
            self.kill()
            raise
        except _GivenUp:
            self.kill()
            raise Unavailable("planning was given up") from None
        except EOFError:
            raise self._death() from None

    def hurry(self) -> None:
        """From any thread: nobody wants what it does any more, and it may not take much longer."""
        self._unwanted_at = time.monotonic()

    def calm(self) -> None:
        """What it does next is wanted."""
        self._unwanted_at = None

    def _check_wanted(self) -> None:
        since = self._unwanted_at
        if since is not None and time.monotonic() - since > _UNWANTED_S:
            raise _GivenUp

    def _begin(self) -> None:
        late = time.monotonic() + _START_S

        def check() -> None:
            if time.monotonic() > late:
                self.kill()
                raise StartupError(f"a planning process was not ready within {_START_S:.0f} s")

        try:
            self._frame(check)
        except EOFError:
            if not self._open:
                raise self._death() from None
            self.kill()
            raise StartupError(
                f"a planning process ended while it started, with {self._ending()}; "
                f"is ffq-runtime installed whole for {sys.executable}?"
            ) from None
        self._ready = True

    def _frame(self, check: Callable[[], None]) -> bytes:
        """The next frame from the child; what is still to be sent goes out meanwhile.

        Raises EOFError: it has ended; and what `check` raises, which is called all the time.
        """
        wanted: int | None = None
        while True:
            if wanted is None and len(self._incoming) >= HEAD_BYTES:
                wanted = int.from_bytes(self._incoming[:HEAD_BYTES], "big") + HEAD_BYTES
                if wanted > MAX_FRAME_BYTES:
                    raise ExecutionError("a planning process said what is no answer")
            if wanted is not None and len(self._incoming) >= wanted:
                frame = bytes(self._incoming[HEAD_BYTES:wanted])
                del self._incoming[:wanted]
                return frame
            check()
            self._move()

    def _move(self) -> None:
        with self._closing:
            if not self._open:
                raise EOFError
            poll = select.poll()
            poll.register(self._from, select.POLLIN)
            if self._outgoing:
                poll.register(self._to, select.POLLOUT)
        for descriptor, _ in poll.poll(_POLL_MS):
            with self._closing:
                if not self._open:
                    raise EOFError
                if descriptor == self._from:
                    if not (data := os.read(self._from, _CHUNK)):
                        raise EOFError
                    self._incoming += data
                else:
                    self._send()

    def _send(self) -> None:
        try:
            self._outgoing = self._outgoing[os.write(self._to, self._outgoing[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            raise EOFError from None

    def _death(self) -> FfqError:
        """What its end in the middle of a query means."""
        if not self._open:
            return Unavailable("planning was ended: its planner was closed")
        self.kill()
        return PlanningError(
            f"planning the query ended the process that planned it, with {self._ending()}"
        )

    def _ending(self) -> str:
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End it now, and see it ended. Again it does nothing."""
        with self._closing:
            if not self._open:
                return
            self._open = False
            self._interpreter.kill()
        self._process.wait()


class _Watch:
    """Looks how long a process takes, and how much: the latter only of one that takes a while."""

    def __init__(self, pid: int, limits: PlanningLimits) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._limits = limits
        now = time.monotonic()
        self._late = now + limits.time_ms / 1000
        self._look_at = now + _POLL_MS / 1000

    def check(self) -> None:
        """Raises PlanningLimit."""
        now = time.monotonic()
        if now > self._late:
            raise PlanningLimit(
                f"planning the query took longer than {self._limits.time_ms} ms, and was ended: "
                "right would be a shorter text, or one that computes less of constants"
            )
        if now < self._look_at:
            return
        self._look_at = now + _POLL_MS / 1000
        if self._used() > self._limits.memory_bytes:
            raise PlanningLimit(
                f"planning the query took more than {self._limits.memory_bytes >> 20} MiB of "
                "memory, and was ended: right would be a shorter text, or one that computes less "
                "of constants"
            )

    def _used(self) -> int:
        try:
            for line in self._status.read_text().splitlines():
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass  # it has just ended, or this system tells nobody
        return 0
