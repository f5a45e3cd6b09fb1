"""Which columns of a table vector search goes by, of its options and its files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn

from ffq.catalog.footers import read_footer
from ffq.errors import PlanningError
from ffq.messages import PartitionValue
from ffq.plan.codec.cursor import shown
from ffq.plan.vector_tables import METRICS, ColumnKind, Metric, TableColumn, VectorTable

_ID: Final = "id"
_KINDS: Final = {
    **dict.fromkeys(
        [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)], ColumnKind.INTEGER
    ),
    **dict.fromkeys(("halffloat", "float", "double"), ColumnKind.FLOAT),
    **dict.fromkeys(("string", "large_string", "string_view"), ColumnKind.TEXT),
    **dict.fromkeys(("date32[day]", "date64[ms]"), ColumnKind.DATE),
    "bool": ColumnKind.BOOLEAN,
}
"""By Arrow's names of types."""
_DECIMAL: Final = re.compile(r"decimal\d+\(")
_TIMESTAMP: Final = re.compile(r"timestamp\[")
_DICTIONARY: Final = re.compile(r"dictionary<values=(\w+), ")
_FLOATS: Final = re.compile(
    r"(?:large_)?list(?:_view)?<[^<>]*: (?:halffloat|float|double)(?: not null)?>"
)
_FIXED: Final = re.compile(
    r"fixed_size_list<[^<>]*: (?:halffloat|float|double)(?: not null)?>\[(\d+)\]"
)
_FOLDER_TYPES: Final = {"Int64": "int64", "Date32": "date32[day]", "Utf8": "string"}


def vector_columns(
    table: str,
    options: Mapping[str, object],
    files: Sequence[str],
    folders: Sequence[PartitionValue],
) -> VectorTable:
    """
    Args:
        files: paths, at least one.
        folders: the columns that the paths of the files add.

    Raises:
        PlanningError: names the table, the option and what there is.
        StorageError: a file is missing or is not Parquet.
    """
    columns = _columns(table, files, folders)
    id_ = _find_id(table, options, columns)
    vector = _find_vector(table, options, columns)
    return VectorTable(
        name=table,
        id=id_,
        vector=vector,
        others=tuple(each for each in columns.values() if each not in {id_, vector}),
        metric=_metric(table, options),
    )


def _columns(
    table: str, files: Sequence[str], folders: Sequence[PartitionValue]
) -> dict[str, TableColumn]:
    """Those of all files; one of which they have different types is of no kind."""
    found: dict[str, list[str]] = {}
    for path in files:
        for name, kind in read_footer(table, path)[1].columns():
            kinds = found.setdefault(name, [])
            if kind not in kinds:
                kinds.append(kind)
    for folder in folders:
        found.setdefault(folder.name, [_FOLDER_TYPES[folder.data_type]])
    return {name: _column(name, kinds) for name, kinds in found.items()}


def _column(name: str, types: Sequence[str]) -> TableColumn:
    kinds = {_kind(each) for each in types}
    lengths = {_length(each) for each in types}
    (kind,) = kinds if len(kinds) == 1 else (ColumnKind.OTHER,)
    (length,) = lengths if len(lengths) == 1 else (None,)
    return TableColumn(name, kind, " or ".join(types), length)


def _kind(kind: str) -> ColumnKind:
    if dictionary := _DICTIONARY.match(kind):
        kind = dictionary[1]
    if _DECIMAL.match(kind):
        return ColumnKind.DECIMAL
    if _TIMESTAMP.match(kind):
        return ColumnKind.DATE
    if _FLOATS.fullmatch(kind) or _FIXED.fullmatch(kind):
        return ColumnKind.FLOATS
    return _KINDS.get(kind, ColumnKind.OTHER)


def _length(kind: str) -> int | None:
    fixed = _FIXED.fullmatch(kind)
    return int(fixed[1]) if fixed else None


def _find_id(
    table: str, options: Mapping[str, object], columns: Mapping[str, TableColumn]
) -> TableColumn:
    given = options.get("id_column")
    given = _ID if given is None else given
    column = columns.get(given) if isinstance(given, str) else None
    if column is None or column.kind is not ColumnKind.INTEGER:
        _refuse(
            table, "id_column", given, column, _of_kind(columns, ColumnKind.INTEGER), "integers"
        )
    return column


def _find_vector(
    table: str, options: Mapping[str, object], columns: Mapping[str, TableColumn]
) -> TableColumn:
    vectors = _of_kind(columns, ColumnKind.FLOATS)
    given = options.get("vector_column")
    if given is None:
        if len(vectors) == 1:
            return columns[vectors[0]]
        there = (
            f"there are several: {', '.join(map(repr, vectors))}; right would be one of them"
            if vectors
            else f"there is none among {_listed(columns.values())}; right would be its name"
        )
        raise PlanningError(
            f"table {table!r}: vector search needs one column of lists of floats, and {there} as "
            f"the table's option 'vector_column'"
        )
    column = columns.get(given) if isinstance(given, str) else None
    if column is None or column.kind is not ColumnKind.FLOATS:
        _refuse(table, "vector_column", given, column, vectors, "lists of floats")
    return column


def _metric(table: str, options: Mapping[str, object]) -> Metric:
    given = options.get("metric")
    if given is None:
        return Metric.COSINE
    metric = METRICS.get(given.lower()) if isinstance(given, str) else None
    if metric is None:
        raise PlanningError(
            f"table {table!r}: option 'metric' is {shown(given)}; known: {', '.join(METRICS)}"
        )
    return metric


def _refuse(
    table: str,
    option: str,
    given: object,
    column: TableColumn | None,
    right: Sequence[str],
    what: str,
) -> NoReturn:
    is_ = "which the table has not" if column is None else f"of type {column.type}"
    there = f"one of {', '.join(map(repr, right))}" if right else "one, which the table has not"
    raise PlanningError(
        f"table {table!r}: vector search goes by the option {option!r}, here {shown(given)}, "
        f"{is_}; right would be a column of {what}: {there}"
    )


def _of_kind(columns: Mapping[str, TableColumn], kind: ColumnKind) -> Sequence[str]:
    return [each.name for each in columns.values() if each.kind is kind]


def _listed(columns: Iterable[TableColumn]) -> str:
    return ", ".join(f"{each.name!r} of {each.type}" for each in columns)
