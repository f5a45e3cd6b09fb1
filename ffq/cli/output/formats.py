"""The formats a result can be written in, and which one is meant."""

from __future__ import annotations

import enum
import sys
from pathlib import Path

from ffq.cli.output.consoles import stdout_was_closed
from ffq.errors import InvalidRequest


class ResultFormat(enum.StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    ARROW = "arrow"
    PARQUET = "parquet"

    @property
    def binary(self) -> bool:
        return self in {ResultFormat.ARROW, ResultFormat.PARQUET}


_BY_SUFFIX = {
    ".csv": ResultFormat.CSV,
    ".json": ResultFormat.JSON,
    ".arrow": ResultFormat.ARROW,
    ".arrows": ResultFormat.ARROW,
    ".parquet": ResultFormat.PARQUET,
}


def choose_format(asked: ResultFormat | None, output: Path | None) -> ResultFormat:
    """The format asked for; else the one the file's name tells; else an aligned table.

    Raises:
        InvalidRequest: a binary format onto a terminal, a file into a folder that is not there, a
            folder for a file, a name that ends as no format does or as another one than was asked
            for, or nowhere to write to at all.
    """
    output = file_of(output)
    if output is None:
        require_stdout()
    elif output.is_dir():
        raise InvalidRequest(
            f"--output {output} is a folder; right would be a file in it, or - for stdout"
        )
    elif not output.absolute().parent.is_dir():
        raise InvalidRequest(f"--output {output}: its folder does not exist")
    chosen = _named(output) if asked is None else _agreed(asked, output)
    if chosen.binary and output is None and sys.stdout.isatty():
        raise InvalidRequest(
            f"--format {chosen.value} is binary and stdout is a terminal: "
            f"use --output FILE or a pipe"
        )
    return chosen


def file_of(output: Path | None) -> Path | None:
    """The file that --output names; None, as a dash: stdout."""
    return None if str(output) == "-" else output


def require_stdout() -> None:
    """Raise InvalidRequest where stdout was closed: what is shown would be lost."""
    if stdout_was_closed():
        raise InvalidRequest("stdout is closed, and there the result would go")


def _named(output: Path | None) -> ResultFormat:
    suffix = "" if output is None else output.suffix.lower()
    if not suffix:
        return ResultFormat.TABLE
    named = _BY_SUFFIX.get(suffix)
    if named is None:
        raise InvalidRequest(
            f"--output {output}: {suffix} is no format of ours; these are: "
            f"{', '.join(_BY_SUFFIX)}; or say --format"
        )
    return named


def _agreed(asked: ResultFormat, output: Path | None) -> ResultFormat:
    """A name that says nothing agrees with all."""
    named = None if output is None else _BY_SUFFIX.get(output.suffix.lower())
    if named not in {None, asked}:
        raise InvalidRequest(
            f"--output {output} is named as {named} and --format is {asked}: right would be one of "
            "the two, or another name"
        )
    return asked
