"""From any exception to one line on stderr and an exit code."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator

import attrs
import typer

from ffq.cli.output.consoles import flushed, note
from ffq.display.grid import visible
from ffq.errors import (
    FfqError,
    InvalidQuery,
    InvalidRequest,
    StartupError,
    Unavailable,
    WorkerSuperseded,
)

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
SUPERSEDED = 4
INTERRUPTED = 130

EXIT_CODES = """\b
Exit codes:
  0    done
  1    the query failed, was canceled or is not known; or something else went wrong
  2    bad usage, a bad setting, or a process that could not start
  3    the coordinator cannot be reached
  4    a worker was superseded: another process has its id (do not restart it)
  130  interrupted (Ctrl-C)"""


_FROM_STDOUT = frozenset({errno.EBADF, errno.ENOSPC, errno.EIO})
"""Errors of a write that say nothing of a file: only stdout is written to without a name."""


@attrs.define
class Reporting:
    """How errors are shown. `with_traceback` is set by the global flag --traceback."""

    with_traceback: bool = False

    def report(self, error: BaseException) -> int:
        """Say what happened on stderr, in one line, and return the exit code.

        Where it is about a place in a query, that is shown below.
        """
        cause = root_cause(error)
        flushed(sys.stdout)
        if isinstance(cause, BrokenPipeError):
            return OK  # `ffq ... | head`: the reader had enough
        if self.with_traceback:
            note("".join(traceback.format_exception(error)).rstrip())
        if isinstance(cause, KeyboardInterrupt):
            return INTERRUPTED
        note(f"error: {visible(' '.join(_describe(cause).split()))}")
        if isinstance(cause, InvalidQuery):
            for line in "\n".join(getattr(cause, "__notes__", ())).splitlines():
                note(visible(line))
        return exit_code(cause)


def exit_code(error: BaseException) -> int:
    """The exit code for an error, as EXIT_CODES says."""
    match error:
        case FfqError(stable_reason=Unavailable.reason):
            return UNREACHABLE
        case WorkerSuperseded():
            return SUPERSEDED
        case InvalidRequest() | StartupError():
            return USAGE
        case typer.TyperException():
            return error.exit_code
        case KeyboardInterrupt():
            return INTERRUPTED
        case _:
            return FAILED


def root_cause(error: BaseException) -> BaseException:
    """The exception to speak of: nurseries wrap what goes wrong inside them in groups.

    Of several, an interrupt comes first, then a reader that went away, which ends all else, then
    an error of ours, then whatever was first.
    """
    leaves = list(_leaves(error))
    for kind in (KeyboardInterrupt, BrokenPipeError, FfqError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    elif isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        yield error.__context__  # typer and rich exit by themselves on these
    else:
        yield error


def _describe(error: BaseException) -> str:
    match error:
        case Unavailable():
            return f"cannot reach the coordinator: {error.message}"
        case FfqError():
            return error.message
        case typer.TyperException():
            return f"{error.format_message().rstrip('.')} (see --help)"
        case typer.Abort():
            return "aborted"
        case OSError() if error.strerror is not None:
            where = error.filename
            if where is None and error.errno in _FROM_STDOUT:
                where = "cannot write to stdout"
            return f"{where}: {error.strerror}" if where else error.strerror
        case _:
            return f"{type(error).__name__}: {error} (--traceback shows where)"
