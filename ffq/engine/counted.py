"""Streams of few rows as tables, which the engine counts: by that it orders joins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

import duckdb
import pyarrow as pa

from ffq.engine.sql import select_list

_MOST_BYTES: Final = 16 * 1024 * 1024
"""More are not held beside what the engine makes of them."""
_PLAIN: Final = frozenset(
    {
        "BIGINT",
        "BOOLEAN",
        "DATE",
        "DOUBLE",
        "INTEGER",
        "SMALLINT",
        "TIMESTAMP",
        "TINYINT",
        "VARCHAR",
    }
)


def held(stream: pa.RecordBatchReader) -> tuple[pa.RecordBatchReader, bool]:
    """The stream, and whether all of it is here and not much. Raises what reading it does."""
    batches: list[pa.RecordBatch] = []
    size = 0
    rest: Iterable[pa.RecordBatch] = ()
    for batch in stream:
        batches.append(batch)
        size += batch.nbytes
        if size > _MOST_BYTES:
            rest = stream
            break
    few = not rest
    return pa.RecordBatchReader.from_batches(stream.schema, chain(batches, rest)), few


def count(name: str, kinds: Sequence[str], cursor: duckdb.DuckDBPyConnection) -> str | None:
    """The table of this connection that has the rows of a registered stream; None: a column is of a
    type that a table might have otherwise.

    Args:
        kinds: of its columns, c0, c1, ...
    """
    if not all(kind in _PLAIN or kind.startswith("DECIMAL(") for kind in kinds):
        return None
    columns = select_list(f"c{at}" for at in range(len(kinds)))
    cursor.execute(f"CREATE TEMP TABLE counted_{name} AS SELECT {columns} FROM {name}")
    return f"counted_{name}"
