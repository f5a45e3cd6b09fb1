"""The two consoles: results go to stdout, progress and remarks to stderr."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def stdout_console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def is_utf8(stream: TextIO) -> bool:
    """Whether every character can be written to a stream as it is."""
    return stream.encoding.lower() in {"utf-8", "utf8"}


def note(text: str) -> None:
    """One line of progress or a remark, on stderr, never wrapped.

    Where nobody reads stderr any more (a closed pipe, a terminal that has gone), or an operator has
    closed it or put something else in its place, it is not said: a remark is no reason to stop.
    """
    with suppress(Exception):
        sys.stderr.write(text + "\n")
    flushed(sys.stderr)


def flushed(stream: TextIO) -> OSError | None:
    """Write out what is in a stream's buffer. Returns why that failed.

    What follows then goes nowhere: Python would try again when it ends, and complain. Of a stream
    that an operator has closed or taken away nothing is left to write.
    """
    try:
        stream.flush()
    except OSError as error:
        _lead_nowhere(stream)
        return error
    except (ValueError, AttributeError):
        return None
    return None


def stdout_was_closed() -> bool:
    """Whether `prepare_streams` found stdout closed: what is written there fails."""
    try:
        mode = fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL)
    except (OSError, ValueError):
        return False  # no file of the system's: whoever replaced it knows
    return mode & os.O_ACCMODE == os.O_RDONLY


def excuse_stdout() -> None:
    """For a server, whose result is not there: what an operator prints may go nowhere."""
    if stdout_was_closed():
        _lead_nowhere(sys.stdout)


def _lead_nowhere(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def prepare_streams() -> None:
    """Make this process's streams ones that can be written to, whatever the shell gave it.

    Of those that were closed (`>&-`) stdin is at its end and stderr goes nowhere, while a write to
    stdout fails, as what is written there is what was asked for. Otherwise the next file or socket
    that is opened would take the place of one, and get what is meant for it. A character that the
    terminal's encoding does not have is written as an escape.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free: this one.
            os.set_inheritable(os.open(os.devnull, mode), True)
    # None where they were closed when Python started, whatever the type checker knows of them.
    streams: Mapping[str, TextIO | None] = vars(sys)
    if streams["stdin"] is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if streams["stdout"] is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if streams["stderr"] is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
