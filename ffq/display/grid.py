"""Aligned tables: boxes and colours on a terminal, plain columns in a pipe.

Nothing in a cell can do anything to a terminal: what is no printable character is shown as an
escape, as `\\x1b`; so is what the terminal's encoding does not have. Wide characters count double.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

import attrs
from rich.cells import cell_len

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_GAP = "  "
_BORDER = 1
_WRAPPED_FROM = 20
"""Text of more characters than this may be wrapped in its cell, between words."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of what a terminal acts on instead of showing it."""
_HARMLESS: Final = "\u200c\u200d\u200e\u200f"
"""Joiners and marks that scripts are written with; overrides of the direction are others."""


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


def plain_lines(grid: Grid, *, encoding: str = "utf-8") -> Iterable[str]:
    """The grid as lines without any drawing: a title, a heading, a rule of dashes, the rows.

    Args:
        encoding: of what the lines are written to.
    """
    grid = _shown(grid, encoding)
    widths = [_width(grid, index) for index in range(len(grid.columns))]
    if grid.title:
        yield grid.title
    yield _aligned(grid.columns, widths, grid.right)
    yield _aligned(["-" * width for width in widths], widths, grid.right)
    for row in grid.rows:
        yield _aligned([cell or "" for cell in row], widths, grid.right)


def visible(text: str) -> str:
    """A text in which every control character, line end and change of direction is an escape."""
    if text.isprintable():
        return text
    return "".join(
        _escaped(each) if unicodedata.category(each) in _UNSEEN and each not in _HARMLESS else each
        for each in text
    )


def print_grid(console: Console, grid: Grid) -> None:
    """Show a grid on a console: drawn on a terminal, plain lines anywhere else.

    Where a terminal is too narrow for all columns they go into several tables, one below the
    other, and a word that is wider than it goes on in the next line: no cell is cut short.
    """
    encoding = console.encoding
    if console.is_terminal:
        for part in _parts(_shown(grid, encoding), console.width):
            console.print(_drawn(part))
        return
    for line in plain_lines(grid, encoding=encoding):
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


def _places(text: str) -> int:
    """How wide a text is on a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def _cells(grid: Grid, column: int) -> list[str]:
    return [grid.columns[column], *(row[column] or "" for row in grid.rows)]


def _width(grid: Grid, column: int) -> int:
    return max(map(_places, _cells(grid, column)))


def _least_width(grid: Grid, column: int) -> int:
    words = (word for cell in _cells(grid, column) for word in (cell.split() or [""]))
    longest_word = max(map(_places, words))
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
    from rich import box  # noqa: PLC0415  # rich takes long to import, and few draw
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(
        title=Text(grid.title) if grid.title else None,
        title_justify="left",
        title_style="bold",
        box=box.ROUNDED,
        header_style="bold",
    )
    for index, heading in enumerate(grid.columns):
        justify: Literal["left", "right"] = "right" if index in grid.right else "left"
        table.add_column(Text(heading), justify=justify, overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(cell or "", style=_style(cell)) for cell in row))
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


def _shown(grid: Grid, encoding: str) -> Grid:
    """With texts that can be written as they are; a text of several lines is one."""

    def shown(text: str) -> str:
        if text.isascii() and text.isprintable():
            return text
        text = visible(" ".join(text.splitlines()))
        return text.encode(encoding, "backslashreplace").decode(encoding)

    return attrs.evolve(
        grid,
        columns=[shown(heading) for heading in grid.columns],
        rows=[[None if cell is None else shown(cell) for cell in row] for row in grid.rows],
        title=shown(grid.title),
    )


def _escaped(character: str) -> str:
    """As Python writes it in a string: `\\n`, `\\x1b`, `\\u202e`."""
    return character.encode("unicode_escape").decode()


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    placed = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - _places(cell))
        placed.append(space + cell if index in right else cell + space)
    return _GAP.join(placed).rstrip()
