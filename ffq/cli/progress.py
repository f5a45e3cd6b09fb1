"""Progress of a query, on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from ffq.cli.output.consoles import note, stderr_console
from ffq.client import Client, PlanLike, Progress, QueryHandle
from ffq.display.progress import Lines, drawn_bar

if TYPE_CHECKING:
    from rich.console import Console

_SAID_TO_BE_ONE: Final = frozenset({"FORCE_COLOR", "TTY_COMPATIBLE"})
"""Variables by which rich takes for a terminal what may be none."""


async def run_shown(
    client: Client, plan: PlanLike, use: Callable[[QueryHandle], Awaitable[None]]
) -> None:
    """`Client.run_using`, with its progress; the bar is gone when `use` begins to write."""
    with ExitStack() as bar:

        async def after(handle: QueryHandle) -> None:
            bar.close()
            await use(handle)

        progress = bar.enter_context(shown("query"))
        await client.run_using(plan, after, progress)


@contextmanager
def shown(title: str, *, beside: Console | None = None) -> Iterator[Progress]:
    """What `Client.wait` tells each status to.

    A bar that goes away when it is done; where stderr is no terminal, a line for each change.

    Args:
        beside: a console that is written to meanwhile. The bar is drawn there if it is a terminal,
            so that neither overwrites the other.
    """
    console = beside if beside is not None and beside.is_terminal else _drawn_on()
    if console is not None:
        with drawn_bar(console, title) as report:
            yield report
    else:
        yield Lines(title, note).update


def _drawn_on() -> Console | None:
    """stderr, if it is a terminal. Only one, or who says that it is one, has rich imported."""
    if not sys.stderr.isatty() and _SAID_TO_BE_ONE.isdisjoint(os.environ):
        return None
    console = stderr_console()
    return console if console.is_terminal else None
