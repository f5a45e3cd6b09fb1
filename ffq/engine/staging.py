"""Files of a write before anybody sees them, and what becomes of them.

    {place}/.ffq-staging/{write id}/{stage}-{task}-{attempt}/...   what an attempt has written
    {place}/.ffq-staging/{write id}/commit-{attempt}/              what is about to be seen
    {place}/.ffq-staging/{write id}/old                            what it replaced

The place is the folder that is appended to, else the one that holds the target: always the target's
file system, so that a rename makes all files visible at once. Scans pass over names that begin with
a dot.

A folder that was written holds a hidden file with the id of the write, and so tells whose it is; a
single file is a hard link to a staged one. So a later attempt of a commit sees that an earlier one,
whose worker died, had done it, and a query that ends otherwise can take back what it had made
visible.

Whoever settles a write first renames its staging folder away: from then on no attempt that is still
under way, or was paused, can make anything visible.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from ffq.errors import StorageError
from ffq.ids import AttemptKey
from ffq.plan.terms import WriteMode, WriteTarget

STAGING: Final = ".ffq-staging"
MARK: Final = ".ffq-write"
_OLD: Final = "old"
_REMOVED: Final = "removed-"
ABANDONED_S: Final = 24 * 3600
"""A write in whose staging folder nothing came or went for so long is no longer under way."""


@attrs.frozen
class Staging:
    """Where one write's files are until they are seen."""

    target: WriteTarget

    @property
    def path(self) -> Path:
        return Path(self.target.path)

    @property
    def root(self) -> Path:
        appends = self.target.mode is WriteMode.APPEND
        place = self.path if appends else self.path.parent
        return place / STAGING / self.target.write_id

    @property
    def seen(self) -> Path:
        """What becomes visible: the target itself, or a folder of its own in it."""
        if self.target.mode is WriteMode.APPEND:
            return self.path / f"ffq-{self.target.write_id}"
        return self.path

    @property
    def old(self) -> Path:
        return self.root / _OLD

    def of_attempt(self, key: AttemptKey) -> Path:
        return self.root / f"{key.stage_id}-{key.task_id}-{key.attempt}"

    def of_commit(self, key: AttemptKey) -> Path:
        return self.root / f"commit-{key.task_id}-{key.attempt}"

    def is_done(self) -> bool:
        """Whether what is visible is of this write."""
        return _is_of(self.target, self.seen, self.root)


def discard_attempt(target: WriteTarget, key: AttemptKey) -> None:
    """Remove what an attempt has staged. What is not there is no error."""
    staging = Staging(target)
    for folder in (staging.of_attempt(key), staging.of_commit(key)):
        shutil.rmtree(folder, ignore_errors=True)
    _remove_if_empty(staging.root, staging.root.parent)


def settle(target: WriteTarget, *, succeeded: bool | None) -> None:
    """The query is over: remove what is staged.

    Args:
        succeeded: False: nothing of it may stay visible, and what it replaced comes back. None: not
            known; what is visible stays.

    Raises:
        StorageError: what is visible could not be taken back; names it.
    """
    staging = Staging(target)
    removed = staging.root.with_name(f"{_REMOVED}{target.write_id}-{secrets.token_hex(4)}")
    with suppress(OSError):
        staging.root.rename(removed)
    try:
        if succeeded is False:
            _take_back(staging, removed)
        if not succeeded:
            _restore(staging, removed)
    except OSError as error:
        raise StorageError(f"cannot take back {staging.seen}: {error.strerror}") from error
    shutil.rmtree(removed, ignore_errors=True)
    _remove_if_empty(removed.parent)


def remove_abandoned(place: Path) -> None:
    """Remove what writes left there whose workers were all killed, a day after."""
    now = time.time()
    for root in _folders(place / STAGING):
        if now - _newest(root) > ABANDONED_S and not (root / _OLD).exists():
            shutil.rmtree(root, ignore_errors=True)


def write_mark(folder: Path, target: WriteTarget, rows: int) -> None:
    """Raises OSError."""
    with (folder / MARK).open("w") as file:
        json.dump({"write": target.write_id, "rows": rows}, file)
        file.flush()
        os.fsync(file.fileno())


def marked_rows(folder: Path, target: WriteTarget) -> int | None:
    """Rows that the write put into a folder; None where it is another's."""
    try:
        found = json.loads((folder / MARK).read_text())
        return int(found["rows"]) if found["write"] == target.write_id else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_of(target: WriteTarget, seen: Path, root: Path) -> bool:
    if not target.single_file:
        return marked_rows(seen, target) is not None
    try:
        there = seen.stat()
    except OSError:
        return False
    return any(os.path.samestat(there, file.stat()) for file in _staged_files(root))


def _staged_files(root: Path) -> Iterator[Path]:
    for folder in _folders(root):
        if folder.name != _OLD:
            yield from (file for file in folder.iterdir() if file.is_file())


def _folders(place: Path) -> list[Path]:
    try:
        return [entry for entry in place.iterdir() if entry.is_dir()]
    except OSError:
        return []


def _take_back(staging: Staging, removed: Path) -> None:
    if not _is_of(staging.target, staging.seen, removed):
        return
    if staging.target.single_file:
        staging.seen.unlink()
        return
    removed.mkdir(parents=True, exist_ok=True)
    staging.seen.rename(removed / "seen")


def _restore(staging: Staging, removed: Path) -> None:
    """What was moved aside and never replaced, or is not any more, comes back."""
    old = removed / _OLD
    if old.exists() and not staging.seen.exists():
        old.rename(staging.seen)


def _newest(root: Path) -> float:
    """When something last came or went in a staging folder, unix seconds."""
    times = []
    for folder in (root, *_folders(root)):
        with suppress(OSError):
            times.append(folder.stat().st_mtime)
            times += [file.stat().st_mtime for file in folder.iterdir()]
    return max(times, default=time.time())


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
