"""Where a worker keeps its files, and how what a killed worker left behind goes away.

    {base}/outputs    map outputs, served to others (layout: ffq.shuffle.layout)
    {base}/attempts   spools of running attempts
    {base}/engine     what the engine spills

A private base is a temporary folder with a lock file held by its living owner. Whoever starts
later removes those whose lock is free: their owners were killed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from ffq.errors import StartupError
from ffq.ids import WorkerId

_PRIVATE_PREFIX = "ffq-worker-"
_LOCK = "lock"


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


@contextmanager
def worker_folders(root: Path | None, worker_id: WorkerId) -> Iterator[WorkerFolders]:
    """This worker's folders, empty at first and removed at the end.

    Args:
        root: the folder to use a subfolder of, named after the worker: what an earlier worker of
            that name left there is removed, as the coordinator has given up on it. None: a private
            temporary folder.

    Raises:
        StartupError: they cannot be made; or another live process uses them.
    """
    try:
        if root is None:
            remove_abandoned(Path(tempfile.gettempdir()))
            base = Path(tempfile.mkdtemp(prefix=_PRIVATE_PREFIX))
        else:
            base = root.absolute() / f"{_PRIVATE_PREFIX}{worker_id}"
            base.mkdir(parents=True, exist_ok=True)
        lock = _lock(base)
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
        shutil.rmtree(base, ignore_errors=True)
        os.close(lock)


def remove_abandoned(temporary: Path) -> None:
    """Remove private folders whose owners are gone; leave those without a lock file alone."""
    for base in temporary.glob(f"{_PRIVATE_PREFIX}*"):
        if not (base / _LOCK).is_file():
            continue
        try:
            lock = _lock(base)
        except OSError:  # not ours to touch, or gone meanwhile
            continue
        if lock is not None:
            shutil.rmtree(base, ignore_errors=True)
            os.close(lock)


def _lock(base: Path) -> int | None:
    """Hold the folder's lock; None when another process does. Raises OSError."""
    # Locked under another name first: nobody may find the lock file free while its owner lives.
    fresh = base / f"{_LOCK}-{os.getpid()}"
    target = base / _LOCK
    path = target if target.exists() else fresh
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path is fresh:
            fresh.rename(target)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
