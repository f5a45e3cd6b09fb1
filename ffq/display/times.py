"""Dates, times and intervals as ISO 8601, also those that Python and Arrow have no text for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa

_DAYS_TO_1970: Final = 719_468
"""From 0000-03-01, where a year of 400-year arithmetic begins."""
_DAYS_PER_ERA: Final = 146_097
_NO_TEXT: Final = "<value out of range"
_INFINITE_DATE: Final = 2**31 - 1
_INFINITE_TIME: Final = 2**63 - 1
_PLACES: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def date_texts(column: pa.Array) -> list[str | None]:
    """`YYYY-MM-DD`; more digits past year 9999, a minus before year 0.

    The engine's infinite dates are `infinity` and `-infinity`.
    """
    if pa.types.is_date64(column.type):
        return _texts(column, lambda value: _date(value // 86_400_000))
    return _texts(column, lambda value: _infinite(value, _INFINITE_DATE) or _date(value))


def timestamp_texts(column: pa.Array) -> list[str | None]:
    """`YYYY-MM-DDTHH:MM:SS.ffffff`, with the digits of its unit; with a zone in UTC, with a Z.

    The engine's infinite timestamps are `infinity` and `-infinity`. (In nanoseconds that number is
    a moment of the year 2262, and shown as that.)
    """
    unit, zone = column.type.unit, column.type.tz
    suffix = "" if zone is None else "Z"

    def far(value: int) -> str:
        seconds, fraction = divmod(value, 10 ** _PLACES[unit])
        days, second = divmod(seconds, 86_400)
        return f"{_date(days)}T{_clock(second, fraction, unit)}{suffix}"

    texts: list[str | None] = column.cast(pa.timestamp(unit)).cast(pa.string()).to_pylist()
    found: list[str | None] = []
    for text, value in zip(texts, column.cast(pa.int64()).to_pylist(), strict=True):
        if text is None:
            found.append(None)
        elif unit != "ns" and abs(value) == _INFINITE_TIME:
            found.append(_infinite(value, _INFINITE_TIME))
        elif text.startswith(_NO_TEXT):
            found.append(far(value))
        else:
            found.append(text.replace(" ", "T") + suffix)
    return found


def time_texts(column: pa.Array) -> list[str | None]:
    """`HH:MM:SS.ffffff`, with the digits of its unit; the end of a day is 24:00:00."""
    unit = column.type.unit

    def late(value: int) -> str:
        seconds, fraction = divmod(value, 10 ** _PLACES[unit])
        return _clock(seconds, fraction, unit)

    return _texts(column, late)


def interval_texts(column: pa.Array) -> list[str | None]:
    """ISO 8601 with a sign for each part: `P1Y2M-3DT4H5M6.5S`; nothing at all is `PT0S`."""
    return [None if value is None else interval_text(*value) for value in column.to_pylist()]


def interval_text(months: int, days: int, nanoseconds: int) -> str:
    """One interval of months, days and nanoseconds, which are never turned into each other."""
    sign, rest = (-1, -months) if months < 0 else (1, months)
    date = _part(sign * (rest // 12), "Y") + _part(sign * (rest % 12), "M") + _part(days, "D")
    minus, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    seconds, fraction = divmod(rest, 10**9)
    time = "".join(
        f"{minus}{number}{letter}"
        for number, letter in ((seconds // 3600, "H"), (seconds // 60 % 60, "M"))
        if number
    )
    digits = f".{fraction:09}".rstrip("0").rstrip(".")
    if seconds % 60 or digits:
        time += f"{minus}{seconds % 60}{digits}S"
    if not time and not date:
        time = "0S"
    return f"P{date}T{time}" if time else f"P{date}"


def _texts(column: pa.Array, far: Callable[[int], str]) -> list[str | None]:
    """As Arrow has it; `far` is the text of a number that Arrow has none for."""
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    if not any(text is not None and text.startswith(_NO_TEXT) for text in texts):
        return texts
    width = pa.int32() if column.type.bit_width == 32 else pa.int64()
    numbers = column.cast(width).to_pylist()
    return [
        far(number) if text is not None and text.startswith(_NO_TEXT) else text
        for text, number in zip(texts, numbers, strict=True)
    ]


def _infinite(value: int, infinity: int) -> str | None:
    return {infinity: "infinity", -infinity: "-infinity"}.get(value)


def _date(days_since_1970: int) -> str:
    """In the Gregorian calendar, for any number of days."""
    era, day = divmod(days_since_1970 + _DAYS_TO_1970, _DAYS_PER_ERA)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += 400 * era + (month >= 10)
    month = month + 3 if month < 10 else month - 9
    shown = f"{year:04}" if year >= 0 else f"-{-year:04}"
    return f"{shown}-{month:02}-{day + 1:02}"


def _clock(seconds: int, fraction: int, unit: str) -> str:
    digits = f".{fraction:0{_PLACES[unit]}}" if _PLACES[unit] else ""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{digits}"


def _part(number: int, letter: str) -> str:
    return f"{number}{letter}" if number else ""
