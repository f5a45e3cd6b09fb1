"""The formats a result can be written in, and which one is meant."""

from __future__ import annotations

import enum
import sys
from pathlib import Path

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
        InvalidRequest: a binary format onto a terminal, or a file into a folder that is not there.
    """
    if output is not None and not output.absolute().parent.is_dir():
        raise InvalidRequest(f"--output {output}: its folder does not exist")
    named = _BY_SUFFIX.get(output.suffix.lower()) if output is not None else None
    chosen = asked or named or ResultFormat.TABLE
    if chosen.binary and output is None and sys.stdout.isatty():
        raise InvalidRequest(
            f"--format {chosen.value} is binary and stdout is a terminal: "
            f"use --output FILE or a pipe"
        )
    return chosen
