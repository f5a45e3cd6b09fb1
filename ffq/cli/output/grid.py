"""Aligned tables: boxes and colours on a terminal, plain columns in a pipe."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_GAP = "  "


@attrs.frozen
class Grid:
    """A table of text.

    Attributes:
        columns: headings.
        rows: cells, as many in each row as there are columns; None shows as nothing.
        right: numbers of the columns that are aligned to the right.
        title: shown above it; empty for none.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    right: Collection[int] = ()
    title: str = ""


def plain_lines(grid: Grid) -> Iterable[str]:
    """The grid as lines without any drawing: a title, a heading, a rule of dashes, the rows."""
    rows = [[_one_line(cell) for cell in row] for row in grid.rows]
    widths = [
        max([len(heading), *(len(row[index]) for row in rows)])
        for index, heading in enumerate(grid.columns)
    ]
    if grid.title:
        yield grid.title
    yield _aligned(list(grid.columns), widths, grid.right)
    yield _aligned(["-" * width for width in widths], widths, grid.right)
    for row in rows:
        yield _aligned(row, widths, grid.right)


def print_grid(console: Console, grid: Grid) -> None:
    """Show a grid on a console: drawn on a terminal, plain lines anywhere else."""
    if console.is_terminal:
        console.print(_drawn(grid))
        return
    for line in plain_lines(grid):
        console.file.write(line + "\n")
    console.file.flush()


def _drawn(grid: Grid) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=grid.title or None,
        title_justify="left",
        title_style="bold",
        box=box.ROUNDED,
        header_style="bold",
    )
    for index, heading in enumerate(grid.columns):
        table.add_column(heading, justify="right" if index in grid.right else "left")
    for row in grid.rows:
        table.add_row(*(Text(_one_line(cell), style=_style(cell)) for cell in row))
    return table


_STYLES = {
    "SUCCEEDED": "green",
    "RUNNING": "cyan",
    "QUEUED": "yellow",
    "FAILED": "red",
    "CANCELED": "magenta",
}


def _style(cell: str | None) -> str:
    return _STYLES.get(cell or "", "")


def _one_line(cell: str | None) -> str:
    return "" if cell is None else " ".join(cell.splitlines())


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    placed = [
        cell.rjust(width) if index in right else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return _GAP.join(placed).rstrip()
