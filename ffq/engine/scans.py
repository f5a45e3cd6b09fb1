"""ParquetScan: from splits of files to SQL.

DuckDB reads whole files itself. Of a file's parts it reads the row groups that a range of row
numbers covers: it skips the others by their statistics.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ffq.engine.alike import common_type, fits
from ffq.engine.faults import one_line
from ffq.engine.sql import (
    ColumnInfo,
    Columns,
    referenced_columns,
    select_list,
    text,
)
from ffq.engine.types import (
    has_twin_keys,
    holds_variants,
    is_enum,
    sql_type,
    struct_fields,
    travelling,
    unkept,
)
from ffq.errors import FileChanged, PlanningError, StorageError, UnsupportedPlan
from ffq.messages import PartitionValue, ScanSplit, file_version
from ffq.plan.model import ParquetScan
from ffq.plan.names import MAX_SHOWN, find_column, find_path
from ffq.plan.terms import Column, ColumnPath, DataType

_ROW_NUMBER: Final = "file_row_number"
"""What DuckDB calls the number of a row in its file, where no column of the file has that name."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Key: TypeAlias = tuple[str, int]
"""A column of a file: its name, and how many of that name stand before it."""


@attrs.frozen
class _Piece:
    """Rows [start, end) of a file: of the row groups of its split; all when `whole`."""

    split: ScanSplit
    layout: pa.Schema
    whole: bool
    start: int
    end: int


@attrs.frozen
class Source:
    """A table expression and its columns: SQL whose columns are c0, c1, ..."""

    sql: str
    columns: Columns


@attrs.frozen
class _FileColumn:
    """sql: how a SELECT over the file gets it. type: of that SQL. arrow: the type in the file."""

    sql: str
    type: str
    arrow: pa.DataType | None

    def fits(self, into: str) -> bool:
        """Whether a cast keeps every value. DuckDB reads milliseconds as microseconds."""
        is_milliseconds = self.arrow == pa.timestamp("ms")
        return fits(self.type, into) or (into == "TIMESTAMP_MS" and is_milliseconds)


_FileColumns: TypeAlias = dict[Key, _FileColumn]


def scan_source(
    scan: ParquetScan,
    splits: Sequence[ScanSplit],
    connection: duckdb.DuckDBPyConnection,
) -> Source:
    """All columns that the scan may use, over its splits. Filters and projection come after.

    Raises:
        StorageError: a file that is missing or not Parquet; names it.
        FileChanged: another file than the query was planned on.
        PlanningError: no split at all, no such column, or files whose columns differ.
        UnsupportedPlan: a path that DuckDB would take for a pattern; a column whose values DuckDB
            would change.
    """
    if not splits:
        raise PlanningError(f"table {scan.table!r}: no file of it was given to this task")
    described: dict[pa.Schema, _FileColumns] = {}
    groups: dict[tuple[pa.Schema, tuple[PartitionValue, ...]], list[_Piece]] = {}
    for split in splits:
        piece = _piece(split)
        if piece.layout not in described:
            described[piece.layout] = _describe(piece, connection)
        groups.setdefault((piece.layout, split.partition), []).append(piece)
    files = {key: described[key[0]] | _folders(key[1], described[key[0]]) for key in groups}
    columns = _common_columns(scan, tuple(files.values()))
    parts: list[str] = []
    for key, pieces in groups.items():
        file = files[key]
        parts += _selects(pieces, columns, file)
    return Source(" UNION ALL ".join(parts), tuple(columns.values()))


def confirm_files(splits: Iterable[ScanSplit]) -> None:
    """Files were not written anew while they were read; one that is gone was read while it stood.

    Raises:
        FileChanged: names the file.
    """
    for split in splits:
        if os.path.exists(split.path):
            _check_version(split, os.stat(split.path))


def _check_version(split: ScanSplit, status: os.stat_result) -> None:
    if not split.modified_us:
        return
    size, modified_us = file_version(status)
    if (size, modified_us) != (split.file_bytes, split.modified_us):
        raise FileChanged(
            f"the file {split.path!r} is another one than the query was planned on: it had "
            f"{split.file_bytes} bytes, last written at {_moment(split.modified_us)}, and now has "
            f"{size}, written at {_moment(modified_us)}; submit the query again"
        )


def _moment(unix_us: int) -> str:
    try:
        return (_EPOCH + timedelta(microseconds=unix_us)).isoformat()
    except OverflowError:
        return f"{unix_us} us after 1970"


def _parquet(path: str) -> pq.ParquetFile:
    """Timestamps of the old INT96 kind in microseconds, as DuckDB has them."""
    return pq.ParquetFile(path, coerce_int96_timestamp_unit="us")


def _piece(split: ScanSplit) -> _Piece:
    if any(sign in split.path for sign in "*?["):
        raise UnsupportedPlan(
            f"the path {split.path!r} holds a pattern character (* ? [), which this engine "
            f"cannot take literally"
        )
    try:
        _check_version(split, os.stat(split.path))
        with _parquet(split.path) as file:
            metadata = file.metadata
            schema = file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"cannot read {split.path!r} as Parquet: {one_line(error)}") from error
    groups = metadata.num_row_groups
    first, last = min(split.row_group_start, groups), min(split.row_group_end, groups)
    rows = [metadata.row_group(at).num_rows for at in range(last)]
    return _Piece(
        split=split,
        layout=schema.remove_metadata(),
        whole=first == 0 and last == groups,
        start=sum(rows[:first]),
        end=sum(rows),
    )


def _describe(piece: _Piece, connection: duckdb.DuckDBPyConnection) -> _FileColumns:
    path = piece.split.path
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {_read([path])}").fetchall()
    except duckdb.Error as error:
        raise StorageError(f"cannot read {path!r} as Parquet: {one_line(error)}") from error
    found = [
        _FileColumn(*travelling(f"c{at}", kind), field.type)
        for at, ((_, kind, *_), field) in enumerate(zip(rows, piece.layout, strict=True))
    ]
    return dict(zip(_keys(piece.layout.names), found, strict=True))


def _folders(values: Sequence[PartitionValue], file: _FileColumns) -> _FileColumns:
    """The columns that a file's path adds."""
    columns = {}
    for value in values:
        if (value.name, 0) not in file:
            kind = sql_type(DataType(value.data_type))
            literal = "NULL" if value.value is None else text(value.value)
            columns[value.name, 0] = _FileColumn(f"CAST({literal} AS {kind})", kind, None)
    return columns


def _keys(names: Iterable[str]) -> Iterator[Key]:
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        yield name, seen[name]


def _common_columns(scan: ParquetScan, files: Sequence[_FileColumns]) -> dict[Key, ColumnInfo]:
    """The table's columns: as the plan declares them, else as the first file has them."""
    declared = {} if scan.schema is None else {one.name: one for one in scan.schema.fields}
    keys = list(_keys(one.name for one in scan.schema.fields)) if scan.schema else list(files[0])
    if scan.schema is None:
        # Another task may have got other files: all must give out the same columns.
        keys = list(dict.fromkeys([*keys, *(key for file in files for key in file)]))
    columns = {key: ColumnInfo(key[0], _first_type(key, files), scan.table) for key in keys}
    for key in _used(scan, columns):
        name = key[0]
        missing = next((file for file in files if key not in file), None)
        if missing is not None:
            raise PlanningError(
                f"table {scan.table!r}: a file has no column {name!r}; it has "
                f"{', '.join(name for name, _ in list(missing)[:MAX_SHOWN]) or 'no columns'}"
            )
        found = [file[key] for file in files]
        wanted = sql_type(declared[name].data_type) if name in declared else None
        kind = _common_type(f"table {scan.table!r}, column {name!r}", found, wanted)
        columns[key] = attrs.evolve(columns[key], type=kind)
    return columns


def _first_type(key: Key, files: Sequence[_FileColumns]) -> str:
    return next((file[key].type for file in files if key in file), "INTEGER")


def _used(scan: ParquetScan, columns: Mapping[Key, ColumnInfo]) -> Sequence[Key]:
    """Columns that the scan gives out or filters by. Raises PlanningError: one does not exist."""
    keys, infos = list(columns), tuple(columns.values())
    if scan.projection is None:
        return keys
    node = f"ParquetScan of {scan.table!r}"

    def fields(at: int) -> Mapping[str, object]:
        return struct_fields(infos[at].type)

    used = {find_column(name, infos, node) for name in scan.projection}
    for expr in scan.filters:
        for column in referenced_columns(expr):
            match column:
                case Column(name=name):
                    used.add(find_column(name, infos, node))
                case ColumnPath(name=name):
                    used.add(find_path(name, infos, fields, node)[0])
                case _ if 0 <= column.index < len(keys):
                    used.add(column.index)
    return [keys[at] for at in sorted(used)]


def _common_type(column: str, found: Sequence[_FileColumn], declared: str | None) -> str:
    """A type that every file's values of the column fit without loss."""
    kinds = [one.type for one in found]
    if variants := next(filter(holds_variants, kinds), None):
        raise UnsupportedPlan(
            f"{column}: this engine does not keep values of type {variants}; right would be a "
            f"column of one type, or JSON"
        )
    arrow = {one.arrow for one in found if one.arrow is not None}
    for one in arrow:
        # One duration's unit is known to who declares its column a number.
        unit_known = declared is not None and pa.types.is_duration(one) and len(arrow) == 1
        if not unit_known and (reason := unkept(one)):
            raise UnsupportedPlan(
                f"{column}: this engine would change values of Arrow type {one}: {reason}"
            )
    if declared is None:
        if kind := common_type(kinds):
            return kind
    elif all(one.fits(declared) for one in found):
        return "VARCHAR" if is_enum(declared) else declared
    wanted = f"the plan declares {declared}" if declared else "they do not agree"
    raise PlanningError(f"{column}: the files have {', '.join(sorted(set(kinds)))}; {wanted}")


def _outputs(columns: Mapping[Key, ColumnInfo], file: _FileColumns) -> list[str]:
    """SQL of the table's columns from one file's, which may lack what nobody uses."""
    outputs = []
    for key, wanted in columns.items():
        found = file.get(key)
        if found is None or not found.fits(wanted.type):
            outputs.append(f"CAST(NULL AS {wanted.type})")
        elif found.type == wanted.type:
            outputs.append(_without_twins(found, wanted))
        elif (found.type, wanted.type) == ("VARCHAR", "DATE"):  # a cast would drop a time
            outputs.append(f"CAST(strptime({found.sql}, '%Y-%m-%d') AS DATE)")
        else:
            outputs.append(f"CAST({_without_twins(found, wanted)} AS {wanted.type})")
    return outputs


def _without_twins(found: _FileColumn, column: ColumnInfo) -> str:
    """A map with a key twice is refused here: it could not be read again after an exchange."""
    twins = has_twin_keys(found.sql, found.type)
    if not twins:
        return found.sql
    why = (
        f"table {column.qualifier!r}, column {column.name!r}: a map has a key twice, which this "
        f"engine does not keep"
    )
    return f"CASE WHEN {twins} THEN error({text(why)}) ELSE {found.sql} END"


def _selects(
    pieces: Sequence[_Piece], columns: Mapping[Key, ColumnInfo], file: _FileColumns
) -> Iterator[str]:
    """SELECTs over pieces of files alike."""
    outputs = select_list(_outputs(columns, file))
    # Under other names no column of a file hides the number of its rows.
    names = ", ".join(f"c{at}" for at in range(len(pieces[0].layout)))
    if whole := [piece.split.path for piece in pieces if piece.whole]:
        yield f"SELECT {outputs} FROM {_read(whole)} AS file({names})"
    for piece in pieces:
        if not piece.whole:
            yield (
                f"SELECT {outputs} FROM {_read([piece.split.path])} AS file({names}) "
                f"WHERE {_ROW_NUMBER} >= {piece.start} AND {_ROW_NUMBER} < {piece.end}"
            )


def _read(paths: Sequence[str]) -> str:
    listed = ", ".join(text(path) for path in paths)
    # Statistics of Parquet leave NaN out, which DuckDB's order has on top.
    return f"read_parquet([{listed}], hive_partitioning = false, can_have_nan = true)"
