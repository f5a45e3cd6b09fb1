"""How far a query is: on a terminal, in a notebook, or as a line of text."""

from __future__ import annotations

import html
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from ffq.display.grid import visible
from ffq.messages import QueryState, QueryStatus
from ffq.plan.explain import bytes_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

Report: TypeAlias = Callable[[QueryStatus], None]


@attrs.frozen
class Figures:
    """Of the stages that are laid out so far; more may follow.

    Attributes:
        failed: attempts of tasks that failed, or were lost, and are made again.
        rows, bytes: given out by the tasks that are done, to those of other stages.
    """

    stages_done: int
    stages: int
    done: int
    running: int
    total: int
    failed: int
    rows: int
    bytes: int

    @classmethod
    def of(cls, status: QueryStatus) -> Figures:
        stages = [each for each in status.stages if not each.skipped]
        open_ = [each for each in stages if each.queued_tasks + each.running_tasks]
        begun = [each for each in stages if each.succeeded_tasks]
        done = sum(each.succeeded_tasks for each in stages)
        running = sum(each.running_tasks for each in stages)
        return cls(
            stages_done=sum(each not in open_ for each in begun),
            stages=len(stages),
            done=done,
            running=running,
            total=done + running + sum(each.queued_tasks for each in stages),
            failed=sum(each.failed_tasks for each in stages),
            rows=sum(each.map_output_rows for each in stages),
            bytes=sum(each.map_output_bytes for each in stages),
        )

    def text(self) -> str:
        """As `3/12 tasks, 1/3 stages, 1,200 rows, 34.5 KiB, 1 failed`."""
        parts = [f"{self.done}/{self.total} tasks", f"{self.stages_done}/{self.stages} stages"]
        if self.rows:
            parts += [f"{self.rows:,} rows", bytes_text(self.bytes)]
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)


def remark(status: QueryStatus) -> str:
    """What it waits for, or its state."""
    return visible(status.message) or status.state.name.lower()


@contextmanager
def drawn_bar(console: Console, title: str) -> Iterator[Report]:
    """A bar that goes away when it is done. console: of a terminal."""
    from rich.progress import (  # noqa: PLC0415  # rich takes long to import, and few draw
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[figures]} {task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with progress:
        yield _Bar(progress, progress.add_task(title, total=1, figures="", note="")).update


@attrs.define
class _Bar:
    _progress: Progress
    _task: TaskID

    def update(self, status: QueryStatus) -> None:
        from rich.markup import escape  # noqa: PLC0415

        figures = Figures.of(status)
        self._progress.update(
            self._task,
            completed=figures.done,
            total=max(figures.total, 1),
            figures=figures.text(),
            note=escape(remark(status)),
        )


@attrs.define
class Lines:
    """Says the state, and what a query waits for, when it changes. say: takes a line."""

    _title: str
    _say: Callable[[str], None]
    _last: tuple[QueryState, str] | None = None

    def update(self, status: QueryStatus) -> None:
        if self._last == (status.state, status.message):
            return
        self._last = (status.state, status.message)
        waits = f": {visible(' '.join(status.message.split()))}" if status.message else ""
        self._say(f"{self._title} {status.state.name}{waits}")


_drawing: Final = threading.Lock()
"""One bar at a time: several would draw over each other."""


@contextmanager
def seen(wanted: bool | None) -> Iterator[Report | None]:
    """What shows progress to whoever sits before this process.

    Args:
        wanted: True: always; False: never; None: where stderr is a terminal, or in a notebook. Of
            queries that run at the same time, the first is shown.
    """
    notebook = None if wanted is False else _notebook()
    shows = notebook is not None or wanted or _is_terminal()
    if wanted is False or not shows or not _drawing.acquire(blocking=False):
        yield None
        return
    try:
        if notebook is not None:
            with _in_notebook(notebook) as report:
                yield report
        elif not _is_terminal():
            yield Lines("query", _say).update
        else:
            from rich.console import Console  # noqa: PLC0415

            with drawn_bar(Console(stderr=True, highlight=False), "query") as report:
                yield report
    finally:
        _drawing.release()


def _say(line: str) -> None:
    with suppress(Exception):  # of what a program has put in its place
        sys.stderr.write(line + "\n")


def _is_terminal() -> bool:
    with suppress(Exception):  # a program may have put anything in its place
        return sys.stderr.isatty()
    return False


def _notebook() -> Any:
    """The function that displays in a notebook, if this is one. Nothing is imported for it."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if type(shell).__name__ != "ZMQInteractiveShell":
        return None
    return importlib.import_module("IPython.display").display


@contextmanager
def _in_notebook(display: Any) -> Iterator[Report]:
    """A line below the cell, which is emptied at the end."""
    handle = display(_Line(""), display_id=True)

    def report(status: QueryStatus) -> None:
        handle.update(_Line(f"{Figures.of(status).text()} {remark(status)}"))

    try:
        yield report
    finally:
        handle.update(_Line(""))


@attrs.frozen
class _Line:
    """A line of text that notebooks show as such."""

    text: str

    def _repr_html_(self) -> str:
        return f"<small>{html.escape(self.text)}</small>"

    def __repr__(self) -> str:
        return self.text
