"""A worker's folders: private, locked, and gone at the end, also after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ffq.errors import StartupError
from ffq.ids import WorkerId
from ffq.worker.folders import _locked, remove_abandoned, worker_folders

W1 = WorkerId("w1")

HOLD = """
import os, pathlib, signal, sys, tempfile
tempfile.tempdir = sys.argv[1]
from ffq.worker.folders import worker_folders
root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 2 else None
with worker_folders(root, sys.argv[2] if root else "w1") as folders:
    (folders.outputs / "7").mkdir()
    print(folders.base, flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_private_folder_is_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with worker_folders(None, W1) as folders:
        assert folders.base.parent == tmp_path
        assert folders.outputs.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_worker_of_the_name_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "ffq-worker-w1" / "outputs" / "7"
    left.mkdir(parents=True)
    (tmp_path / "precious").mkdir()
    with worker_folders(tmp_path, W1) as folders:
        assert list(folders.outputs.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_two_workers_of_one_name_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        worker_folders(tmp_path, W1) as folders,
        pytest.raises(StartupError, match="in use by another worker w1"),
        worker_folders(tmp_path, W1),
    ):
        pass
    assert not folders.base.exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StartupError, match="file cannot be used"),
        worker_folders(tmp_path / "file", W1),
    ):
        pass


@contextmanager
def owner_of(folder: Path, *worker_id: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A process that holds a base there: private, or of that worker; and a way to kill it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *worker_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None

        def kill() -> None:
            owner.kill()
            owner.wait(60)

        try:
            yield Path(owner.stdout.readline().strip()), kill
        finally:
            kill()


def test_only_the_folders_of_killed_workers_are_abandoned(tmp_path: Path) -> None:
    with owner_of(tmp_path) as (base, kill):
        (tmp_path / "ffq-worker-unlocked").mkdir()
        remove_abandoned(tmp_path)
        assert (base / "outputs" / "7").is_dir()
        kill()
    remove_abandoned(tmp_path)
    assert os.listdir(tmp_path) == ["ffq-worker-unlocked"]


def test_a_worker_removes_what_killed_ones_left_in_its_shuffle_root(tmp_path: Path) -> None:
    """And nothing of living ones, nor what others keep there."""
    theirs = tmp_path / "shuffle" / "q" / "0"
    theirs.mkdir(parents=True)
    with (
        owner_of(tmp_path, "alive") as (alive, _),
        owner_of(tmp_path, "doomed") as (doomed, kill),
    ):
        kill()
        assert (doomed / "outputs" / "7").is_dir()
        with worker_folders(tmp_path, W1) as folders:
            assert {path.name for path in tmp_path.iterdir()} == {
                "shuffle",
                alive.name,
                folders.base.name,
            }
            assert (alive / "outputs" / "7").is_dir()
            assert theirs.is_dir()


def test_what_a_killed_remover_left_half_removed_goes_too(tmp_path: Path) -> None:
    (tmp_path / ".ffq-removed-0123" / "outputs").mkdir(parents=True)
    remove_abandoned(tmp_path)
    assert os.listdir(tmp_path) == []


def test_workers_that_start_at_once_each_get_their_folder(tmp_path: Path) -> None:
    """Each removes what it finds abandoned, while others begin to use folders of those names."""
    names = [WorkerId(f"w{number}") for number in range(4)]
    for name in names:
        (tmp_path / f"ffq-worker-{name}").mkdir()
        (tmp_path / f"ffq-worker-{name}" / "lock").touch()

    def use(name: WorkerId) -> bool:
        for _ in range(25):
            with worker_folders(tmp_path, name) as folders:
                (folders.outputs / "7").mkdir()
                remove_abandoned(tmp_path)
                if not (folders.outputs / "7").is_dir():
                    return False
        return True

    with ThreadPoolExecutor(len(names)) as threads:
        assert list(threads.map(use, names)) == [True] * len(names)
    assert os.listdir(tmp_path) == []


def test_a_lock_that_was_waited_for_while_its_folder_went_counts_for_nothing(
    tmp_path: Path,
) -> None:
    base = tmp_path / "ffq-worker-w1"
    base.mkdir()
    lock = os.open(base / "lock", os.O_RDWR | os.O_CREAT)
    base.rename(tmp_path / "gone")
    assert not _locked(lock, base)
    base.mkdir()
    (base / "lock").touch()
    assert not _locked(lock, base)
    os.close(lock)


def test_a_folder_whose_name_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    """The engine would fail on it with the words of its C++ library."""
    root = tmp_path / "a\udcff"
    refused = pytest.raises(StartupError, match=r"udcff' has a name that is no UTF-8.*--shuffle-r")
    with refused, worker_folders(root, W1):
        raise AssertionError("never opened")
    assert not root.exists()
