"""Processes of an embedded cluster: started, seen ready, watched, and never left behind.

Each child reads its stdin from a pipe that only this process holds and stops when that closes, so
that children end even if this process is killed. They are in sessions of their own: a Ctrl-C on
the terminal reaches this process alone, which then stops them in order.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from ffq.errors import StartupError

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
_KEPT_LINES = 50
_LIFELINES: Final[set[int]] = set()
"""This process's ends of the pipes that the children's lives hang on, as file descriptors."""


def _let_go() -> None:
    """In a fork of this process: what lives on in it must not keep the children alive."""
    for number in _LIFELINES:
        with suppress(OSError):
            os.close(number)
    _LIFELINES.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def keeping_alive(process: trio.Process) -> Iterator[int]:
    """Tell forks of this process not to hold the stdin that the life of `process` hangs on: its
    file descriptor.
    """
    assert isinstance(process.stdin, trio.lowlevel.FdStream)
    number = process.stdin.fileno()
    _LIFELINES.add(number)
    try:
        yield number
    finally:
        _LIFELINES.discard(number)


@attrs.define(eq=False)
class Child:
    """One process.

    Attributes:
        name: for the screen: `gateway`, `w1`, ...
        ready_line: what it said on stderr when it was ready.
        tail: the last lines it said.
        may_end: it was told to.
    """

    name: str
    process: trio.Process
    tail: deque[str]
    ready_line: str = ""
    may_end: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL: no last words, no cleaning up."""
        self.may_end = True
        self.process.kill()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if it has not ended STOP_TIMEOUT_S later."""
        self.may_end = True
        if self.process.poll() is None:
            self.process.terminate()
        with trio.move_on_after(STOP_TIMEOUT_S):
            await self.process.wait()
            return
        self.process.kill()

    def ended_early(self) -> str:
        """What to say about an end that nobody asked for."""
        last = self.tail[-1].removeprefix("error: ") if self.tail else "it said nothing"
        return f"{self.name} ended with exit code {self.process.returncode}: {last}"


@attrs.define
class Children:
    """Starts children in a nursery; when that is cancelled, they get SIGTERM and 5 s, then SIGKILL.

    Args:
        folder: gets a file NAME.log with what each child says on stderr.
        on_line: called with a child's name and each such line.
        on_end: called with this and a child that was ready and has ended though nobody told it to;
            None: that is a StartupError in the nursery.
        variables: of the environment, beside this process's own.
        held: file descriptors that each child has for as long as it lives.
    """

    _nursery: trio.Nursery
    _folder: Path
    _on_line: Callable[[str, str], None]
    _on_end: Callable[[Children, Child], None] | None = None
    _variables: Mapping[str, str] = attrs.field(factory=dict)
    _held: Sequence[int] = ()

    async def start(self, name: str, arguments: Sequence[str], *, ready_prefix: str) -> Child:
        """Start `ffq *arguments` and wait for the line that starts with `ready_prefix`.

        Raises:
            StartupError: it ended before that, or was not ready within READY_TIMEOUT_S.
        """
        process: trio.Process = await self._nursery.start(
            partial(
                trio.run_process,
                [sys.executable, "-m", "ffq", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
                start_new_session=True,
                pass_fds=self._held,
                env={**_environment(), **self._variables},
            )
        )
        child = Child(name, process, deque(maxlen=_KEPT_LINES))
        heard = trio.Event()
        self._nursery.start_soon(self._listen, child, heard, ready_prefix)
        with trio.move_on_after(READY_TIMEOUT_S):
            await heard.wait()
            if not child.ready_line:
                raise StartupError(child.ended_early())
            return child
        raise StartupError(f"{name} was not ready within {READY_TIMEOUT_S:g} s")

    async def _listen(self, child: Child, heard: trio.Event, ready_prefix: str) -> None:
        """Reads all it says until it ends, which it may not do before it is told to.

        heard: set when it is ready, or will never be: `start` says so then.
        """
        with keeping_alive(child.process):
            await self._read(child, heard, ready_prefix)
        started = heard.is_set()
        heard.set()
        if child.may_end or not started:
            return
        if self._on_end is None:
            raise StartupError(child.ended_early())
        self._on_end(self, child)

    async def _read(self, child: Child, heard: trio.Event, ready_prefix: str) -> None:
        assert child.process.stderr is not None
        with (self._folder / f"{child.name}.log").open("a", encoding="utf-8") as log:
            async for line in _lines(child.process.stderr):
                log.write(line + "\n")
                child.tail.append(line)
                self._on_line(child.name, line)
                if line.startswith(ready_prefix) and not heard.is_set():
                    child.ready_line = line
                    heard.set()
        await child.process.wait()


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    rest = b""
    async for data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


def _environment() -> dict[str, str]:
    """Ours without FFQ_*: settings of the shell the demo runs in must not change the demo."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FFQ_")}
