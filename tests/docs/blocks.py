"""Blocks of code on pages: found in the text, and run as a reader would run them, in one folder.

| a block | is |
|---|---|
| with a title | a file of that name, whatever its language |
| `python` | run; all of a page share their names. With `await` at its top it runs under Trio |
| `sql` | run by the page's `session`, statement by statement |
| `bash` | a script. What it starts with `&` goes on until the page ends |
| `console` | commands, each after `$ `, and below each what it prints |
| `text` right below one of these | what that printed. A line `…` stands for any lines |

`ffq` and `python` are this checkout's, `pip` does nothing. The port 50051 is another one, which is
free.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import re
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import attrs
import trio

from ffq.engine.operators import REGISTRY
from tests.docs.pages import ROOT, read
from tests.processes import environment

RUN: Final = {"python", "sql", "bash", "console"}
SHOWN: Final = {"text", "json", "toml", "ini", "mermaid"}
ANY_LINES: Final = "…"
PORT: Final = "50051"
PATIENCE_MS: Final = 600_000
"""With a coordinator that was started in the background and is not ready yet."""

_FENCE: Final = re.compile(
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.M | re.S
)
_SHELL: Final = f"""
set -euo pipefail
ffq() {{ "{sys.executable}" -m ffq "$@"; }}
python() {{ "{sys.executable}" "$@"; }}
python3() {{ :; }}
pip() {{ :; }}
"""


@attrs.frozen
class Block:
    """A fenced block.

    Attributes:
        line: of its text's first line on the page, from 1.
        title: the name of the file that it is; "" for none.
        prints: what a `text` block right below says that it prints; None where there is none.
    """

    page: str
    line: int
    language: str
    title: str
    text: str
    prints: str | None = None

    @property
    def runs(self) -> bool:
        return self.language in RUN and not self.title

    @property
    def opening(self) -> str:
        """Its first line without a comment behind it, by which tests name it."""
        return self.text.partition("\n")[0].partition("  #")[0].rstrip()


def blocks_of(page: str) -> list[Block]:
    text = read(page)
    found: list[Block] = []
    end = 0
    for match in _FENCE.finditer(text):
        language, title, code = match["language"], match["title"] or "", match["text"]
        if (
            language == "text"
            and found
            and found[-1].runs
            and not text[end : match.start()].strip()
        ):
            found[-1] = attrs.evolve(found[-1], prints=code)
        line = text.count("\n", 0, match.start("text")) + 1
        found.append(Block(page, line, language, title, code))
        end = match.end()
    return found


def free_port() -> str:
    """One that nobody had when it was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@attrs.define
class Reader:
    """Who does what a page says. Made by `reading`.

    Attributes:
        folder: where everything happens; the process is in it.
        names: what the page's Python has defined.
        clock: of blocks with `await` at their top; None: the real one.
    """

    folder: Path
    names: dict[str, Any]
    clock: Callable[[], trio.abc.Clock] | None = None
    _port: str = attrs.field(factory=free_port)
    _scripts: list[subprocess.Popen[bytes]] = attrs.field(factory=list)

    def follow(self, block: Block) -> None:
        """Raises whatever it raises; AssertionError: it printed something else."""
        text = block.text.replace(PORT, self._port)
        if block.title:
            place = self.folder / block.title
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            return
        where = f"{block.page}:{block.line}"
        match block.language:
            case "python":
                printed = self._python(text, block)
            case "sql":
                printed = self._sql(text, shown=block.prints is not None)
            case "bash":
                printed = self.run(text, where)
            case "console":
                for command, wanted in commands(text):
                    check_printed(self.run(command, where), wanted, f"{where}: {command}")
                return
            case _:
                return
        if block.prints is not None:
            check_printed(printed, block.prints, where)

    def _python(self, text: str, block: Block) -> str:
        lines = "\n" * (block.line - 1) + text
        code = compile(lines, block.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            if code.co_flags & inspect.CO_COROUTINE:
                body = types.FunctionType(code, self.names)
                trio.run(body, clock=self.clock and self.clock())
            else:
                exec(code, self.names)
        return printed.getvalue()

    def _sql(self, text: str, *, shown: bool) -> str:
        session = self.names["session"]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            for statement in filter(str.strip, re.split(r";\s*\n", f"{text}\n")):
                relation = session.sql(statement)
                relation.show() if shown else relation.collect()
        return printed.getvalue()

    def run(self, script: str, where: str) -> str:
        """What a script prints. What it leaves in the background ends with `close`."""
        with contextlib.ExitStack() as files:
            printed, said = (
                files.enter_context((self.folder / f".{name}").open("w+"))
                for name in ("out", "err")
            )
            started = subprocess.Popen(
                ["bash", "-c", _SHELL + script],
                cwd=self.folder,
                env=environment(
                    PYTHONPATH=os.pathsep.join([str(ROOT), str(self.folder)]),
                    TMPDIR=str(self.folder),  # what is killed leaves its files here
                    XDG_CACHE_HOME=str(self.folder),
                    FFQ_CLIENT_TIMEOUT_MS=str(PATIENCE_MS),
                ),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
                start_new_session=True,
            )
            self._scripts.append(started)
            code = started.wait()
            printed.seek(0)
            said.seek(0)
            assert code == 0, f"{where}: exit code {code} of\n{script}\n{said.read()}"
            return printed.read()

    def close(self) -> None:
        """End what scripts left running."""
        for script in self._scripts:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGKILL)
            script.wait()


@contextlib.contextmanager
def reading(folder: Path, names: dict[str, Any] | None = None) -> Iterator[Reader]:
    """A reader, in a folder; what Python leaves in this process is undone at the end."""
    kept, loaded, path = dict(REGISTRY._operators), set(sys.modules), list(sys.path)
    REGISTRY._operators.clear()
    module = types.ModuleType("guide")
    module.__dict__.update(names or {})
    sys.modules["guide"] = module
    sys.path.insert(0, str(folder))
    reader = Reader(folder, module.__dict__)
    # A session has a worker process for each processor: here one, whatever the machine has.
    one_processor = mock.patch.object(os, "sched_getaffinity", return_value={0})
    try:
        with contextlib.chdir(folder), one_processor:
            yield reader
    finally:
        reader.close()
        sys.path[:] = path
        REGISTRY._operators.clear()
        REGISTRY._operators.update(kept)
        for name in set(sys.modules) - loaded:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if name == "guide" or file.startswith(str(folder)):
                del sys.modules[name]


def commands(block: str) -> list[tuple[str, str]]:
    """Each command of a console block, and what it prints."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def check_printed(printed: str, wanted: str, where: str) -> None:
    """Line ends at the end are nobody's; a line of `…` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*" if line == ANY_LINES else re.escape(line.rstrip()) + r"\s*?\n"
        for line in wanted.rstrip().splitlines()
    )
    same = re.fullmatch(pattern, printed.rstrip() + "\n")
    assert same, f"{where} printed\n{printed}\nwhere the page says\n{wanted}"
