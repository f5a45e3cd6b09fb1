"""A worker's folders: private, locked, and gone at the end, also after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ffq.errors import StartupError
from ffq.ids import WorkerId
from ffq.worker.folders import remove_abandoned, worker_folders

W1 = WorkerId("w1")

HOLD = """
import os, signal, sys, tempfile
tempfile.tempdir = sys.argv[1]
from ffq.worker.folders import worker_folders
with worker_folders(None, "w1") as folders:
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


def test_only_the_folders_of_killed_workers_are_abandoned(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        base = Path(owner.stdout.readline().strip())
        (tmp_path / "ffq-worker-unlocked").mkdir()
        remove_abandoned(tmp_path)
        assert (base / "outputs").is_dir()
        owner.stdin.write("\n")
        owner.stdin.close()
        owner.wait(30)
    remove_abandoned(tmp_path)
    assert not base.exists()
    assert (tmp_path / "ffq-worker-unlocked").is_dir()
