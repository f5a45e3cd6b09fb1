"""The child under a planning process: an interpreter that imports what plans, and then listens.

It is told nothing before its first frame, and this module needs nothing that takes long to import:
so one may be started ahead, and gets ready while its parent still imports what it needs itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from ffq.engine.variables import ENVIRONMENT
from ffq.errors import StartupError

# What a start makes are modules, and no garbage: looking for some takes a tenth of its time.
_START: Final = (
    "import gc; gc.disable(); import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ffq.sql.child import main; gc.freeze(); gc.enable(); main(int(sys.argv[2]))"
)
# Nothing else of the environment is for a process that runs strangers' text, but for what lets it
# into stores: tables are looked at there, and no SQL reads the environment.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR")


class Interpreter:
    """One child process; `process` has pipes for its stdin and stdout."""

    def __init__(self) -> None:
        """Raises StartupError: it cannot be started."""
        self._started_with = _given()
        path, environment = self._started_with
        try:
            listening, self._lifeline = os.pipe()
        except OSError as error:  # of as many open files as a process may have
            raise _unstartable(error) from error
        try:
            self.process: Final = subprocess.Popen(
                [sys.executable, "-c", _START, path, str(listening)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(listening,),
                start_new_session=True,  # a Ctrl-C on the terminal is for its parent
                env={**environment, "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError as error:
            os.close(self._lifeline)
            raise _unstartable(error) from error
        finally:
            os.close(listening)

    @property
    def fits(self) -> bool:
        """Whether it lives, and one that starts now would be given the same."""
        return self.process.poll() is None and self._started_with == _given()

    def kill(self) -> None:
        """End it now; `process.wait` sees it ended. To be called once."""
        self.process.kill()
        os.close(self._lifeline)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


class _Ahead:
    """The one child of this process that nobody has taken yet."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """In a fork of this process: the child is not its child."""
        self._lock = threading.Lock()
        self._child: Interpreter | None = None

    def start(self) -> Interpreter | None:
        """The child, if it is this call that started it."""
        with self._lock, suppress(StartupError):  # who needs one tries again, and is told
            if self._child is None:
                self._child = Interpreter()
                return self._child
        return None

    def take(self, wanted: Interpreter | None = None) -> Interpreter | None:
        """It, for the caller to end, or where one is wanted that one alone."""
        with self._lock:
            child = self._child
            if child is None or (wanted is not None and child is not wanted):
                return None
            self._child = None
            return child


_AHEAD: Final = _Ahead()
os.register_at_fork(after_in_child=_AHEAD.forget)


@contextmanager
def started_ahead() -> Iterator[None]:
    """A child starts now, for whoever needs one first; if nobody does, it ends with this block."""
    own = _AHEAD.start()
    try:
        yield
    finally:
        if own is not None and (left := _AHEAD.take(own)) is not None:
            _end(left)


def interpreter() -> Interpreter:
    """The child that was started ahead, or else one that starts now. Raises StartupError."""
    child = _AHEAD.take()
    if child is not None and not child.fits:
        _end(child)
        child = None
    return child or Interpreter()


def _end(child: Interpreter) -> None:
    child.kill()
    child.process.wait()


def _unstartable(error: OSError) -> StartupError:
    return StartupError(f"a planning process cannot be started: {error}")


def _given() -> tuple[str, dict[str, str]]:
    """The modules' folders, as this process has them, in JSON; and variables."""
    folders = json.dumps([os.path.abspath(folder) for folder in sys.path])
    return folders, {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or ENVIRONMENT.fullmatch(name)
    }
