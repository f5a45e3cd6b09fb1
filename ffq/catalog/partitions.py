"""Columns that a table's folders add: `year=2024/part-0.parquet` (as Hive, Spark and Arrow write).

Of a folder, the parts of the path below it count; of a glob, those from the first pattern on; of a
file that is named outright, all. A column of that name in the file itself wins.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

import attrs

from ffq.errors import StorageError
from ffq.messages import PartitionValue

_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
# No leading zero: what has one is a code, and not a number.
_INTEGER: Final = re.compile(r"-?(0|[1-9]\d{0,17})")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@attrs.frozen
class TableFile:
    """A file of a table; `folders`: the `name=value` parts of its path that count."""

    path: str
    folders: tuple[tuple[str, str | None], ...] = ()


def table_file(path: str, root: str) -> TableFile:
    """A file found below `root`, the part of its path that adds no columns."""
    below = os.path.relpath(os.path.dirname(path), root) if root else os.path.dirname(path)
    found = (part.partition("=") for part in below.split(os.sep))
    return TableFile(
        path,
        tuple(
            (_unquoted(name), None if value == _NULL else _unquoted(value))
            for name, sign, value in found
            if sign and name
        ),
    )


def with_filename(file: TableFile) -> TableFile:
    """The file, with its path in a column `filename` before those of its folders."""
    return attrs.evolve(file, folders=(("filename", file.path), *file.folders))


def _unquoted(part: str) -> str:
    """As it is where that would be no text: two such must not become one value."""
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        return part


def partition_values(
    table: str, files: Sequence[TableFile]
) -> dict[str, tuple[PartitionValue, ...]]:
    """By path, what each file's folders say; each column of one type for all files.

    Raises:
        StorageError: the files differ in these columns, or one names a column twice.
    """
    names = [name for name, _ in files[0].folders]
    if len(set(names)) < len(names):
        raise StorageError(f"table {table!r}: the path {files[0].path!r} names a column twice")
    for file in files:
        others = [name for name, _ in file.folders]
        if others != names:
            raise StorageError(
                f"table {table!r}: the folders of {file.path!r} add {_listed(others)}, those of "
                f"{files[0].path!r} {_listed(names)}: all files must have the same"
            )
    kinds = [_kind([file.folders[at][1] for file in files]) for at in range(len(names))]
    return {
        file.path: tuple(
            PartitionValue(name, kind, value)
            for (name, value), kind in zip(file.folders, kinds, strict=True)
        )
        for file in files
    }


def _kind(values: Sequence[str | None]) -> str:
    texts = [value for value in values if value is not None]
    if texts and all(_INTEGER.fullmatch(text) for text in texts):
        return "Int64"
    return "Date32" if texts and all(map(_is_date, texts)) else "Utf8"


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return _DATE.fullmatch(text) is not None


def _listed(names: Sequence[str]) -> str:
    return f"the columns {', '.join(names)}" if names else "no column"
