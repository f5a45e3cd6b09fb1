"""A program with a session: what is killed, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.processes import END_TIMEOUT_S, alive, environment
from tests.profiles import CHOSEN, heavy

ROOT = Path(__file__).parents[2]

# Plain pytest kills the program, which is the harder end.
ENDS = ("killed", "ends") if CHOSEN.same_examples else ("killed",)
# No with block: what it has not closed when it ends, ends with it.
PROGRAM = """
import json, os, signal, sys, ffq
signal.signal(signal.SIGINT, signal.default_int_handler)
session = ffq.connect(workers=2, progress=False)
session.register("t", {"v": list(range(700))})
# No statistics tell that there is no such row: each is looked at.
SLOW = "SELECT count(*) AS n FROM t a, t b, t c WHERE hash(a.v * b.v, c.v) = 1"
core = session._core()

def say(**what):
    print(json.dumps(what), flush=True)

def known():
    return core.processes()

def begun(before):
    told = []
    def progress(status):
        now = known()
        others = not before & set(now.values())
        if not told and others and any(stage.running_tasks for stage in status.stages):
            told.append(now)
            say(running=now)
            before.update(now.values())
    return progress

before = set()

say(pids=known(), folder=str(core._cluster.folder), endpoint=session.endpoint)
say(answer=session.sql(SLOW).collect(progress=begun(before)).to_pylist())
try:
    endless = SLOW.replace("t c", "t c, t d, t e").replace("c.v", "c.v, d.v, e.v")
    session.sql(endless).collect(progress=begun(before))
except KeyboardInterrupt:
    while (state := session._thread.call(core.queries, 1)[0].state.name) == "RUNNING":
        pass
    say(interrupted=state, after=session.sql("SELECT 1 AS a").collect().to_pylist())
if sys.argv[1] == "killed":
    sys.stdin.read()
"""


class Program:
    """It runs, and says JSON lines."""

    def __init__(self, how: str, temporary: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how],
            env=environment(PYTHONPATH=str(ROOT), TMPDIR=str(temporary)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()

    def said(self, key: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found: dict[str, Any] = json.loads(line)
        assert key in found, line
        return found


def until(holds: Callable[[], bool]) -> None:
    """It happens in other processes."""
    end = time.monotonic() + END_TIMEOUT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def children_of(pid: int) -> set[int]:
    """Those that live, and theirs."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has just ended
            for child in map(int, task.read_text().split()):
                found |= {child} | children_of(child)
    return found


@pytest.mark.parametrize("how", ENDS)
def test_a_killed_worker_costs_no_answer_and_no_end_leaves_anything(
    how: str, tmp_path: Path
) -> None:
    with Program(how, tmp_path) as program:
        folder = Path(program.said("pids")["folder"])
        assert folder.parent == tmp_path
        assert folder.exists()
        running = program.said("running")["running"]
        for pid in running.values():
            os.kill(pid, signal.SIGKILL)
        assert program.said("answer")["answer"] == [{"n": 0}]
        again = program.said("running")["running"]
        assert set(again) == set(running)
        assert not set(again.values()) & set(running.values())
        everybody = children_of(program.process.pid)
        assert set(again.values()) < everybody
        program.process.send_signal(signal.SIGINT)
        assert program.said("interrupted") == {"interrupted": "CANCELED", "after": [{"a": 1}]}
        if how == "ends":
            assert program.process.wait(END_TIMEOUT_S) == 0
            assert not any(map(alive, everybody))
            assert list(tmp_path.iterdir()) == []
    until(lambda: not any(map(alive, everybody)))
    until(lambda: not list(tmp_path.iterdir()))


# No code of Python's runs in a process whose lock is held by code in C.
DEAF_OPERATORS = """
import ctypes, os, ffq

@ffq.operator("deaf", output_schema={"v": "BIGINT"})
def deaf(batch):
    print(os.getpid(), file=open("deaf.pid", "w"))
    ctypes.PyDLL(None).sleep(3600)
    return batch
"""
DEAF_PROGRAM = """
import ffq
session = ffq.connect(workers=1, operators="deaf_ops", progress=False)
session.sql("SELECT * FROM op('deaf', (SELECT CAST(1 AS BIGINT) AS v))").collect()
"""


@heavy
def test_a_worker_that_hears_nothing_ends_with_the_killed_program(tmp_path: Path) -> None:
    (tmp_path / "deaf_ops.py").write_text(DEAF_OPERATORS)
    (tmp_path / "temporary").mkdir()
    paths = os.pathsep.join((str(ROOT), str(tmp_path)))
    told = tmp_path / "deaf.pid"
    with subprocess.Popen(
        [sys.executable, "-c", DEAF_PROGRAM],
        env=environment(PYTHONPATH=paths, TMPDIR=str(tmp_path / "temporary")),
        cwd=tmp_path,
    ) as program:
        try:
            until(lambda: told.exists() and told.read_text().endswith("\n"))
        finally:
            program.kill()
    until(lambda: not alive(int(told.read_text())))
    until(lambda: not list((tmp_path / "temporary").iterdir()))


PARENT = """
import subprocess, sys, trio
from ffq.client.session.folder import own_folder

async def main():
    async with own_folder() as own:
        process = subprocess.Popen(
            [sys.executable, "-c", sys.argv[1], str(own.path)], stdin=subprocess.PIPE
        )
        await own.end_with_it(process.pid)
        print(own.path, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""
TWO_PARENT = """
from functools import partial
import trio
from ffq.client.session.folder import own_folder

async def main():
    async with own_folder() as own:
        async with trio.open_nursery() as nursery:
            sleep = partial(nursery.start, trio.run_process, ["sleep", "120"])
            workers = [(await sleep()).pid for _ in range(2)]
            async with trio.open_nursery() as together:  # as two that were killed are started again
                for pid in workers:
                    together.start_soon(own.end_with_it, pid)
            print(*workers, flush=True)

trio.run(main)
"""
LATE = """
import os, sys, time
sys.stdin.read()
folder, begun = sys.argv[1], time.monotonic()
while os.path.exists(folder) and time.monotonic() < begun + 1:
    time.sleep(0.01)  # for whoever removes it without waiting for this process
if not os.path.exists(folder):
    time.sleep(1)
os.makedirs(f"{folder}/late", exist_ok=True)
"""


def test_workers_that_start_together_both_end_with_the_killed_program(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TWO_PARENT],
        env=environment(PYTHONPATH=str(ROOT), TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        workers = [int(pid) for pid in program.stdout.readline().split()]
        program.kill()
    assert len(workers) == 2, "it raised"
    until(lambda: not any(map(alive, workers)))
    until(lambda: not list(tmp_path.iterdir()))


def test_a_worker_that_makes_its_folder_late_leaves_none_to_a_killed_program(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, LATE],
        env=environment(PYTHONPATH=str(ROOT), TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        folder = Path(program.stdout.readline().strip())
        assert folder.parent == tmp_path
        program.kill()
        program.stdout.read()  # to the end of the late one too
    until(lambda: not folder.exists())
