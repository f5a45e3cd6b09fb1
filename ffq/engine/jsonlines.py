"""Where a file of JSON lines is broken: DuckDB counts its lines otherwise than an editor does."""

from __future__ import annotations

import json
import re
from typing import Final

from ffq.engine import stores

_MAX_LINES: Final = 10_000_000
LINES: Final = "newline_delimited"
_OPEN: Final = (b"{", b"[", b",", b":")
"""What a line ends with whose object goes on."""
_LOOKED: Final = 64 * 1024
"""Bytes, at most, that are looked at: an array may be one line."""
_COMPLAINT: Final = re.compile(
    r"(?:Malformed JSON|JSON transform error) in file \"(.*?)\", (?:at byte \d+ )?in line (\d+)"
)


def layout_of(path: str) -> str:
    """How its objects stand in it, as its beginning has it: each on a line, in one array, or over
    several lines each. What is broken is taken for lines.

    Raises OSError.
    """
    head = b""
    with stores.open_bytes(path) as data:
        while len(head) < _LOOKED and (more := data.read(_LOOKED - len(head))):
            head = (head + more).lstrip()
    line, end, _ = head.partition(b"\n")
    first = line.strip()
    if first.startswith(b"["):
        return "array"
    goes_on = end and first.startswith(b"{") and first.endswith(_OPEN)
    return "unstructured" if goes_on else LINES


def broken_line(path: str, last: int = _MAX_LINES) -> str:
    """The first line that is no JSON object, as `path, line 5: why`, or what else is wrong with the
    file; empty: nothing was found.

    Args:
        last: the line to look at last, from 1.
    """
    try:
        if layout_of(path) != LINES:
            return ""
        with stores.open_bytes(path) as lines:
            for number, line in enumerate(lines, 1):
                if number > last:
                    break
                if line.strip() and (why := _wrong(line)):
                    return f"{path}, line {number}: {why}"
    except (OSError, ValueError) as error:
        return f"{path} cannot be read: {stores.said(error)}"
    return ""


def _wrong(line: bytes) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        said = getattr(error, "msg", "it is no text")
        return f"it is no JSON: {said} at column {getattr(error, 'colno', 1)}"
    except RecursionError:
        return "it nests too deep"
    if isinstance(value, dict):
        return ""
    return "it is JSON, and no object; right would be one object a line"


def explained(complaint: str) -> str:
    """An error of DuckDB over such files, with the line that is wrong."""
    match = _COMPLAINT.search(complaint)
    if match is None:
        return complaint
    found = broken_line(match[1], int(match[2]) + 1)
    return f"Invalid Input Error: {found}" if found else complaint
