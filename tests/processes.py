"""Real `ffq` processes for tests: started, seen ready, and ended by their own pid."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

END_TIMEOUT_S = 60.0
"""How long a test waits for something that must happen; never what it asserts."""


def environment(**more: str) -> dict[str, str]:
    """This process's environment without FFQ_* variables, and `more`. Queries over little are cut
    into stages all the same, if `more` does not say otherwise: tests are of what these do."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FFQ_")}
    return inherited | {"FFQ_ONE_TASK_BYTES": "0"} | more


def ffq(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "ffq", *arguments],
        env=environment(**(env or {})),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=END_TIMEOUT_S,
    )


@attrs.define(eq=False)
class Running:
    """A process that goes on; `lines` is what it says on stderr, `said` what was read of that."""

    process: subprocess.Popen[str]
    lines: queue.SimpleQueue[str | None]
    said: list[str] = attrs.field(factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, text: str) -> str:
        """The next line on stderr that has `text` in it; fails if the process ends before."""
        while (line := self.lines.get(timeout=END_TIMEOUT_S)) is not None:
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"ended without saying {text!r}: {self.said}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(END_TIMEOUT_S)

    def rest(self) -> list[str]:
        """Every line it said, once it has ended."""
        while (line := self.lines.get(timeout=END_TIMEOUT_S)) is not None:
            self.said.append(line)
        self.lines.put(None)
        return self.said


@contextmanager
def running(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int = subprocess.DEVNULL,
    module: str = "ffq",
) -> Iterator[Running]:
    """A process in a session of its own; stdin is a pipe that stays open. SIGKILL at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment(**(env or {})),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    reader = threading.Thread(target=read)
    with process:
        reader.start()
        try:
            yield Running(process, lines)
        finally:
            process.kill()
            reader.join()


@contextmanager
def gateway(
    *arguments: str, env: Mapping[str, str] | None = None, mutant: str | None = None
) -> Iterator[tuple[Running, str]]:
    """A gateway on a free port, ready, and its endpoint; `mutant`: broken in this way."""
    module, command = ("tests.mutants.gateway", mutant) if mutant else ("ffq", "gateway")
    with running(command, "--bind=127.0.0.1:0", *arguments, env=env, module=module) as process:
        line = process.wait_for("gateway ready on ")
        yield process, line.removeprefix("gateway ready on ").strip()


@contextmanager
def worker(
    endpoint: str, name: str, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A worker of that gateway, ready."""
    options = (f"--coordinator={endpoint}", f"--worker-id={name}", "--shuffle-bind=127.0.0.1:0")
    with running("worker", *options, *arguments, env=env) as process:
        process.wait_for(f"worker {name} ready")
        yield process


def alive(pid: int) -> bool:
    """Whether a process of this id exists (and is no zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
