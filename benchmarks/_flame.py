"""`python -m benchmarks._flame FILE.svg PROCESS NAME [OPTIONS]`: a flame graph of one process.

Runs the benchmark NAME, and has py-spy (pip install py-spy) look at the busiest of its processes
whose command line has PROCESS in it. Of the gateway under load, and of a worker:

    python -m benchmarks._flame gateway.svg benchmarks._gateway control-plane --rounds 20
    python -m benchmarks._flame worker.svg "ffq worker" tpch --rounds 20

Where BENCHMARK_ROOT is set the benchmark is that of another checkout: of the state before a change.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks._benchmark import CannotRun
from benchmarks._processes import cpu_seconds

SECONDS: Final = 15
WARM_S, LOOK_S, PATIENCE_S = 15.0, 1.0, 120.0
BUSY: Final = 0.3
"""Of a core: what a process under load takes."""


def descendants(pid: int) -> Iterator[int]:
    """The processes that it started, and that these did."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from descendants(child)


def matching(pid: int, text: str) -> list[int]:
    """Those of its processes that have the text in their command line."""
    return [
        each
        for each in descendants(pid)
        if text in Path(f"/proc/{each}/cmdline").read_text().replace("\0", " ")
    ]


def busiest(pids: list[int]) -> int | None:
    """The one that takes most processor time while it is looked at; None: none is under load."""
    before = {pid: cpu_seconds(pid) for pid in pids}
    time.sleep(LOOK_S)
    spent = {pid: cpu_seconds(pid) - before[pid] for pid in pids}
    most = max(pids, key=lambda pid: spent[pid], default=None)
    return None if most is None or spent[most] < BUSY * LOOK_S else most


def found(pid: int, text: str) -> int:
    """Raises CannotRun: there is none for a long time."""
    time.sleep(WARM_S)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found_now = busiest(matching(pid, text))
        if found_now is not None:
            return found_now
    raise CannotRun(f"no process with {text!r} in its command line is under load")


def record(file: str, text: str, arguments: list[str]) -> None:
    """Run the benchmark, draw one of its processes, and end it. Raises CannotRun."""
    root = os.environ.get("BENCHMARK_ROOT", str(Path(__file__).parents[1]))
    command = [sys.executable, "-m", "benchmarks", *arguments]
    environment = os.environ | {"PYTHONPATH": root}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL) as run:
        try:
            pid = str(found(run.pid, text))
            # What waits for messages would fill it, and holds no lock of the interpreter's. By
            # function: with line numbers the drawing has several times as many parts.
            spy = [
                "py-spy",
                "record",
                "--gil",
                "--function",
                f"--duration={SECONDS}",
                f"--output={file}",
            ]
            subprocess.run([*spy, "--pid", pid], check=True)
        finally:
            run.send_signal(signal.SIGINT)


if __name__ == "__main__":
    record(os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:])
