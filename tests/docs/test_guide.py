"""The blocks of the guide run as a reader would run them: in order, in one folder, page by page.

`python` blocks of a page share their names. Of a `console` block each line after `$ ` is a command;
what stands below it, up to the next command, is what it must print.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, read
from tests.processes import END_TIMEOUT_S, environment

PAGES = ("docs/tutorial.md",)
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {"__name__": "guide"}
    for kind, text in BLOCK.findall(read(page)):
        if kind == "python":
            exec(compile(text, page, "exec"), names)
        else:
            for command, wanted in commands(text):
                assert run(command, tmp_path) == wanted, command


def commands(block: str) -> list[tuple[str, str]]:
    """Each command of a console block, and what it prints."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def run(command: str, folder: Path) -> str:
    """What a shell prints for a command, `ffq` being this checkout's."""
    ffq = f'ffq() {{ "{sys.executable}" -m ffq "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", ffq + command],
        cwd=folder,
        env=environment(PYTHONPATH=os.pathsep.join([str(ROOT), str(folder)])),
        capture_output=True,
        text=True,
        check=False,
        timeout=END_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
