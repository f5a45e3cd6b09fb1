"""A process that serves has its garbage collector settled before it says that it is ready."""

from __future__ import annotations

import subprocess
import sys

from ffq.cli.collector import THRESHOLDS
from tests.processes import environment, gateway

WHEN_IT_SAYS_SO = """
import gc, os, runpy, sys
from ffq.cli.output import consoles
def note(text):
    if " ready" in text:
        print(gc.get_threshold(), gc.get_freeze_count() > 10_000, flush=True)
        os._exit(0)
consoles.note = note
runpy.run_module("ffq", run_name="__main__")
"""


def said_by(*arguments: str) -> str:
    command = [sys.executable, "-c", WHEN_IT_SAYS_SO, *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_gateway_is_settled_when_it_is_ready() -> None:
    assert said_by("gateway", "--bind=127.0.0.1:0") == f"{THRESHOLDS} True"


def test_a_worker_is_settled_when_it_is_ready() -> None:
    with gateway() as (_, endpoint):
        settled = said_by("worker", f"--coordinator={endpoint}", "--shuffle-bind=127.0.0.1:0")
    assert settled == f"{THRESHOLDS} True"


def test_a_command_starts_with_the_collector_looking_seldom() -> None:
    """What a start makes is no garbage."""
    script = "import gc; from ffq.__main__ import main; main(); print(gc.get_threshold())"
    command = [sys.executable, "-c", script, "--version"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == str(THRESHOLDS)
