"""A result into a file or onto stdout, in the format that was asked for."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TextIO

import pyarrow as pa

from ffq.cli.output.consoles import is_utf8, note, stdout_console
from ffq.cli.output.csv import write_csv
from ffq.cli.output.formats import ResultFormat, file_of
from ffq.cli.output.jsonrows import write_json
from ffq.display.cells import Batches
from ffq.display.grid import plain_lines, print_grid
from ffq.display.results import result_grid
from ffq.errors import StorageError

TERMINAL_ROWS = 100
"""A table on a terminal shows at most so many rows; a pipe or a file gets all."""
_TEMPORARY = ".ffq-result-"


def write_result(batches: Batches, chosen: ResultFormat, output: Path | None) -> None:
    """Write a result as its batches come, an aligned table at their end. csv and json are UTF-8 in
    files and pipes, whatever the locale.

    Raises:
        StorageError: the file cannot be written; what was there before is still there.
        InvalidRequest: Parquet cannot hold it; ExecutionError: a type has no text.
        FfqError: what the batches fail with.
    """
    if not batches.schema.names:
        note("the result has no columns")
    file = file_of(output)
    if file is not None:
        _write_file(batches, chosen, file)
        return
    try:
        _write_to_stdout(batches, chosen)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write to stdout: {error.strerror or error}") from error


def _whole(batches: Batches) -> pa.Table:
    return pa.Table.from_batches(list(batches), batches.schema)


def _show(batches: Batches) -> None:
    first: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if rows < TERMINAL_ROWS:
            first.append(batch.slice(0, TERMINAL_ROWS - rows))
        rows += batch.num_rows
    table = pa.Table.from_batches(first, batches.schema)
    print_grid(stdout_console(), result_grid(table, max_rows=TERMINAL_ROWS))
    if rows > TERMINAL_ROWS:
        note(f"first {TERMINAL_ROWS} of {rows} rows; --format csv or --output FILE give all")


def _write_to_stdout(batches: Batches, chosen: ResultFormat) -> None:
    if chosen is ResultFormat.TABLE and sys.stdout.isatty():
        _show(batches)
        return
    if chosen.binary:
        sys.stdout.flush()
        _write_binary(batches, chosen, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    if chosen is ResultFormat.TABLE or sys.stdout.isatty():
        _write_text(batches, chosen, sys.stdout)
        sys.stdout.flush()
        return
    # What a program reads has one encoding, as in a file: the locale says nothing about it.
    sys.stdout.flush()
    text = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        _write_text(batches, chosen, text)
        text.flush()
    finally:
        with suppress(OSError):
            text.detach()


def _write_file(batches: Batches, chosen: ResultFormat, output: Path) -> None:
    """Into a temporary file beside it, then renamed: nobody ever sees half a result.

    A device or a pipe is written to; of a link, the file that it leads to is replaced.
    """
    try:
        if output.exists() and not output.is_file() and not output.is_dir():
            with output.open("wb") as file:
                _write_open(batches, chosen, file)
            return
        target = output.resolve() if output.is_symlink() else output.absolute()
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_TEMPORARY)
        temporary = Path(name)
        try:
            os.fchmod(handle, 0o666 & ~_umask())
            with os.fdopen(handle, "wb") as file:
                _write_open(batches, chosen, file)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {output}: {error.strerror or error}") from error


def _write_open(batches: Batches, chosen: ResultFormat, file: BinaryIO) -> None:
    if chosen.binary:
        _write_binary(batches, chosen, file)
    else:
        with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            _write_text(batches, chosen, text)


def _umask() -> int:
    """The process's umask; the only way to read it is to set it."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def _write_text(batches: Batches, chosen: ResultFormat, out: TextIO) -> None:
    match chosen:
        case ResultFormat.CSV:
            write_csv(batches, out)
        case ResultFormat.JSON:
            write_json(batches, out, ascii_only=not is_utf8(out))
        case _:
            for line in plain_lines(result_grid(_whole(batches)), encoding=out.encoding):
                out.write(line + "\n")


def _write_binary(batches: Batches, chosen: ResultFormat, out: BinaryIO) -> None:
    """An Arrow IPC stream, or a Parquet file."""
    if chosen is ResultFormat.ARROW:
        with pa.ipc.new_stream(out, batches.schema) as stream:
            for batch in batches:
                stream.write_batch(batch)
        return
    from ffq.cli.output.parquet import write_parquet

    write_parquet(batches, out)
