"""Where a worker keeps its files, and how what a killed worker left behind goes away.

    {base}/outputs    map outputs, served to others (layout: ffq.shuffle.layout)
    {base}/attempts   spools of running attempts
    {base}/engine     what the engine spills

A base stands in the shuffle root, or is private, in the system's folder for temporary files. Its
owner holds a lock (flock) on a file in it for as long as it lives, however it ends. Whoever starts
later in the same place removes the bases whose lock is free, and no other: their owners were
killed. Between hosts that share a root its file system must carry flock, as NFS does.

A base is removed by its new name: whoever holds the lock renames it first, so that nobody can begin
to use a folder that is about to go. Whoever took a lock looks whether it is still that of the base.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from ffq.errors import StartupError
from ffq.ids import WorkerId

_PREFIX = "ffq-worker-"
_REMOVED_PREFIX = ".ffq-removed-"
_LOCK = "lock"
_LOCK_TRIES = 25
_LOCK_PAUSE_S = 0.04
"""Whoever removes a base holds its lock for the time of a rename; a living owner for good."""


@attrs.frozen
class WorkerFolders:
    base: Path

    @property
    def outputs(self) -> Path:
        return self.base / "outputs"

    @property
    def attempts(self) -> Path:
        return self.base / "attempts"

    @property
    def engine(self) -> Path:
        return self.base / "engine"


def _check_text(folder: Path) -> None:
    """Raises StartupError: the engine takes no path of other bytes than UTF-8."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise StartupError(
            f"the folder {str(folder)!r} has a name that is no UTF-8, in which the engine cannot "
            f"keep files; right would be another one (--shuffle-root, FFQ_SHUFFLE_ROOT, TMPDIR)"
        ) from None


@contextmanager
def worker_folders(root: Path | None, worker_id: WorkerId) -> Iterator[WorkerFolders]:
    """This worker's folders, empty at first and removed at the end.

    What workers that were killed left in the same place is removed first.

    Args:
        root: the folder to use a subfolder of, named after the worker: what an earlier worker of
            that name left there is removed, as the coordinator has given up on it. None: a private
            temporary folder.

    Raises:
        StartupError: they cannot be made; or another live process uses them.
    """
    _check_text(Path(tempfile.gettempdir()) if root is None else root.absolute())
    try:
        if root is None:
            remove_abandoned(Path(tempfile.gettempdir()))
            base = Path(tempfile.mkdtemp(prefix=_PREFIX))
        else:
            base = root.absolute() / f"{_PREFIX}{worker_id}"
            base.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(base.parent)
        lock = _own(base)
    except OSError as error:
        where = root or tempfile.gettempdir()
        raise StartupError(f"shuffle folder {where} cannot be used: {error.strerror}") from error
    if lock is None:
        raise StartupError(f"shuffle folder {base} is in use by another worker {worker_id}")
    folders = WorkerFolders(base)
    try:
        for folder in (folders.outputs, folders.attempts, folders.engine):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folders
    finally:
        _remove(base)
        os.close(lock)


def remove_abandoned(place: Path) -> None:
    """Remove the bases there whose owners are gone; leave those without a lock file alone."""
    for base in place.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(base / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # none there, not ours to touch, or gone meanwhile
            continue
        try:
            if _locked(lock, base):
                _remove(base)
        finally:
            os.close(lock)
    # Of those whose remover was killed on the way: nobody uses them by this name.
    for removed in place.glob(f"{_REMOVED_PREFIX}*"):
        shutil.rmtree(removed, ignore_errors=True)


def _own(base: Path) -> int | None:
    """Make a base and take its lock; None when a living owner has it. Raises OSError."""
    for tried in range(_LOCK_TRIES):
        if tried:
            time.sleep(_LOCK_PAUSE_S)
        base.mkdir(exist_ok=True, mode=0o700)
        try:
            lock = os.open(base / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # it was just removed
            continue
        if _locked(lock, base):
            return lock
        os.close(lock)
    return None


def _locked(lock: int, base: Path) -> bool:
    """Take the lock of a base, unless another process has it or the base is another by now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), os.stat(base / _LOCK))
    except (BlockingIOError, FileNotFoundError):
        return False


def _remove(base: Path) -> None:
    """Remove a base whose lock is held."""
    removed = base.with_name(f"{_REMOVED_PREFIX}{secrets.token_hex(8)}")
    with suppress(OSError):
        base.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)
