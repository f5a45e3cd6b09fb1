"""Inline tables: rows that are in the plan, read as the rows of a Parquet file are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.engine.bound import type_sql
from ffq.engine.faults import execution_error, one_line
from ffq.engine.scans import Source, scan_source
from ffq.engine.sql import select_list
from ffq.engine.types import known_type
from ffq.errors import (
    DataError,
    DiskError,
    FfqError,
    OutOfMemory,
    PlanningError,
    StorageError,
)
from ffq.messages import ScanSplit
from ffq.plan.bound import SqlType
from ffq.plan.inline import InlineTable
from ffq.plan.model import Inline, ParquetScan

MAX_UNPACKED_BYTES: Final = 64 * 1024 * 1024
"""Of one table before compression: little is sent that is much to read."""
MAX_ROWS: Final = 10_000_000
"""Of one table: a column of one value takes next to no bytes, however long it is."""


@attrs.frozen
class InlineFooter:
    """What an inline table says of itself; of its rows nothing has been read."""

    columns: tuple[str, ...]
    groups: int
    rows: int


@attrs.frozen
class InlineFile:
    """An inline table as a file. It is there as long as it is open."""

    split: ScanSplit
    footer: InlineFooter


@contextmanager
def open_inline(table: InlineTable) -> Iterator[InlineFile]:
    """A file of this process's memory: nothing of it is left, however the process ends.

    Raises:
        PlanningError: as `check_inline`.
    """
    footer = check_inline(table)
    with os.fdopen(os.memfd_create("ffq-inline"), "wb") as file:
        file.write(table.parquet)
        file.flush()
        path = f"/proc/self/fd/{file.fileno()}"
        yield InlineFile(ScanSplit(path, 0, footer.groups), footer)


def check_inline(table: InlineTable) -> InlineFooter:
    """
    Raises:
        PlanningError: it is no Parquet, or would be too much to read; names the table.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(table.parquet)) as file:
            metadata, schema = file.metadata, file.schema_arrow
            groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last one of a name
        raise PlanningError(f"{_cannot_read(table)}: {one_line(error)}") from error
    unpacked = sum(max(0, group.total_byte_size) for group in groups)
    for count, most, what in (
        (unpacked, MAX_UNPACKED_BYTES, "bytes before compression"),
        (metadata.num_rows, MAX_ROWS, "rows"),
    ):
        if count > most:
            raise PlanningError(
                f"table {table.name!r}, whose rows travel with the query, has {count:,} {what}, "
                f"and may have {most:,}; right would be a Parquet file that the workers can read"
            )
    return InlineFooter(tuple(schema.names), len(groups), metadata.num_rows)


def unreadable(table: InlineTable, file: InlineFile, error: FfqError) -> PlanningError:
    """What was said of the file, said of the table: nobody has given the file a name."""
    why = error.message.replace(repr(file.split.path), "it").replace(file.split.path, "it")
    return PlanningError(f"{_cannot_read(table)}: {why}")


def inline_source(
    node: Inline, table: InlineTable, name: str, cursor: duckdb.DuckDBPyConnection
) -> Source:
    """The node's columns, read whole before this returns.

    Args:
        name: of the temporary table that holds them, for as long as the cursor is open.

    Raises:
        PlanningError: it is no Parquet, too much, or lacks a column that it was planned with, or
            has it of another type; names table and column.
        DataError: its rows cannot be read.
        OutOfMemory, DiskError: they have no room.
        UnsupportedPlan: a type that the engine would change.
    """
    with open_inline(table) as file:
        wanted = tuple(column for column, _ in node.columns)
        for column, kind in node.columns:
            if column not in file.footer.columns:
                raise _other_columns(table, column, kind, "no such column")
        try:
            found = scan_source(ParquetScan(table.name, None, wanted, ()), (file.split,), cursor)
        except StorageError as error:
            raise unreadable(table, file, error) from error
        places = {one.name: at for at, one in enumerate(found.columns)}
        for column, kind in node.columns:
            has = found.columns[places[column]].type
            if has != known_type(type_sql(kind)):
                raise _other_columns(table, column, kind, has)
        read = select_list(f"c{places[column]}" for column in wanted)
        try:
            cursor.execute(f"CREATE TEMP TABLE {name} AS SELECT {read} FROM ({found.sql})")
        except duckdb.Error as error:
            cause = execution_error(error)
            # A value that is refused is named as one of any scan is.
            named = f"table {table.name!r}, column" in cause.message
            if named or isinstance(cause, OutOfMemory | DiskError):
                raise cause from error
            raise DataError(unreadable(table, file, cause).message) from error
    columns = tuple(found.columns[places[column]] for column in wanted)
    # A table has no columns of the type of NULL alone.
    outputs = (f"CAST(c{at} AS {one.type})" for at, one in enumerate(columns))
    return Source(f"SELECT {select_list(outputs)} FROM {name}", columns)


def _other_columns(table: InlineTable, column: str, kind: SqlType, has: str) -> PlanningError:
    return PlanningError(
        f"table {table.name!r}, whose rows travel with the query, was planned with column "
        f"{column!r} of {type_sql(kind)}; it has {has}"
    )


def _cannot_read(table: InlineTable) -> str:
    return f"the rows of table {table.name!r}, which travel with the query, are no sound Parquet"
