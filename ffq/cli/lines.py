"""Lines from a terminal: edited, with history and completion, where prompt_toolkit is installed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from ffq.cli.output.consoles import note
from ffq.threads import run_blocking

_WORDS: Final = """
ALL AND ANTI AS ASC ASOF BETWEEN BY CASE CAST COUNT CROSS CURRENT DATE DESC DISTINCT ELSE END EXCEPT
EXCLUDE EXISTS FALSE FILTER FIRST FOLLOWING FROM FULL GROUP HAVING IN INNER INTERSECT INTERVAL IS
JOIN LAST LATERAL LEFT LIKE LIMIT MATERIALIZED NATURAL NOT NULL NULLS OFFSET ON OR ORDER OUTER OVER
PARTITION PIVOT PRECEDING QUALIFY RANGE RIGHT ROWS SELECT SEMI SUM THEN TIMESTAMP TRUE UNBOUNDED
UNION UNNEST UNPIVOT USING VALUES WHEN WHERE WINDOW WITH
"""


class LineReader(Protocol):
    async def read(self, prompt: str) -> str | None:
        """The next line; None: there are no more. Raises KeyboardInterrupt: it was given up."""
        ...

    def offer(self, words: Iterable[str]) -> None:
        """Words to complete to."""
        ...


def line_reader() -> LineReader:
    """The best that is installed."""
    try:
        toolkit = importlib.import_module("prompt_toolkit")
    except ModuleNotFoundError:
        note('for history and completion: pip install "ffq-runtime[shell]"')
        return _Plain()
    return _Edited(toolkit)


@attrs.define
class _Plain:
    """As the terminal edits them."""

    async def read(self, prompt: str) -> str | None:
        # A terminal's line cannot be taken back from the thread that waits for it.
        return await run_blocking(_input, prompt, abandon_on_cancel=True)

    def offer(self, words: Iterable[str]) -> None:
        pass


def _input(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        return None


class _Edited:
    """By prompt_toolkit, on a thread: it has an event loop of its own."""

    def __init__(self, toolkit: Any) -> None:
        completion = importlib.import_module("prompt_toolkit.completion")
        history = importlib.import_module("prompt_toolkit.history")
        self._words: dict[str, None] = dict.fromkeys(map(str, _WORDS.split()))
        path = history_file()
        self._session = toolkit.PromptSession(
            history=history.InMemoryHistory() if path is None else history.FileHistory(str(path)),
            completer=completion.WordCompleter(lambda: list(self._words), ignore_case=True),
            complete_while_typing=False,
        )

    async def read(self, prompt: str) -> str | None:
        return await run_blocking(self._read, prompt, abandon_on_cancel=True)

    def _read(self, prompt: str) -> str | None:
        try:
            line: str = self._session.prompt(prompt, handle_sigint=False)
        except EOFError:
            return None
        return line

    def offer(self, words: Iterable[str]) -> None:
        self._words.update(dict.fromkeys(words))


def history_file() -> Path | None:
    """For its owner alone; None: it cannot be written."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = Path(state) / "ffq" / "sql_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError:
        return None
    return path
