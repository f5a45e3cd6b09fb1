"""A result as a table of text, for terminals and for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pyarrow as pa

from ffq.display.cells import is_number, text_rows
from ffq.display.grid import Grid, plain_lines, visible


def result_grid(table: pa.Table, *, title: str = "", max_rows: int | None = None) -> Grid:
    """A result as a grid of text; a line end or control character in it is an escape.

    Raises ExecutionError: a column's type has no text.
    """
    return Grid(
        columns=[visible(name) for name in table.column_names],
        rows=[
            [None if cell is None else visible(cell) for cell in row]
            for row in text_rows(table.slice(0, max_rows).to_reader())
        ],
        right=[index for index, field in enumerate(table.schema) if is_number(field.type)],
        title=title,
    )


def text_of(table: pa.Table, *, max_rows: int, more: bool) -> str:
    """Aligned plain lines of the first rows. more: there are others."""
    lines = plain_lines(result_grid(table, max_rows=max_rows))
    return "\n".join([*lines, _remark(table, max_rows, more)])


def html_of(table: pa.Table, *, max_rows: int, more: bool) -> str:
    """The first rows as HTML, in which whatever they hold is text. more: there are others."""
    grid = result_grid(table, max_rows=max_rows)
    heading = "".join(
        f"<th>{html.escape(name)}<br><small>{html.escape(str(field.type))}</small></th>"
        for name, field in zip(grid.columns, table.schema, strict=True)
    )
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in grid.rows)
    remark = html.escape(_remark(table, max_rows, more))
    return (
        f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"
        f"<small>{remark}</small>"
    )


def _cells(row: Sequence[str | None]) -> str:
    return "".join(
        "<td><em>null</em></td>" if cell is None else f"<td>{html.escape(cell)}</td>"
        for cell in row
    )


def _remark(table: pa.Table, max_rows: int, more: bool) -> str:
    shown = min(table.num_rows, max_rows)
    if more or table.num_rows > max_rows:
        return f"the first {shown} rows; there are more"
    return f"{shown} row" + ("" if shown == 1 else "s")
