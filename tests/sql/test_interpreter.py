"""A planning process that is started before anybody needs it."""

from __future__ import annotations

import os

import pytest

from ffq.messages import PlanSql
from ffq.sql.interpreter import _AHEAD, Interpreter, interpreter, started_ahead
from ffq.sql.service import PlanningService


def waiting() -> Interpreter:
    child = _AHEAD._child
    assert child is not None
    return child


def planned_by() -> int:
    with PlanningService() as service:
        service.plan(PlanSql("SELECT 1"))
        assert service._idle is not None
        return service._idle.pid


def test_the_first_query_is_planned_by_what_was_started_ahead() -> None:
    with started_ahead():
        child = waiting()
        assert planned_by() == child.process.pid
        assert child.process.returncode is not None  # its service has ended it
        assert planned_by() != child.process.pid


def test_what_nobody_took_ends_with_its_block() -> None:
    with started_ahead():
        child = waiting()
        with started_ahead():
            assert waiting() is child
        assert child.process.poll() is None
    assert child.process.returncode is not None
    assert _AHEAD._child is None


@pytest.mark.parametrize("changed", ["variable", "path"])
def test_what_was_started_with_less_than_is_known_now_is_not_used(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started_ahead():
        child = waiting()
        if changed == "variable":
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        else:
            monkeypatch.syspath_prepend(os.sep)
        assert planned_by() != child.process.pid
    assert child.process.returncode is not None


def test_what_died_meanwhile_is_not_used() -> None:
    with started_ahead():
        child = waiting()
        child.process.kill()
        child.process.wait()
        assert planned_by() != child.process.pid


def test_a_fork_leaves_it_to_its_parent() -> None:
    with started_ahead():
        child = waiting()
        if (pid := os.fork()) == 0:
            os._exit(0 if _AHEAD.take() is None else 1)
        assert os.waitpid(pid, 0)[1] == 0
        taken = interpreter()
        try:
            assert taken is child
        finally:
            taken.kill()
            taken.process.wait()
