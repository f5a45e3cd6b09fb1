"""Types of SQL's, in its words."""

from __future__ import annotations

import datetime
import re
import uuid
from typing import Final

from ffq.errors import InvalidRequest, words

_WORDS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ (),\[\]]*")
_OF_PYTHON: Final = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
    bytes: "BLOB",
    datetime.date: "DATE",
    datetime.datetime: "TIMESTAMP",
    datetime.time: "TIME",
    datetime.timedelta: "INTERVAL",
    uuid.UUID: "UUID",
}
_OF_ARROW: Final = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "string_view": "VARCHAR",
    "binary": "BLOB",
    "large_binary": "BLOB",
    "date32[day]": "DATE",
    "time64[us]": "TIME",
    "timestamp[s]": "TIMESTAMP_S",
    "timestamp[ms]": "TIMESTAMP_MS",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[ns]": "TIMESTAMP_NS",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}
_ARROW_DECIMAL: Final = re.compile(r"decimal(?:32|64|128)\((\d+), (\d+)\)")


def type_words(kind: object) -> str:
    """
    Args:
        kind: a type in SQL's words, one of Python's, or an Arrow type.

    Raises:
        InvalidRequest: no type; what SQL does not know by this name, its planner refuses.
    """
    if isinstance(kind, str):
        return _checked(kind)
    if isinstance(kind, type):
        found = _OF_PYTHON.get(kind)
    else:
        text = str(kind)
        decimal = _ARROW_DECIMAL.fullmatch(text)
        found = f"DECIMAL({decimal[1]},{decimal[2]})" if decimal else _OF_ARROW.get(text)
    if found is None:
        raise InvalidRequest(
            f"{words(kind, 80)} is no type that a cast knows; right would be SQL's words for it, "
            'as "DECIMAL(10,2)"'
        )
    return found


def _checked(kind: str) -> str:
    depth = 0
    for each in kind:
        depth += (each in "([") - (each in ")]")
        if depth < 0:
            break
    if depth or not _WORDS.fullmatch(kind):
        raise InvalidRequest(
            f'{words(kind, 80)} is no type; right would be SQL\'s words, as "DECIMAL(10,2)"'
        )
    return kind
