"""What columns a table has: decided once, where a scan is planned, for all of its tasks."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import duckdb

from ffq.catalog.footers import read_footer, read_status
from ffq.catalog.partitions import TableFile
from ffq.catalog.shares import lead_splits
from ffq.engine import stores
from ffq.engine.alike import common_type_of_files
from ffq.engine.csvlines import ragged_line
from ffq.engine.faults import one_line
from ffq.engine.filesystems import attach
from ffq.engine.formats import csv_arguments, json_arguments
from ffq.engine.jsonlines import LINES, broken_line, layout_of
from ffq.engine.scans import Source, scan_source
from ffq.engine.sql import text
from ffq.engine.types import travelling
from ffq.errors import FfqError, StorageError
from ffq.messages import ScanSplit, TableFormat
from ffq.plan.model import ParquetScan
from ffq.plan.terms import Schema

_SNIFFED_FILES: Final = 32
"""Of how many files a sample is looked at."""
_SAMPLE_ROWS: Final = 20_480
_CACHED: Final = 256
_PACKED_NOTHING: Final = 1024
"""A compressed file of so many bytes may hold none: its name and dates may stand in it."""
_ANY: Final = ""
"""The type of a column without a value."""
_HUGE: Final = re.compile(r"\bU?HUGEINT\b")
_NUMBERED: Final = re.compile(r"(.+)_\d+")
_FORMS: Final = ("dateformat", "timestampformat")
_OF_SAMPLES: Final = frozenset({"sample_rows", "all_varchar"})
"""Options that decide what columns there are, and nothing of how they are read."""


@attrs.frozen
class TableDescription:
    """What is known of a table without reading it.

    Attributes:
        columns: pairs of name and type, in the engine's words, as scans give them out.
        rows: of all files; None: the files do not say.
        bytes: of all files; of Parquet before compression.
    """

    columns: tuple[tuple[str, str], ...]
    rows: int | None
    bytes: int


def describe_files(
    table: str,
    files: Sequence[TableFile],
    format_: TableFormat | None,
    schema: Schema | None = None,
) -> TableDescription:
    """
    Args:
        schema: what is declared of Parquet files; None: they say it themselves.

    Raises:
        StorageError: a file that is missing or cannot be read.
        PlanningError: files whose columns differ, from each other or from the schema; names both
            and the column.
        UnsupportedPlan: a column whose values the engine would change.
    """
    leads = lead_splits(table, files, format_)
    columns = _columns(table, leads, format_, schema)
    if format_ is not None and format_.name != "parquet":
        sizes = [read_status(table, file.path).st_size for file in files]
        return TableDescription(columns, None, sum(sizes))
    footers = [read_footer(table, file.path)[1] for file in files]
    size = sum(sum(footer.sizes) for footer in footers)
    return TableDescription(columns, sum(footer.rows for footer in footers), size)


def _columns(
    table: str,
    splits: Sequence[ScanSplit],
    format_: TableFormat | None,
    schema: Schema | None = None,
) -> tuple[tuple[str, str], ...]:
    source = _source(table, splits, format_, schema)
    return tuple((column.name, column.type) for column in source.columns)


def _source(
    table: str,
    splits: Sequence[ScanSplit],
    format_: TableFormat | None,
    schema: Schema | None = None,
) -> Source:
    with duckdb.connect(config={"threads": 1}) as reader:
        return scan_source(ParquetScan(table, schema, None, ()), splits, reader, format_)


# --- the format of a table -------------------------------------------------------------------


@attrs.frozen
class Said:
    """What a catalog says of how a table's files are read.

    Attributes:
        types: of single columns, where they are not to be taken from a sample.
        declared: all columns; then no sample decides them.
        names: of CSV files without a header, from the first column on.
    """

    options: Mapping[str, str]
    types: Mapping[str, str]
    declared: Sequence[tuple[str, str]] | None = None
    names: tuple[str, ...] = ()


def decide_format(table: str, name: str, files: Sequence[TableFile], given: Said) -> TableFormat:
    """How a table's files are read that do not say it: text, or Parquet files united by name.

    Args:
        name: parquet, csv or json.

    Raises:
        StorageError: a file that is missing or cannot be read.
        PlanningError: files without a type in common, where it is to be found.
    """
    if name == "parquet":
        return TableFormat(name, _united(table, files), tuple(given.options.items()))
    read = [file.path for file in files if not _holds_nothing(table, file.path)]
    sampled = tuple(_versions(table, read[:_SNIFFED_FILES]))
    options, types = tuple(given.options.items()), tuple(given.types.items())
    try:
        if name == "csv":
            columns, said = _sniff_csv(table, sampled, options, types, given.names)
        else:
            columns, said = _sniff_json(table, sampled, options, types)
    except FfqError:
        raise
    except (OSError, duckdb.Error) as error:
        raise StorageError(f"table {table!r}: {one_line(error)}") from error
    if given.declared is not None:
        columns = tuple(given.declared)
    if not columns:
        raise StorageError(
            f"table {table!r}: its files are empty, and no schema in the catalog says what "
            f"columns it has"
        )
    kept = tuple((option, value) for option, value in said if option not in _OF_SAMPLES)
    return TableFormat(name, columns, kept)


def _holds_nothing(table: str, path: str) -> bool:
    status = read_status(table, path)
    return not status.st_size or (status.st_size < _PACKED_NOTHING and stores.holds_nothing(path))


def _united(table: str, files: Sequence[TableFile]) -> tuple[tuple[str, str], ...]:
    """Columns of Parquet files that differ: all there are, each of a type that holds all values."""
    found: dict[str, dict[str, str]] = {}
    for lead in lead_splits(table, files):
        source = _source(table, [attrs.evolve(lead, partition=())], None)
        for column, kind in zip(source.columns, source.own, strict=True):
            found.setdefault(column.name, {}).setdefault(kind, lead.path)
    return tuple((name, _common(table, name, kinds)) for name, kinds in found.items())


def _common(table: str, column: str, kinds: Mapping[str, str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    kinds = {travelling("", kind)[1]: path for kind, path in kinds.items()}
    common = common_type_of_files(kinds)
    if common is None:
        pairs = itertools.combinations(kinds, 2)
        apart = next((pair for pair in pairs if common_type_of_files(pair) is None), tuple(kinds))
        each = " and ".join(f"{kind} in {kinds[kind]}" for kind in apart)
        raise StorageError(
            f"table {table!r}, column {column!r}: it is {each}, which have no type in common"
        )
    return common


def _versions(table: str, paths: Iterable[str]) -> Iterable[tuple[str, int, int]]:
    for path in paths:
        status = read_status(table, path)
        yield path, status.st_mtime_ns, status.st_size


_Sniffed = tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]
"""Columns, and the options by which the files are read."""


@functools.lru_cache(maxsize=_CACHED)
def _sniff_csv(
    table: str,
    files: tuple[tuple[str, int, int], ...],
    options: tuple[tuple[str, str], ...],
    types: tuple[tuple[str, str], ...],
    names: tuple[str, ...],
) -> _Sniffed:
    """The first file says how all are written; samples of all say the types."""
    said = {"quote": '"', "comment": "", "skip": "0", **dict(options)}
    sample = said.get("sample_rows", str(_SAMPLE_ROWS))
    columns: dict[str, str] = {}
    first: list[str] | None = None
    several = len(files) > 1
    with duckdb.connect(config={"threads": 1}) as reader:
        for path, *_ in files:
            attach(reader, [path])
            sql = (
                "SELECT Delimiter, Escape, HasHeader, DateFormat, TimestampFormat, "
                f"to_json(Columns) FROM sniff_csv({text(path)}{csv_arguments(said)}{_forms(said)}, "
                f"sample_size = {sample})"
            )
            try:
                (row,) = reader.execute(sql).fetchall()
            except duckdb.Error as error:
                broken = ragged_line(path, said) or f"{path}: {one_line(error)}"
                raise StorageError(f"table {table!r}: {broken}") from error
            delimiter, escape, header, *forms, found = row
            pairs = [(one["name"], _exact(one["type"])) for one in json.loads(found)]
            if names:
                pairs = _named(table, path, names, pairs, said.get("header", str(header).lower()))
            if first is None:
                first = [name for name, _ in pairs]
                _check_delimiter(table, path, first, said)
                said = {
                    "delimiter": delimiter,
                    "escape": "" if escape == "(empty)" else escape,
                    "header": str(header).lower(),
                    **said,
                }
                for form, value in zip(_FORMS, forms, strict=True):
                    if value is not None:
                        said.setdefault(form, value)
            elif said["header"] == "false" and len(pairs) == len(first):
                pairs = [(name, kind) for name, (_, kind) in zip(first, pairs, strict=True)]
            elif said.get("union_by_name") != "true":
                _same_names(table, (files[0][0], first), (path, [name for name, _ in pairs]))
            if all(kind == "VARCHAR" for _, kind in pairs) and not _has_rows(reader, path, said):
                for name, _ in pairs:  # what has no value says nothing of its type
                    columns.setdefault(name, _ANY)
                continue
            nothing = _valueless(reader, path, said, pairs) if several else frozenset()
            for name, kind in pairs:
                found = _ANY if name in nothing else kind
                columns[name] = _wider(columns.get(name, found), found)
    plain = said.get("all_varchar") == "true"
    columns = {name: "VARCHAR" if plain or kind == _ANY else kind for name, kind in columns.items()}
    return tuple({**columns, **_known(table, columns, types)}.items()), tuple(said.items())


def _named(
    table: str,
    path: str,
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    header: str,
) -> list[tuple[str, str]]:
    """A file's columns under the names that the table gives them, of which it may have more."""
    if header != "false":
        raise StorageError(
            f"table {table!r}: the option names is for files without a header, and {path} has one; "
            f"right would be header = false beside it, or AS t(a, b) in a query"
        )
    if len(names) > len(pairs):
        raise StorageError(
            f"table {table!r}: the option names has {len(names)} names; {path} has {len(pairs)} "
            f"columns"
        )
    listed = [*names, *(name for name, _ in pairs[len(names) :])]
    return [(name, kind) for name, (_, kind) in zip(listed, pairs, strict=True)]


def _has_rows(reader: duckdb.DuckDBPyConnection, path: str, said: Mapping[str, str]) -> bool:
    source = f"read_csv({text(path)}{csv_arguments(said)}, all_varchar = true)"
    try:
        return bool(reader.execute(f"SELECT 1 FROM {source} LIMIT 1").fetchall())
    except duckdb.Error:
        return True  # what is wrong with it, its scan will say


def _valueless(
    reader: duckdb.DuckDBPyConnection,
    path: str,
    said: Mapping[str, str],
    pairs: Sequence[tuple[str, str]],
) -> frozenset[str]:
    """Texts without one value in the sample: another file says what the column is."""
    texts = {at: name for at, (name, kind) in enumerate(pairs) if kind == "VARCHAR"}
    if not texts:
        return frozenset()
    names = ", ".join(f"c{at}" for at in range(len(pairs)))
    source = f"read_csv({text(path)}{csv_arguments(said)}, all_varchar = true) AS file({names})"
    rows = f"SELECT * FROM {source} LIMIT {said.get('sample_rows', _SAMPLE_ROWS)}"
    counts = ", ".join(f"count(c{at})" for at in texts)
    try:
        (found,) = reader.execute(f"SELECT {counts} FROM ({rows})").fetchall()
    except duckdb.Error:
        return frozenset()  # what is wrong with it, its scan will say
    return frozenset(name for name, count in zip(texts.values(), found, strict=True) if not count)


def _exact(kind: str) -> str:
    """As a type that scans give out with all its digits."""
    return _HUGE.sub("DECIMAL(38,0)", kind)


def _check_delimiter(table: str, path: str, names: Sequence[str], said: Mapping[str, str]) -> None:
    """Of lines that do not agree, DuckDB takes each for one column."""
    if len(names) == 1 and "delimiter" not in said and set(names[0]) & set(",;|\t"):
        if broken := ragged_line(path, said):
            raise StorageError(
                f"table {table!r}: {broken}; right would be as many in each line, or the option "
                f"delimiter"
            )
        raise StorageError(
            f"table {table!r}: the lines of {path} do not have as many columns by any delimiter; "
            f"the first is {names[0][:60]!r}; right would be the option delimiter"
        )


def _forms(said: Mapping[str, str]) -> str:
    return "".join(f", {form} = {text(said[form])}" for form in _FORMS if form in said)


def _same_names(
    table: str, first: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]]
) -> None:
    apart = set(first[1]) ^ set(other[1])
    if apart:
        column = min(apart)
        has, lacks = (first[0], other[0]) if column in first[1] else (other[0], first[0])
        raise StorageError(
            f"table {table!r}: {has} has the column {column!r}, {lacks} has not; right would be "
            f"the option union_by_name, with which it is null there"
        )


def _known(
    table: str, columns: Mapping[str, Any], types: Sequence[tuple[str, str]]
) -> dict[str, str]:
    for name, _ in types:
        if columns and name not in columns:
            raise StorageError(
                f"table {table!r}: option 'types' names the column {name!r}; the files have "
                f"{', '.join(columns)}"
            )
    return dict(types)


def _wider(one: str, other: str) -> str:
    """A type as which texts of both types can be read."""
    if other in {one, _ANY}:
        return one
    if one == _ANY:
        return other
    if {one, other} == {"BIGINT", "DECIMAL(38,0)"}:
        return "DECIMAL(38,0)"
    if {one, other} <= {"BIGINT", "DECIMAL(38,0)", "DOUBLE"}:
        return "DOUBLE"
    return "VARCHAR"


@functools.lru_cache(maxsize=_CACHED)
def _sniff_json(
    table: str,
    files: tuple[tuple[str, int, int], ...],
    options: tuple[tuple[str, str], ...],
    types: tuple[tuple[str, str], ...],
) -> _Sniffed:
    if not files:
        return types, options
    paths = [path for path, *_ in files]
    try:
        said = {"layout": layout_of(paths[0]), **dict(options)}
    except OSError as error:
        why = f"{paths[0]} cannot be read: {stores.said(error)}"
        raise StorageError(f"table {table!r}: {why}") from error
    layout = said["layout"]
    with duckdb.connect(config={"threads": 1}) as reader:
        attach(reader, paths)
        sql = (
            f"DESCRIBE SELECT * FROM read_json([{', '.join(map(text, paths))}]"
            f"{json_arguments(said)}{_forms(said)}, records = true, "
            f"union_by_name = true, hive_partitioning = false, "
            f"maximum_sample_files = {_SNIFFED_FILES}, "
            f"sample_size = {said.get('sample_rows', _SAMPLE_ROWS)})"
        )
        try:
            rows = reader.execute(sql).fetchall()
        except duckdb.Error as error:
            # Which file and line are wrong it does not say, or not rightly.
            broken = next(filter(None, map(broken_line, paths)), "")
            broken = broken or _other_layout(paths, layout) or one_line(error)
            raise StorageError(f"table {table!r}: {broken}") from error
        columns = {name: _exact(kind) for name, kind, *_ in rows}
        _check_case(table, list(columns), paths, reader, layout)
    kept = tuple(said.items()) if layout != LINES else options
    return tuple({**columns, **_known(table, columns, types)}.items()), kept


def _other_layout(paths: Sequence[str], layout: str) -> str:
    for path in paths:
        if (found := layout_of(path)) != layout:
            return f"{path} is {found}, and {paths[0]} is {layout}: a table is of one layout"
    return ""


def _check_case(
    table: str,
    names: Sequence[str],
    paths: Sequence[str],
    reader: duckdb.DuckDBPyConnection,
    layout: str,
) -> None:
    """Of keys that differ in case alone DuckDB calls the second one `a_1`, and then finds none."""
    lower = {name.lower() for name in names}
    made = [
        name for name in names if (match := _NUMBERED.fullmatch(name)) and match[1].lower() in lower
    ]
    if not made:
        return
    listed = ", ".join(map(text, paths))
    objects = f"read_json_objects([{listed}], format = {text(layout)})"
    sample = f"SELECT json FROM {objects} LIMIT {_SAMPLE_ROWS}"
    rows = reader.execute(f"SELECT DISTINCT unnest(json_keys(json)) FROM ({sample})").fetchall()
    keys = {key for (key,) in rows}
    twins = [key for key in sorted(keys) if sum(key.lower() == one.lower() for one in keys) > 1]
    if twins and not keys.issuperset(made):
        raise StorageError(
            f"table {table!r}: the keys {', '.join(map(repr, twins))} differ in case alone, which "
            f"this engine does not keep apart; right would be other names"
        )
