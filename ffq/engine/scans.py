"""Scans: from splits of files to SQL.

DuckDB reads whole files itself. Of a file's parts it reads the row groups that a range of row
numbers covers: it skips the others by their statistics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import duckdb
import pyarrow as pa

from ffq.engine import stores
from ffq.engine.alike import common_type_of_files, fits
from ffq.engine.columns import FileColumn, FileColumns, Footer, Key, keys_of
from ffq.engine.faults import one_line
from ffq.engine.filesystems import attach
from ffq.engine.known import Answers
from ffq.engine.sql import (
    ColumnInfo,
    Columns,
    referenced_columns,
    select_list,
    text,
)
from ffq.engine.textfiles import text_groups
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
from ffq.messages import PartitionValue, ScanSplit, TableFormat, file_version
from ffq.plan.model import NumberedScan, ParquetScan
from ffq.plan.names import MAX_SHOWN, find_column, find_path
from ffq.plan.terms import Column, ColumnPath, DataType

ROW_NUMBER: Final = "file_row_number"
"""What DuckDB calls the number of a row in its file, where no column of the file has that name."""

ROW: Final = f"{{'file': md5_number_lower(filename), 'row': {ROW_NUMBER}}}"
"""Which row of which file: SQL over a file that is read."""
ROW_TYPE: Final = 'STRUCT("file" UBIGINT, "row" BIGINT)'

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class _Piece:
    """Rows [start, end) of a file: of the row groups of its split; all when `whole`."""

    split: ScanSplit
    footer: Footer
    whole: bool
    start: int
    end: int


@attrs.frozen
class Source:
    """A table expression and its columns: SQL whose columns are c0, c1, ...

    own: types that the engine has for the columns, of whose values the SQL may give the texts.
    """

    sql: str
    columns: Columns
    own: Sequence[str] = ()


def scan_source(
    scan: ParquetScan,
    splits: Sequence[ScanSplit],
    connection: duckdb.DuckDBPyConnection,
    format_: TableFormat | None = None,
    known: Answers[Footer] | None = None,
    only: Mapping[str, str] | None = None,
) -> Source:
    """All columns that the scan may use, over its splits. Filters and projection come after.

    Of a NumberedScan a column more, of ROW_TYPE.

    Args:
        format_: how the files are read that do not say so themselves.
        known: footers read before.
        only: conditions, by path, on the rows that are read of a file; of others none is. Then each
            file is read as a whole, however often it is among the splits.

    Raises:
        StorageError: a file that is missing or not Parquet; names it.
        FileChanged: another file than the query was planned on.
        PlanningError: no split at all, no such column, or files whose columns differ.
        UnsupportedPlan: a path that DuckDB would take for a pattern; a column whose values DuckDB
            would change.
    """
    if not splits:
        raise PlanningError(f"table {scan.table!r}: no file of it was given to this task")
    for split in splits:
        _check(split)
    try:
        attach(connection, (split.path for split in splits))
        if format_ is None or format_.name == "parquet":
            files = _parquet_files(splits, connection, known, only)
        elif isinstance(scan, NumberedScan):
            raise UnsupportedPlan(
                f"table {scan.table!r}: rows of files of format {format_.name!r} have no numbers"
            )
        elif format_.name in {"csv", "json"}:
            files = [
                _Alike(_with_folders(group.partition, group.columns), [group.source], group.path)
                for group in text_groups(scan.table, splits, format_, connection)
            ]
        else:
            raise UnsupportedPlan(
                f"table {scan.table!r}: this engine reads no files of format {format_.name!r}"
            )
    except OSError as error:
        raise StorageError(f"table {scan.table!r}: {one_line(error)}") from error
    columns = _common_columns(scan, files, format_)
    numbers = [ROW] if isinstance(scan, NumberedScan) else []
    selects = (
        f"SELECT {select_list(_outputs(columns, each.columns) + numbers)} FROM {source}"
        for each in files
        for source in each.sources
    )
    own = [_own_type(key, column.type, files, format_) for key, column in columns.items()]
    found = [*columns.values(), *(ColumnInfo("row", ROW_TYPE) for _ in numbers)]
    return Source(" UNION ALL ".join(selects), tuple(found), own + [ROW_TYPE for _ in numbers])


def _own_type(key: Key, scanned: str, files: Sequence[_Alike], format_: TableFormat | None) -> str:
    """The type of a column that scans give out as another, where all files agree on it."""
    said = {} if format_ is None else dict(format_.columns)
    found = {file.columns[key].own for file in files if key in file.columns}
    own = said.get(key[0]) or (found.pop() if len(found) == 1 else "")
    gives = own and "GEOMETRY" not in own and travelling("", own)[1] == scanned
    return own if gives else scanned


@attrs.frozen
class _Alike:
    """Files of the same columns: table expressions over their pieces, and the path of one."""

    columns: FileColumns
    sources: Sequence[str]
    path: str


def _parquet_files(
    splits: Sequence[ScanSplit],
    connection: duckdb.DuckDBPyConnection,
    known: Answers[Footer] | None,
    only: Mapping[str, str] | None,
) -> list[_Alike]:
    described: dict[pa.Schema, FileColumns] = {}
    groups: dict[tuple[pa.Schema, tuple[PartitionValue, ...]], list[_Piece]] = {}
    for split in splits:
        piece = _piece(split, known)
        layout = piece.footer.layout
        if layout not in described:
            footer = _described(piece, connection)
            _keep(known, split, footer)
            described[layout] = footer.columns
        groups.setdefault((layout, split.partition), []).append(piece)
    return [
        _Alike(
            _with_folders(partition, described[layout]),
            list(_sources(pieces) if only is None else _some_rows(pieces, only)),
            pieces[0].split.path,
        )
        for (layout, partition), pieces in groups.items()
    ]


def _keep(known: Answers[Footer] | None, split: ScanSplit, footer: Footer) -> None:
    """Of a file whose version is told: under it no other file is taken for this one."""
    if known is not None and split.modified_us:
        parts = len(footer.layout) + len(footer.rows)
        known.keep(_version(split), footer, parts)


def _version(split: ScanSplit) -> tuple[str, int, int]:
    return split.path, split.file_bytes, split.modified_us


def number_of(path: str) -> int:
    """The file's number, as ROW has it."""
    digest = hashlib.md5(path.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little")


def confirm_files(splits: Iterable[ScanSplit]) -> None:
    """Files were not written anew while they were read; one that is gone was read while it stood.

    Raises:
        FileChanged: names the file.
    """
    for split in splits:
        try:
            _check_version(split)
        except OSError:
            continue  # it is gone, or its store does not answer: what it held has been read


def _check_version(split: ScanSplit) -> None:
    if not split.modified_us:
        return
    size, modified_us = file_version(stores.status(split.path))
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


def _check(split: ScanSplit) -> None:
    if any(sign in split.path for sign in "*?["):
        raise UnsupportedPlan(
            f"the path {split.path!r} holds a pattern character (* ? [), which this engine "
            f"cannot take literally"
        )
    try:
        _check_version(split)
    except OSError as error:
        raise StorageError(f"cannot read {split.path!r}: {one_line(error)}") from error


def _piece(split: ScanSplit, known: Answers[Footer] | None) -> _Piece:
    found = None if known is None else known.get(_version(split))
    if found is None:
        found = _footer(split.path)
        _keep(known, split, found)
    groups = len(found.rows)
    first, last = min(split.row_group_start, groups), min(split.row_group_end, groups)
    return _Piece(
        split=split,
        footer=found,
        whole=first == 0 and last == groups,
        start=sum(found.rows[:first]),
        end=sum(found.rows[:last]),
    )


def _footer(path: str) -> Footer:
    try:
        with stores.parquet_file(path) as file:
            metadata = file.metadata
            schema = file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"cannot read {path!r} as Parquet: {one_line(error)}") from error
    rows = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    return Footer(schema.remove_metadata(), rows)


def _described(piece: _Piece, connection: duckdb.DuckDBPyConnection) -> Footer:
    """The footer with what the engine calls the columns."""
    if piece.footer.columns:
        return piece.footer
    path, layout = piece.split.path, piece.footer.layout
    names = layout.names
    lower = {name.lower() for name in names}
    if any(not name and f"c{at}" in lower for at, name in enumerate(names)):
        taken = next(f"c{at}" for at, name in enumerate(names) if not name and f"c{at}" in lower)
        raise UnsupportedPlan(
            f"{path!r} has a column without a name, which this engine calls {taken!r}, and one "
            f"that is called so; right would be a name for each"
        )
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {_read([path])}").fetchall()
    except duckdb.Error as error:
        raise StorageError(f"cannot read {path!r} as Parquet: {one_line(error)}") from error
    found = [
        FileColumn(*travelling(f"c{at}", kind), field.type, kind)
        for at, ((_, kind, *_), field) in enumerate(zip(rows, layout, strict=True))
    ]
    return attrs.evolve(piece.footer, columns=dict(zip(keys_of(names), found, strict=True)))


def _with_folders(values: Sequence[PartitionValue], file: FileColumns) -> FileColumns:
    """The file's columns, then those that its path adds."""
    columns = dict(file)
    for value in values:
        if (value.name, 0) not in file:
            kind = sql_type(DataType(value.data_type))
            literal = "NULL" if value.value is None else text(value.value)
            columns[value.name, 0] = FileColumn(f"CAST({literal} AS {kind})", kind, None)
    return columns


def _common_columns(
    scan: ParquetScan, files: Sequence[_Alike], format_: TableFormat | None
) -> dict[Key, ColumnInfo]:
    """The table's columns: as the plan declares them, else as its format or its files say."""
    declared = {} if scan.schema is None else {one.name: one for one in scan.schema.fields}
    said = {} if format_ is None else {name: travelling("", of)[1] for name, of in format_.columns}
    if scan.schema is None:
        # Another task may have got other files: all must give out the same columns.
        found = (key for file in files for key in file.columns)
        keys = list(dict.fromkeys([*keys_of(said), *found]))
    else:
        keys = list(keys_of(one.name for one in scan.schema.fields))
    columns = {key: ColumnInfo(key[0], _first_type(key, files, said), scan.table) for key in keys}
    for key in _used(scan, columns):
        name = key[0]
        having = [file for file in files if key in file.columns]
        if len(having) < len(files) and name not in said:
            raise _missing(scan.table, name, files, having)
        wanted = sql_type(declared[name].data_type) if name in declared else said.get(name)
        at, who = (
            f"table {scan.table!r}, column {name!r}",
            "schema" if name in declared else "table",
        )
        kind = _common_type(at, {file.path: file.columns[key] for file in having}, wanted, who)
        columns[key] = attrs.evolve(columns[key], type=kind)
    return columns


def _missing(
    table: str, name: str, files: Sequence[_Alike], having: Sequence[_Alike]
) -> PlanningError:
    lacking = next(file for file in files if file not in having)
    unlike = f", unlike {having[0].path!r}" if having else ""
    remedy = "; right would be the table's option union_by_name" if having else ""
    has = ", ".join(key[0] for key in list(lacking.columns)[:MAX_SHOWN]) or "no columns"
    return PlanningError(
        f"table {table!r}: a file has no column {name!r}; it has {has}: {lacking.path!r}"
        f"{unlike}{remedy}"
    )


def _first_type(key: Key, files: Sequence[_Alike], said: Mapping[str, str]) -> str:
    found = (file.columns[key].type for file in files if key in file.columns)
    return said.get(key[0]) or next(found, "INTEGER")


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


def _common_type(
    column: str, files: Mapping[str, FileColumn], declared: str | None, who: str
) -> str:
    """A type that every file's values of the column fit without loss.

    Args:
        files: the column in files that differ, by the path of one.
        who: has declared a type, where one is declared.
    """
    found = files.values()
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
        if kind := common_type_of_files(kinds):
            return kind
    elif all(one.fits(declared) for one in found):
        return "VARCHAR" if is_enum(declared) else declared
    wanted = f"the {who} declares {declared}" if declared else "they do not agree"
    paths: dict[str, str] = {}
    for path, one in files.items():
        paths.setdefault(one.type, path)
    where = ", ".join(f"{kind} in {path!r}" for kind, path in sorted(paths.items())[:MAX_SHOWN])
    raise PlanningError(
        f"{column}: the files have {', '.join(sorted(paths))}; {wanted}: it is {where}"
    )


def _outputs(columns: Mapping[Key, ColumnInfo], file: FileColumns) -> list[str]:
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
        elif fits(found.type, wanted.type) or wanted.type != "DOUBLE":
            outputs.append(f"CAST({_without_twins(found, wanted)} AS {wanted.type})")
        else:
            outputs.append(_exact_double(found, wanted))
    return outputs


def _exact_double(found: FileColumn, column: ColumnInfo) -> str:
    """Of whole numbers beyond 2^53 a DOUBLE holds some: the others are refused, not rounded."""
    double = f"CAST({found.sql} AS DOUBLE)"
    why = (
        f"table {column.qualifier!r}, column {column.name!r}: it is {found.type} in one file and "
        f"DOUBLE in the table, which does not hold "
    )
    return (
        f"CASE WHEN CAST({double} AS DECIMAL(38,0)) <> CAST({found.sql} AS DECIMAL(38,0)) "
        f"THEN error({text(why)} || {found.sql}) ELSE {double} END"
    )


def _without_twins(found: FileColumn, column: ColumnInfo) -> str:
    """A map with a key twice is refused here: it could not be read again after an exchange."""
    twins = has_twin_keys(found.sql, found.type)
    if not twins:
        return found.sql
    why = (
        f"table {column.qualifier!r}, column {column.name!r}: a map has a key twice, which this "
        f"engine does not keep"
    )
    return f"CASE WHEN {twins} THEN error({text(why)}) ELSE {found.sql} END"


def _some_rows(pieces: Sequence[_Piece], only: Mapping[str, str]) -> Iterator[str]:
    """As `_sources`, of whole files and of those rows alone."""
    for path in dict.fromkeys(piece.split.path for piece in pieces):
        yield f"{_read([path])} AS file({_names(pieces)}) WHERE {only.get(path, 'FALSE')}"


def _names(pieces: Sequence[_Piece]) -> str:
    """Under others than its own no column of a file hides the number of its rows."""
    return ", ".join(f"c{at}" for at in range(len(pieces[0].footer.layout)))


def _sources(pieces: Sequence[_Piece]) -> Iterator[str]:
    """Table expressions over pieces of files alike."""
    names = _names(pieces)
    if whole := [piece.split.path for piece in pieces if piece.whole]:
        yield f"{_read(whole)} AS file({names})"
    ranges: dict[str, list[str]] = {}
    for piece in pieces:
        if not piece.whole:
            within = f"({ROW_NUMBER} >= {piece.start} AND {ROW_NUMBER} < {piece.end})"
            ranges.setdefault(piece.split.path, []).append(within)
    for path, each in ranges.items():
        # In one condition: a read for each range costs half as much again.
        yield f"{_read([path])} AS file({names}) WHERE {' OR '.join(each)}"


def _read(paths: Sequence[str]) -> str:
    listed = ", ".join(text(path) for path in paths)
    # Statistics of Parquet leave NaN out, which DuckDB's order has on top.
    return f"read_parquet([{listed}], hive_partitioning = false, can_have_nan = true)"
