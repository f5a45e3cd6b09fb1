"""Planning in processes: a hostile text is refused within bounds, and nothing is left over."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ffq.engine.variables import ENVIRONMENT
from ffq.errors import (
    InvalidPlan,
    InvalidQuery,
    InvalidRequest,
    PlanningError,
    PlanningLimit,
    StartupError,
    Unavailable,
)
from ffq.messages import MAX_SQL_BYTES, PlanSql, SqlColumn
from ffq.plan.codec import parse_plan
from ffq.sql import process
from ffq.sql.limits import PlanningLimits
from ffq.sql.service import Job, PlanningService
from tests.processes import END_TIMEOUT_S

ENDLESS = "SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))"
"""Folded while it is planned, in hours and in little memory; it hears no interrupt."""
LARGE = "SELECT length(repeat('x', 2000000000))"


@pytest.fixture(scope="module")
def service() -> Iterator[PlanningService]:
    with PlanningService() as made:
        yield made


def gone(pid: int) -> bool:
    """Whether a process has ended, also where nobody has waited for it yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


def until(what: str, condition: object) -> None:
    late = time.monotonic() + END_TIMEOUT_S
    assert callable(condition)
    while not condition():
        assert time.monotonic() < late, f"never: {what}"
        time.sleep(0.01)


def worked_ms(pid: int) -> int:
    """CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def idle_pid(service: PlanningService) -> int:
    idle = service._idle
    assert idle is not None
    return idle.pid


def test_one_process_stays_warm_from_query_to_query(service: PlanningService) -> None:
    first = service.plan(PlanSql("SELECT 1 AS x, 'a' AS y"))
    assert first.columns == (SqlColumn("x", "INTEGER"), SqlColumn("y", "VARCHAR"))
    parse_plan(first.plan_bytes)
    warm = idle_pid(service)
    with pytest.raises(InvalidQuery) as caught:
        service.plan(PlanSql("SELECT 1,\n  nope"))
    assert (caught.value.line, caught.value.column) == (2, 3)
    assert service.plan(PlanSql("SELECT 2")).tables == ()
    assert idle_pid(service) == warm


def test_a_process_sees_nothing_of_the_environment_that_it_does_not_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But for what lets it into stores, whose tables it looks at."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FFQ_TOKEN", "secret")
    with PlanningService() as service:
        service.plan(PlanSql("SELECT 1"))
        seen = Path(f"/proc/{idle_pid(service)}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0].decode() for entry in seen if entry}
    assert "AWS_ENDPOINT_URL" in names
    assert {name for name in names if not ENVIRONMENT.fullmatch(name)} <= {
        *("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR"),
        "OPENBLAS_NUM_THREADS",
    }


@pytest.mark.parametrize(
    ("sql", "limits", "message"),
    [
        (ENDLESS, PlanningLimits(time_ms=200), "took longer than 200 ms, and was ended"),
        (LARGE, PlanningLimits(memory_bytes=300 << 20), "more than 300 MiB of memory, and was"),
    ],
    ids=["time", "memory"],
)
def test_what_takes_too_much_is_ended_and_the_next_query_is_planned(
    service: PlanningService, sql: str, limits: PlanningLimits, message: str
) -> None:
    service.plan(PlanSql("SELECT 1"))
    before = idle_pid(service)
    service._limits, kept = limits, service._limits
    try:
        with pytest.raises(PlanningLimit, match=message):
            service.plan(PlanSql(sql))
    finally:
        service._limits = kept
    assert gone(before)
    assert idle_pid(service) != before
    assert service.plan(PlanSql("SELECT 1")).columns


def test_a_query_that_takes_its_process_down_is_refused(service: PlanningService) -> None:
    def end_it_when_it_works() -> None:
        until("a process works", lambda: service._busy)
        (process,) = service._busy
        until("it plans", lambda: process._ready and not process._outgoing)
        os.kill(process.pid, signal.SIGSEGV)

    service.plan(PlanSql("SELECT 1"))
    thread = threading.Thread(target=end_it_when_it_works)
    thread.start()
    with pytest.raises(PlanningError, match="ended the process that planned it, with SIGSEGV"):
        service.plan(PlanSql(ENDLESS))
    thread.join()
    assert service.plan(PlanSql("SELECT 1")).columns


def test_where_no_further_process_can_be_started_the_query_is_told_what_was_wrong_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with PlanningService() as narrow:
        narrow.plan(PlanSql("SELECT 1"))
        narrow._limits = PlanningLimits(time_ms=1)
        ended = idle_pid(narrow)

        def no_more() -> tuple[int, int]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(os, "pipe", no_more)
        with pytest.raises(PlanningLimit):
            narrow.plan(PlanSql(ENDLESS))
        assert gone(ended)
        with pytest.raises(StartupError, match="cannot be started: .*Too many open files"):
            narrow.plan(PlanSql("SELECT 1"))
        monkeypatch.undo()
        narrow._limits = PlanningLimits()
        assert narrow.plan(PlanSql("SELECT 1")).columns


def test_what_is_given_up_and_planned_in_a_moment_leaves_its_process_to_the_next(
    service: PlanningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.plan(PlanSql("SELECT 'before'"))
    pid, job, ask = idle_pid(service), Job(), process.PlanningProcess.ask

    def given_up(self: process.PlanningProcess, *arguments: Any) -> Any:
        job.give_up()
        return ask(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(process, "_UNWANTED_S", END_TIMEOUT_S)
        patched.setattr(process.PlanningProcess, "ask", given_up)
        service.plan(PlanSql("SELECT 'given up'"), job)
    assert idle_pid(service) == pid
    monkeypatch.setattr(process, "_UNWANTED_S", -1.0)
    assert service.plan(PlanSql("SELECT 'the next'")).columns
    with pytest.raises(Unavailable):  # before it began
        service.plan(PlanSql("SELECT 'given up'"), job)
    assert idle_pid(service) == pid


def test_a_query_that_is_given_up_ends_its_process_if_it_takes_longer(
    service: PlanningService,
) -> None:
    job = Job()
    failed: list[BaseException] = []

    def plan() -> None:
        try:
            service.plan(PlanSql(ENDLESS), job)
        except Unavailable as error:
            failed.append(error)

    service.plan(PlanSql("SELECT 1"))
    pid = idle_pid(service)
    thread = threading.Thread(target=plan)
    thread.start()
    until("a process works", lambda: job._process)
    job.give_up()
    thread.join(END_TIMEOUT_S)
    assert len(failed) == 1
    assert gone(pid)
    with pytest.raises(Unavailable):
        service.plan(PlanSql("SELECT 1"), job)


def test_at_its_end_no_process_is_left_not_even_one_that_works() -> None:
    closing = PlanningService()
    failed: list[str] = []

    def plan() -> None:
        try:
            closing.plan(PlanSql(ENDLESS))
        except Unavailable as error:
            failed.append(error.message)

    thread = threading.Thread(target=plan)
    thread.start()
    until("a process works", lambda: closing._busy)
    (process,) = closing._busy
    closing.close()
    thread.join(END_TIMEOUT_S)
    assert len(failed) == 1
    assert gone(process.pid)
    with pytest.raises(Unavailable, match="closed"):
        closing.plan(PlanSql("SELECT 1"))


PARENT = f"""
import sys, threading
from ffq.messages import PlanSql
from ffq.sql.limits import PlanningLimits
from ffq.sql.service import PlanningService
service = PlanningService(limits=PlanningLimits(10**9, 10**12))
service.plan(PlanSql("SELECT 1"))
print(service._idle.pid, flush=True)
sys.stdin.readline()
service.plan(PlanSql({ENDLESS!r}))
"""


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_no_process_outlives_a_parent_that_is_killed(busy: bool) -> None:
    """Also in the midst of what takes hours and runs no code of ours."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent:
        child = int(parent.stdout.readline())
        if busy:
            idle_ms = worked_ms(child)
            parent.stdin.write(b"\n")
            parent.stdin.flush()
            until("it plans", lambda: worked_ms(child) > idle_ms + 100)
        parent.kill()
    until("the child has ended", lambda: gone(child))


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT " + "(" * 10_000 + "1" + ")" * 10_000, InvalidQuery),
        ("SELECT " + "[" * 3_000 + "]" * 3_000, InvalidQuery),
        ("SELECT " + "+".join(["1"] * 20_000), InvalidQuery),
        ("SELECT '" + "x" * 10_000_000 + "'", InvalidPlan),
        ("SELECT 1;" * 10_000, InvalidQuery),
        ("SELECT " + "x" * 1_000_000, InvalidQuery),
        ("\0", InvalidQuery),
        ("SELECT 1 \0 ATTACH 'x'", InvalidQuery),
    ],
    ids=["brackets", "lists", "sums", "10 MB", "statements", "name", "nul", "nul inside"],
)
def test_a_text_that_nobody_can_plan_is_refused(
    service: PlanningService, sql: str, kind: type[Exception]
) -> None:
    service.plan(PlanSql("SELECT 1"))
    pid = idle_pid(service)
    with pytest.raises(kind) as caught:
        service.plan(PlanSql(sql))
    assert len(str(caught.value)) < 1000
    assert idle_pid(service) == pid


def test_of_a_text_the_size_comes_before_the_sense() -> None:
    with pytest.raises(InvalidRequest, match=f"the bound is {MAX_SQL_BYTES} bytes"):
        PlanSql("é" * (MAX_SQL_BYTES // 2 + 1))


def test_memory_is_looked_at_of_queries_that_take_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look costs as much as asking for a plan that is kept."""
    now = [0.0]
    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: now[0]))
    watch = process._Watch(os.getpid(), PlanningLimits(time_ms=10_000, memory_bytes=1))
    watch.check()
    for seconds in (0.02, 0.04):
        now[0] = seconds
        with pytest.raises(PlanningLimit, match="memory"):
            watch.check()
        watch.check()
