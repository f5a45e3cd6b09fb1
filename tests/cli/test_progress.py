"""What is said of a query while it is waited for."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from ffq.cli.progress import shown
from ffq.ids import QueryId
from ffq.messages import QueryState, QueryStatus

BAD = "bad \x1b[31mred\n\rline [bold]"


def failed() -> QueryStatus:
    return QueryStatus(QueryId("7"), QueryState.FAILED, 1, None, None, BAD, ())


def test_no_message_does_anything_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("query 7") as progress:
        progress(failed())
        progress(failed())
    assert capsys.readouterr().err == "query 7 FAILED: bad \\x1b[31mred line [bold]\n"


def test_nor_in_a_bar() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    with shown("query 7", beside=terminal) as progress:
        progress(failed())
    assert isinstance(terminal.file, io.StringIO)
    drawn = terminal.file.getvalue()
    assert "bad \\x1b[31mred\\n\\rline [bold]" in drawn
    assert "\x1b[31m" not in drawn


@pytest.mark.parametrize(("said", "drawn"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_who_sees_no_bar_does_not_wait_for_what_draws_it(said: dict[str, str], drawn: bool) -> None:
    code = (
        "import sys; from ffq.cli.progress import shown\n"
        "with shown('query 7'):\n"
        "    print(*(name in sys.modules for name in ('rich.progress', 'rich.console')))"
    )
    plain = {k: v for k, v in os.environ.items() if k not in {"FORCE_COLOR", "TTY_COMPATIBLE"}}
    run = subprocess.run(
        [sys.executable, "-c", code], env=plain | said, capture_output=True, text=True, check=True
    )
    assert f"{drawn} {drawn}" in run.stdout + run.stderr  # a bar has what is printed beside it
