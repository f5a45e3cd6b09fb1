"""Which columns of a table are floats, in all of its files."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ffq.errors import StorageError
from ffq.plan.model import DataType, Field, Schema

_CACHED_SCHEMAS: Final = 4096
_FLOATS: Final = {pa.float16(): "Float16", pa.float32(): "Float32", pa.float64(): "Float64"}
_OTHER: Final = "Null"


def float_columns(table: str, files: Sequence[str]) -> Schema:
    """The first file's columns: a float type where every file has that one, else Null.

    Raises:
        StorageError: a file is missing or is not Parquet; names the table and the file.
    """
    first, *others = (dict(_columns_of(table, path)) for path in files)
    return Schema(
        tuple(
            Field(name, DataType(kind if all(o.get(name) == kind for o in others) else _OTHER))
            for name, kind in first.items()
        )
    )


def _columns_of(table: str, path: str) -> tuple[tuple[str, str], ...]:
    try:
        status = os.stat(path)
        return _columns(path, status.st_mtime_ns, status.st_size)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"table {table!r}: {path} is not readable Parquet: {error}") from None


@functools.lru_cache(maxsize=_CACHED_SCHEMAS)
def _columns(path: str, _mtime_ns: int, _size: int) -> tuple[tuple[str, str], ...]:
    """Names with types; a file that was written anew has another time or size."""
    return tuple((field.name, _FLOATS.get(field.type, _OTHER)) for field in pq.read_schema(path))
