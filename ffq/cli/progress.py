"""Progress of a query, on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from ffq.cli.output.consoles import note, stderr_console
from ffq.cli.output.grid import visible
from ffq.client import Progress
from ffq.messages import QueryState, QueryStatus


@attrs.frozen
class TaskCount:
    """Tasks of the stages that are laid out so far; more stages may follow."""

    done: int
    running: int
    total: int

    @classmethod
    def of(cls, status: QueryStatus) -> TaskCount:
        done = sum(stage.succeeded_tasks for stage in status.stages)
        running = sum(stage.running_tasks for stage in status.stages)
        waiting = sum(stage.queued_tasks for stage in status.stages)
        return cls(done, running, done + running + waiting)


@contextmanager
def shown(title: str, *, beside: Console | None = None) -> Iterator[Progress]:
    """What `Client.wait` tells each status to.

    A bar that goes away when it is done; where stderr is no terminal, a line for each change.

    Args:
        beside: a console that is written to meanwhile. The bar is drawn there if it is a terminal,
            so that neither overwrites the other.
    """
    console = beside if beside is not None and beside.is_terminal else stderr_console()
    if console.is_terminal:
        with _rich_bar(console) as bar:
            yield _Bar(bar, bar.add_task(title, total=1, note="")).update
    else:
        yield _Lines(title).update


def _rich_bar(console: Console) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} tasks {task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


@attrs.define
class _Bar:
    _progress: RichProgress
    _task: TaskID

    def update(self, status: QueryStatus) -> None:
        tasks = TaskCount.of(status)
        remark = visible(status.message) or status.state.name.lower()
        self._progress.update(
            self._task, completed=tasks.done, total=max(tasks.total, 1), note=escape(remark)
        )


@attrs.define
class _Lines:
    """Says the state, and what a query waits for, when it changes."""

    _title: str
    _last: tuple[QueryState, str] | None = None

    def update(self, status: QueryStatus) -> None:
        if self._last == (status.state, status.message):
            return
        self._last = (status.state, status.message)
        remark = f": {visible(' '.join(status.message.split()))}" if status.message else ""
        note(f"{self._title} {status.state.name}{remark}")
