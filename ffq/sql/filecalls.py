"""Functions in FROM that read files, and their options as a catalog calls them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ffq.errors import InvalidQuery

READERS: Final = {
    "read_parquet": "parquet",
    "parquet_scan": "parquet",
    "read_csv": "csv",
    "read_csv_auto": "csv",
    "read_json": "json",
    "read_json_auto": "json",
    "read_ndjson": "json",
    "read_ndjson_auto": "json",
}
"""By name, the format of what they read."""
_OPTIONS: Final = {
    "delim": "delimiter",
    "sep": "delimiter",
    "sample_size": "sample_rows",
    "max_line_size": "max_line_bytes",
    "maximum_line_size": "max_line_bytes",
    "maximum_object_size": "max_line_bytes",
    "dtypes": "types",
    "column_types": "types",
    "column_names": "names",
}
"""What the engine calls options of a table, where a catalog has another word."""
_NO_MATTER: Final = frozenset({"parallel", "buffer_size"})
"""Options that decide how an engine reads, and nothing of what it gives."""
_LAYOUTS: Final = {
    "auto": None,
    "nd": "newline_delimited",
    "newline_delimited": "newline_delimited",
    "array": "array",
    "unstructured": "unstructured",
}
_YES: Final = frozenset({True, "true", "auto"})


def table_options(function: str, given: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Options of a call, as those of a table.

    Raises:
        InvalidQuery: one that is given twice, or whose value has no such meaning here.
    """
    found: dict[str, Any] = {}
    for option, value in given:
        name = _OPTIONS.get(option, option)
        if name in found:
            raise InvalidQuery(f"{function}: {option} is given twice")
        found[name] = value
    for name in _NO_MATTER:
        found.pop(name, None)
    detects = READERS[function] != "csv" or found.pop("auto_detect", True) in _YES
    if not detects and "columns" not in found:
        raise InvalidQuery(
            f"{function}: auto_detect is false; right beside it would be columns = {{'a': 'INT'}}"
        )
    if READERS[function] == "json":
        _json_options(function, found)
    return found


def _json_options(function: str, found: dict[str, Any]) -> None:
    if found.pop("records", True) not in _YES:
        raise InvalidQuery(f"{function}: records is false; right would be rows of objects")
    default = "nd" if "ndjson" in function else "auto"
    asked = found.pop("format", default)
    if asked not in _LAYOUTS:
        raise InvalidQuery(f"{function}: format is {asked!r}; right would be {', '.join(_LAYOUTS)}")
    if (layout := _LAYOUTS[asked]) is not None:
        found["layout"] = layout
