"""A result into a file or onto stdout, in the format that was asked for."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from ffq.cli.output.cells import is_number, text_rows
from ffq.cli.output.consoles import note, stdout_console
from ffq.cli.output.csv import write_csv
from ffq.cli.output.formats import ResultFormat
from ffq.cli.output.grid import Grid, plain_lines, print_grid
from ffq.cli.output.jsonrows import write_json
from ffq.errors import StorageError

TERMINAL_ROWS = 100
"""A table on a terminal shows at most so many rows; a pipe or a file gets all."""


def write_result(table: pa.Table, chosen: ResultFormat, output: Path | None) -> None:
    """Write a result.

    Raises:
        StorageError: the file cannot be written; what was there before is still there.
    """
    if output is not None:
        _write_file(table, chosen, output)
    elif chosen is ResultFormat.TABLE and sys.stdout.isatty():
        _show(table)
    elif chosen.binary:
        sys.stdout.flush()
        _write_binary(table, chosen, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        _write_text(table, chosen, sys.stdout)
        sys.stdout.flush()


def result_grid(table: pa.Table, *, title: str = "", max_rows: int | None = None) -> Grid:
    """A result as a grid of text."""
    return Grid(
        columns=table.column_names,
        rows=list(text_rows(table, max_rows=max_rows)),
        right=[index for index, field in enumerate(table.schema) if is_number(field.type)],
        title=title,
    )


def _show(table: pa.Table) -> None:
    print_grid(stdout_console(), result_grid(table, max_rows=TERMINAL_ROWS))
    if table.num_rows > TERMINAL_ROWS:
        note(
            f"first {TERMINAL_ROWS} of {table.num_rows} rows; "
            f"--format csv or --output FILE give all"
        )


def _write_file(table: pa.Table, chosen: ResultFormat, output: Path) -> None:
    """Into a temporary file beside it, then renamed: nobody ever sees half a result."""
    try:
        handle, name = tempfile.mkstemp(dir=output.absolute().parent, prefix=f".{output.name}.")
        temporary = Path(name)
        try:
            os.fchmod(handle, 0o666 & ~_umask())
            with os.fdopen(handle, "wb") as file:
                if chosen.binary:
                    _write_binary(table, chosen, file)
                else:
                    with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
                        _write_text(table, chosen, text)
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {output}: {error.strerror or error}") from error


def _umask() -> int:
    """The process's umask; the only way to read it is to set it."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def _write_text(table: pa.Table, chosen: ResultFormat, out: TextIO) -> None:
    match chosen:
        case ResultFormat.CSV:
            write_csv(table, out)
        case ResultFormat.JSON:
            write_json(table, out)
        case _:
            for line in plain_lines(result_grid(table)):
                out.write(line + "\n")


def _write_binary(table: pa.Table, chosen: ResultFormat, out: BinaryIO) -> None:
    """An Arrow IPC stream, or a Parquet file; a pipe cannot seek, so Parquet is made in memory."""
    if chosen is ResultFormat.ARROW:
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
        return
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    out.write(memoryview(buffer.getvalue()))
