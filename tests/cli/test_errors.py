"""Errors as one line and an exit code."""

from __future__ import annotations

import pytest
import typer

from ffq.cli.errors import (
    FAILED,
    INTERRUPTED,
    OK,
    SUPERSEDED,
    UNREACHABLE,
    USAGE,
    Reporting,
    root_cause,
)
from ffq.errors import (
    InvalidPlan,
    InvalidRequest,
    QueryFailed,
    StartupError,
    Unavailable,
    UnknownId,
    WorkerSuperseded,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (QueryFailed("q failed: boom"), FAILED),
        (UnknownId("no query 7"), FAILED),
        (InvalidPlan("not JSON"), FAILED),
        (InvalidRequest("--slots: 'x' is not an integer"), USAGE),
        (StartupError("port taken"), USAGE),
        (typer.BadParameter("bad"), USAGE),
        (Unavailable("refused"), UNREACHABLE),
        (StartupError("no coordinator answers", reason="UNAVAILABLE"), UNREACHABLE),
        (WorkerSuperseded("another process has 'w1'"), SUPERSEDED),
        (KeyboardInterrupt(), INTERRUPTED),
        (ZeroDivisionError("oops"), FAILED),
    ],
)
def test_each_kind_of_error_has_its_code(error: BaseException, code: int) -> None:
    assert Reporting().report(error) == code


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Reporting().report(BaseExceptionGroup("tasks", [StartupError("port\n taken")]))
    assert capsys.readouterr().err == "error: port taken\n"


def test_a_traceback_is_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    Reporting(with_traceback=True).report(StartupError("port taken"))
    shown = capsys.readouterr().err
    assert "ffq.errors.StartupError" in shown
    assert shown.endswith("error: port taken\n")


def test_an_interrupt_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Reporting().report(KeyboardInterrupt())
    assert capsys.readouterr().err == ""


def test_a_reader_that_went_away_is_no_error_however_it_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """typer and rich exit by themselves on a broken pipe; a nursery puts that into a group."""
    exiting = SystemExit(1)
    exiting.__context__ = BrokenPipeError()
    for lost in (BrokenPipeError(), exiting):
        assert Reporting().report(lost) == OK
        follows = StartupError("and so the others ended")
        assert Reporting().report(BaseExceptionGroup("tasks", [follows, lost])) == OK
    assert capsys.readouterr().err == ""


def test_of_several_errors_an_interrupt_comes_first_then_one_of_ours() -> None:
    ours, other = StartupError("x"), ValueError("y")
    group = BaseExceptionGroup("a", [other, BaseExceptionGroup("b", [ours])])
    assert root_cause(group) is ours
    assert isinstance(
        root_cause(BaseExceptionGroup("c", [group, KeyboardInterrupt()])), KeyboardInterrupt
    )
    assert root_cause(other) is other
