"""The interactive shell: statements over lines, commands, errors and Ctrl-C."""

from __future__ import annotations

import signal
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest
import trio
import trio.testing

from ffq.cli import lines
from ffq.cli.errors import Reporting
from ffq.cli.output.formats import ResultFormat
from ffq.cli.shell import Shell
from ffq.errors import InvalidQuery, Unavailable
from ffq.messages import SqlColumn, SqlPlan
from ffq.plan.codec import dump_plan
from ffq.plan.model import Values
from ffq.sql.text import is_whole


@attrs.define
class Script:
    """Lines that a user types; an exception is what comes instead of one, a signal before one."""

    typed: list[str | signal.Signals | BaseException]
    prompts: list[str] = attrs.field(factory=list)
    offered: list[str] = attrs.field(factory=list)

    async def read(self, prompt: str) -> str | None:
        await trio.testing.wait_all_tasks_blocked()
        self.prompts.append(prompt)
        if not self.typed:
            return None
        line = self.typed.pop(0)
        while isinstance(line, signal.Signals):
            signal.raise_signal(line)
            await trio.testing.wait_all_tasks_blocked()
            line = self.typed.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line

    def offer(self, words: Iterable[str]) -> None:
        self.offered += words


@attrs.define
class Coordinator:
    """What the shell asks of a client."""

    asked: list[str] = attrs.field(factory=list)

    async def tables(self) -> tuple[str, ...]:
        return ("t", 'odd "name')

    async def plan_sql(self, sql: str, *, tables: Any) -> SqlPlan:
        self.asked.append(sql)
        if "nope" in sql:
            error = InvalidQuery("no nope", line=1, column=8)
            error.add_note("line 1: nope\n        ^")
            raise error
        if "away" in sql:
            raise Unavailable("gone")
        plan = dump_plan(Values((), ((),))) if "a plan" in sql else sql.encode()
        return SqlPlan(plan, (SqlColumn("k", "BIGINT"),), ())

    async def run_using(self, plan: bytes, use: Any, progress: Any) -> None:
        del progress
        if b"forever" in plan:
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()
        await use("its handle")

    async def read(self, query: str, use: Any) -> None:
        assert query == "its handle"
        use(pa.table({"answer": [42]}).to_reader())


async def shell(
    *typed: str | signal.Signals | BaseException, timing: bool = False
) -> tuple[Script, Coordinator]:
    script, client = Script(list(typed)), Coordinator()
    made: Any = Shell(
        client,  # type: ignore[arg-type]
        {"mine": "mine.parquet"},
        ResultFormat.CSV,
        Reporting(),
        script,
        timing,
    )
    with trio.fail_after(20):
        await made.run()
    return script, client


async def test_explain_shows_plans_and_runs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    _, client = await shell("EXPLAIN SELECT 'a plan';")
    assert client.asked[-1] == "        SELECT 'a plan';"
    out = capfd.readouterr().out.splitlines()
    assert out[0] == "Logical plan"
    assert "Distributed plan" in out
    assert "answer" not in out


async def test_a_statement_ends_with_its_semicolon(capfd: pytest.CaptureFixture[str]) -> None:
    script, client = await shell("SELECT ';", "' AS x", ";", "", "SELECT 2;")
    asked = [sql for sql in client.asked if sql.startswith("SELECT")]
    assert asked == ["SELECT ';\n' AS x\n;", "SELECT 2;"]
    assert script.prompts == ["ffq> ", "...> ", "...> ", "ffq> ", "ffq> ", "ffq> "]
    assert capfd.readouterr().out == "answer\n42\n" * 2


async def test_an_error_is_shown_with_its_place_and_ends_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    await shell("SELECT nope;", "SELECT away;", "SELECT 1;")
    shown = capfd.readouterr()
    assert "error: no nope\nline 1: nope\n        ^\n" in shown.err
    assert "error: cannot reach the coordinator: gone" in shown.err
    assert shown.out == "answer\n42\n"


async def test_an_error_of_a_command_shows_no_query_that_nobody_wrote(
    capfd: pytest.CaptureFixture[str],
) -> None:
    await shell("\\d nope")
    assert capfd.readouterr().err.endswith("error: no nope\n")


async def test_ctrl_c_ends_the_query_and_drops_lines_not_the_shell(
    capfd: pytest.CaptureFixture[str],
) -> None:
    _, client = await shell("SELECT forever;", "SELECT", KeyboardInterrupt(), "SELECT 1;")
    asked = [sql for sql in client.asked if sql.startswith("SELECT")]
    assert asked == ["SELECT forever;", "SELECT 1;"]
    shown = capfd.readouterr()
    assert "canceled" in shown.err
    assert shown.out == "answer\n42\n"


async def test_ctrl_c_drops_lines_of_a_reader_that_waits_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    _, client = await shell("SELECT", signal.SIGINT, "SELECT 1;", signal.SIGINT, "SELECT 2;")
    asked = [sql for sql in client.asked if sql.startswith("SELECT")]
    assert asked == ["SELECT 1;", "SELECT 2;"]
    assert capfd.readouterr().err.splitlines()[-2:] == ["dropped", "\\q or Ctrl-D leaves"]


async def test_commands(capfd: pytest.CaptureFixture[str]) -> None:
    script, client = await shell(
        "\\d",
        "\\d t;",
        "\\d 'a b.parquet'",
        "\\timing",
        "SELECT 1;",
        "\\nonsense",
        "\\?",
        "\\q",
        "x",
    )
    shown = capfd.readouterr()
    tables, _, columns = shown.out.partition("column")
    assert [name for name in ("mine", "t", 'odd "name') if name not in tables] == []
    assert "BIGINT" in columns
    assert [sql for sql in client.asked if "LIMIT 0" in sql][-2:] == [
        "FROM t LIMIT 0",
        "FROM 'a b.parquet' LIMIT 0",
    ]
    assert "timing is on" in shown.err
    assert " ms\n" in shown.err
    assert "error: \\nonsense is no command" in shown.err
    assert "\\timing  " in shown.err
    assert script.typed == ["x"]


async def test_tab_knows_tables_and_columns() -> None:
    script, client = await shell()
    assert script.offered[:3] == ["mine", "t", 'odd "name']
    assert "k" in script.offered
    assert 'FROM "odd ""name" LIMIT 0' in client.asked


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("SELECT 1;", True),
        ("SELECT 1; -- said", True),
        ("SELECT 1 -- ;", False),
        ("SELECT 1 /* ; */", False),
        ("SELECT ';'", False),
        ("SELECT ';", False),
        ('SELECT "a;', False),
        ("SELECT $$;", False),
        ("SELECT /* ;", False),
        ("SELECT 'it''s';", True),
        ("", False),
        (";", True),
    ],
)
def test_a_semicolon_inside_of_something_ends_nothing(text: str, whole: bool) -> None:
    assert is_whole(text) is whole


def test_the_history_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = lines.history_file()
    assert path == tmp_path / "ffq" / "sql_history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    assert lines.history_file() is None


async def test_without_the_extra_lines_are_read_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    reader = lines.line_reader()
    assert 'pip install "ffq-runtime[shell]"' in capfd.readouterr().err
    typed = iter(["SELECT 1;"])

    def typing(_: str) -> str:
        for line in typed:
            return line
        raise EOFError

    monkeypatch.setattr("builtins.input", typing)
    reader.offer(["x"])
    assert [await reader.read(""), await reader.read("")] == ["SELECT 1;", None]
