"""Files that hold text: CSV and JSON lines, read as the columns that were decided for the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import attrs
import duckdb

from ffq.engine import stores
from ffq.engine.columns import FileColumn, FileColumns, keys_of
from ffq.engine.faults import one_line
from ffq.engine.formats import csv_arguments, json_arguments
from ffq.engine.sql import identifier, text
from ffq.engine.textvalues import PLACE, ValueWriter, read_as_it_is
from ffq.engine.types import is_float, travelling
from ffq.engine.zstframes import is_whole
from ffq.errors import PlanningError, StorageError
from ffq.messages import PartitionValue, ScanSplit, TableFormat
from ffq.plan.names import MAX_SHOWN


@attrs.frozen
class TextGroup:
    """Files that are read alike. source: a table expression over them. columns: what it gives."""

    source: str
    columns: FileColumns
    partition: tuple[PartitionValue, ...]
    path: str


def text_groups(
    table: str,
    splits: Sequence[ScanSplit],
    format_: TableFormat,
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[TextGroup]:
    """The splits' files, in groups.

    Raises:
        OSError, StorageError: a file that cannot be read.
        PlanningError: a file with other columns than the table; or what no table is.
    """
    reader = _CsvReader if format_.name == "csv" else _JsonReader
    groups: dict[tuple[tuple[str, ...], tuple[PartitionValue, ...]], list[str]] = {}
    reading = reader(table, format_)
    for split in splits:
        if not split.empty and not stores.holds_nothing(split.path):
            _check_whole(table, split.path, format_)
            header = reading.header(split.path, connection)
            groups.setdefault((header, split.partition), []).append(split.path)
    for (header, partition), paths in groups.items():
        source = reading.source(paths, header)
        yield TextGroup(source, reading.columns(header), partition, paths[0])
    if not groups:
        nothing = "(SELECT 1 WHERE FALSE) AS nothing"
        yield TextGroup(nothing, reading.nothing(), splits[0].partition, splits[0].path)


def _check_whole(table: str, path: str, format_: TableFormat) -> None:
    """Raises StorageError: the rest of it is missing, which the engine would not see."""
    packed = dict(format_.options).get("compression", "zstd")
    if packed == "zstd" and (
        path.endswith((".zst", ".zstd")) or "compression" in dict(format_.options)
    ):
        with stores.open_file(path) as file:
            if not is_whole(file, stores.status(path).st_size):
                raise StorageError(
                    f"table {table!r}: {path} was cut off: it ends in the midst of its zstd data"
                )


@attrs.frozen(slots=False)
class _Reader:
    table: str
    format: TableFormat

    @cached_property
    def options(self) -> Mapping[str, str]:
        return dict(self.format.options)

    @cached_property
    def values(self) -> ValueWriter:
        return ValueWriter(self.table, self.options)

    def nothing(self) -> FileColumns:
        """The columns, of no file."""
        found = (
            FileColumn(*travelling(f"CAST(NULL AS {kind})", kind), None)
            for _, kind in self.format.columns
        )
        return dict(zip(keys_of(name for name, _ in self.format.columns), found, strict=True))


class _CsvReader(_Reader):
    def header(self, path: str, connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
        """Names of the file's columns, in order.

        Raises:
            PlanningError: it has other columns than the table.
            StorageError: it cannot be read.
        """
        arguments = csv_arguments(self.options)
        sql = (
            f"DESCRIBE SELECT * FROM read_csv({text(path)}{arguments}, all_varchar = true, "
            f"hive_partitioning = false)"
        )
        try:
            found = tuple(name for name, *_ in connection.execute(sql).fetchall())
        except duckdb.Error as error:
            raise StorageError(f"table {self.table!r}: {path}: {one_line(error)}") from error
        wanted = tuple(name for name, _ in self.format.columns)
        if self.options.get("header") != "false":
            self._check_columns(path, found, wanted)
            return found
        if len(found) != len(wanted):
            raise PlanningError(
                f"table {self.table!r}: {path} has {len(found)} columns, the table has "
                f"{len(wanted)}: {', '.join(wanted[:MAX_SHOWN])}"
            )
        return wanted

    def _check_columns(self, path: str, found: Sequence[str], wanted: Sequence[str]) -> None:
        missing = [name for name in wanted if name not in found]
        more = [name for name in found if name not in wanted]
        if more or (missing and self.options.get("union_by_name") != "true"):
            column, lacks = (more[0], "has") if more else (missing[0], "lacks")
            raise PlanningError(
                f"table {self.table!r}: {path} {lacks} the column {column!r}, unlike the table, "
                f"which has {', '.join(wanted[:MAX_SHOWN])}; right would be the option "
                f"union_by_name, or a schema of the table that has all columns"
            )

    def source(self, paths: Sequence[str], header: Sequence[str]) -> str:
        types = dict(self.format.columns)
        listed = ", ".join(
            f"{text(name)}: {text(types[name] if is_float(types[name]) else 'VARCHAR')}"
            for name in header
        )
        return _aliased(
            f"read_csv([{', '.join(map(text, paths))}]{csv_arguments(self.options)}, "
            f"auto_detect = false, columns = {{{listed}}}",
            len(header),
        )

    def columns(self, header: Sequence[str]) -> FileColumns:
        places = {name: f"c{at}" for at, name in enumerate(header)}
        return {
            (name, 0): FileColumn(
                *travelling(self.values.of_text(places[name], kind, name), kind), None
            )
            for name, kind in self.format.columns
            if name in places
        }


class _JsonReader(_Reader):
    def header(self, path: str, connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
        """A line may leave out any column: all files are alike."""
        del path, connection
        return tuple(name for name, _ in self.format.columns)

    def source(self, paths: Sequence[str], header: Sequence[str]) -> str:
        del header
        options = {"layout": "newline_delimited", **self.options}
        listed = ", ".join(
            f"{text(name)}: {text('VARCHAR' if kind == 'VARCHAR' else 'JSON')}"
            for name, kind in self.format.columns
        )
        return _aliased(
            f"read_json([{', '.join(map(text, paths))}]{json_arguments(options)}, "
            f"records = true, columns = {{{listed}}}",
            len(self.format.columns),
        )

    def columns(self, header: Sequence[str]) -> FileColumns:
        del header
        found: FileColumns = {}
        for at, (name, kind) in enumerate(self.format.columns):
            as_it_is = read_as_it_is(kind) and not is_float(kind)
            made = f"c{at}" if as_it_is else self.values.of_json(f"c{at}", kind, name)
            found[name, 0] = FileColumn(*travelling(made, kind), None)
        return found


def _aliased(read: str, width: int) -> str:
    names = ", ".join(f"c{at}" for at in range(width))
    place = f"hive_partitioning = false, filename = {text(PLACE)}"
    return f"{read}, {place}) AS file({names}, {identifier(PLACE)})"
