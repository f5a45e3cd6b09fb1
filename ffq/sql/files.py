"""Files that a query names in FROM: `SELECT ... FROM 'data/*.parquet'`.

The planning instance reads no files, so each gets the name of a table, and the text that name.
Where in the text a file stands, the engine's own parser says: a text that looks like one elsewhere
is not touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import duckdb

from ffq.engine.sql import identifier
from ffq.errors import InvalidPlan
from ffq.sql.planning import complaint

_PARSE: Final = "SELECT json_serialize_sql(?::VARCHAR)"


@attrs.frozen
class Named:
    """The text with names of tables in place of files, and the file that each stands for."""

    sql: str
    files: Mapping[str, str]


def name_files(sql: str, known: Mapping[str, object]) -> Named:
    """Raises InvalidPlan: the text is no query; says where.

    Args:
        known: tables by name; a name of one of them is no file.
    """
    with duckdb.connect() as parser:
        ((written,),) = parser.execute(_PARSE, [sql]).fetchall()
    found = json.loads(written)
    if found.get("error"):
        raise InvalidPlan(complaint(sql, found))
    text = sql.encode()
    files: dict[str, str] = {}
    names: dict[str, str] = {}
    lower = {name.lower() for name in known}
    spans = []
    for table in _tables(found["statements"]):
        path = table["table_name"]
        if path.lower() in lower or not _is_path(path, table):
            continue
        name = names.get(path)
        if name is None:
            name = names[path] = f"file {len(names) + 1}"
            files[name] = path
        start = table["query_location"]
        spans.append((start, start + table["query_location_length"], name, table["alias"]))
    for start, end, name, _ in sorted(spans, reverse=True):
        text = text[:start] + identifier(name).encode() + text[end:]
    return Named(text.decode(), files)


def _is_path(name: str, table: Mapping[str, Any]) -> bool:
    return not table["schema_name"] and ("/" in name or "." in name or "*" in name)


def _tables(value: Any) -> Iterator[Mapping[str, Any]]:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(each)
        elif isinstance(each, dict):
            if each.get("type") == "BASE_TABLE":
                yield each
            pending.extend(each.values())
