"""Columns of a table that are read for some rows alone: those that a FetchedRows names.

What is below it is run to its end first. So it is known of which files, and of which rows of them,
columns are read, and the engine leaves out the row groups that have none of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.columns import Footer
from ffq.engine.known import Answers
from ffq.engine.scans import ROW_NUMBER, Source, number_of, scan_source
from ffq.engine.sql import select_list, text
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.messages import ScanSplit, TableFormat
from ffq.plan.model import MAX_FETCHED, FetchedRows, NumberedScan
from ffq.plan.names import find_column

_NAMED: Final = pa.struct([("file", pa.uint64()), ("row", pa.int64())])
_POSITION: Final = "position"


@attrs.frozen
class RowsToFetch:
    """
    Attributes:
        numbered: the input's rows, and behind them their places in its order.
        wanted: numbers of rows, each once, by the number of their file.
    """

    numbered: pa.Table
    wanted: Mapping[int, Sequence[int]]


def rows_to_fetch(
    node: FetchedRows, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> RowsToFetch:
    """Reads all rows of the input.

    Raises:
        UnsupportedPlan: there are more than may be.
        PlanningError: what should name rows is no column that does.
    """
    if node.scan.filters:
        raise UnsupportedPlan("FetchedRows: its scan has filters; right would be none")
    if not (node.at < len(schema) and schema.field(node.at).type.equals(_NAMED)):
        raise PlanningError(f"FetchedRows: its input names no rows in column {node.at}")
    read: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        count += batch.num_rows
        if count > MAX_FETCHED:
            raise UnsupportedPlan(f"FetchedRows: its input has more than {MAX_FETCHED:,} rows")
        read.append(batch)
    table = pa.Table.from_batches(read, schema)
    found: dict[int, set[int]] = {}
    for each in table.column(node.at).to_pylist():
        if each is not None and each["row"] is not None:
            found.setdefault(each["file"], set()).add(each["row"])
    numbered = table.append_column(_POSITION, pa.array(range(count), pa.int64()))
    return RowsToFetch(numbered, {file: sorted(rows) for file, rows in found.items()})


def scan_of_rows(
    node: FetchedRows,
    rows: RowsToFetch,
    paths: Mapping[str, int],
    splits: Sequence[ScanSplit],
    connection: duckdb.DuckDBPyConnection,
    format_: TableFormat | None,
    known: Answers[Footer] | None,
    wanted: str,
) -> Source:
    """The scan's columns of these rows, and behind them the rows' own.

    Args:
        paths: as `files_of_rows` gives them.
        splits: of these files, and such as have no rows but show what columns there are.
        wanted: a name for a table of these rows.

    Raises as `scan_source`.
    """
    scan = node.scan
    numbered = NumberedScan(scan.table, scan.schema, scan.projection, ())
    pairs = [(file, row) for file, wanted in rows.wanted.items() for row in wanted]
    files, numbers = zip(*pairs, strict=True) if pairs else ((), ())
    named = {"file": pa.array(files, pa.uint64()), "row": pa.array(numbers, pa.int64())}
    connection.register(wanted, pa.table(named))
    only = {
        path: f"{ROW_NUMBER} BETWEEN {rows.wanted[file][0]} AND {rows.wanted[file][-1]} AND "
        f"{ROW_NUMBER} IN (SELECT row FROM {wanted} WHERE file = {file})"
        for path, file in paths.items()
    }
    return scan_source(numbered, splits, connection, format_, known, only)


def files_of_rows(
    node: FetchedRows, rows: RowsToFetch, splits: Sequence[ScanSplit]
) -> dict[str, int]:
    """Files that rows are wanted of, and their numbers.

    Raises PlanningError: they are not among the splits, or one number is that of two files.
    """
    numbered = {split.path: number_of(split.path) for split in splits}
    found = {path: file for path, file in numbered.items() if file in rows.wanted}
    if len(set(found.values())) < len(found) or len(found) < len(rows.wanted):
        raise PlanningError(
            f"FetchedRows: of table {node.scan.table!r} {len(rows.wanted)} files are wanted, and "
            f"{len(found)} have such numbers; submit the query again"
        )
    return found


def fetched_sql(node: FetchedRows, given: Source, scan: Source) -> Source:
    """The input's rows in their order, and beside each what was fetched for it.

    Args:
        given: the input with the places of its rows. scan: as `scan_of_rows` gives it.
    """
    width, number = len(given.columns) - 1, len(scan.columns) - 1
    names = node.scan.projection
    kept = list(range(number))
    if names is not None:
        kept = [find_column(name, scan.columns[:number], "FetchedRows") for name in names]
    outputs = [f"i.c{at}" for at in range(width)] + [f"s.c{at}" for at in kept]
    sides = [f"({source.sql}) AS {name}" for source, name in ((given, "i"), (scan, "s"))]
    wanted, found = f"i.c{node.at}", f"s.c{number}"
    on = f"{wanted}.file = {found}.file AND {wanted}.row = {found}.row"
    why = text(f"table {node.scan.table!r}: a row that was there when the query began is gone")
    lost = f"{wanted}.row IS NOT NULL AND {found}.row IS NULL"
    sql = (
        f"SELECT {select_list(outputs)} FROM {' LEFT JOIN '.join(sides)} ON {on} "
        f"WHERE CASE WHEN {lost} THEN error({why}) ELSE TRUE END ORDER BY i.c{width}"
    )
    columns = given.columns[:width] + tuple(scan.columns[at] for at in kept)
    return Source(sql, columns)
