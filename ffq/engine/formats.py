"""What may be said of how a CSV or JSON file is written, and how DuckDB is told."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from ffq.engine.sql import text
from ffq.errors import InvalidRequest, PlanningError

_TEXT: Final = "a text"
_SIGN: Final = "one character, or none"
_FLAG: Final = "true or false"
_COUNT: Final = "a whole number"

_KINDS: Final[Mapping[str, str]] = {
    "delimiter": "a text of 1 to 4 characters",
    "header": _FLAG,
    "quote": _SIGN,
    "escape": _SIGN,
    "comment": _SIGN,
    "skip": _COUNT,
    "nullstr": _TEXT,
    "dateformat": _TEXT,
    "timestampformat": _TEXT,
    "decimal_separator": "'.' or ','",
    "encoding": "utf-8, utf-16 or latin-1",
    "compression": "none, gzip or zstd",
    "max_line_bytes": _COUNT,
    "sample_rows": _COUNT,
    "union_by_name": _FLAG,
    "filename": _FLAG,
    "hive_partitioning": _FLAG,
    "all_varchar": _FLAG,
    "layout": "newline_delimited, array or unstructured",
    # Of vector search, which looks at them itself (ffq/catalog/vectors.py).
    "id_column": _TEXT,
    "vector_column": _TEXT,
    "metric": _TEXT,
}
VECTOR_OPTIONS: Final = frozenset({"id_column", "vector_column", "metric"})
PATH_OPTIONS: Final = frozenset({"filename", "hive_partitioning"})
"""Of the columns that the paths of files add, which scans get with each file."""
_JSON: Final = frozenset(
    {"dateformat", "timestampformat", "compression", "max_line_bytes", "sample_rows", "layout"}
)

_ALSO: Final = {
    "delim": "delimiter",
    "sep": "delimiter",
    "sample_size": "sample_rows",
    "max_line_size": "max_line_bytes",
    "maximum_object_size": "max_line_bytes",
}
"""What DuckDB calls options, as calls of its functions in SQL have them."""
_FLAGS: Final[Mapping[str | int, bool]] = {"true": True, "false": False, 1: True, 0: False}
OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "parquet": VECTOR_OPTIONS | PATH_OPTIONS | {"union_by_name"},
    "csv": frozenset(_KINDS) - VECTOR_OPTIONS - {"layout"},
    "json": _JSON | PATH_OPTIONS | {"union_by_name"},
}
"""Options by format."""
_CSV_SQL: Final = {
    "delimiter": "delim",
    "header": "header",
    "quote": "quote",
    "escape": "escape",
    "comment": "comment",
    "skip": "skip",
    "nullstr": "nullstr",
    "decimal_separator": "decimal_separator",
    "encoding": "encoding",
    "compression": "compression",
    "max_line_bytes": "max_line_size",
}
_JSON_SQL: Final = {
    "compression": "compression",
    "max_line_bytes": "maximum_object_size",
    "layout": "format",
}
LISTED: Final[Mapping[str, frozenset[str]]] = {
    "parquet": frozenset(),
    "csv": frozenset({"types", "columns", "names"}),
    "json": frozenset({"types", "columns"}),
}
"""Options by format that say something of each column."""


def option_name(name: str) -> str:
    """What an option is called here, also where it goes by DuckDB's name."""
    return _ALSO.get(name, name)


def read_option(format_: str | None, name: str, value: object) -> str:
    """An option of a table as text, as `TableFormat.options` has it.

    Args:
        format_: None: not known yet; then the option may be of any.

    Raises:
        InvalidRequest: no such option, names the nearest; or a value that it has not.
    """
    known = set(_KINDS) if format_ is None else OPTIONS[format_]
    if name not in known:
        listed: list[str] = sorted(known | LISTED.get(format_ or "csv", frozenset()))
        near = difflib.get_close_matches(name, listed, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise InvalidRequest(
            f"a {format_ or 'text'} table has no option {name!r}{meant}; "
            f"it has: {', '.join(listed)}"
        )
    if _KINDS[name] == _FLAG and isinstance(value, str | int):
        value = _FLAGS.get(value, value)
    if _KINDS[name] == _COUNT and isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not _is_right(name, value):
        raise InvalidRequest(f"option {name!r} is {value!r}; right would be {_KINDS[name]}")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_right(name: str, value: object) -> bool:  # noqa: PLR0911
    kind = _KINDS[name]
    if kind == _FLAG:
        return isinstance(value, bool)
    if kind == _COUNT:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
    if not isinstance(value, str) or "\0" in value:
        return False
    match name:
        case "delimiter":
            return 1 <= len(value) <= 4
        case "decimal_separator":
            return value in {".", ","}
        case "encoding":
            return value in {"utf-8", "utf-16", "latin-1"}
        case "layout":
            return value in {"newline_delimited", "array", "unstructured"}
        case "compression":
            return value in {"none", "gzip", "zstd"}
    return kind != _SIGN or len(value.encode()) <= 1


def csv_arguments(options: Mapping[str, str]) -> str:
    """For read_csv and sniff_csv. Raises PlanningError: an option that this engine has not."""
    return _arguments("csv", options, _CSV_SQL)


def json_arguments(options: Mapping[str, str]) -> str:
    """For read_json. Raises PlanningError: an option that this engine has not."""
    return _arguments("json", options, _JSON_SQL)


def _arguments(format_: str, options: Mapping[str, str], names: Mapping[str, str]) -> str:
    unknown = options.keys() - OPTIONS[format_]
    if unknown:
        raise PlanningError(f"this engine has no option {min(unknown)!r} of {format_} tables")
    written = []
    for name, value in options.items():
        if name in names:
            bare = _KINDS[name] in {_FLAG, _COUNT}
            if bare and not (value in {"true", "false"} or value.isdecimal()):
                raise PlanningError(f"option {name!r} of a {format_} table is {value[:40]!r}")
            written.append(f"{names[name]} = {value if bare else text(value)}")
    return "".join(f", {each}" for each in written)
