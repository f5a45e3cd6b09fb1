"""ParquetScan: from splits of files to SQL.

DuckDB reads whole files itself. Of a file's parts it reads the row groups that a range of row
numbers covers: it skips the others by their statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.engine.faults import one_line
from ffq.engine.sql import (
    ColumnInfo,
    Columns,
    identifier,
    referenced_columns,
    resolve,
    select_list,
    text,
)
from ffq.engine.types import fits, is_enum, sql_type
from ffq.errors import PlanningError, StorageError, UnsupportedPlan
from ffq.messages import ScanSplit
from ffq.plan.model import Column, ParquetScan


@attrs.frozen
class _Layout:
    """A file's columns, in order, as (name, Arrow type): files alike in it are read together."""

    fields: tuple[tuple[str, str], ...]


@attrs.frozen
class _Piece:
    """Rows [start, end) of a file; all of it when `whole`."""

    path: str
    layout: _Layout
    whole: bool
    start: int
    end: int


@attrs.frozen
class Source:
    """A table expression and its columns: SQL whose columns are c0, c1, ..."""

    sql: str
    columns: Columns


def scan_source(
    scan: ParquetScan, splits: Sequence[ScanSplit], connection: duckdb.DuckDBPyConnection
) -> Source:
    """All columns that the scan may use, over its splits. Filters and projection come after.

    Raises:
        StorageError: a file that is missing or not Parquet; names it.
        PlanningError: no split at all, no such column, or files whose columns differ.
        UnsupportedPlan: a path that DuckDB would take for a pattern.
    """
    if not splits:
        raise PlanningError(f"table {scan.table!r}: no file of it was given to this task")
    pieces = [_piece(split) for split in splits]
    layouts: dict[_Layout, list[_Piece]] = {}
    for piece in pieces:
        layouts.setdefault(piece.layout, []).append(piece)
    described = {
        layout: _describe(group[0].path, layout, connection) for layout, group in layouts.items()
    }
    columns = _common_columns(scan, tuple(described.values()))
    parts = [
        part
        for layout, group in layouts.items()
        for part in _selects(group, _outputs(columns, described[layout]))
    ]
    return Source(" UNION ALL ".join(parts), columns)


@attrs.frozen
class _FileColumn:
    """name: in the file. sql_name: what DuckDB calls it. type: in DuckDB's words."""

    name: str
    sql_name: str
    type: str


def _piece(split: ScanSplit) -> _Piece:
    if any(sign in split.path for sign in "*?["):
        raise UnsupportedPlan(
            f"the path {split.path!r} holds a pattern character (* ? [), which this engine "
            f"cannot take literally"
        )
    try:
        with pq.ParquetFile(split.path) as file:
            metadata = file.metadata
            schema = file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"cannot read {split.path!r} as Parquet: {one_line(error)}") from error
    groups = metadata.num_row_groups
    first, last = min(split.row_group_start, groups), min(split.row_group_end, groups)
    rows = [metadata.row_group(at).num_rows for at in range(last)]
    return _Piece(
        path=split.path,
        layout=_Layout(tuple((field.name, str(field.type)) for field in schema)),
        whole=first == 0 and last == groups,
        start=sum(rows[:first]),
        end=sum(rows),
    )


def _describe(
    path: str, layout: _Layout, connection: duckdb.DuckDBPyConnection
) -> tuple[_FileColumn, ...]:
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {_read([path])}").fetchall()
    except duckdb.Error as error:
        raise StorageError(f"cannot read {path!r} as Parquet: {one_line(error)}") from error
    return tuple(
        _FileColumn(name, sql_name, kind)
        for (name, _), (sql_name, kind, *_) in zip(layout.fields, rows, strict=True)
    )


def _common_columns(scan: ParquetScan, files: Sequence[tuple[_FileColumn, ...]]) -> Columns:
    """The table's columns: as the plan declares them, else as the first file has them."""
    declared = {} if scan.schema is None else {one.name: one for one in scan.schema.fields}
    names = list(declared) or [column.name for column in files[0]]
    if scan.schema is None and scan.projection is None:
        # Another task may have got other files: all must give out the same columns.
        names += [one.name for file in files for one in file if one.name not in names]
    used = _used_names(scan, names)
    columns = []
    for name in names:
        found = [column.type for file in files for column in file if column.name == name]
        if name not in used:
            kind = found[0] if found else "INTEGER"
        elif len(found) < len(files):
            missing = next(file for file in files if name not in {one.name for one in file})
            raise PlanningError(
                f"table {scan.table!r}: a file has no column {name!r}; "
                f"it has {', '.join(column.name for column in missing) or 'no columns'}"
            )
        else:
            wanted = sql_type(declared[name].data_type) if name in declared else None
            kind = _common_type(f"table {scan.table!r}, column {name!r}", found, wanted)
        columns.append(ColumnInfo(name, kind))
    return tuple(columns)


def _used_names(scan: ParquetScan, names: Sequence[str]) -> frozenset[str]:
    """Columns that the scan gives out or filters by. Raises PlanningError: one does not exist."""
    if scan.projection is None:
        return frozenset(names)
    columns = tuple(ColumnInfo(name, "") for name in names)
    node = f"ParquetScan of {scan.table!r}"
    used = {names[resolve(name, columns, node)] for name in scan.projection}
    for expr in scan.filters:
        for column in referenced_columns(expr):
            if isinstance(column, Column):
                used.add(names[resolve(column.name, columns, node)])
            elif 0 <= column.index < len(names):
                used.add(names[column.index])
    return frozenset(used)


def _common_type(column: str, found: Sequence[str], declared: str | None) -> str:
    """A type that every file's values of the column fit without loss."""
    candidates = [declared] if declared is not None else list(dict.fromkeys(found))
    for candidate in candidates:
        if all(fits(kind, candidate) for kind in found):
            return "VARCHAR" if is_enum(candidate) else candidate
    wanted = f"the plan declares {declared}" if declared else "they do not agree"
    raise PlanningError(f"{column}: the files have {', '.join(sorted(set(found)))}; {wanted}")


def _outputs(columns: Columns, file: tuple[_FileColumn, ...]) -> list[str]:
    """SQL of the table's columns from one file's; those that nobody uses may be missing in it."""
    by_name = {column.name: column for column in reversed(file)}
    outputs = []
    for wanted in columns:
        found = by_name.get(wanted.name)
        if found is None:
            outputs.append(f"CAST(NULL AS {wanted.type})")
        elif found.type == wanted.type or not fits(found.type, wanted.type):
            outputs.append(identifier(found.sql_name))
        else:
            outputs.append(f"CAST({identifier(found.sql_name)} AS {wanted.type})")
    return outputs


def _selects(pieces: Sequence[_Piece], outputs: list[str]) -> list[str]:
    columns = select_list(outputs)
    whole = [piece.path for piece in pieces if piece.whole]
    selects = [f"SELECT {columns} FROM {_read(whole)}"] if whole else []
    selects += [
        f"SELECT {columns} FROM {_read([piece.path], numbered=True)} "
        f"WHERE file_row_number >= {piece.start} AND file_row_number < {piece.end}"
        for piece in pieces
        if not piece.whole
    ]
    return selects


def _read(paths: Sequence[str], *, numbered: bool = False) -> str:
    listed = ", ".join(text(path) for path in paths)
    number = ", file_row_number = true" if numbered else ""
    return f"read_parquet([{listed}], hive_partitioning = false{number})"
