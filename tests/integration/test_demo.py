"""`ffq demo` as a stranger runs it, at a tiny scale; and what it leaves behind: nothing."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import END_TIMEOUT_S, Running, alive, ffq, gateway, running, worker
from tests.profiles import heavy, variants

SCALE = "0.01"
STEPS = ("Q1", "Q3", "Late lines")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of this module: TPC-H data is made once."""
    return tmp_path_factory.mktemp("cache")


@contextmanager
def demo(cache: Path, temporary: Path, *arguments: str) -> Iterator[Running]:
    env = {"XDG_CACHE_HOME": str(cache), "TMPDIR": str(temporary)}
    options = ("demo", f"--scale={SCALE}", *arguments)
    with running(*options, env=env, stdout=subprocess.PIPE) as process:
        yield process


def pids(text: str) -> set[int]:
    return {int(pid) for pid in re.findall(r"pid (\d+)", text)}


def read_until(process: Running, words: str) -> str:
    """What it says on stdout up to and with the first line that has these words."""
    assert process.process.stdout is not None
    said = []
    for line in process.process.stdout:
        said.append(line)
        if words in line:
            return "".join(said)
    raise AssertionError(f"ended without saying {words!r}: {said}\n{process.rest()}")


def wait_until_dead(processes: set[int]) -> None:
    """Fails if one of them is still there after a long while."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while any(alive(pid) for pid in processes):
        assert time.monotonic() < deadline, processes
        time.sleep(0.05)


def test_demo_answers_right_although_a_worker_is_killed(cache: Path, tmp_path: Path) -> None:
    with demo(cache, tmp_path) as process:
        assert process.process.stdout is not None
        shown = process.process.stdout.read()
        assert process.wait() == 0, shown + "\n".join(process.rest())
    for title in STEPS:
        assert re.search(rf"{title}: the answer matches DuckDB's", shown), shown
    killed = re.search(r"SIGKILL for (w\d+)", shown)
    assert killed is not None
    q3 = shown[shown.index("TPC-H Q3") : shown.index("Late lines")]
    attempts = re.findall(r"^ *(\d+) +(\d+) +(\d+)  (w\d+) +([A-Z]+)", q3, re.MULTILINE)
    lost = {row[:2] for row in attempts if row[3:] == (killed[1], "FAILED")}
    assert any(
        row[:2] in lost and int(row[2]) > 1 and row[3] != killed[1] and row[4] == "SUCCEEDED"
        for row in attempts
    ), q3
    late = shown[shown.index("Late lines") :]
    specialists = set(re.findall(r"(w\d+): pid \d+, operator modules .*late", shown))
    specialists.discard(killed[1])
    assert len(specialists) == 1
    ran = re.findall(r"^ *1 +\d+ +\d+  (w\d+) +SUCCEEDED", late, re.MULTILINE)
    assert ran
    assert set(ran) <= specialists
    assert "\x1b" not in shown
    assert len(pids(shown)) == 4
    wait_until_dead(pids(shown))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "code"), variants([(signal.SIGINT, 130), (signal.SIGTERM, 143)])
)
def test_demo_cleans_up_when_it_is_interrupted(
    cache: Path, tmp_path: Path, number: int, code: int
) -> None:
    with demo(cache, tmp_path) as process:
        shown = read_until(process, "A worker counts as lost")
        assert len(pids(shown)) == 3
        assert all(alive(pid) for pid in pids(shown))
        process.signal(number)
        assert process.wait() == code
        assert not any("Traceback" in line for line in process.rest())
    wait_until_dead(pids(shown))
    assert os.listdir(tmp_path) == []


def test_children_of_a_demo_that_is_killed_end_by_themselves(cache: Path, tmp_path: Path) -> None:
    with demo(cache, tmp_path) as process:
        shown = read_until(process, "A worker counts as lost")
        process.process.kill()
        process.wait()
    wait_until_dead(pids(shown))


def test_demo_says_when_its_data_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the cache should be")
    done = ffq("demo", f"--scale={SCALE}", env={"XDG_CACHE_HOME": str(tmp_path / "file")})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


@heavy
def test_write_files_gives_all_that_the_walk_through_needs(cache: Path, tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(cache)}
    folder = tmp_path / "try"
    for _ in range(2):  # a second time replaces what is there
        written = ffq("demo", f"--scale={SCALE}", "--write-files", str(folder), env=env)
        assert written.returncode == 0, written
    assert {path.name for path in folder.iterdir()} == {
        "data",
        "tables.json",
        "q1.json",
        "q3.json",
    }
    with (
        gateway("--catalog", str(folder / "tables.json")) as (_, endpoint),
        worker(endpoint, "w1"),
        worker(endpoint, "w2"),
    ):
        options = ("--wait", "--format", "csv", "--coordinator", endpoint)
        done = ffq("submit", str(folder / "q1.json"), *options)
        assert done.returncode == 0, done
        answer = list(csv.DictReader(io.StringIO(done.stdout)))
        assert sorted((row["l_returnflag"], row["l_linestatus"]) for row in answer) == [
            ("A", "F"),
            ("N", "F"),
            ("N", "O"),
            ("R", "F"),
        ]
        done = ffq("submit", str(folder / "q3.json"), *options)
        assert done.returncode == 0, done
        assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == 10
