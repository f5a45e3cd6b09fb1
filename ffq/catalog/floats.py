"""Which columns of a table are floats, in all of its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ffq.catalog.footers import read_footer
from ffq.plan.terms import DataType, Field, Schema

_FLOATS: Final = {"halffloat": "Float16", "float": "Float32", "double": "Float64"}
_OTHER: Final = "Null"


def float_columns(table: str, files: Sequence[str]) -> Schema:
    """The first file's columns: a float type where every file has that one, else Null.

    Raises:
        StorageError: a file is missing or is not Parquet; names the table and the file.
    """
    first, *others = (dict(read_footer(table, path)[1].layout) for path in files)
    return Schema(
        tuple(
            Field(
                name,
                DataType(
                    _FLOATS.get(kind, _OTHER)
                    if all(other.get(name) == kind for other in others)
                    else _OTHER
                ),
            )
            for name, kind in first.items()
        )
    )
