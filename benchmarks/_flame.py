"""`python -m benchmarks._flame FILE.svg PROCESS NAME [OPTIONS]`: a flame graph of one process.

Runs the benchmark NAME, and has py-spy (pip install py-spy) look at the busiest of its processes
whose command line has PROCESS in it. Of the gateway under load, and of a worker:

    python -m benchmarks._flame gateway.svg benchmarks._gateway neighbours --rounds 1 --seconds 90
    python -m benchmarks._flame worker.svg "ffq worker" sql --scale 0.1 --rounds 50

Where BENCHMARK_ROOT is set the benchmark is that of another checkout: of the state before a change.
No folder of this machine is in the drawing.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from benchmarks._benchmark import CannotRun
from benchmarks._processes import cpu_seconds

SECONDS: Final = 15
RUN: Final = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
"""
"""What is started with `&` by a script is deaf to the signal, and its clusters outlive it."""
WARM_S, LOOK_S, PATIENCE_S = 15.0, 1.0, 120.0
BUSY: Final = 0.15
"""Of a core: what a process under load takes."""


def descendants(pid: int) -> Iterator[int]:
    """The processes that it started, and that these did. Threads and processes end meanwhile."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, _text(task).split()):
            yield child
            yield from descendants(child)


def matching(pid: int, text: str) -> list[int]:
    """Those of its processes that have the text in their command line."""
    return [
        each
        for each in descendants(pid)
        if text in _text(Path(f"/proc/{each}/cmdline")).replace("\0", " ")
    ]


def _text(path: Path) -> str:
    """Nothing where its process or thread is gone."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def busiest(pids: list[int]) -> int | None:
    """The one that takes most processor time while it is looked at; None: none is under load."""
    before = {pid: taken for pid in pids if (taken := _spent(pid)) is not None}
    time.sleep(LOOK_S)
    spent = {pid: (_spent(pid) or 0) - before[pid] for pid in before}
    most = max(spent, key=lambda pid: spent[pid], default=None)
    return None if most is None or spent[most] < BUSY * LOOK_S else most


def _spent(pid: int) -> float | None:
    """None: it is gone."""
    try:
        return cpu_seconds(pid)
    except OSError:
        return None


def found(run: subprocess.Popen[bytes], text: str) -> int:
    """Raises CannotRun: there is none for a long time, or the run has ended."""
    time.sleep(WARM_S)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and run.poll() is None:
        found_now = busiest(matching(run.pid, text))
        if found_now is not None:
            return found_now
    raise CannotRun(f"no process with {text!r} in its command line is under load")


def named(drawing: str, title: str) -> str:
    """With a title that says what is drawn: py-spy writes its own command there, with folders."""
    return re.sub(r'(<text id="title"[^>]*>)[^<]*', lambda at: at[1] + escape(title), drawing)


def record(file: str, text: str, arguments: list[str]) -> None:
    """Run the benchmark, draw one of its processes, and end it. Raises CannotRun."""
    root = os.environ.get("BENCHMARK_ROOT", str(Path(__file__).parents[1]))
    command = [sys.executable, "-c", RUN, *arguments]
    environment = os.environ | {"PYTHONPATH": root}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL) as run:
        try:
            # What waits for messages would fill it, and holds no lock of the interpreter's. By
            # function: with line numbers the drawing has several times as many parts.
            spy = [
                str(Path(sys.executable).with_name("py-spy")),
                "record",
                "--gil",
                "--function",
                "--nonblocking",
                f"--duration={SECONDS}",
                f"--output={file}",
            ]
            subprocess.run([*spy, "--pid", str(found(run, text))], check=True)
            drawn = Path(file)
            drawn.write_text(named(drawn.read_text(), f"{text}, in {' '.join(arguments)}"))
        finally:
            run.send_signal(signal.SIGINT)


if __name__ == "__main__":
    record(os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:])
