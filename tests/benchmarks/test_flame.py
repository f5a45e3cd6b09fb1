"""Which process a flame graph is of."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks._flame import matching, named


def test_processes_are_found_by_their_words_also_those_of_processes() -> None:
    inner = "import sys; print('up', flush=True); sys.stdin.read()"
    started = f"[sys.executable, '-c', {inner!r}, 'gate' + ' way']"
    outer = f"import subprocess, sys; subprocess.run({started})"
    command = [sys.executable, "-c", outer]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        (found,) = matching(os.getpid(), "gate way")
        assert found != process.pid
        assert matching(process.pid, "gate way") == [found]
        assert matching(os.getpid(), "another") == []
        process.stdin.close()


def test_a_drawing_says_what_is_drawn_and_not_from_where() -> None:
    drawn = (
        '<svg><text id="title" x="50%">/home/who/py-spy record</text><text id="details">a</text>'
    )
    assert named(drawn, "a < b") == (
        '<svg><text id="title" x="50%">a &lt; b</text><text id="details">a</text>'
    )


def test_what_has_ended_has_no_processes() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    assert matching(process.pid, "") == []
