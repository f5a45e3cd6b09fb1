"""Ctrl-C ends a command at once while it starts, and is its own to hear afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

from ffq.__main__ import main
from ffq.cli.interrupts import started, starting
from ffq.plan.builder import scan
from tests.processes import environment, running

PLAN = scan("t", ["x"]).to_json()
AT_THE_IMPORT_OF_AN_ENUM = """
import enum, os, runpy, signal, sys
made = enum.EnumType.__new__
def new(cls, name, *rest, **more):
    if name == {enum!r}:
        os.kill(os.getpid(), signal.SIGINT)
    return made(cls, name, *rest, **more)
enum.EnumType.__new__ = new
sys.argv = ["ffq", "worker", "--coordinator=127.0.0.1:1", "--connect-timeout-ms=1"]
runpy.run_module("ffq", run_name="__main__")
"""


@pytest.mark.parametrize(
    "enum",
    [
        "LogLevel",  # one of ours
        "StatementType",  # DuckDB makes it while C code imports it, and aborts on an exception
        "ExplainType",
    ],
)
def test_ctrl_c_in_the_midst_of_imports_ends_the_process_without_a_word(enum: str) -> None:
    code = AT_THE_IMPORT_OF_AN_ENUM.format(enum=enum)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_ends_a_worker_whose_operators_take_long_to_load(tmp_path: Path) -> None:
    # Many short sleeps: a signal just before a long one would be heard after it.
    (tmp_path / "slow_model.py").write_text(
        'import sys, time\nprint("loading", file=sys.stderr, flush=True)\n'
        "for _ in range(100_000):\n    time.sleep(0.01)\n"
    )
    with running("worker", "--operators=slow_model", cwd=tmp_path) as process:
        process.wait_for("loading")
        process.signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.rest() == ["loading"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_stopped_before_its_coordinator_answered_is_never_ready(number: int) -> None:
    nobody = ("--coordinator=127.0.0.1:1", "--shuffle-bind=127.0.0.1:0")
    with running("worker", *nobody) as process:
        process.wait_for("unreachable")
        process.signal(number)
        assert process.wait() == 0
        assert process.rest()[-1] == "stopping; once more to stop at once"


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["fetch", "q"],
        ["cancel", "q"],
        ["submit", "plan.json"],
        ["gateway"],
        ["worker"],
        ["demo", "--write-files=there"],
        ["demo"],
    ],
    ids=" ".join,
)
def test_commands_hear_ctrl_c_once_they_run(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.json").write_bytes(PLAN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["ffq", *arguments])
    heard: list[object] = []

    def interrupted(*_: object, **_options: object) -> None:
        heard.append(signal.getsignal(signal.SIGINT))
        raise KeyboardInterrupt

    monkeypatch.setattr(trio, "run", interrupted)
    monkeypatch.setattr(trio.lowlevel, "start_guest_run", interrupted)
    assert main() == 130
    assert heard == [signal.default_int_handler]


def test_only_pythons_own_handler_is_replaced_and_only_meanwhile() -> None:
    python = signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is python
    with starting():
        assert signal.getsignal(signal.SIGINT) is not python
        started()
        assert signal.getsignal(signal.SIGINT) is python
    with starting():
        pass
    assert signal.getsignal(signal.SIGINT) is python
    others = signal.SIG_IGN
    signal.signal(signal.SIGINT, others)
    try:
        with starting():
            assert signal.getsignal(signal.SIGINT) is others
        assert signal.getsignal(signal.SIGINT) is others
    finally:
        signal.signal(signal.SIGINT, python)


def test_in_a_thread_it_is_left_as_it_is() -> None:
    seen: list[object] = []

    def within() -> None:
        with starting():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
