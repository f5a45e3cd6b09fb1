"""Aligned tables: boxes and colours on a terminal, plain columns in a pipe."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_GAP = "  "
_BORDER = 1
_WRAPPED_FROM = 20
"""Text of more characters than this may be wrapped in its cell, between words."""


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
    widths = [_width(grid, index) for index in range(len(grid.columns))]
    if grid.title:
        yield grid.title
    yield _aligned(list(grid.columns), widths, grid.right)
    yield _aligned(["-" * width for width in widths], widths, grid.right)
    for row in rows:
        yield _aligned(row, widths, grid.right)


def print_grid(console: Console, grid: Grid) -> None:
    """Show a grid on a console: drawn on a terminal, plain lines anywhere else.

    Where a terminal is too narrow for all columns they go into several tables, one below the
    other: no cell is cut short.
    """
    if console.is_terminal:
        for part in _parts(grid, console.width):
            console.print(_drawn(part))
        return
    for line in plain_lines(grid):
        console.file.write(line + "\n")
    console.file.flush()


def _parts(grid: Grid, width: int) -> Iterator[Grid]:
    """The grid in as many parts as it takes for each to fit; long text wraps in its cell."""
    part: list[int] = []
    used = _BORDER
    for index in range(len(grid.columns)):
        needed = _least_width(grid, index) + _BORDER + len(_GAP)
        if part and used + needed > width:
            yield _columns_of(grid, part)
            part, used = [], _BORDER
        part.append(index)
        used += needed
    yield _columns_of(grid, part)


def _width(grid: Grid, column: int) -> int:
    cells = (_one_line(row[column]) for row in grid.rows)
    return max([len(grid.columns[column]), *map(len, cells)])


def _least_width(grid: Grid, column: int) -> int:
    cells = [grid.columns[column], *(_one_line(row[column]) for row in grid.rows)]
    longest_word = max(len(word) for cell in cells for word in (cell.split() or [""]))
    return max(longest_word, min(_width(grid, column), _WRAPPED_FROM))


def _columns_of(grid: Grid, part: Sequence[int]) -> Grid:
    first = not part or part[0] == 0
    return Grid(
        columns=[grid.columns[index] for index in part],
        rows=[[row[index] for index in part] for row in grid.rows],
        right=[place for place, index in enumerate(part) if index in grid.right],
        title=grid.title if first else "",
    )


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
        right = index in grid.right
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
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
