"""Command lines run in this process, and what a refused one looks like."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from ffq.cli.main import main

Call = Callable[..., subprocess.CompletedProcess[str]]


def caller(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs a command line through `main`, with these FFQ_* variables and no others."""

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        # A worker puts the current folder on the path: of this process only for this test.
        monkeypatch.setattr(sys, "path", list(sys.path))
        for name in [name for name in os.environ if name.startswith("FFQ_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = main(arguments)
        shown = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, shown.out, shown.err)

    return call


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Exit code, one line on stderr with these words in it, nothing on stdout."""
    assert done.returncode == code, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line
