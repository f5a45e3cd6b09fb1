"""The catalog file: `tables.json` or `.toml`, as `{"tables": [...]}` or (JSON) the bare list.

An entry: `name`; `uri`, or `paths`, which wins where it is not empty; `format` parquet, csv or
json, or absent where the names of the files say it; `schema` as in a plan, or absent; `options`
(see docs/tables.md). Each uri or path is a file, a folder or a glob, or an fsspec URI of one; a
relative path is meant from the catalog file's folder. Other keys are ignored.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from ffq.catalog.files import folder_columns, format_of_name, is_folder, list_files
from ffq.catalog.floats import float_columns
from ffq.catalog.partitions import TableFile, partition_values, with_filename
from ffq.catalog.shares import Division, make_shares
from ffq.catalog.vectors import vector_columns
from ffq.engine import stores
from ffq.engine.formats import (
    LISTED,
    OPTIONS,
    PATH_OPTIONS,
    VECTOR_OPTIONS,
    option_name,
    read_option,
)
from ffq.errors import InvalidPlan, InvalidRequest, PlanningError, StorageError
from ffq.messages import ScanSplit, TableFormat
from ffq.plan.codec.cursor import Budget, Cursor
from ffq.plan.codec.shapes import NAME, STRING, listing, optional
from ffq.plan.codec.types import SCHEMA
from ffq.plan.conditions import Condition
from ffq.plan.limits import DEFAULT_LIMITS
from ffq.plan.ranges import RangeColumn
from ffq.plan.terms import Schema
from ffq.plan.vector_tables import VectorTable

if TYPE_CHECKING:
    from ffq.catalog.describe import TableDescription

_FORMATS: Final = {
    **{format_: format_ for format_ in OPTIONS},
    **dict.fromkeys(("jsonl", "ndjson"), "json"),
    "tsv": "csv",
}
MAX_CATALOG_BYTES = 16 * 1024 * 1024
_MAX_NAMED = 20


@attrs.frozen
class Table:
    """One table of the catalog.

    Attributes:
        locations: absolute files, folders or globs, or URIs of these.
        schema: as the catalog declares it; None: the files tell.
        format: parquet, csv or json; None: the names of the files say it.
        options: how the files are written, and by what vector search goes.
        types: of single columns of CSV and JSON files, in the engine's words.
        columns: all of them, of such files.
        names: of the columns of CSV files without a header, from the first on.
    """

    name: str
    locations: tuple[str, ...]
    schema: Schema | None = None
    format: str | None = None
    options: Mapping[str, object] = attrs.field(factory=dict, eq=False)
    types: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    columns: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    names: tuple[str, ...] = attrs.field(default=(), eq=False)


@attrs.frozen
class BoundScan:
    """A table's files, divided into shares.

    Attributes:
        format: None: the Parquet files say all.
        rows: of all files, whatever of them is left out; None: the files do not say.
    """

    shares: tuple[tuple[ScanSplit, ...], ...]
    format: TableFormat | None = None
    rows: int | None = None


@attrs.frozen
class Catalog:
    """Tables by name. Files are listed and footers read when asked for, never at load."""

    _tables: Mapping[str, Table]

    @classmethod
    def of(cls, tables: Iterable[Table]) -> Catalog:
        """A catalog of these tables.

        Raises:
            InvalidRequest: two of one name.
        """
        by_name: dict[str, Table] = {}
        for table in tables:
            if table.name in by_name:
                raise InvalidRequest(f"table {table.name!r} stands twice in the catalog")
            by_name[table.name] = table
        return cls(MappingProxyType(by_name))

    @classmethod
    def load(cls, path: str | Path) -> Catalog:
        """Read a catalog file, JSON unless its name ends in `.toml`.

        Raises:
            InvalidRequest: naming the file, and the entry and field that are wrong.
        """
        file = Path(path)
        try:
            return cls.of(read_tables(_read_entries(file), file.absolute().parent))
        except InvalidRequest as error:
            raise InvalidRequest(f"catalog {file}: {error.message}") from None

    def over(self, definitions: Sequence[str]) -> Catalog:
        """This catalog with more tables, which come before its own of the same names.

        Args:
            definitions: a JSON object each, as an entry of the catalog file; paths are absolute.

        Raises:
            InvalidRequest: naming the entry and field that are wrong.
        """
        try:
            entries = [_json(text) for text in definitions]
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"a table's definition is not JSON: {error}") from None
        added = read_tables(entries, Path("/"))
        return Catalog({**self._tables, **Catalog.of(added)._tables})

    def definitions(self) -> tuple[str, ...]:
        """What `over` makes these tables of again."""
        return tuple(json.dumps(_entry_of(table)) for table in self._tables.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tables

    def names(self) -> tuple[str, ...]:
        return tuple(self._tables)

    def table(self, name: str) -> Table:
        """A table by name.

        Raises:
            PlanningError: there is none of that name (R1); names some that exist.
        """
        table = self._tables.get(name)
        if table is None:
            some = ", ".join(sorted(self._tables)[:_MAX_NAMED]) or "none"
            raise PlanningError(f"unknown table {name!r}; the catalog has: {some}")
        return table

    def files(self, name: str) -> tuple[str, ...]:
        """Absolute paths of a table's files, each once: sorted within each location.

        Raises:
            PlanningError: no such table.
            StorageError: a location is missing, cannot be read, or holds no Parquet file.
        """
        return tuple(file.path for file in self._list(name)[0])

    def schema_of(self, name: str) -> Schema | None:
        """A table's columns; only types that are floats are told.

        None: no such table here, or one that only our own workers read.

        Raises:
            StorageError: a file is missing or is not Parquet.
        """
        table = self._tables.get(name)
        if table is None:
            return None
        if table.schema is not None:
            return table.schema
        files, format_ = self._list(name)
        if format_ != "parquet":
            return None
        return float_columns(name, tuple(file.path for file in files))

    def vector_table(self, name: str) -> VectorTable:
        """A table whose rows each have a vector, as its options and its files say.

        Options: `id_column` ("id"), a column of integers; `vector_column` (the only one there is),
        a column of lists of floats; `metric` ("cosine"), or "l2" or "dot".

        Raises:
            PlanningError: no such table, no such column, or an option that is wrong: names it and
                what there is.
            StorageError: a file is missing or is not Parquet.
        """
        table, (files, _) = self.table(name), self._list(name)
        folders = partition_values(name, files)[files[0].path]
        return vector_columns(name, table.options, [file.path for file in files], folders)

    def folder_of(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The folder that is the table, where new files may be put, and the columns that its
        folders `name=value` add.

        Raises:
            PlanningError: no such table, or it is no folder.
            StorageError: it cannot be read.
        """
        table = self.table(name)
        if len(table.locations) != 1 or not is_folder(name, table.locations[0]):
            raise PlanningError(
                f"table {name!r} is {', '.join(table.locations)}; right to write into would be a "
                f"table that is one folder"
            )
        return table.locations[0], folder_columns(name, table.locations[0])

    def scan_shares(
        self,
        name: str,
        target_bytes: int,
        max_shares: int,
        condition: Condition | None = None,
        *,
        columns: Sequence[str] | None = None,
        slots: int = 1,
        order: RangeColumn | None = None,
    ) -> BoundScan:
        """A table's row groups in 1 to `max_shares` shares: as many as `slots`, of about equal
        size, and more where they would be larger than `target_bytes`.

        Sizes are those of the Parquet footers: what the columns that are read take in the files. An
        empty table is one share: an empty row group range of its first file, which still tells the
        schema. Where files differ in their columns, every share begins with empty ranges of files
        that show all there are: each task must find the same types. A CSV or JSON file is not
        divided.

        Args:
            condition: what is asked of the rows: row groups without any such row are left out.
            columns: those that are read, by name; None: all.
            order: a column by whose least values row groups are taken, as far as footers tell.

        Raises:
            PlanningError: no such table.
            StorageError: a file is missing or is not of its format, or the files' folders do not
                agree.
        """
        files, kind = self._list(name)
        format_ = _decide(self.table(name), kind, files)
        found = make_shares(
            name,
            files,
            Division(target_bytes, max_shares, slots),
            format_=format_,
            condition=condition,
            columns=columns,
            order=order,
        )
        return BoundScan(found.shares, format_, found.rows)

    def describe(self, name: str) -> TableDescription:
        """What columns a table has, and how much of it there is.

        Raises:
            PlanningError: no such table.
            StorageError, UnsupportedPlan: as `describe_table`.
        """
        return describe_table(self.table(name))

    def _list(self, name: str) -> tuple[tuple[TableFile, ...], str]:
        return _files_of(self.table(name))


def _files_of(table: Table) -> tuple[tuple[TableFile, ...], str]:
    """Its files, with the columns that their paths add, and their format."""
    files, format_ = list_files(table.name, table.locations, table.format)
    if table.options.get("hive_partitioning") == "false":
        files = tuple(attrs.evolve(file, folders=()) for file in files)
    if table.options.get("filename") == "true":
        files = tuple(with_filename(file) for file in files)
    return files, format_


def describe_table(table: Table) -> TableDescription:
    """What columns a table has, with the types that scans of it give out, and how much there is.

    Raises:
        StorageError: a file that is missing or cannot be read.
        PlanningError: files whose columns differ; names both and the column.
        UnsupportedPlan: a column whose values the engine would change.
    """
    from ffq.catalog.describe import describe_files  # noqa: PLC0415  # DuckDB

    files, found = _files_of(table)
    format_ = _decide(table, found, files)
    # A format has the schema of its table, where that declares one.
    schema = table.schema if format_ is None else None
    return describe_files(table.name, files, format_, schema)


def _decide(table: Table, format_: str, files: Sequence[TableFile]) -> TableFormat | None:
    """How its files are read; None: they are Parquet files that say all.

    What only DuckDB tells is imported here: a coordinator of Parquet tables does without.
    """
    options = {
        name: read_option(format_, name, value)
        for name, value in table.options.items()
        if name not in VECTOR_OPTIONS | PATH_OPTIONS
    }
    if format_ == "parquet" and options.get("union_by_name") != "true":
        return None
    from ffq.catalog.describe import Said, decide_format  # noqa: PLC0415  # DuckDB
    from ffq.engine.types import sql_type  # noqa: PLC0415

    declared = list(table.columns.items()) or None
    if table.schema is not None and format_ != "parquet":
        declared = [(one.name, sql_type(one.data_type)) for one in table.schema.fields]
    said = Said(options, table.types, declared, table.names)
    return decide_format(table.name, format_, files, said)


def _read_entries(file: Path) -> object:
    try:
        size = file.stat().st_size
        if size > MAX_CATALOG_BYTES:
            raise InvalidRequest(f"has {size} bytes; the bound is {MAX_CATALOG_BYTES} bytes")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"is not UTF-8 text: {error.reason} at byte {error.start}") from None
    kind, parse = ("TOML", tomllib.loads) if file.suffix == ".toml" else ("JSON", _json)
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidRequest(f"is not {kind}: {error}") from None
    except RecursionError:
        raise InvalidRequest(f"is not {kind} that can be read: it nests too deep") from None


def _json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_each_key_once)


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of two of one name Python would take the last one; TOML refuses them itself."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise InvalidRequest(f"key {key!r} stands twice in one object")
    return found


def read_tables(value: object, folder: Path) -> tuple[Table, ...]:
    """Tables from what the JSON or TOML of a catalog says; relative paths are from `folder`.

    Raises:
        InvalidRequest: naming the entry and field that are wrong.
    """
    if isinstance(value, dict) and "tables" not in value:
        raise InvalidRequest("missing 'tables'; right would be {\"tables\": [...]} or a bare list")
    entries = value["tables"] if isinstance(value, dict) else value
    try:
        root = Cursor.root(entries, "tables", DEFAULT_LIMITS)
        return tuple(_read_table(entry, folder) for entry in root.items("a list of tables"))
    except InvalidPlan as error:
        raise InvalidRequest(error.message) from None


def check_table(entry: Mapping[str, object]) -> None:
    """Whether a catalog takes this entry; its paths are absolute.

    Raises:
        InvalidRequest: naming the table, and the field that is wrong.
    """
    try:
        _read_table(Cursor.root(entry, "table", DEFAULT_LIMITS), Path("/"))
    except InvalidPlan as error:
        raise InvalidRequest(error.message) from None


def _entry_of(table: Table) -> dict[str, object]:
    schema = table.schema
    return {
        "name": table.name,
        "paths": list(table.locations),
        "schema": None if schema is None else SCHEMA.write(schema, Budget(DEFAULT_LIMITS)),
        "format": table.format,
        "options": {
            **table.options,
            **({"types": dict(table.types)} if table.types else {}),
            **({"columns": dict(table.columns)} if table.columns else {}),
            **({"names": list(table.names)} if table.names else {}),
        },
    }


def _read_table(entry: Cursor, folder: Path) -> Table:
    name = NAME.read(entry.field("name"))
    # From here on errors name the table as well as its place in the list.
    entry = entry.into(entry.value, f" ({name})")
    paths = optional(listing(NAME)).read(entry.field("paths", default=None))
    # An unused uri is not looked at: some writers leave it empty beside `paths`.
    uri = None if paths else optional(NAME).read(entry.field("uri", default=None))
    given = paths or ((uri,) if uri is not None else ())
    if not given:
        entry.fail("has neither 'uri' nor 'paths': one of them says where the files are")
    format_ = _read_format(entry.field("format", default=None))
    schema = entry.field("schema", default=None)
    key = ".paths" if paths else ".uri"
    locations = tuple(_locate(folder, where, entry.into(where, key)) for where in given)
    of = format_ or next(filter(None, map(format_of_name, locations)), None)
    options = entry.field("options", default={})
    listed = LISTED.get(of or "", frozenset())
    plain = [each for each in options.object() if each not in listed]
    names = options.field("names", default=[])
    return Table(
        name=name,
        locations=locations,
        schema=optional(SCHEMA).read(schema),
        format=format_,
        options=MappingProxyType(_read_options(options, plain, of)),
        types=MappingProxyType(_read_types(options, "types") if "types" in listed else {}),
        columns=MappingProxyType(_read_types(options, "columns") if "columns" in listed else {}),
        names=listing(NAME).read(names) if "names" in listed else (),
    )


def _read_format(cursor: Cursor) -> str | None:
    said = optional(STRING).read(cursor)
    if said is None:
        return None
    found = _FORMATS.get(said.lower())
    if found is None:
        cursor.fail(f"unknown format {said!r}; known: {', '.join(OPTIONS)}")
    return found


def _read_options(cursor: Cursor, names: Iterable[str], format_: str | None) -> dict[str, str]:
    """Those that are one value each."""
    options: dict[str, str] = {}
    for name in names:
        at = cursor.field(name)
        # Where the names of files in a folder say the format, it is not known yet.
        called = option_name(name)
        try:
            options[called] = read_option(format_, called, at.value)
        except InvalidRequest as error:
            at.fail(error.message)
    return options


def _read_types(cursor: Cursor, option: str) -> dict[str, str]:
    """A type by column."""
    from ffq.engine.filetypes import read_type  # noqa: PLC0415  # DuckDB

    given = cursor.field(option, default={})
    types: dict[str, str] = {}
    for column in given.object():
        at = given.field(column)
        try:
            types[column] = read_type(column, STRING.read(at))
        except InvalidRequest as error:
            at.fail(error.message)
    return types


def _locate(folder: Path, where: str, cursor: Cursor) -> str:
    scheme, separator, _ = where.partition("://")
    if not separator:
        return str(folder / where)
    if scheme != "file":
        return _check_store(where, cursor)
    return stores.file_path(where) or cursor.fail(f"{where!r} is not file:///path")


def _check_store(where: str, cursor: Cursor) -> str:
    try:
        stores.check_uri(where)
    except StorageError as error:
        cursor.fail(error.message)
    return where
