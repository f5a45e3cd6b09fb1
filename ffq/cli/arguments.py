"""What a command line gives as text: queries, and NAME=VALUE."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ffq.errors import InvalidRequest, words


def query_text(query: str | None, file: Path | None) -> str:
    """Raises InvalidRequest: there is none, or two, or it cannot be read."""
    if (query is None) == (file is None):
        raise InvalidRequest("right would be one query: as an argument, as - for stdin, or --file")
    if query is not None and query != "-":
        return _utf8(query, "the query")
    name = "the query from stdin" if file is None else f"query file {file}"
    try:
        data = sys.stdin.buffer.read() if file is None else file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{name}: {error.strerror}") from error
    return _decoded(data, name)


def table_paths(given: Sequence[str]) -> dict[str, str]:
    """Of --table: paths by name. Raises InvalidRequest: none of these, or a name twice."""
    return _named(given, "--table", "NAME=PATH", "one path, with * if need be")


def parameter_values(given: Sequence[str]) -> dict[str, Any]:
    """Of --param: values by name. Raises InvalidRequest: none of these, or a name twice."""
    plain = [text.removeprefix("$") for text in given]
    named = _named(plain, "--param", "NAME=VALUE", "one value")
    return {name: _value(text) for name, text in named.items()}


def _named(given: Sequence[str], flag: str, right: str, once: str) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: set[str] = set()
    for text in given:
        name, sign, value = _utf8(text, flag).partition("=")
        if not (name and sign):
            raise InvalidRequest(f"{flag} {text!r}: right would be {right}")
        if name.lower() in seen:  # to SQL these are one name
            raise InvalidRequest(
                f"{flag} {words(name, 80)} is given twice, the second time as {words(value, 80)}; "
                f"right would be {once}"
            )
        seen.add(name.lower())
        found[name] = value
    return found


def _value(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str | int | float | bool | None) else text


def _no_number(text: str) -> None:
    """Of NaN and Infinity, which Python's reader alone takes for JSON."""
    raise ValueError(text)


def _utf8(text: str, what: str) -> str:
    """What the terminal sent, where the locale does not say that it is UTF-8."""
    if not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    try:
        data = os.fsencode(text)
    except UnicodeEncodeError:  # no bytes were ever read as this
        raise InvalidRequest(f"{what} is not UTF-8 text") from None
    return _decoded(data, what)


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} is not UTF-8 text: byte {error.start}") from None
